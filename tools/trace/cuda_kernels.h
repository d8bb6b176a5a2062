// CudaKernels: the reference kernel (reference_kernel.h) as operations queued on a CUDA stream.
//
// All of an op can be queued without the host seeing any of it: digests are added up in device
// memory, the chain is computed there, and fills take their seed from it.
//
//   sums, chain: words of device memory, sums zeroed
//   for r: kernels->AddDigest(stream, read[r], size[r], sums + 8 * r);
//   kernels->Chain(stream, op_index, sums, reads, chain);
//   for k: kernels->Fill(stream, write[k], size[k], AfterReads(op_index, k, reads, chain));
//
// Cost: a launch each, 3 to 4 us; large windows run near the speed of the device's memory.
// Elements that share bytes and no others are written in turn: slower by far.
// Thread safety: thread-safe. Ownership: shares the device; windows and seeds are the caller's, who
// keeps them until the stream is past what was queued.
// Errors: Unimplemented where this was built without the CUDA compiler or has no code for the
// device; InvalidArgument as FillStrided; the driver's.

#ifndef TENURE_TOOLS_TRACE_CUDA_KERNELS_H_
#define TENURE_TOOLS_TRACE_CUDA_KERNELS_H_

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "tenure/build_defs/cuda_image.h"

namespace tenure {

namespace cuda {
class Device;
}

class CudaKernels {
 public:
  // What seeds a write: the word at a device address, as it is when the stream gets there, plus a
  // number.
  struct Seed {
    uint64_t address = 0;  // 0: no word
    uint64_t plus = 0;
  };
  // Of write `k` of an op whose chain has `reads` words at `chain`.
  static Seed AfterReads(uint64_t op_index, uint64_t k, uint64_t reads, uint64_t chain);

  // Unimplemented where `image` is empty.
  static absl::StatusOr<std::unique_ptr<CudaKernels>> Load(std::shared_ptr<cuda::Device> device,
                                                           const CudaImage& image);
  // The kernels that were built into this program.
  static absl::StatusOr<std::unique_ptr<CudaKernels>> Load(std::shared_ptr<cuda::Device> device);
  // Nothing that was queued may be running any more.
  ~CudaKernels();
  CudaKernels(const CudaKernels&) = delete;
  CudaKernels& operator=(const CudaKernels&) = delete;

  // `stream` is a CUstream of the device; windows are device addresses, of any alignment.

  // Adds the window's digest to the word at `sum` (a multiple of 8).
  absl::Status AddDigest(uint64_t stream, uint64_t window, uint64_t size_bytes, uint64_t sum) const;
  // The words at `chain` become what the op has read after each of its `reads`, whose digests stand
  // at `digests`.
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

  // A grid of so many threads, or of as many as the device has room for; each does its share then.
  unsigned BlocksFor(uint64_t threads) const;

  const std::shared_ptr<cuda::Device> device_;
  const std::unique_ptr<Functions> functions_;
};

}  // namespace tenure

#endif  // TENURE_TOOLS_TRACE_CUDA_KERNELS_H_
