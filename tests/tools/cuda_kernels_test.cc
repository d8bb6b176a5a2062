// CudaKernels on a fake driver: what is launched, in which order, and what fails.

#include "tenure/tools/trace/cuda_kernels.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "tenure/allocator/cuda/device.h"
#include "tenure/tests/tools/device_kernels.h"
#include "tenure/tests/tools/fake_kernels.h"
#include "tenure/tools/trace/op_kernels.h"
#include "tenure/tools/trace/reference_kernel.h"

namespace tenure {
namespace {

using cuda::Device;
using cuda::Driver;
using cuda::FakeDriver;
using testing::ElementsAre;
using testing::IsEmpty;

class CudaKernelsTest : public testing::Test {
 protected:
  CudaKernelsTest() {
    RegisterReferenceKernels(fake_);
    absl::StatusOr<Driver> driver = Driver::FromTable(fake_.table());
    EXPECT_TRUE(driver.ok()) << driver.status();
    driver_ = std::make_unique<Driver>(*driver);
    absl::StatusOr<std::shared_ptr<Device>> device = Device::Open(*driver_, 0);
    EXPECT_TRUE(device.ok()) << device.status();
    device_ = *std::move(device);
  }

  ~CudaKernelsTest() override {
    kernels_.reset();
    device_.reset();
    EXPECT_THAT(fake_.Violations(), IsEmpty());
    EXPECT_THAT(fake_.LeakReport(), IsEmpty());
  }

  DeviceKernels& Kernels() {
    if (kernels_ == nullptr) {
      absl::StatusOr<std::unique_ptr<DeviceKernels>> made =
          DeviceKernels::Make(device_, kFakeImage);
      EXPECT_TRUE(made.ok()) << made.status();
      kernels_ = *std::move(made);
    }
    return *kernels_;
  }

  FakeDriver fake_;
  std::unique_ptr<Driver> driver_;
  std::shared_ptr<Device> device_;
  std::unique_ptr<DeviceKernels> kernels_;
};

TEST_F(CudaKernelsTest, EverySizeAndOffset) { CheckEverySizeAndOffset(Kernels(), 23); }
TEST_F(CudaKernelsTest, LargeWindows) { CheckLargeWindows(Kernels(), 200'000, 5); }
TEST_F(CudaKernelsTest, KnownStrides) { CheckKnownStrides(Kernels()); }
TEST_F(CudaKernelsTest, RandomStrides) { CheckRandomStrides(Kernels(), 50); }
TEST_F(CudaKernelsTest, RefusedStrides) { CheckRefusedStrides(Kernels()); }

// The host waits for nothing, and the seed is what the chain will be, not what it is now.
TEST_F(CudaKernelsTest, AnOpIsQueuedWithoutTheHost) {
  DeviceKernels& device = Kernels();
  const CudaKernels& k = device.kernels();
  std::vector<uint8_t> read(1000), written(333), expected(333);
  FillWords(absl::MakeSpan(read), 4);
  const absl::StatusOr<uint64_t> at = device.Allocate(2000);
  ASSERT_TRUE(at.ok()) << at.status();
  const uint64_t log = *at + 1600;
  ASSERT_TRUE(device.CopyIn(*at, read.data(), read.size()).ok());
  auto* const stream = reinterpret_cast<CUstream>(device.stream());

  fake_.Hold(stream);
  absl::Status status = k.Zero(device.stream(), log, 16);
  status.Update(k.AddDigest(device.stream(), *at, 1000, log));
  status.Update(k.AddDigest(device.stream(), *at, 0, log));  // adds nothing: not launched
  status.Update(k.Chain(device.stream(), 6, log, 1, log + 8));
  status.Update(k.Fill(device.stream(), *at + 1001, 333, SeedAfterReads(6, 2, 1, log + 8)));
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_THAT(fake_.Queued(stream), ElementsAre("cuMemsetD8Async", "kernel tenure_digest",
                                                "kernel tenure_chain", "kernel tenure_fill"));
  fake_.Release(stream);

  ASSERT_TRUE(device.CopyOut(written.data(), *at + 1001, 333).ok());
  FillWords(absl::MakeSpan(expected), DigestReads(6, {read}) + WriteSeedStep(2));
  EXPECT_EQ(written, expected);
}

TEST_F(CudaKernelsTest, WithoutReadsTheSeedIsKnown) {
  const DeviceSeed seed = SeedAfterReads(9, 1, 0, 12345);
  EXPECT_EQ(seed.address, 0u);
  EXPECT_EQ(seed.plus, DigestReads(9, {}) + WriteSeedStep(1));
}

TEST_F(CudaKernelsTest, WithoutAnImageItSaysWhy) {
  const EmbeddedImage none = {nullptr, 0, "nvcc was not found"};
  const absl::Status status = CudaKernels::Load(device_, none).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_TRUE(absl::StrContains(status.message(), "nvcc was not found")) << status;
}

TEST_F(CudaKernelsTest, WhatTheDriverRefusesIsTold) {
  fake_.FailCall("ModuleLoadData", 1, CUDA_ERROR_NO_BINARY_FOR_GPU);
  absl::Status status = CudaKernels::Load(device_, kFakeImage).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "Fake H200")) << status;

  for (uint64_t nth = 1; nth <= 5; ++nth) {
    fake_.FailCall("ModuleGetFunction", nth, CUDA_ERROR_NOT_FOUND);
    status = CudaKernels::Load(device_, kFakeImage).status();
    EXPECT_FALSE(status.ok());
    EXPECT_TRUE(absl::StrContains(status.message(), "tenure_")) << status;
  }

  DeviceKernels& device = Kernels();
  const absl::StatusOr<uint64_t> at = device.Allocate(64);
  ASSERT_TRUE(at.ok()) << at.status();
  fake_.FailCall("LaunchKernel", 1, CUDA_ERROR_LAUNCH_FAILED);
  status = device.kernels().Fill(device.stream(), *at, 64, {});
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "cuLaunchKernel")) << status;
}

}  // namespace
}  // namespace tenure
