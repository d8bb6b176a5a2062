// SlabSource: provides the slabs of a PooledAllocator. It is the only place that calls the driver.
//
// Two kinds. Slabs that stand alone come from one driver call each (pinned memory, Vulkan's device
// memory), and no block leaves its slab. Slabs that join are pages mapped one behind the other into
// reserved addresses: blocks may span them, the pool grows by exactly the missing bytes, and any
// free slab can be released.
//
//   joining:   [ slab | slab | (given back) | slab ]  tail() -> next one here
//   alone:     [ slab ]   [ slab ]     [ slab ]       tail() == 0
//
// A slab may begin elsewhere than at tail(). The pool then asks for a second one that is large
// enough by itself. So a source that has used up its addresses may start again in the holes. Slabs
// that move (Options::joining_slack_percent) use up addresses.
//
// Cost: the driver's. Thread safety: the pool calls Acquire and Release one at a time. It then
// holds no lock that allocating and freeing cached blocks needs. It calls granularity_bytes,
// tail and lost_bytes only between those calls. Ownership: the pool owns its source and its slabs. It releases
// each slab once and whole, or never if something still uses its bytes when the pool is destroyed.
// Errors: ResourceExhausted from Acquire makes the pool release its free slabs and try again. Any
// other error goes to the caller unchanged.

#ifndef TENURE_ALLOCATOR_POOL_SLAB_SOURCE_H_
#define TENURE_ALLOCATOR_POOL_SLAB_SOURCE_H_

#include <cstdint>

#include "absl/status/statusor.h"

namespace tenure {

// One piece of memory from the driver. `host` and `device_address`, where set, must have the same
// remainder as `address` for every alignment that a request may have. It is simplest to make them
// equal.
struct Slab {
  uint64_t address = 0;         // for the pool's bookkeeping; slabs must not overlap.
                                // An invented range if the driver has no addresses
  uint64_t size_bytes = 0;      // at least the size requested
  void* host = nullptr;         // of the first byte; null: not mapped
  uint64_t device_address = 0;  // of the first byte; 0: none
  uint64_t native_handle = 0;   // the driver's object; 0: none
  uint64_t native_offset = 0;   // of the first byte within it
  uint64_t native_size = 0;     // of the whole object
  uint64_t token = 0;           // private to the source
  bool joins = false;           // blocks may span it and the joining slabs next to it
};

class SlabSource {
 public:
  virtual ~SlabSource() = default;

  // The sizes that the pool requests are multiples of this power of two.
  virtual uint64_t granularity_bytes() const = 0;
  // The address at which the next slab would begin and join. 0: slabs of this source do not join.
  virtual uint64_t tail() const { return 0; }
  virtual absl::StatusOr<Slab> Acquire(uint64_t size_bytes) = 0;
  virtual void Release(const Slab& slab) = 0;
  // The bytes of released slabs that the driver did not take back. They stay counted as reserved.
  virtual uint64_t lost_bytes() const { return 0; }
};

}  // namespace tenure

#endif  // TENURE_ALLOCATOR_POOL_SLAB_SOURCE_H_
