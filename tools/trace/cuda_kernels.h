// CudaKernels: queues the operations of the reference kernel on a CUDA stream. The `work` of an
// operation is the CUstream.
//
// Cost: a launch for each call, 3 to 4 us; large windows run near the speed of the device's memory.
// Elements that share some bytes are written in turn, which is much slower. Thread safety:
// thread-safe. Ownership: shares the device. Errors: Unimplemented if this was built without the
// CUDA compiler or has no code for the device; those of OpKernels.

#ifndef TENURE_TOOLS_TRACE_CUDA_KERNELS_H_
#define TENURE_TOOLS_TRACE_CUDA_KERNELS_H_

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "tenure/build_defs/embedded_image.h"
#include "tenure/tools/trace/op_kernels.h"

namespace tenure {

namespace cuda {
class Device;
}

class CudaKernels final : public OpKernels {
 public:
  // Returns Unimplemented if `image` is empty.
  static absl::StatusOr<std::unique_ptr<CudaKernels>> Load(std::shared_ptr<cuda::Device> device,
                                                           const EmbeddedImage& image);
  // Loads the kernels that were built into this program.
  static absl::StatusOr<std::unique_ptr<CudaKernels>> Load(std::shared_ptr<cuda::Device> device);
  // All queued work must be done by then.
  ~CudaKernels() override;
  CudaKernels(const CudaKernels&) = delete;
  CudaKernels& operator=(const CudaKernels&) = delete;

  absl::Status AddDigest(uint64_t work, uint64_t window, uint64_t size_bytes,
                         uint64_t sum) const override;
  absl::Status Chain(uint64_t work, uint64_t op_index, uint64_t digests, uint64_t reads,
                     uint64_t chain) const override;
  absl::Status Fill(uint64_t work, uint64_t window, uint64_t size_bytes,
                    DeviceSeed seed) const override;
  absl::Status FillStrided(uint64_t work, uint64_t window, uint64_t size_bytes, DeviceSeed seed,
                           absl::Span<const uint64_t> shape, absl::Span<const uint64_t> strides,
                           uint64_t item_bytes) const override;
  absl::Status Zero(uint64_t work, uint64_t window, uint64_t size_bytes) const override;

 private:
  struct Functions;
  CudaKernels(std::shared_ptr<cuda::Device> device, std::unique_ptr<Functions> functions);

  // Returns a grid of so many threads, or of as many as the device has room for; each thread then
  // does its share.
  unsigned BlocksFor(uint64_t threads) const;

  const std::shared_ptr<cuda::Device> device_;
  const std::unique_ptr<Functions> functions_;
};

}  // namespace tenure

#endif  // TENURE_TOOLS_TRACE_CUDA_KERNELS_H_
