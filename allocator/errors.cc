#include "tenure/allocator/errors.h"

#include <cstdio>
#include <string>

#include "absl/strings/str_cat.h"
#include "tenure/allocator/capabilities.h"
#include "tenure/base/checked.h"
#include "tenure/base/status_macros.h"

namespace tenure {
namespace {

std::string Named(const AllocationRequest& request) {
  return request.name.empty() ? std::string() : absl::StrCat(" for '", request.name, "'");
}

std::string Limit(uint64_t bytes) {
  return bytes == SpaceTraits::kUnlimited ? "none" : absl::StrCat(bytes, " bytes");
}

}  // namespace

absl::Status ExhaustedError(const AllocationRequest& request, uint64_t rounded_bytes,
                            const MemorySpace& space, const AllocatorStats& stats,
                            std::string_view tried) {
  return absl::ResourceExhaustedError(absl::StrCat(
      "out of memory in ", space.ToString(), Named(request), ": requested ", request.size_bytes,
      " bytes, rounded to ", rounded_bytes, ", alignment ", request.alignment_bytes, "; in use ",
      stats.in_use_bytes, " bytes in ", stats.in_use_count, " allocations, cached ",
      stats.cached_bytes, ", largest free ", stats.largest_free_bytes, ", limit ",
      Limit(stats.limit_bytes), "; tried: ", tried));
}

absl::Status ReadOnlyError(const Allocation& allocation) {
  return absl::FailedPreconditionError(
      absl::StrCat("allocation ", allocation.id.value(),
                   " wraps read-only memory; copy it into memory of its own to write"));
}

namespace {

absl::Status CheckForeign(const AllocationRequest& request) {
  const auto address = reinterpret_cast<uintptr_t>(request.foreign->data);
  if (address == 0 && request.size_bytes > 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "foreign memory", Named(request), " of ", request.size_bytes, " bytes has a null pointer"));
  }
  // A null pointer (with no bytes) has every alignment.
  if (request.alignment_bytes != 0 && (address & (request.alignment_bytes - 1)) != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("foreign memory", Named(request), " is aligned to ", address & -address,
                     " bytes, not to the ", request.alignment_bytes,
                     " asked for; ask for less, or copy it into a buffer"));
  }
  uint64_t end;
  if (!CheckedAdd(address, request.size_bytes, &end)) {
    return absl::InvalidArgumentError(absl::StrCat("foreign memory", Named(request), " of ",
                                                   request.size_bytes,
                                                   " bytes reaches beyond the address space"));
  }
  if (request.zeroed) {
    return absl::InvalidArgumentError(
        absl::StrCat("foreign memory", Named(request),
                     " has its own contents; it can't be zeroed by wrapping it"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckRequest(const AllocationRequest& request, Allocator& allocator) {
  if (request.alignment_bytes != 0 && !IsPowerOfTwo(request.alignment_bytes)) {
    return absl::InvalidArgumentError(
        absl::StrCat("alignment ", request.alignment_bytes, Named(request),
                     " is not a power of two; give one, or 0 for the default of ",
                     allocator.space().ToString()));
  }
  if (request.foreign.has_value() && request.file.has_value()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "allocation", Named(request), " names both foreign memory and a file window; give one"));
  }
  if (request.foreign.has_value()) {
    if (allocator.Capability<ForeignMemoryCapability>() == nullptr) {
      return absl::UnimplementedError(
          absl::StrCat(allocator.space().ToString(),
                       " can't wrap foreign host memory; wrap it in 'cpu' and copy"));
    }
    TENURE_RETURN_IF_ERROR(CheckForeign(request));
  }
  if (request.file.has_value() && allocator.Capability<FileCapability>() == nullptr) {
    return absl::UnimplementedError(
        absl::StrCat(allocator.space().ToString(),
                     " has no file to open a window of; use a space 'disk:/path'"));
  }
  if (request.hints.sharing != Sharing::kNone &&
      allocator.Capability<ShareCapability>() == nullptr) {
    return absl::UnimplementedError(
        absl::StrCat(allocator.space().ToString(), " can't share bytes with other processes",
                     Named(request), "; use a space whose allocator has a ShareCapability"));
  }
  const uint64_t largest = allocator.traits().max_allocation_bytes;
  if (!request.imports() && request.size_bytes > largest) {
    return ExhaustedError(
        request, request.size_bytes, allocator.space(), allocator.Stats(),
        absl::StrCat("nothing: the largest allocation there is ", largest, " bytes"));
  }
  return absl::OkStatus();
}

void ReportToStderr(std::string_view what) {
  std::fprintf(stderr, "tenure: %.*s\n", static_cast<int>(what.size()), what.data());
}

}  // namespace tenure
