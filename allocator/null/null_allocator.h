// NullAllocator: a space with sizes and ids, but no bytes.
//
// Why: plans depend only on sizes. With this space, schedules for any device can be planned and
// tested on any machine, at any size, without touching memory.
//
// Example, of a device that allocates at most 2 GiB at once:
//   SpaceTraits traits = NullAllocator::DefaultTraits();
//   traits.max_allocation_bytes = uint64_t{2} << 30;
//   NullAllocator device(traits, *MemorySpace::Parse("vulkan:0"));
//
// Allocations have no host pointer and no device address. To set a budget, use LimitingAllocator.
//
// Cost: the counters. Thread safety: thread-safe. Ownership: owns no memory. Errors:
// ResourceExhausted beyond the largest allocation of the traits, or when all sizes together need
// more than 64 bits; FailedPrecondition for copies and fills.

#ifndef TENURE_ALLOCATOR_NULL_NULL_ALLOCATOR_H_
#define TENURE_ALLOCATOR_NULL_NULL_ALLOCATOR_H_

#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tenure/allocator/allocator.h"
#include "tenure/allocator/space_driver.h"
#include "tenure/allocator/support/root_allocator.h"

namespace tenure {

class NullAllocator final : public RootAllocator {
 public:
  // No bytes, not readable, not writable, no limits, alignment 64.
  static SpaceTraits DefaultTraits();

  // Any traits are accepted, except that has_bytes stays false.
  explicit NullAllocator(const SpaceTraits& traits = DefaultTraits(),
                         MemorySpace space = MemorySpace::Null());
  ~NullAllocator() override;

  absl::StatusOr<Fence> CopyIn(const SubRegion& to, const void* from,
                               const CopyOptions& options) override;
  absl::StatusOr<Fence> CopyOut(void* to, const SubRegion& from,
                                const CopyOptions& options) override;
  absl::StatusOr<Fence> CopyWithin(const SubRegion& to, const SubRegion& from,
                                   const CopyOptions& options) override;
  absl::StatusOr<Fence> Fill(const SubRegion& to, const FillPattern& pattern,
                             const CopyOptions& options) override;

 protected:
  void* FindCapability(std::string_view) override { return nullptr; }
  absl::StatusOr<Allocation> Make(const AllocationRequest& request) override;
  void Release(const Allocation&) override {}

 private:
  absl::StatusOr<Fence> NoBytes(std::string_view what, const SubRegion& region) const;
};

// The space `null`, for Registry::AddDriver.
SpaceDriver NullDriver();

}  // namespace tenure

#endif  // TENURE_ALLOCATOR_NULL_NULL_ALLOCATOR_H_
