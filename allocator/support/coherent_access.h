// CoherentAccess: the host's use of bytes of memory that is not coherent, from its beginning to its
// end.
//
// Why: host and device each have their own view of such memory, and the driver brings the two
// together only when it is told to (CoherenceCapability): before the host reads, and after it wrote.
// It does so in whole atoms (SpaceTraits::coherence_atom_bytes), so whoever writes a part of an atom
// also moves the bytes next to it. Every mapping, and every copy that the host makes, is one
// CoherentAccess; they know of each other, so that neighbours in one atom keep what they wrote:
//
//   atom          |  a a a a  b b b b  |
//   A maps a a a a for writing            invalidates the atom
//   B maps b b b b for writing            leaves the atom alone: that would undo what A wrote
//   A ends                                flushes the atom: the device sees A's bytes
//   B ends                                flushes it again: the device sees B's bytes too
//
// What it can't see is a device at work on one part of an atom while the host writes another. So
// allocations of such spaces begin at whole atoms. Within one allocation, accesses to Buffers wait
// for the recorded uses of whole atoms before they write; and while the host writes, no kernel and
// no copy by the device may write to the same atom.
//
// Example, of an allocator whose copies are made by the host:
//   TENURE_ASSIGN_OR_RETURN(
//       CoherentAccess access,
//       CoherentAccess::Begin(allocator, to, CoherentAccess::Kind::kWrite));
//   std::memcpy(to.host(), from, to.size_bytes);
//   TENURE_RETURN_IF_ERROR(access.End());
//
// Cost: nothing on coherent memory; otherwise a lookup, a lock for each allocation, and the driver's
// calls, which are made under that lock.
// Thread safety: Begin is thread-safe; the object is thread-compatible. Ownership: borrows the
// allocator and the allocation. Errors: Unimplemented (memory that is not coherent, of an allocator
// without CoherenceCapability), and the driver's.

#ifndef TENURE_ALLOCATOR_SUPPORT_COHERENT_ACCESS_H_
#define TENURE_ALLOCATOR_SUPPORT_COHERENT_ACCESS_H_

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tenure/allocator/allocation.h"
#include "tenure/allocator/allocator.h"
#include "tenure/allocator/capabilities.h"

namespace tenure {

class CoherentAccess {
 public:
  enum class Kind { kRead, kWrite };  // kWrite allows reading too

  // `region` is of `allocator`, and is not empty. The host sees in it what the device wrote.
  static absl::StatusOr<CoherentAccess> Begin(Allocator& allocator, const SubRegion& region,
                                              Kind kind);

  CoherentAccess() = default;  // of nothing
  CoherentAccess(CoherentAccess&& other) noexcept = default;
  CoherentAccess& operator=(CoherentAccess&& other) noexcept;
  ~CoherentAccess() { End().IgnoreError(); }

  // The device sees what the host has written so far.
  absl::Status Flush();
  // Flushes for the last time. The access is over even if that fails. Does nothing if it was over.
  absl::Status End();

 private:
  class Writers;
  struct Range {
    uint64_t begin = 0;
    uint64_t end = 0;
  };

  // All of these are of nothing for reads, which need nothing after their beginning.
  std::shared_ptr<Writers> writers_;  // of the allocation
  CoherenceCapability* driver_ = nullptr;
  SubRegion atoms_;
  Range range_;  // of them, in the root's allocation
};

}  // namespace tenure

#endif  // TENURE_ALLOCATOR_SUPPORT_COHERENT_ACCESS_H_
