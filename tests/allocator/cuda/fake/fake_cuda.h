// FakeCuda: a fixture for tests that hold a fake device's streams and look at what goes on
// meanwhile: its spaces, made when first asked for, and no complaint and nothing left behind at the
// end.
//
// Thread safety: thread-compatible. Ownership: owns the fake and all that is made on it.

#ifndef TENURE_TESTS_ALLOCATOR_CUDA_FAKE_FAKE_CUDA_H_
#define TENURE_TESTS_ALLOCATOR_CUDA_FAKE_FAKE_CUDA_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tenure/allocator/cuda/cuda_allocator.h"
#include "tenure/allocator/cuda/device.h"
#include "tenure/allocator/cuda/stream.h"
#include "tenure/tests/allocator/cuda/fake/fake_driver.h"
#include "tenure/tests/testing/test_buffers.h"

namespace tenure::cuda {

class FakeCuda : public testing::Test {
 protected:
  FakeCuda() : FakeCuda(FakeOptions{}) {}
  explicit FakeCuda(FakeOptions options)
      : fake_(std::move(options)), driver_(Driver::FromTable(fake_.table())) {
    EXPECT_OK(driver_);
    device_ = OpenDevice(0);
  }
  void TearDown() override {
    spaces_.clear();
    device_.reset();
    EXPECT_EQ(fake_.Violations(), std::vector<std::string>());
    if (quarantines_) return;
    EXPECT_EQ(fake_.LeakReport(), std::vector<std::string>());
  }

  std::shared_ptr<Device> OpenDevice(uint32_t ordinal) {
    absl::StatusOr<std::shared_ptr<Device>> opened = Device::Open(*driver_, ordinal);
    EXPECT_OK(opened);
    return *opened;
  }
  Allocator& Space(SpaceKind kind, uint32_t ordinal = 0) {
    std::unique_ptr<Allocator>& slot = spaces_[{ordinal, kind}];
    if (slot == nullptr) slot = *MakeAllocatorOn(OpenDevice(ordinal), kind, {});
    return *slot;
  }
  std::shared_ptr<DeviceStream> NewStream() { return *DeviceStream::Create(device_); }

  bool quarantines_ = false;  // the test leaves bytes behind that a failed device may touch
  FakeDriver fake_;
  absl::StatusOr<Driver> driver_;
  std::shared_ptr<Device> device_;
  std::map<std::pair<uint32_t, SpaceKind>, std::unique_ptr<Allocator>> spaces_;
};

}  // namespace tenure::cuda

#endif  // TENURE_TESTS_ALLOCATOR_CUDA_FAKE_FAKE_CUDA_H_
