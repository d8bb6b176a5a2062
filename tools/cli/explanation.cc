#include "tenure/tools/cli/explanation.h"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "tenure/base/json_value.h"

namespace tenure::cli {
namespace {

using Json = JsonValue;

// The nodes of search for each question whether some of the items can be packed: about ten
// milliseconds.
constexpr uint64_t kNodesEach = 50000;

Json ListOf(const std::vector<uint32_t>& items, const std::function<Json(uint32_t)>& item) {
  Json list = Json::Array();
  for (uint32_t i : items) list.push_back(item(i));
  return list;
}

Json ObjectOf(const packing::Explanation& why, Json peak,
              const std::function<Json(uint32_t)>& item) {
  Json out = Json::Object();
  if (why.capacity != packing::kUnlimited) out["capacity"] = why.capacity;
  out["lower_bound"] = why.lower_bound;
  out["proven"] = !why.conflict.empty();
  peak["items"] = ListOf(why.peak_items, item);
  out["peak"] = std::move(peak);
  out["conflict"] = ListOf(why.conflict, item);
  out["irreducible"] = why.irreducible;
  return out;
}

}  // namespace

packing::SolveOptions ExplainOptions(absl::Duration time, absl::Time deadline,
                                     const std::atomic<bool>* cancel) {
  packing::SolveOptions options;
  options.effort = packing::Effort::kOptimal;
  options.deadline = std::min(deadline, absl::Now() + time);
  options.max_nodes = kNodesEach;
  options.cancel = cancel;
  return options;
}

Json ExplanationJson(const ProblemFile& file, const packing::Explanation& why) {
  const packing::Problem& problem = file.problem();
  const bool times = problem.order.steps == 0;
  Json peak = {{"bytes", why.peak.bytes}};
  if (times) {
    peak["first"] = why.peak.first;
    peak["last"] = why.peak.last;
  }
  return ObjectOf(why, std::move(peak), [&](uint32_t i) {
    const packing::Item& item = problem.items[i];
    Json out = {{"id", file.Id(i)}, {"size", item.size}};
    if (times) {
      out["first"] = item.first;
      out["last"] = item.last;
    }
    if (item.fixed != packing::kNoOffset) out["offset"] = item.fixed;
    return out;
  });
}

Json ExplanationJson(const Shortage& shortage, const Schedule& schedule) {
  // Steps are inclusive, as in plans.
  auto add_steps = [&schedule](packing::Time first, packing::Time last, Json& out) {
    out["first_step"] = first;
    out["last_step"] = last - 1;
    out["first_op"] = schedule.steps()[static_cast<size_t>(first)].name;
    out["last_op"] = schedule.steps()[static_cast<size_t>(last - 1)].name;
  };
  Json peak = {{"bytes", shortage.why.peak.bytes}};
  if (!shortage.why.peak_items.empty()) {
    add_steps(shortage.why.peak.first, shortage.why.peak.last, peak);
  }
  Json out = ObjectOf(shortage.why, std::move(peak), [&](uint32_t i) {
    const packing::Item& item = shortage.problem.items[i];
    Json object = {{"id", shortage.items[i].name},
                   {"storages", shortage.items[i].storages},
                   {"size", item.size}};
    add_steps(item.first, item.last, object);
    return object;
  });
  out["proven"] = shortage.proven;
  out["space"] = shortage.space.ToString();
  out["queue"] = shortage.queue;
  return out;
}

}  // namespace tenure::cli
