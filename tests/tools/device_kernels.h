// CudaKernels as kernel_cases.h wants them: each operation with memory of its own on the device.
//
// Thread safety: single-threaded. Ownership: shares the device.

#ifndef TENURE_TESTS_TOOLS_DEVICE_KERNELS_H_
#define TENURE_TESTS_TOOLS_DEVICE_KERNELS_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tenure/allocator/cuda/stream.h"
#include "tenure/build_defs/embedded_image.h"
#include "tenure/tests/tools/kernel_cases.h"
#include "tenure/tools/trace/cuda_kernels.h"

namespace tenure {

class DeviceKernels final : public KernelUnderTest {
 public:
  static absl::StatusOr<std::unique_ptr<DeviceKernels>> Make(std::shared_ptr<cuda::Device> device,
                                                             const EmbeddedImage& image);
  ~DeviceKernels() override;

  absl::Status AddDigest(const Memory& memory, uint64_t offset, uint64_t size,
                         uint64_t& sum) override;
  absl::Status Fill(Memory& memory, uint64_t offset, uint64_t size, uint64_t seed) override;
  absl::Status FillStrided(Memory& memory, uint64_t offset, uint64_t size, uint64_t seed,
                           const std::vector<uint64_t>& shape, const std::vector<uint64_t>& strides,
                           uint64_t item_bytes) override;

  const CudaKernels& kernels() const { return *kernels_; }
  uint64_t stream() const { return stream_->handle(); }
  absl::Status Synchronize() { return stream_->Synchronize(); }

  // Device memory until the object goes.
  absl::StatusOr<uint64_t> Allocate(uint64_t size);
  void Free(uint64_t address);
  // Behind what is queued; waits.
  absl::Status CopyIn(uint64_t to, const void* from, uint64_t size);
  absl::Status CopyOut(void* to, uint64_t from, uint64_t size);
  // Only queued.
  absl::Status CopyOnDevice(uint64_t to, uint64_t from, uint64_t size);

 private:
  DeviceKernels() = default;
  // `work` on the first `size` bytes of memory, as they lie on the device.
  absl::Status On(const Memory& memory, uint64_t size,
                  const std::function<absl::Status(uint64_t)>& work, Memory* back);

  std::shared_ptr<cuda::Device> device_;
  std::shared_ptr<cuda::DeviceStream> stream_;
  std::unique_ptr<CudaKernels> kernels_;
  std::vector<uint64_t> owned_;
};

}  // namespace tenure

#endif  // TENURE_TESTS_TOOLS_DEVICE_KERNELS_H_
