// SlabSource: where a PooledAllocator takes its slabs from; the one place that calls the driver.
//
// Two kinds. Slabs that stand alone (one call of the driver each: pinned memory, Vulkan's device
// memory): blocks never leave their slab. Slabs that join (pages mapped one behind the other into
// reserved addresses): blocks span them, the pool grows by exactly what is missing, and any slab
// that is free can go back.
//
//   joining:   [ slab | slab | (given back) | slab ]  tail() -> next one here
//   alone:     [ slab ]   [ slab ]     [ slab ]       tail() == 0
//
// A slab may come to lie elsewhere than at tail(): the pool then asks for a second that is large
// enough by itself. So a source whose addresses are at an end may start over in the holes; slabs
// that move (Options::joining_slack_percent) use up addresses.
//
// Cost: the driver's. Thread safety: the pool calls Take and Give one at a time and with no lock
// held that allocating from or freeing to what it has needs; granularity_bytes and tail only
// between those. Ownership: the pool owns its source and the slabs that it took; it gives each back
// once, whole, or never (bytes that something still uses when the pool is destroyed).
// Errors: Take's ResourceExhausted makes the pool give back what is free and try again; any other
// error goes to the caller as it is.

#ifndef TENURE_ALLOCATOR_POOL_SLAB_SOURCE_H_
#define TENURE_ALLOCATOR_POOL_SLAB_SOURCE_H_

#include <cstdint>

#include "absl/status/statusor.h"

namespace tenure {

// What was taken from the driver in one piece. Where host or device_address is set, it and
// `address` leave the same rest by every alignment that may be asked for: best, they are equal.
struct Slab {
  uint64_t address = 0;         // what the pool reckons in; no two slabs overlap. A made-up
                                // range where the driver has no addresses
  uint64_t size_bytes = 0;      // at least what was asked for
  void* host = nullptr;         // of the first byte; null: not mapped
  uint64_t device_address = 0;  // of the first byte; 0: none
  uint64_t native_handle = 0;   // the driver's object; 0: none
  uint64_t native_offset = 0;   // of the first byte within it
  uint64_t native_size = 0;     // of the whole object
  uint64_t token = 0;           // the source's own
  bool joins = false;           // blocks may span it and the joining slabs next to it
};

class SlabSource {
 public:
  virtual ~SlabSource() = default;

  // Sizes that are asked for are multiples of this power of two.
  virtual uint64_t granularity_bytes() const = 0;
  // The address at which the next slab would begin and join; 0: slabs don't.
  virtual uint64_t tail() const { return 0; }
  virtual absl::StatusOr<Slab> Acquire(uint64_t size_bytes) = 0;
  virtual void Release(const Slab& slab) = 0;
};

}  // namespace tenure

#endif  // TENURE_ALLOCATOR_POOL_SLAB_SOURCE_H_
