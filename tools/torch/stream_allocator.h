// StreamAllocator: memory by address, size and stream, as frameworks ask for it that free a tensor
// while its kernels still run. What is freed on a stream is given to that stream again at once; other
// streams get it when the work is over, or wait for it on the device.
//
//   StreamAllocator memory(device_allocator);
//   TENURE_ASSIGN_OR_RETURN(void* data, memory.Allocate(1 << 20, stream));
//   ... kernels on `stream` ...
//   TENURE_RETURN_IF_ERROR(memory.Free(data));   // they may still run
//
// Cost: a lock, a lookup and what the pool takes; freeing also records an event (0.5 us).
// Thread safety: thread-safe. Ownership: borrows the allocator, which must outlive it. A stream must
// outlive the memory that was allocated for it. Memory that is not freed stays allocated.
// Errors: the allocator's and the driver's; NotFound for an address that is not of this object.

#ifndef TENURE_TOOLS_TORCH_STREAM_ALLOCATOR_H_
#define TENURE_TOOLS_TORCH_STREAM_ALLOCATOR_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "tenure/allocator/allocator.h"
#include "tenure/allocator/queue.h"

namespace tenure {

class StreamAllocator {
 public:
  explicit StreamAllocator(Allocator& allocator) : allocator_(allocator) {}

  // For use on `stream`. Null for no bytes.
  absl::StatusOr<void*> Allocate(uint64_t size_bytes, const std::shared_ptr<Queue>& stream);
  // The memory is used on another stream too: freeing it waits for that stream as well.
  absl::Status RecordStream(const void* data, const std::shared_ptr<Queue>& stream);
  // Whether the memory was allocated here and not freed yet.
  bool Has(const void* data);
  // After the work that its streams have at this moment, the bytes are free.
  absl::Status Free(void* data);

  Allocator& allocator() { return allocator_; }

 private:
  struct Piece {
    Allocation allocation;
    std::vector<std::shared_ptr<Queue>> streams;  // the one that it was allocated for comes first
  };

  Allocator& allocator_;
  absl::Mutex mutex_;
  absl::flat_hash_map<uint64_t, Piece> pieces_ ABSL_GUARDED_BY(mutex_);  // by address
};

}  // namespace tenure

#endif  // TENURE_TOOLS_TORCH_STREAM_ALLOCATOR_H_
