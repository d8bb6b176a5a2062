#include "tenure/planner/remap.h"

#include <algorithm>
#include <functional>
#include <map>
#include <numeric>
#include <queue>
#include <utility>

namespace tenure {
namespace {

constexpr size_t kMaxSlotsTried = 256;

// Slots of one size. They serve groups of any alignment.
struct SlotClass {
  using Busy = std::pair<uint32_t, uint32_t>;  // last step of the tenant, slot
  std::priority_queue<Busy, std::vector<Busy>, std::greater<>> busy;
  std::vector<uint32_t> over;  // slots of tenants whose last step is over, the latest at the back
  uint64_t most_at_once = 0;   // the most groups that live at one step
};

}  // namespace

Remapping Remap(const StepOrder& order, const std::vector<StorageGroup>& groups,
                const std::vector<uint32_t>& members) {
  Remapping result;
  result.slot_of.resize(members.size());
  std::vector<uint32_t> by_start(members.size());
  std::iota(by_start.begin(), by_start.end(), 0u);
  std::stable_sort(by_start.begin(), by_start.end(), [&](uint32_t a, uint32_t b) {
    return groups[members[a]].first_step < groups[members[b]].first_step;
  });
  std::map<uint64_t, SlotClass> classes;  // by size
  std::vector<uint32_t> tenant_of;        // of each slot: a group
  for (uint32_t m : by_start) {
    const StorageGroup& group = groups[members[m]];
    SlotClass& slots = classes[group.size_bytes];
    while (!slots.busy.empty() && slots.busy.top().first < group.first_step) {
      slots.over.push_back(slots.busy.top().second);
      slots.busy.pop();
    }
    // In total order the first slot tried is always free.
    uint32_t slot = ~0u;
    const size_t tried = std::min(slots.over.size(), kMaxSlotsTried);
    for (auto it = slots.over.rbegin(); it != slots.over.rbegin() + static_cast<ptrdiff_t>(tried);
         ++it) {
      if (!order.SurelyPrecede(groups[tenant_of[*it]].ends, group.ends)) continue;
      slot = *it;
      slots.over.erase(std::next(it).base());
      break;
    }
    if (slot == ~0u) {
      slot = static_cast<uint32_t>(tenant_of.size());
      tenant_of.push_back(0);
      result.height_bytes += group.size_bytes;
    }
    tenant_of[slot] = members[m];
    result.slot_of[m] = slot;
    slots.busy.emplace(group.last_step, slot);
    slots.most_at_once = std::max<uint64_t>(slots.most_at_once, slots.busy.size());
  }
  for (const auto& [size, slots] : classes) {
    result.lower_bound_bytes += slots.most_at_once * size;
  }
  return result;
}

}  // namespace tenure
