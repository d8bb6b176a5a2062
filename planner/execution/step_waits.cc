#include "tenure/planner/execution/step_waits.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "absl/container/flat_hash_map.h"

namespace tenure {
namespace {

// Finds the earlier steps on other queues that a touch of bytes has to come after.
class Hazards {
 public:
  void Touch(uint32_t step, uint32_t queue, const Buffer& buffer, Access access,
             std::vector<uint32_t>& before) {
    const Use use{step, queue, access, buffer.offset(), buffer.offset() + buffer.size()};
    if (use.begin == use.end) return;
    std::vector<Use>& uses = uses_[buffer.storage_id()];
    for (const Use& old : uses) {
      const bool conflict = access == Access::kWrite || old.access == Access::kWrite;
      if (conflict && old.queue != queue && old.begin < use.end && use.begin < old.end) {
        before.push_back(old.step);
      }
    }
    // A later step that has to come after `old` also has to come after this one, and this one comes
    // after `old`.
    std::erase_if(uses, [&](const Use& old) {
      const bool covered = use.begin <= old.begin && old.end <= use.end;
      return covered &&
             (access == Access::kWrite || (old.queue == queue && old.access == Access::kRead));
    });
    uses.push_back(use);
  }

 private:
  struct Use {
    uint32_t step;
    uint32_t queue;
    Access access;
    uint64_t begin, end;
  };
  absl::flat_hash_map<StorageId, std::vector<Use>> uses_;
};

// For each queue, how many steps of the schedule have to be over there: 1 + the latest of them.
using Clock = std::vector<uint32_t>;

}  // namespace

StepWaits::StepWaits(absl::Span<const Step> steps, OrderKind order,
                     absl::Span<const ReuseEdge> reuse_edges, absl::Span<const uint32_t> queues)
    : begin_(steps.size() + 1, 0), is_waited_for_(steps.size(), false) {
  uint32_t queue_count = 0;
  for (uint32_t queue : queues) queue_count = std::max(queue_count, queue + 1);
  if (queue_count < 2) return;

  std::vector<ReuseEdge> edges(reuse_edges.begin(), reuse_edges.end());
  std::sort(edges.begin(), edges.end(),
            [](const ReuseEdge& a, const ReuseEdge& b) { return a.after < b.after; });
  auto edge = edges.begin();
  Hazards hazards;
  // The steps that each queue is known to be behind, now and when it came to each step.
  std::vector<Clock> now(queue_count, Clock(queue_count, 0));
  std::vector<Clock> at(steps.size());
  std::vector<uint32_t> before;
  for (uint32_t s = 0; s < steps.size(); ++s) {
    const uint32_t queue = queues[s];
    before = steps[s].after;
    if (order == OrderKind::kTotal) {
      for (const Buffer& b : steps[s].reads) hazards.Touch(s, queue, b, Access::kRead, before);
      for (const Buffer& b : steps[s].writes) hazards.Touch(s, queue, b, Access::kWrite, before);
    }
    for (; edge != edges.end() && edge->after == s; ++edge) before.push_back(edge->before);
    // The latest comes first, because it may have waited for others.
    std::sort(before.begin(), before.end(), std::greater<>());
    Clock& clock = now[queue];
    begin_[s] = waits_.size();
    for (uint32_t b : before) {
      if (queues[b] == queue || clock[queues[b]] > b) continue;
      waits_.push_back(b);
      is_waited_for_[b] = true;
      for (uint32_t q = 0; q < queue_count; ++q) clock[q] = std::max(clock[q], at[b][q]);
    }
    clock[queue] = s + 1;
    at[s] = clock;
  }
  begin_[steps.size()] = waits_.size();
}

}  // namespace tenure
