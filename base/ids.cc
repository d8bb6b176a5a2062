#include "tenure/base/ids.h"

#include <atomic>

namespace tenure::internal {
namespace {

constexpr uint64_t kBlock = 1 << 16;

// Each counter has its own cache line. 0 is "none", so counting starts at 1.
struct alignas(64) Counter {
  std::atomic<uint64_t> next{1};
};
constinit Counter counters[4];

}  // namespace

IdBlock TakeIdBlock(int kind) {
  const uint64_t first = counters[kind].next.fetch_add(kBlock, std::memory_order_relaxed);
  return {first, first + kBlock};
}

}  // namespace tenure::internal
