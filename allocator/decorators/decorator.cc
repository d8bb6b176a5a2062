#include "tenure/allocator/decorators/decorator.h"

namespace tenure {

AllocatorStats Decorator::StatsOf(const StatsCounters& counters, uint64_t waiting_bytes) const {
  AllocatorStats stats = upstream_->Stats();
  const uint64_t reserved = stats.reserved_bytes;
  counters.AddTo(stats);
  stats.reserved_bytes = reserved;
  stats.deferred_bytes += waiting_bytes;
  return stats;
}

}  // namespace tenure
