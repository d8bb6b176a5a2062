#include "tenure/tools/render/plan_picture.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"

namespace tenure {
namespace {

std::string ArenaName(const Plan& plan, size_t number) {
  const PlanArena& arena = plan.arenas[number];
  std::string name = arena.space.ToString();
  if (plan.arenas.size() > 1) absl::StrAppend(&name, " arena ", number);
  if (arena.queue != 0) absl::StrAppend(&name, ", queue ", arena.queue);
  if (!arena.memory_of) return name;
  for (const Placement& p : plan.placements) {
    if (p.storage != *arena.memory_of) continue;
    absl::StrAppend(&name, ", memory of ",
                    p.name.empty() ? absl::StrCat("storage ", p.storage) : p.name);
  }
  return name;
}

// The name of the step that writes each storage first, by the number of the storage.
std::vector<std::string> Writers(const Schedule& schedule) {
  std::vector<std::string> writers;
  std::vector<bool> written;
  absl::flat_hash_map<StorageId, uint32_t> numbers;
  const auto number = [&](const Buffer& buffer) {
    const auto [it, fresh] =
        numbers.try_emplace(buffer.storage_id(), static_cast<uint32_t>(numbers.size()));
    if (fresh) {
      writers.push_back("never written");
      written.push_back(false);
    }
    return it->second;
  };
  for (const Step& step : schedule.steps()) {
    for (const Buffer& buffer : step.reads) number(buffer);
    for (const Buffer& buffer : step.writes) {
      const uint32_t storage = number(buffer);
      if (!written[storage]) writers[storage] = step.name;
      written[storage] = true;
    }
  }
  return writers;
}

}  // namespace

Picture PictureOfPlan(const Plan& plan, const Schedule& schedule) {
  Picture picture;
  picture.title = plan.name;
  picture.time_label = "step";
  for (const Step& step : schedule.steps()) picture.moments.push_back(step.name);
  for (size_t a = 0; a < plan.arenas.size(); ++a) {
    PictureArena arena{.name = ArenaName(plan, a), .height = plan.arenas[a].size_bytes};
    if (plan.arenas.size() == 1) arena.lower_bound = plan.lower_bound_bytes;
    picture.arenas.push_back(std::move(arena));
  }
  const std::vector<std::string> writers = Writers(schedule);
  for (const Placement& p : plan.placements) {
    PictureItem item;
    item.name = p.name.empty() ? absl::StrCat("storage ", p.storage) : p.name;
    if (p.storage < writers.size()) item.group = writers[p.storage];
    item.first = p.first_step;
    item.last = int64_t{p.last_step} + 1;
    item.size = p.size_bytes;
    item.offset = p.offset_bytes;
    item.arena = p.arena;
    picture.items.push_back(std::move(item));
  }
  return picture;
}

}  // namespace tenure
