#include "tenure/planner/arena_packer.h"

#include <algorithm>
#include <string>
#include <utility>

#include "tenure/base/status_macros.h"
#include "tenure/planner/order_packer.h"
#include "tenure/planner/packing/lower_bound.h"
#include "tenure/planner/packing/solver.h"

namespace tenure {

packing::Problem ArenaPacker::Intervals(const std::vector<uint32_t>& members) const {
  packing::Problem problem;
  problem.items.reserve(members.size());
  for (uint32_t g : members) {
    const StorageGroup& group = groups_[g];
    problem.items.push_back({.first = group.first_step,
                             .last = packing::Time{group.last_step} + 1,
                             .size = group.size_bytes,
                             .alignment = group.alignment_bytes});
  }
  return problem;
}

uint64_t ArenaPacker::LowerBound(const std::vector<uint32_t>& members, uint64_t limit_bytes) const {
  packing::Problem problem = Intervals(members);
  uint64_t most_bytes = 0, own_bytes = 0;
  for (uint32_t g : members) {
    most_bytes += groups_[g].size_bytes + groups_[g].alignment_bytes;
    if (groups_[g].memory_of) own_bytes += groups_[g].size_bytes;
  }
  // Between several arenas there is no padding.
  if (most_bytes > limit_bytes || own_bytes > 0) {
    for (packing::Item& item : problem.items) item.alignment = 1;
  }
  return std::max(own_bytes, packing::LowerBound(problem));
}

// It is enough to add the ends of each group: they are ordered with other steps as the group is.
//
// Outputs are read after all steps. That is one more step here, which comes after all others. The
// last step of the list would not do, since other steps may run beside it: the output could not
// have the bytes that they have left.
void ArenaPacker::AddOrder(const std::vector<uint32_t>& members, packing::Problem& problem) const {
  const auto steps = static_cast<uint32_t>(schedule_.steps().size());
  const bool outputs =
      std::any_of(members.begin(), members.end(), [this](uint32_t g) { return groups_[g].to_end; });
  problem.order.steps = outputs ? steps + 1 : steps;
  std::vector<bool> followed(steps, false);
  for (uint32_t step = 0; step < steps; ++step) {
    for (uint32_t before : schedule_.steps()[step].after) {
      problem.order.edges.push_back({before, step});
      followed[before] = true;
    }
  }
  for (uint32_t step = 0; outputs && step < steps; ++step) {
    if (!followed[step]) problem.order.edges.push_back({step, steps});
  }
  for (uint32_t i = 0; i < members.size(); ++i) {
    const StorageGroup& group = groups_[members[i]];
    for (uint32_t step : group.ends.earliest) problem.order.uses.push_back({i, step});
    if (group.to_end) {
      problem.order.uses.push_back({i, steps});
    } else {
      for (uint32_t step : group.ends.latest) problem.order.uses.push_back({i, step});
    }
  }
}

// Hints at the offsets of PlanOptions::keep. The hint of an item is the offset of its first
// storage. Offsets that the alignment forbids give no hint.
void ArenaPacker::AddHints(const std::vector<uint32_t>& members, packing::Problem& problem) const {
  if (options_.keep == nullptr) return;
  const Plan& keep = *options_.keep;
  std::vector<uint64_t> offset_of;
  for (const Placement& p : keep.placements) {
    if (p.arena >= keep.arenas.size()) continue;
    const PlanArena& arena = keep.arenas[p.arena];
    if (arena.memory_of) continue;
    const StorageGroup& some = groups_[members.front()];
    if (arena.queue != some.queue || arena.space != some.allocator->space()) continue;
    if (p.storage >= offset_of.size()) offset_of.resize(size_t{p.storage} + 1, packing::kNoOffset);
    offset_of[p.storage] = p.offset_bytes;
  }
  for (size_t i = 0; i < members.size(); ++i) {
    const StorageGroup& group = groups_[members[i]];
    const uint32_t storage = group.storages.front();
    if (storage >= offset_of.size()) continue;
    const uint64_t offset = offset_of[storage];
    if (offset % group.alignment_bytes == 0) problem.items[i].hint = offset;
  }
}

absl::StatusOr<packing::Packing> ArenaPacker::Solve(const packing::Problem& problem,
                                                    uint64_t capacity_bytes,
                                                    packing::Effort effort) const {
  packing::SolveOptions solve;
  solve.effort = effort;
  solve.deadline = options_.deadline;
  solve.cancel = options_.cancel;
  solve.max_threads = options_.max_threads;
  solve.max_nodes = options_.max_nodes;
  solve.capacity = capacity_bytes;
  solve.hints = packing::HintPolicy::kKeep;
  return packing::Solve(problem, solve);
}

// Searches for a packing within the capacity first, since that is easier than the lowest packing,
// for which the search may use all the time. The result is above the capacity if none was found
// within it.
absl::StatusOr<packing::Packing> ArenaPacker::SolveWithin(const packing::Problem& problem,
                                                          uint64_t capacity_bytes) const {
  const bool optimal = options_.effort == packing::Effort::kOptimal;
  if (capacity_bytes == packing::kUnlimited) {
    return Solve(problem, packing::kUnlimited, options_.effort);
  }
  absl::StatusOr<packing::Packing> first =
      Solve(problem, packing::kUnlimited, optimal ? packing::Effort::kBalanced : options_.effort);
  if (!first.ok() || first->deadline_hit || first->outcome == packing::Outcome::kInfeasible ||
      first->outcome == packing::Outcome::kOptimal || first->lower_bound > capacity_bytes) {
    return first;
  }
  const bool fits = first->has_offsets() && first->height <= capacity_bytes;
  if (fits && !optimal) return first;
  absl::StatusOr<packing::Packing> second =
      Solve(problem, fits ? packing::kUnlimited : capacity_bytes, options_.effort);
  if (!second.ok()) return second;
  uint64_t bound = std::max(first->lower_bound, fits ? second->lower_bound : 0);
  // Only then is it proven for every number of arenas: with limits, more arenas may fit.
  const bool whole = problem.arenas.empty() ||
                     (problem.arenas.size() == 1 && problem.arenas[0].limit >= capacity_bytes);
  if (!fits && second->outcome == packing::Outcome::kInfeasible && whole) {
    bound = std::max(bound, capacity_bytes + 1);
  }
  const bool deadline_hit = second->deadline_hit;
  std::string search_limit = std::move(second->search_limit);
  if (second->has_offsets() && (!fits || second->height <= first->height)) first = second;
  first->lower_bound = bound;
  first->deadline_hit = deadline_hit;
  first->search_limit = std::move(search_limit);
  return first;
}

absl::StatusOr<ArenaPacking> ArenaPacker::Pack(const std::vector<uint32_t>& members,
                                               uint64_t limit_bytes,
                                               uint64_t capacity_bytes) const {
  ArenaPacking result;
  packing::Problem problem = Intervals(members);
  AddHints(members, problem);
  auto take = [&](packing::Packing& packing) {
    result.offsets = std::move(packing.offsets);
    result.arenas = std::move(packing.arena_of);
    result.height_bytes = packing.height;
    if (result.arenas.empty()) result.arenas.assign(members.size(), 0);
  };
  if (order_.total()) {
    TENURE_ASSIGN_OR_RETURN(packing::Packing solved, SolveWithin(problem, capacity_bytes));
    result.lower_bound_bytes = solved.lower_bound;
    result.deadline_hit = solved.deadline_hit;
    result.search_limit = std::move(solved.search_limit);
    if (solved.has_offsets() && solved.height <= limit_bytes) {
      take(solved);
      return result;
    }
  }
  // What is proven of one arena may not hold for several. With dependencies, the list is a legal
  // order, so what lives at once in the list can live at once in any execution.
  result.lower_bound_bytes = LowerBound(members, limit_bytes);
  OrderPacking in_order = PackInOrder(order_, groups_, members, limit_bytes);
  result.offsets = std::move(in_order.offsets);
  result.arenas = std::move(in_order.arenas);
  result.height_bytes = in_order.height;
  const bool keep = options_.keep != nullptr;
  if ((!keep && in_order.height <= result.lower_bound_bytes) ||
      members.size() > options_.max_searched) {
    return result;
  }

  if (!order_.total()) AddOrder(members, problem);
  uint64_t best_height = in_order.height;
  // Starts with one arena, or with as many as the lower bound needs. `most` arenas are enough,
  // because PackInOrder has used as many.
  const uint64_t most = uint64_t{*std::max_element(result.arenas.begin(), result.arenas.end())} + 1;
  const uint64_t bound = result.lower_bound_bytes;
  const uint64_t fewest = std::max<uint64_t>(1, bound / limit_bytes + (bound % limit_bytes != 0));
  for (uint64_t arenas = fewest; arenas <= most && !result.deadline_hit; ++arenas) {
    problem.arenas.assign(arenas, packing::Arena{.limit = limit_bytes});
    TENURE_ASSIGN_OR_RETURN(packing::Packing solved, SolveWithin(problem, capacity_bytes));
    result.deadline_hit = solved.deadline_hit;
    result.search_limit = std::move(solved.search_limit);
    if (most == 1) {
      result.lower_bound_bytes =
          std::max(result.lower_bound_bytes, std::min(solved.lower_bound, best_height));
    }
    if (!solved.has_offsets()) continue;
    if (solved.height < best_height || (keep && solved.height <= capacity_bytes)) take(solved);
    break;
  }
  return result;
}

}  // namespace tenure
