// GpuTest: a fixture for tests that run on a fake GPU and, where there is one, on the real one: its
// spaces, made when first asked for, and no complaint and nothing left behind at the end. What a
// test holds is let go then, however it ended.
//
//   class ReuseTest : public GpuTest {};
//   TENURE_ON_ALL_GPUS(ReuseTest);
//   TEST_P(ReuseTest, ...) { ... }
//
// Thread safety: thread-compatible. Ownership: owns the spaces; buffers of them are gone before it.

#ifndef TENURE_TESTS_ALLOCATOR_CUDA_GPU_TEST_H_
#define TENURE_TESTS_ALLOCATOR_CUDA_GPU_TEST_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tenure/allocator/cuda/stream.h"
#include "tenure/tests/allocator/cuda/test_gpu.h"
#include "tenure/tests/testing/test_buffers.h"

#define TENURE_ON_ALL_GPUS(fixture)                       \
  INSTANTIATE_TEST_SUITE_P(                               \
      Gpus, fixture, testing::ValuesIn(TestGpu::Names()), \
      [](const testing::TestParamInfo<std::string>& gpu) { return gpu.param; })

namespace tenure::cuda {

inline constexpr SpaceKind kSpaces[] = {kDeviceSpace, kUnifiedSpace, kPinnedSpace};

class GpuTest : public testing::TestWithParam<std::string> {
 protected:
  // After the streams that a derived class has.
  ~GpuTest() override {
    gpu_->Release();
    for (const auto& [kind, space] : spaces_) Settle(*space);
    EXPECT_EQ(gpu_->Complaints(), "");
    spaces_.clear();
    EXPECT_EQ(gpu_->Complaints(), "");
    EXPECT_EQ(gpu_->Close(), "");
  }

  Allocator& Space(SpaceKind kind) {
    std::unique_ptr<Allocator>& slot = spaces_[kind];
    if (slot == nullptr) slot = gpu_->Make(kind);
    return *slot;
  }
  // Anew, with these options.
  Allocator& Open(SpaceKind kind, const AllocatorOptions& options) {
    std::unique_ptr<Allocator>& slot = spaces_[kind];
    slot.reset();
    slot = gpu_->Make(kind, options);
    return *slot;
  }
  // Until nothing of what was freed is in use. Uses of a test's streams may outlast them.
  static void Settle(Allocator& space) {
    EXPECT_OK(space.Synchronize());
    for (int i = 0; i < 5000 && space.Stats().deferred_bytes > 0; ++i) {
      space.Poll();
      absl::SleepFor(absl::Milliseconds(1));
    }
    EXPECT_EQ(space.Stats().deferred_bytes, 0u);
  }
  std::shared_ptr<DeviceStream> NewStream() { return *DeviceStream::Create(gpu_->device()); }
  void Hold(const DeviceStream& stream) { gpu_->Hold(stream.get()); }
  // The bytes are written when the stream gets there; a use of the buffer until then.
  void Write(const Buffer& buffer, DeviceStream& stream, uint8_t value) {
    const uint64_t address = AddressOf(buffer);
    ASSERT_NE(address, 0u);
    gpu_->Write(stream.get(), address, buffer.size(), value);
    absl::StatusOr<Fence> done = stream.Record();
    ASSERT_OK(done);
    ASSERT_OK(buffer.RecordUse(Access::kWrite, *done));
  }

  std::unique_ptr<TestGpu> gpu_ = TestGpu::Make(GetParam());
  std::map<SpaceKind, std::unique_ptr<Allocator>> spaces_;
};

}  // namespace tenure::cuda

#endif  // TENURE_TESTS_ALLOCATOR_CUDA_GPU_TEST_H_
