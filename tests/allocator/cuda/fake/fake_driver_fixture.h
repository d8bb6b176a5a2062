// A fake of two devices, the primary context of the first current, and a stream on it.

#ifndef TENURE_TESTS_ALLOCATOR_CUDA_FAKE_FAKE_DRIVER_FIXTURE_H_
#define TENURE_TESTS_ALLOCATOR_CUDA_FAKE_FAKE_DRIVER_FIXTURE_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "tenure/tests/allocator/cuda/fake/fake_driver.h"

namespace tenure::cuda {

inline constexpr uint64_t kMiB = uint64_t{1} << 20;

inline FakeOptions TwoDevices() {
  return {.devices = {{.memory_bytes = 64 * kMiB}, {.memory_bytes = 64 * kMiB}}};
}

class FakeDriverTest : public ::testing::Test {
 protected:
  FakeDriverTest() : FakeDriverTest(TwoDevices()) {}
  explicit FakeDriverTest(FakeOptions options) : fake_(std::move(options)), cu_(fake_.table()) {
    EXPECT_EQ(cu_.Init(0), CUDA_SUCCESS);
    for (int i = 0; i < 2; ++i) {
      EXPECT_EQ(cu_.DevicePrimaryCtxRetain(&contexts_[i], i), CUDA_SUCCESS);
    }
    EXPECT_EQ(cu_.CtxPushCurrent(contexts_[0]), CUDA_SUCCESS);
    stream_ = NewStream();
  }
  ~FakeDriverTest() override { EXPECT_THAT(fake_.Violations(), ::testing::IsEmpty()); }

  CUdeviceptr Alloc(uint64_t size) {
    CUdeviceptr address = 0;
    EXPECT_EQ(cu_.MemAlloc(&address, size), CUDA_SUCCESS);
    return address;
  }
  unsigned char* Pinned(uint64_t size) {
    void* address = nullptr;
    EXPECT_EQ(cu_.MemHostAlloc(&address, size, 0), CUDA_SUCCESS);
    return static_cast<unsigned char*>(address);
  }
  CUstream NewStream() {
    CUstream stream = nullptr;
    EXPECT_EQ(cu_.StreamCreate(&stream, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
    return stream;
  }
  CUevent NewEvent(unsigned flags = 0) {
    CUevent event = nullptr;
    EXPECT_EQ(cu_.EventCreate(&event, flags), CUDA_SUCCESS);
    return event;
  }
  void Sync() { EXPECT_EQ(cu_.StreamSynchronize(stream_), CUDA_SUCCESS); }
  // The only violation so far; forgets it.
  std::string Violation() {
    const std::vector<std::string> all = fake_.Violations();
    fake_.ClearViolations();
    EXPECT_THAT(all, ::testing::SizeIs(1));
    return all.empty() ? "" : all[0];
  }
  unsigned char At(CUdeviceptr address) {
    return static_cast<unsigned char>(*fake_.Bytes(address, 1));
  }

  FakeDriver fake_;
  const DriverTable& cu_;
  CUcontext contexts_[2] = {};
  CUstream stream_ = nullptr;
};

}  // namespace tenure::cuda

#endif  // TENURE_TESTS_ALLOCATOR_CUDA_FAKE_FAKE_DRIVER_FIXTURE_H_
