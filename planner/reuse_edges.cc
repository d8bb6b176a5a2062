#include "tenure/planner/reuse_edges.h"

#include <algorithm>
#include <tuple>

#include "absl/container/inlined_vector.h"
#include "tenure/planner/byte_ranges.h"

namespace tenure {
namespace {

using Steps = absl::InlinedVector<uint32_t, 4>;

// Most storages have at most this many touches. For those, all pairs of touches are compared.
constexpr size_t kFewTouches = 8;
// With more ends than this, one end is ordered with all others and represents them.
constexpr size_t kManyEnds = 8;

// Whether the two touches conflict. An empty window has no bytes to conflict about.
bool Hazard(const Touch& a, const Touch& b) {
  return a.step != b.step && (a.access == Access::kWrite || b.access == Access::kWrite) &&
         std::max(a.begin, b.begin) < std::min(a.end, b.end);
}

// Adds the steps that have a touch without a hazard with any earlier touch of the iteration, which
// goes forward or backward in step order.
template <typename Iterator>
void AddEnds(Iterator touch, Iterator end, Steps& steps) {
  Coverage written, touched;  // so far, by other steps
  while (touch != end) {
    Iterator next = touch;
    bool is_end = false;
    for (; next != end && next->step == touch->step; ++next) {
      is_end =
          is_end ||
          !(next->access == Access::kWrite ? touched : written).Intersects(next->begin, next->end);
    }
    if (is_end) steps.push_back(touch->step);
    for (; touch != next; ++touch) {
      touched.Add(touch->begin, touch->end);
      if (touch->access == Access::kWrite) written.Add(touch->begin, touch->end);
    }
  }
}

class EdgeMaker {
 public:
  explicit EdgeMaker(const Liveness& liveness)
      : liveness_(liveness), first_(liveness.storages.size()), last_(liveness.storages.size()) {}

  // Every step of storage `before` must be over when a step of storage `after` starts.
  void Connect(uint32_t before, uint32_t after) { Connect(LastSteps(before), FirstSteps(after)); }
  void ConnectStep(uint32_t step, uint32_t after) { Connect({step}, FirstSteps(after)); }

  std::vector<ReuseEdge> Finish() {
    std::sort(edges_.begin(), edges_.end());
    edges_.erase(std::unique(edges_.begin(), edges_.end()), edges_.end());
    return std::move(edges_);
  }

 private:
  void Connect(const Steps& before, const Steps& after) {
    for (uint32_t b : before) {
      for (uint32_t a : after) {
        if (b < a) edges_.push_back({b, a});
      }
    }
  }

  // The steps that have no hazard with an earlier step of the storage. All its other steps start
  // after one of these.
  const Steps& FirstSteps(uint32_t storage) {
    Steps& steps = first_[storage];
    if (!steps.empty()) return steps;
    const auto& touches = liveness_.storages[storage].touches;
    if (touches.size() <= kFewTouches) {
      FewEnds(touches, steps, [](uint32_t other, uint32_t step) { return other < step; });
    } else {
      AddEnds(touches.begin(), touches.end(), steps);
    }
    if (steps.size() > kManyEnds) {
      Connect({steps.front()}, steps);  // all others wait for the first
      steps.resize(1);
    }
    return steps;
  }
  // The steps that have no hazard with a later step of the storage. All its other steps are over
  // before one of these.
  const Steps& LastSteps(uint32_t storage) {
    Steps& steps = last_[storage];
    if (!steps.empty()) return steps;
    const auto& touches = liveness_.storages[storage].touches;
    if (touches.size() <= kFewTouches) {
      FewEnds(touches, steps, [](uint32_t other, uint32_t step) { return other > step; });
    } else {
      AddEnds(touches.rbegin(), touches.rend(), steps);
    }
    if (steps.size() > kManyEnds) {
      const uint32_t last = steps.front();  // they are in descending order
      Connect(steps, {last});
      steps.assign(1, last);
    }
    return steps;
  }
  template <typename Earlier>
  static void FewEnds(absl::Span<const Touch> touches, Steps& steps, Earlier earlier) {
    for (const Touch& touch : touches) {
      bool end = true;
      for (const Touch& other : touches) {
        end = end && !(earlier(other.step, touch.step) && Hazard(touch, other));
      }
      if (end && (steps.empty() || steps.back() != touch.step)) steps.push_back(touch.step);
    }
  }

  const Liveness& liveness_;
  std::vector<Steps> first_, last_;  // of each storage; empty until they are needed
  std::vector<ReuseEdge> edges_;
};

}  // namespace

std::vector<ReuseEdge> ReuseEdges(const Plan& plan, const Liveness& liveness) {
  EdgeMaker edges(liveness);
  std::vector<const Placement*> by_time;
  by_time.reserve(plan.placements.size());
  for (const Placement& p : plan.placements) by_time.push_back(&p);
  // Storages are numbered by first touch and plans list them by number, so they are nearly always
  // sorted already.
  auto earlier = [](const Placement* a, const Placement* b) {
    return std::tie(a->first_step, a->storage) < std::tie(b->first_step, b->storage);
  };
  if (!std::is_sorted(by_time.begin(), by_time.end(), earlier))
    std::sort(by_time.begin(), by_time.end(), earlier);
  // Only the latest storage at each byte matters: it comes after all earlier ones.
  std::vector<Tenants> tenants(plan.arenas.size());
  for (const Placement* p : by_time) {
    tenants[p->arena].Assign(p->offset_bytes, p->offset_bytes + p->size_bytes, p->storage,
                             [&](uint32_t displaced) { edges.Connect(displaced, p->storage); });
  }
  // A fill writes the whole storage right before its first step, so all its other steps come after
  // that step, even if they touch other bytes.
  for (const PlanFill& fill : plan.fills) edges.ConnectStep(fill.step, fill.storage);
  return edges.Finish();
}

}  // namespace tenure
