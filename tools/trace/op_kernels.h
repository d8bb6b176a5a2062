// OpKernels: the operations of the reference kernel (reference_kernel.h) on a device. Each API of
// devices has an implementation: CudaKernels, VulkanKernels.
//
// A whole op can be queued without a wait of the host: digests are added up in device memory, the
// chain is computed there, and fills take their seed from it.
//
//   sums, chain: words of device memory, sums zeroed
//   for r: kernels.AddDigest(work, read[r], size[r], sums + 8 * r);
//   kernels.Chain(work, op_index, sums, reads, chain);
//   for k: kernels.Fill(work, write[k], size[k], SeedAfterReads(op_index, k, reads, chain));
//
// `work` is where the operations are queued: with CUDA a CUstream, with Vulkan a VkCommandBuffer.
// Digests that are queued one after the other may run at the same time, and they are done before
// the chain that is queued behind them. All other operations run in their order.
//
// Thread safety: the operations are thread-safe, as far as their `work` is. Ownership: windows,
// sums and seeds belong to the caller, who keeps them until the queued work is done.
// Errors: InvalidArgument as for FillStrided (reference_kernel.h); Unimplemented for strides that
// the device can't be told; those of the driver.

#ifndef TENURE_TOOLS_TRACE_OP_KERNELS_H_
#define TENURE_TOOLS_TRACE_OP_KERNELS_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "tenure/tools/trace/reference_kernel.h"

namespace tenure {

// The seed of a write: the word at a device address, read when the device gets there, plus a
// number.
struct DeviceSeed {
  uint64_t address = 0;  // 0: no word
  uint64_t plus = 0;
};

// Returns the seed of write `k` of an op whose chain has `reads` words at `chain`.
inline DeviceSeed SeedAfterReads(uint64_t op_index, uint64_t k, uint64_t reads, uint64_t chain) {
  if (reads == 0) return {0, Mix(op_index + 1) + WriteSeedStep(k)};
  return {chain + 8 * (reads - 1), WriteSeedStep(k)};
}

class OpKernels {
 public:
  virtual ~OpKernels() = default;

  // Windows are device addresses of any alignment.

  // Adds the window's digest to the word at `sum` (a multiple of 8).
  virtual absl::Status AddDigest(uint64_t work, uint64_t window, uint64_t size_bytes,
                                 uint64_t sum) const = 0;
  // Computes the words at `chain`: the mix after each of the op's `reads`, whose digests are at
  // `digests`.
  virtual absl::Status Chain(uint64_t work, uint64_t op_index, uint64_t digests, uint64_t reads,
                             uint64_t chain) const = 0;
  virtual absl::Status Fill(uint64_t work, uint64_t window, uint64_t size_bytes,
                            DeviceSeed seed) const = 0;
  virtual absl::Status FillStrided(uint64_t work, uint64_t window, uint64_t size_bytes,
                                   DeviceSeed seed, absl::Span<const uint64_t> shape,
                                   absl::Span<const uint64_t> strides,
                                   uint64_t item_bytes) const = 0;
  virtual absl::Status Zero(uint64_t work, uint64_t window, uint64_t size_bytes) const = 0;
};

}  // namespace tenure

#endif  // TENURE_TOOLS_TRACE_OP_KERNELS_H_
