// CudaKernels: queues the operations of the reference kernel (reference_kernel.h) on a CUDA stream.
//
// A whole op can be queued without a wait of the host: digests are added up in device memory, the
// chain is computed there, and fills take their seed from it.
//
//   sums, chain: words of device memory, sums zeroed
//   for r: kernels->AddDigest(stream, read[r], size[r], sums + 8 * r);
//   kernels->Chain(stream, op_index, sums, reads, chain);
//   for k: kernels->Fill(stream, write[k], size[k], AfterReads(op_index, k, reads, chain));
//
// Cost: a launch for each call, 3 to 4 us; large windows run near the speed of the device's memory.
// Elements that share some bytes are written in turn, which is much slower. Thread safety:
// thread-safe. Ownership: shares the device. Windows and seeds belong to the caller, who keeps them
// until the stream has done the queued work. Errors: Unimplemented if this was built without the
// CUDA compiler or has no code for the device; InvalidArgument as for FillStrided; the driver's
// errors.

#ifndef TENURE_TOOLS_TRACE_CUDA_KERNELS_H_
#define TENURE_TOOLS_TRACE_CUDA_KERNELS_H_

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "tenure/build_defs/embedded_image.h"

namespace tenure {

namespace cuda {
class Device;
}

class CudaKernels {
 public:
  // The seed of a write: the word at a device address, read when the stream gets there, plus a
  // number.
  struct Seed {
    uint64_t address = 0;  // 0: no word
    uint64_t plus = 0;
  };
  // Returns the seed of write `k` of an op whose chain has `reads` words at `chain`.
  static Seed AfterReads(uint64_t op_index, uint64_t k, uint64_t reads, uint64_t chain);

  // Returns Unimplemented if `image` is empty.
  static absl::StatusOr<std::unique_ptr<CudaKernels>> Load(std::shared_ptr<cuda::Device> device,
                                                           const EmbeddedImage& image);
  // Loads the kernels that were built into this program.
  static absl::StatusOr<std::unique_ptr<CudaKernels>> Load(std::shared_ptr<cuda::Device> device);
  // All queued work must be done by then.
  ~CudaKernels();
  CudaKernels(const CudaKernels&) = delete;
  CudaKernels& operator=(const CudaKernels&) = delete;

  // `stream` is a CUstream of the device. Windows are device addresses of any alignment.

  // Adds the window's digest to the word at `sum` (a multiple of 8).
  absl::Status AddDigest(uint64_t stream, uint64_t window, uint64_t size_bytes, uint64_t sum) const;
  // Computes the words at `chain`: the mix after each of the op's `reads`, whose digests are at
  // `digests`.
  absl::Status Chain(uint64_t stream, uint64_t op_index, uint64_t digests, uint64_t reads,
                     uint64_t chain) const;
  absl::Status Fill(uint64_t stream, uint64_t window, uint64_t size_bytes, Seed seed) const;
  absl::Status FillStrided(uint64_t stream, uint64_t window, uint64_t size_bytes, Seed seed,
                           absl::Span<const uint64_t> shape, absl::Span<const uint64_t> strides,
                           uint64_t item_bytes) const;
  absl::Status Zero(uint64_t stream, uint64_t window, uint64_t size_bytes) const;

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
