#include "tenure/allocator/null/null_allocator.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tenure/base/checked.h"

namespace tenure {
namespace {

SpaceTraits WithoutBytes(SpaceTraits traits) {
  traits.has_bytes = false;
  traits.host_readable = false;
  traits.host_writable = false;
  return traits;
}

}  // namespace

SpaceTraits NullAllocator::DefaultTraits() { return WithoutBytes({}); }

NullAllocator::NullAllocator(const SpaceTraits& traits, MemorySpace space)
    : RootAllocator(std::move(space), WithoutBytes(traits)) {}

NullAllocator::~NullAllocator() { Close(); }

absl::StatusOr<Allocation> NullAllocator::Make(const AllocationRequest& request) {
  uint64_t total;
  if (!CheckedAdd(Stats().reserved_bytes, request.size_bytes, &total)) {
    return Exhausted(request, request.size_bytes,
                     "nothing: the total would need more than 64 bits");
  }
  Allocation made;
  made.reserved_bytes = request.size_bytes;
  made.alignment_bytes = AlignmentFor(request);
  return made;
}

absl::StatusOr<Fence> NullAllocator::NoBytes(std::string_view what, const SubRegion& region) const {
  if (region.size_bytes == 0) return Fence();
  return absl::FailedPreconditionError(
      absl::StrCat("can't ", what, " allocation ", region.allocation->id.value(), ": its space, ",
                   space().ToString(),
                   ", has sizes but no bytes (it is for planning only); use 'cpu' to hold data"));
}

absl::StatusOr<Fence> NullAllocator::CopyIn(const SubRegion& to, const void*, const CopyOptions&) {
  return NoBytes("copy into", to);
}

absl::StatusOr<Fence> NullAllocator::CopyOut(void*, const SubRegion& from, const CopyOptions&) {
  return NoBytes("copy out of", from);
}

absl::StatusOr<Fence> NullAllocator::CopyWithin(const SubRegion& to, const SubRegion&,
                                                const CopyOptions&) {
  return NoBytes("copy into", to);
}

absl::StatusOr<Fence> NullAllocator::Fill(const SubRegion& to, const FillPattern&,
                                          const CopyOptions&) {
  return NoBytes("fill", to);
}

SpaceDriver NullDriver() {
  return {.name = "null", .spaces = {kNullSpace}, .factory = [](const MemorySpace&) {
            return std::make_unique<NullAllocator>();
          }};
}

}  // namespace tenure
