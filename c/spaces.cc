#include "tenure/c/c_api.h"

using namespace tenure;     // NOLINT(google-build-using-namespace): these sources are a way into it
using namespace tenure::c;  // NOLINT(google-build-using-namespace)

tenure_status tenure_space_stats(const char* space, tenure_stats* stats) {
  return Call([&]() -> absl::Status {
    TENURE_ASSIGN_OR_RETURN(Allocator* const allocator, AllocatorOfSpace(space));
    const AllocatorStats now = allocator->Stats();
    return Give(tenure_stats{sizeof(tenure_stats), now.in_use_bytes, now.in_use_count,
                             now.peak_in_use_bytes, now.reserved_bytes, now.cached_bytes,
                             now.deferred_bytes},
                stats, "stats");
  });
}

tenure_status tenure_space_trim(const char* space) {
  return Call([&]() -> absl::Status {
    TENURE_ASSIGN_OR_RETURN(Allocator* const allocator, AllocatorOfSpace(space));
    allocator->Trim(0);
    return absl::OkStatus();
  });
}
