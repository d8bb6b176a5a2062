// The CUDA kernels on a GPU, against the reference kernel of the host.

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "tenure/allocator/cuda/device.h"
#include "tenure/tests/tools/device_kernels.h"
#include "tenure/tools/trace/op_kernels.h"
#include "tenure/tools/trace/reference_kernel.h"
#include "tenure/tools/trace/reference_kernel_image.h"

namespace tenure {
namespace {

constexpr uint64_t kG = 0x9e3779b97f4a7c15u;

class CudaKernelsGpuTest : public testing::Test {
 protected:
  void SetUp() override {
    const absl::StatusOr<const cuda::Driver*> driver = cuda::Driver::Default();
    if (absl::IsUnavailable(driver.status())) GTEST_SKIP() << driver.status().message();
    ASSERT_TRUE(driver.ok()) << driver.status();
    absl::StatusOr<std::shared_ptr<cuda::Device>> device = cuda::Device::Open(**driver, 0);
    if (absl::IsUnavailable(device.status())) GTEST_SKIP() << device.status().message();
    ASSERT_TRUE(device.ok()) << device.status();
    device_ = *device;
    absl::StatusOr<std::unique_ptr<DeviceKernels>> kernels =
        DeviceKernels::Make(device_, ReferenceKernelImage());
    if (absl::IsUnimplemented(kernels.status())) GTEST_SKIP() << kernels.status().message();
    ASSERT_TRUE(kernels.ok()) << kernels.status();
    kernels_ = *std::move(kernels);
  }

  std::shared_ptr<cuda::Device> device_;
  std::unique_ptr<DeviceKernels> kernels_;
};

TEST_F(CudaKernelsGpuTest, EverySizeAndOffset) { CheckEverySizeAndOffset(*kernels_, 3); }
TEST_F(CudaKernelsGpuTest, LargeWindows) { CheckLargeWindows(*kernels_, (8 << 20) + 77, 12); }
TEST_F(CudaKernelsGpuTest, KnownStrides) { CheckKnownStrides(*kernels_); }
TEST_F(CudaKernelsGpuTest, RandomStrides) { CheckRandomStrides(*kernels_, 300); }
TEST_F(CudaKernelsGpuTest, RefusedStrides) { CheckRefusedStrides(*kernels_); }

// An op without the host: two reads, the chain, and a write seeded from it.
TEST_F(CudaKernelsGpuTest, AnOpIsQueuedAsAWhole) {
  std::vector<uint8_t> a(100'003), b(17), out(5000), expected(5000);
  FillWords(absl::MakeSpan(a), 1);
  FillWords(absl::MakeSpan(b), 2);
  const absl::StatusOr<uint64_t> at = kernels_->Allocate(a.size() + b.size() + 13);
  const absl::StatusOr<uint64_t> to = kernels_->Allocate(out.size());
  const absl::StatusOr<uint64_t> log = kernels_->Allocate(32);
  ASSERT_TRUE(at.ok() && to.ok() && log.ok());
  ASSERT_TRUE(kernels_->CopyIn(*at, a.data(), a.size()).ok());
  ASSERT_TRUE(kernels_->CopyIn(*at + a.size(), b.data(), b.size()).ok());

  const CudaKernels& k = kernels_->kernels();
  const uint64_t stream = kernels_->stream();
  absl::Status status = k.Zero(stream, *log, 32);
  status.Update(k.AddDigest(stream, *at, a.size(), *log));
  status.Update(k.AddDigest(stream, *at + a.size(), b.size(), *log + 8));
  status.Update(k.Chain(stream, 41, *log, 2, *log + 16));
  status.Update(k.Fill(stream, *to, out.size(), SeedAfterReads(41, 3, 2, *log + 16)));
  uint64_t chain[2] = {};
  status.Update(kernels_->CopyOut(chain, *log + 16, 16));
  status.Update(kernels_->CopyOut(out.data(), *to, out.size()));
  ASSERT_TRUE(status.ok()) << status;

  std::vector<uint64_t> expected_chain;
  const uint64_t d = DigestReads(41, {a, b}, 1, &expected_chain);
  EXPECT_EQ(chain[0], expected_chain[0]);
  EXPECT_EQ(chain[1], expected_chain[1]);
  FillWords(absl::MakeSpan(expected), d + WriteSeedStep(3));
  EXPECT_EQ(out, expected);
}

// What lies beyond 2^32 bytes is neither forgotten nor written twice.
TEST_F(CudaKernelsGpuTest, WindowsOfMoreThan4GiB) {
  const uint64_t offset = 5;
  const uint64_t size = (uint64_t{1} << 32) + 1'000'003;
  const absl::StatusOr<uint64_t> at = kernels_->Allocate(offset + size);
  if (absl::IsResourceExhausted(at.status())) GTEST_SKIP() << "the device has no 4 GiB free";
  ASSERT_TRUE(at.ok()) << at.status();
  const absl::StatusOr<uint64_t> sum = kernels_->Allocate(8);
  ASSERT_TRUE(sum.ok()) << sum.status();
  const uint64_t seed = 99;
  const CudaKernels& k = kernels_->kernels();
  absl::Status status = k.Zero(kernels_->stream(), *sum, 8);
  status.Update(k.Fill(kernels_->stream(), *at + offset, size, {0, seed}));
  status.Update(k.AddDigest(kernels_->stream(), *at + offset, size, *sum));
  uint64_t digest = 0;
  status.Update(kernels_->CopyOut(&digest, *sum, 8));
  // The last bytes, from the beginning of a word on.
  const uint64_t end_at = (size / 8 - 100) * 8;
  std::vector<uint8_t> end(size - end_at), expected_end(size - end_at);
  status.Update(kernels_->CopyOut(end.data(), *at + offset + end_at, end.size()));
  ASSERT_TRUE(status.ok()) << status;

  uint64_t expected_digest = 0;
  for (uint64_t i = 1; i <= size / 8; ++i) expected_digest += Mix(Mix(seed + i * kG) + i * kG);
  const uint64_t last = size / 8 + 1;
  expected_digest +=
      Mix((Mix(seed + last * kG) & ((uint64_t{1} << (8 * (size % 8))) - 1)) + last * kG);
  EXPECT_EQ(digest, expected_digest);
  FillWords(absl::MakeSpan(expected_end), seed + end_at / 8 * kG);
  EXPECT_EQ(end, expected_end);
}

TEST_F(CudaKernelsGpuTest, StridesOfMoreThan4GiB) {
  const uint64_t stride = (uint64_t{1} << 31) + 2048;  // elements of 1 byte
  const uint64_t size = 2 * stride + 1024;
  const absl::StatusOr<uint64_t> at = kernels_->Allocate(size);
  if (absl::IsResourceExhausted(at.status())) GTEST_SKIP() << "the device has no 4 GiB free";
  ASSERT_TRUE(at.ok()) << at.status();
  const CudaKernels& k = kernels_->kernels();
  absl::Status status = k.Zero(kernels_->stream(), *at, size);
  status.Update(k.FillStrided(kernels_->stream(), *at, size, {0, 7}, {3, 1024}, {stride, 1}, 1));
  ASSERT_TRUE(status.ok()) << status;
  for (uint64_t row = 0; row < 3; ++row) {
    std::vector<uint8_t> got(1024), expected(1024);
    ASSERT_TRUE(kernels_->CopyOut(got.data(), *at + row * stride, got.size()).ok());
    for (uint64_t i = 0; i < 1024; ++i) {
      expected[i] = static_cast<uint8_t>(Mix(7 + (row * 1024 + i + 1) * kG));
    }
    EXPECT_EQ(got, expected) << row;
  }
}

}  // namespace
}  // namespace tenure
