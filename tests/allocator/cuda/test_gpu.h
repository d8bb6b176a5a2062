// TestGpu: the device that a test of CUDA's spaces runs on: a fake one, and the real one where
// there is one, so that one test serves both.
//
//   class CopyTest : public testing::TestWithParam<std::string> {
//     std::unique_ptr<TestGpu> gpu_ = TestGpu::Make(GetParam());
//   };
//   INSTANTIATE_TEST_SUITE_P(Gpus, CopyTest, testing::ValuesIn(TestGpu::Names()));
//
// Thread safety: thread-compatible. Ownership: owns the fake; the device is shared.

#ifndef TENURE_TESTS_ALLOCATOR_CUDA_TEST_GPU_H_
#define TENURE_TESTS_ALLOCATOR_CUDA_TEST_GPU_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tenure/allocator/allocator.h"
#include "tenure/allocator/cuda/allocators.h"
#include "tenure/allocator/cuda/device.h"
#include "tenure/allocator/memory_space.h"

namespace tenure::cuda {

class TestGpu {
 public:
  // "Fake", and "Real" where there is a GPU; a line on stdout says why not.
  static std::vector<std::string> Names();
  // Aborts if there is no such device: ask Names().
  static std::unique_ptr<TestGpu> Make(const std::string& name);
  virtual ~TestGpu() = default;

  virtual bool real() const = 0;
  const std::shared_ptr<Device>& device() const { return device_; }
  std::unique_ptr<Allocator> Make(SpaceKind kind, const AllocatorOptions& options = {}) const;

  // Keeps the stream busy for that long: what stands behind it waits.
  virtual void Busy(CUstream stream, absl::Duration duration) = 0;
  // What is given to the stream from now on waits until Release(), or for kMostHeld: a test that
  // waits for it all the same fails and does not hang.
  virtual void Hold(CUstream stream) = 0;
  // Whatever is held.
  virtual void Release() = 0;
  static constexpr absl::Duration kMostHeld = absl::Seconds(15);
  // As a kernel of the embedder's: writes these bytes when the stream gets there.
  void Write(CUstream stream, uint64_t address, uint64_t size_bytes, uint8_t value) const;
  // What is given to `stream` within `work` becomes a graph, which is launched `launches` times and
  // waited for: how many nodes it had. The status is that of `work`, of the capture (if it was
  // spoiled), or of the launches.
  virtual absl::StatusOr<size_t> CaptureAndLaunch(CUstream stream, int launches,
                                                  const std::function<absl::Status()>& work) = 0;
  // What the device has to complain about; empty: nothing.
  virtual std::string Complaints() = 0;
  // Lets go of the device, and says what is left behind then.
  virtual std::string Close() = 0;

 protected:
  std::shared_ptr<Device> device_;
};

}  // namespace tenure::cuda

#endif  // TENURE_TESTS_ALLOCATOR_CUDA_TEST_GPU_H_
