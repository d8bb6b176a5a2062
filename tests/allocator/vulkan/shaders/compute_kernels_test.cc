// Copies and fills by shaders, against the host's.

#include "tenure/allocator/vulkan/compute_kernels.h"

#include <cstring>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "tenure/allocator/vulkan/shaders/compute_shaders.h"
#include "tenure/tests/allocator/vulkan/shaders/shader_device.h"
#include "tenure/tests/testing/status_matchers.h"

namespace tenure {
namespace {

using vulkan::ComputeKernels;
using vulkan::ComputePipeline;
using Bytes = std::vector<uint8_t>;

Bytes Numbers(size_t size, uint32_t seed) {
  std::mt19937 random(seed);
  Bytes bytes(size);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
  return bytes;
}

// A pattern whose bytes all differ, and the bytes beyond it too.
FillPattern Pattern(uint32_t size_bytes, uint8_t first) {
  FillPattern pattern;
  for (uint8_t i = 0; i < 16; ++i) pattern.bytes[i] = static_cast<std::byte>(first + i);
  pattern.size_bytes = size_bytes;
  return pattern;
}

void FillOnHost(uint8_t* to, uint64_t size, const FillPattern& pattern) {
  for (uint64_t i = 0; i < size; ++i) {
    to[i] = static_cast<uint8_t>(pattern.bytes[i % pattern.size_bytes]);
  }
}

class ComputeKernelsTest : public testing::Test {
 protected:
  void SetUp() override {
    const EmbeddedImage& shader = vulkan::CopyShader();
    if (shader.size == 0) GTEST_SKIP() << shader.why_missing;
    absl::StatusOr<std::unique_ptr<ShaderDevice>> gpu = ShaderDevice::Make();
    if (absl::IsUnavailable(gpu.status())) GTEST_SKIP() << gpu.status().message();
    ASSERT_OK(gpu);
    gpu_ = *std::move(gpu);
    absl::StatusOr<std::unique_ptr<ComputeKernels>> kernels =
        ComputeKernels::Create(*gpu_->device());
    ASSERT_OK(kernels);
    kernels_ = *std::move(kernels);
  }

  ShaderDevice::Memory Make(uint64_t size) {
    absl::StatusOr<ShaderDevice::Memory> memory = gpu_->Allocate(size);
    EXPECT_OK(memory);
    return memory.value_or(ShaderDevice::Memory());
  }

  std::unique_ptr<ShaderDevice> gpu_;
  std::unique_ptr<ComputeKernels> kernels_;
};

// Names the first difference rather than two dumps of memory.
void ExpectSame(const uint8_t* got, const Bytes& expected, uint64_t at_once) {
  for (uint64_t i = 0; i < expected.size(); ++i) {
    ASSERT_EQ(got[i], expected[i]) << "byte " << i % at_once << " of window " << i / at_once;
  }
}

constexpr uint64_t kSlot = 160;  // a window of up to 100 bytes, and what must not change around it

TEST_F(ComputeKernelsTest, CopiesEverySizeFromAndToEveryAlignment) {
  constexpr uint64_t kSlots = 16 * 16;
  const ShaderDevice::Memory source = Make(256);
  const ShaderDevice::Memory target = Make(kSlots * kSlot);
  ASSERT_NE(target.bytes, nullptr);
  const Bytes numbers = Numbers(256, 1);
  std::memcpy(source.bytes, numbers.data(), numbers.size());
  for (uint64_t size = 0; size <= 100; ++size) {
    Bytes expected = Numbers(kSlots * kSlot, 2);
    std::memcpy(target.bytes, expected.data(), expected.size());
    ASSERT_OK(gpu_->Run([&](VkCommandBuffer commands) {
      for (uint64_t slot = 0; slot < kSlots; ++slot) {
        const uint64_t from = 16 + slot % 16;
        const uint64_t to = slot * kSlot + 16 + slot / 16;
        kernels_->RecordCopy(commands, source.address + from, target.address + to, size);
        std::memcpy(expected.data() + to, numbers.data() + from, size);
      }
      return absl::OkStatus();
    }));
    SCOPED_TRACE(size);
    ExpectSame(target.bytes, expected, kSlot);
    if (HasFatalFailure()) return;
  }
}

// So large that each thread copies several vectors at once, and some more.
TEST_F(ComputeKernelsTest, CopiesLargeWindows) {
  constexpr uint64_t kSize = (uint64_t{26} << 20) + 77;
  const ShaderDevice::Memory source = Make(kSize + 64);
  const ShaderDevice::Memory target = Make(kSize + 64);
  ASSERT_TRUE(source.bytes != nullptr && target.bytes != nullptr);
  const Bytes numbers = Numbers(kSize + 64, 3);
  std::memcpy(source.bytes, numbers.data(), numbers.size());
  // By words of 4 bytes, by single bytes, aligned the same way, and the other way round.
  const std::pair<uint64_t, uint64_t> offsets[] = {{0, 0}, {5, 5},  {4, 0},
                                                   {0, 8}, {3, 18}, {13, 6}};
  for (const auto& [from, to] : offsets) {
    Bytes expected(kSize + 64, 0xee);
    std::memset(target.bytes, 0xee, expected.size());
    ASSERT_OK(gpu_->Run([&, from = from, to = to](VkCommandBuffer commands) {
      kernels_->RecordCopy(commands, source.address + from, target.address + to, kSize);
      return absl::OkStatus();
    }));
    std::memcpy(expected.data() + to, numbers.data() + from, kSize);
    EXPECT_EQ(std::memcmp(target.bytes, expected.data(), expected.size()), 0)
        << "from " << from << " to " << to;
  }
}

TEST_F(ComputeKernelsTest, FillsEverySizeAtEveryAlignmentWithEveryPattern) {
  constexpr uint32_t kPatterns[] = {1, 2, 4, 8, 16};
  constexpr uint64_t kSlots = 16 * 5;
  const ShaderDevice::Memory target = Make(kSlots * kSlot);
  ASSERT_NE(target.bytes, nullptr);
  for (uint64_t size = 0; size <= 100; ++size) {
    Bytes expected = Numbers(kSlots * kSlot, 4);
    std::memcpy(target.bytes, expected.data(), expected.size());
    ASSERT_OK(gpu_->Run([&](VkCommandBuffer commands) {
      for (uint64_t slot = 0; slot < kSlots; ++slot) {
        const uint64_t to = slot * kSlot + 16 + slot % 16;
        const FillPattern pattern =
            Pattern(kPatterns[slot / 16], static_cast<uint8_t>(size + slot));
        kernels_->RecordFill(commands, target.address + to, size, pattern);
        FillOnHost(expected.data() + to, size, pattern);
      }
      return absl::OkStatus();
    }));
    SCOPED_TRACE(size);
    ExpectSame(target.bytes, expected, kSlot);
    if (HasFatalFailure()) return;
  }
}

TEST_F(ComputeKernelsTest, FillsLargeWindows) {
  constexpr uint64_t kSize = (uint64_t{20} << 20) + 77;
  const ShaderDevice::Memory target = Make(kSize + 64);
  ASSERT_NE(target.bytes, nullptr);
  for (const uint64_t to : {0, 3, 12}) {
    const FillPattern pattern = Pattern(8, static_cast<uint8_t>(to));
    Bytes expected(kSize + 64, 0xee);
    std::memset(target.bytes, 0xee, expected.size());
    ASSERT_OK(gpu_->Run([&](VkCommandBuffer commands) {
      kernels_->RecordFill(commands, target.address + to, kSize, pattern);
      return absl::OkStatus();
    }));
    FillOnHost(expected.data() + to, kSize, pattern);
    EXPECT_EQ(std::memcmp(target.bytes, expected.data(), expected.size()), 0) << to;
  }
}

// What lies beyond 2^32 bytes is neither forgotten nor written twice.
TEST_F(ComputeKernelsTest, WindowsOfMoreThan4GiB) {
  constexpr uint64_t kSize = (uint64_t{1} << 32) + 1'000'003;
  if (gpu_->device()->info().max_allocation_bytes < kSize + 64) {
    GTEST_SKIP() << "the device has no memory of more than 4 GiB in one piece";
  }
  const ShaderDevice::Memory source = Make(kSize + 64);
  const ShaderDevice::Memory target = Make(kSize + 64);
  if (source.bytes == nullptr || target.bytes == nullptr) return;
  const FillPattern pattern = Pattern(4, 9);
  const uint64_t tail = (uint64_t{1} << 32) - 500'000;
  const Bytes numbers = Numbers(kSize - tail, 5);
  for (const uint64_t from : {5, 6}) {
    std::memset(target.bytes, 0, kSize + 64);
    ASSERT_OK(gpu_->Run([&](VkCommandBuffer commands) {
      kernels_->RecordFill(commands, source.address + from, kSize, pattern);
      return absl::OkStatus();
    }));
    std::memcpy(source.bytes + from + tail, numbers.data(), numbers.size());
    ASSERT_OK(gpu_->Run([&](VkCommandBuffer commands) {
      kernels_->RecordCopy(commands, source.address + from, target.address + 5, kSize);
      return absl::OkStatus();
    }));
    Bytes begin(1000);
    FillOnHost(begin.data(), begin.size(), pattern);
    EXPECT_EQ(std::memcmp(target.bytes + 5, begin.data(), begin.size()), 0);
    EXPECT_EQ(std::memcmp(target.bytes + 5 + tail, numbers.data(), numbers.size()), 0);
    EXPECT_EQ(target.bytes[4], 0);
    EXPECT_EQ(target.bytes[5 + kSize], 0);
  }
}

TEST_F(ComputeKernelsTest, WithoutAShaderItSaysWhy) {
  const EmbeddedImage none = {nullptr, 0, "no compiler was found"};
  const absl::Status status = ComputePipeline::Create(*gpu_->device(), none, 16).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "no compiler was found")) << status;
}

}  // namespace
}  // namespace tenure
