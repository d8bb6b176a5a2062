// The Vulkan kernels on the machine's first device, against the reference kernel of the host.

#include "tenure/tools/trace/vulkan_kernels.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "tenure/allocator/vulkan/device_queue.h"
#include "tenure/tests/allocator/vulkan/shaders/shader_device.h"
#include "tenure/tests/testing/status_matchers.h"
#include "tenure/tests/tools/kernel_cases.h"
#include "tenure/tools/trace/reference_kernel.h"
#include "tenure/tools/trace/shaders/reference_kernel_shaders.h"

namespace tenure {
namespace {

constexpr uint64_t kG = 0x9e3779b97f4a7c15u;

// VulkanKernels as kernel_cases.h wants them.
class VulkanUnderTest final : public KernelUnderTest {
 public:
  VulkanUnderTest(ShaderDevice& gpu, const VulkanKernels& kernels) : gpu_(gpu), kernels_(kernels) {
    word_ = *gpu_.Allocate(8);
  }

  absl::Status AddDigest(const Memory& memory, uint64_t offset, uint64_t size,
                         uint64_t& sum) override {
    std::memcpy(word_.bytes, &sum, 8);
    absl::Status status = On(memory, offset + size, [&](uint64_t work, uint64_t at) {
      return kernels_.AddDigest(work, at + offset, size, word_.address);
    });
    std::memcpy(&sum, word_.bytes, 8);
    return status;
  }

  // A part of each seed is read from the device when the kernel runs.
  absl::Status Fill(Memory& memory, uint64_t offset, uint64_t size, uint64_t seed) override {
    const uint64_t part = 77;
    std::memcpy(word_.bytes, &part, 8);
    absl::Status status = On(memory, offset + size, [&](uint64_t work, uint64_t at) {
      return kernels_.Fill(work, at + offset, size, {word_.address, seed - part});
    });
    std::memcpy(memory.data(), bytes_.bytes, memory.size());
    return status;
  }

  absl::Status FillStrided(Memory& memory, uint64_t offset, uint64_t size, uint64_t seed,
                           const std::vector<uint64_t>& shape, const std::vector<uint64_t>& strides,
                           uint64_t item_bytes) override {
    absl::Status status = On(memory, offset + size, [&](uint64_t work, uint64_t at) {
      return kernels_.FillStrided(work, at + offset, size, {0, seed}, shape, strides, item_bytes);
    });
    std::memcpy(memory.data(), bytes_.bytes, memory.size());
    return status;
  }

 private:
  // `work` on the memory, all of which lies on the device.
  absl::Status On(const Memory& memory, uint64_t size,
                  const std::function<absl::Status(uint64_t work, uint64_t at)>& work) {
    size = std::max<uint64_t>({memory.size(), size, 1});
    if (size > room_) {
      absl::StatusOr<ShaderDevice::Memory> bytes = gpu_.Allocate(size);
      if (!bytes.ok()) return bytes.status();
      bytes_ = *bytes;
      room_ = size;
    }
    std::memcpy(bytes_.bytes, memory.data(), memory.size());
    return gpu_.Run([&](VkCommandBuffer commands) {
      return work(VulkanKernels::Work(commands), bytes_.address);
    });
  }

  ShaderDevice& gpu_;
  const VulkanKernels& kernels_;
  ShaderDevice::Memory word_, bytes_;
  uint64_t room_ = 0;
};

class VulkanKernelsTest : public testing::Test {
 protected:
  void SetUp() override {
    const EmbeddedImage& shader = vulkan::DigestShader();
    if (shader.size == 0) GTEST_SKIP() << shader.why_missing;
    absl::StatusOr<std::unique_ptr<ShaderDevice>> gpu = ShaderDevice::Make();
    if (absl::IsUnavailable(gpu.status())) GTEST_SKIP() << gpu.status().message();
    ASSERT_OK(gpu);
    gpu_ = *std::move(gpu);
    absl::StatusOr<std::unique_ptr<VulkanKernels>> kernels = VulkanKernels::Create(gpu_->device());
    ASSERT_OK(kernels);
    kernels_ = *std::move(kernels);
    under_test_ = std::make_unique<VulkanUnderTest>(*gpu_, *kernels_);
  }

  ShaderDevice::Memory Make(uint64_t size) {
    absl::StatusOr<ShaderDevice::Memory> memory = gpu_->Allocate(size);
    EXPECT_OK(memory);
    return memory.value_or(ShaderDevice::Memory());
  }

  std::unique_ptr<ShaderDevice> gpu_;
  std::unique_ptr<VulkanKernels> kernels_;
  std::unique_ptr<VulkanUnderTest> under_test_;
};

TEST_F(VulkanKernelsTest, EverySizeAndOffset) { CheckEverySizeAndOffset(*under_test_, 1); }
TEST_F(VulkanKernelsTest, LargeWindows) { CheckLargeWindows(*under_test_, 200'000, 20); }
TEST_F(VulkanKernelsTest, KnownStrides) { CheckKnownStrides(*under_test_); }
TEST_F(VulkanKernelsTest, RandomStrides) { CheckRandomStrides(*under_test_, 300); }
TEST_F(VulkanKernelsTest, RefusedStrides) { CheckRefusedStrides(*under_test_); }

// So large that each thread has several words under way at once, and some more.
TEST_F(VulkanKernelsTest, VeryLargeWindows) {
  for (const uint64_t offset : {16, 24, 3}) {
    const uint64_t size = (uint64_t{26} << 20) + 77;
    KernelUnderTest::Memory memory(offset + size + 20);
    FillWords(absl::MakeSpan(memory), 3);
    KernelUnderTest::Memory expected = memory;
    uint64_t sum = 0;
    ASSERT_OK(under_test_->AddDigest(memory, offset, size, sum));
    EXPECT_EQ(sum, Digest(absl::MakeConstSpan(memory).subspan(offset, size))) << offset;
    ASSERT_OK(under_test_->Fill(memory, offset, size, 9));
    FillWords(absl::MakeSpan(expected).subspan(offset, size), 9);
    EXPECT_TRUE(memory == expected) << offset;
  }
}

// An op without the host: two reads, the chain, and a write seeded from it, over one of the reads.
TEST_F(VulkanKernelsTest, AnOpIsQueuedAsAWhole) {
  std::vector<uint8_t> a(100'003), b(17), out(5000), expected(5000);
  FillWords(absl::MakeSpan(a), 1);
  FillWords(absl::MakeSpan(b), 2);
  const ShaderDevice::Memory at = Make(a.size() + b.size());
  const ShaderDevice::Memory log = Make(32);
  ASSERT_TRUE(at.bytes != nullptr && log.bytes != nullptr);
  std::memcpy(at.bytes, a.data(), a.size());
  std::memcpy(at.bytes + a.size(), b.data(), b.size());
  std::memset(log.bytes, 0xee, 32);
  ASSERT_OK(gpu_->Run([&](VkCommandBuffer commands) {
    const uint64_t work = VulkanKernels::Work(commands);
    absl::Status status = kernels_->Zero(work, log.address, 16);
    status.Update(kernels_->AddDigest(work, at.address, a.size(), log.address));
    status.Update(kernels_->AddDigest(work, at.address + a.size(), b.size(), log.address + 8));
    status.Update(kernels_->Chain(work, 41, log.address, 2, log.address + 16));
    status.Update(kernels_->Fill(work, at.address + 101, out.size(),
                                 SeedAfterReads(41, 3, 2, log.address + 16)));
    return status;
  }));
  uint64_t chain[2];
  std::memcpy(chain, log.bytes + 16, 16);
  std::memcpy(out.data(), at.bytes + 101, out.size());
  std::vector<uint64_t> expected_chain;
  const uint64_t d = DigestReads(41, {a, b}, 1, &expected_chain);
  EXPECT_EQ(chain[0], expected_chain[0]);
  EXPECT_EQ(chain[1], expected_chain[1]);
  FillWords(absl::MakeSpan(expected), d + WriteSeedStep(3));
  EXPECT_EQ(out, expected);
}

TEST_F(VulkanKernelsTest, TooManyDimensionsAreRefused) {
  // Every element shares its bytes with others, and no dimension continues another.
  const std::vector<uint64_t> shape(20, 3);
  std::vector<uint64_t> strides;
  for (uint64_t d = 0; d < 20; ++d) strides.push_back(1 + d % 2);
  const ShaderDevice::Memory memory = Make(1000);
  const absl::Status status = gpu_->Run([&](VkCommandBuffer commands) {
    return kernels_->FillStrided(VulkanKernels::Work(commands), memory.address, 1000, {}, shape,
                                 strides, 2);
  });
  EXPECT_CODE(Unimplemented, status);
}

// What lies beyond 2^32 bytes is neither forgotten nor written twice.
TEST_F(VulkanKernelsTest, WindowsOfMoreThan4GiB) {
  const uint64_t offset = 5;
  const uint64_t size = (uint64_t{1} << 32) + 1'000'003;
  if (gpu_->device()->info().max_allocation_bytes < offset + size) {
    GTEST_SKIP() << "the device has no memory of more than 4 GiB in one piece";
  }
  const ShaderDevice::Memory at = Make(offset + size);
  const ShaderDevice::Memory sum = Make(8);
  if (at.bytes == nullptr || sum.bytes == nullptr) return;
  const uint64_t seed = 99;
  ASSERT_OK(gpu_->Run([&](VkCommandBuffer commands) {
    const uint64_t work = VulkanKernels::Work(commands);
    absl::Status status = kernels_->Zero(work, sum.address, 8);
    status.Update(kernels_->Fill(work, at.address + offset, size, {0, seed}));
    status.Update(kernels_->AddDigest(work, at.address + offset, size, sum.address));
    return status;
  }));
  uint64_t digest = 0;
  std::memcpy(&digest, sum.bytes, 8);
  uint64_t expected_digest = 0;
  for (uint64_t i = 1; i <= size / 8; ++i) expected_digest += Mix(Mix(seed + i * kG) + i * kG);
  const uint64_t last = size / 8 + 1;
  expected_digest +=
      Mix((Mix(seed + last * kG) & ((uint64_t{1} << (8 * (size % 8))) - 1)) + last * kG);
  EXPECT_EQ(digest, expected_digest);
}

}  // namespace
}  // namespace tenure
