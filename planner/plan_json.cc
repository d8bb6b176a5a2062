#include "tenure/planner/plan_json.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "nlohmann/json.hpp"
#include "tenure/base/annotate.h"
#include "tenure/base/json_text.h"
#include "tenure/base/status_macros.h"
#include "tenure/planner/plan_bound.h"
#include "tenure/planner/plan_check.h"
#include "tenure/planner/plan_validator.h"

namespace tenure {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kFormat = "tenure-plan-1";

// Reads values of a JSON object. `status` keeps the first error.
class Reader {
 public:
  Reader(const Json& json, std::string where, absl::Status& status)
      : json_(json), where_(std::move(where)), status_(status) {
    if (!json_.is_object()) Fail(where_, "an object");
  }

  // The name of a value that is called `key`, and was called `old_key` once.
  const char* Renamed(const char* key, const char* old_key) const {
    return json_.contains(old_key) && !json_.contains(key) ? old_key : key;
  }
  bool Has(const char* key) const { return json_.contains(key); }
  template <typename T>
  void Number(const char* key, T& to) {
    const Json* value = Find(key);
    if (value == nullptr) return;
    if (!value->is_number_unsigned() || value->get<uint64_t>() > std::numeric_limits<T>::max()) {
      return Fail(key, absl::StrCat("a whole number up to ", std::numeric_limits<T>::max()));
    }
    to = static_cast<T>(value->get<uint64_t>());
  }
  void Bool(const char* key, bool& to) {
    const Json* value = Find(key);
    if (value == nullptr) return;
    if (!value->is_boolean()) return Fail(key, "true or false");
    to = value->get<bool>();
  }
  void String(const char* key, std::string& to) {
    const Json* value = Find(key);
    if (value == nullptr) return;
    if (!value->is_string()) return Fail(key, "a string");
    to = value->get<std::string>();
  }
  // Calls each(element, its place) for every element of an array.
  template <typename F>
  void Array(const char* key, F each) {
    const Json* value = Find(key);
    if (value == nullptr) return;
    if (!value->is_array()) return Fail(key, "an array");
    for (size_t i = 0; i < value->size() && status_.ok(); ++i)
      each((*value)[i], absl::StrCat(key, "[", i, "]"));
  }
  // Reads an array of exactly these 32-bit numbers.
  template <typename... T>
  bool Row(const Json& row, const std::string& place, T&... to) {
    if (!row.is_array() || row.size() != sizeof...(to)) {
      Fail(place, absl::StrCat("an array of ", sizeof...(to), " numbers"));
      return false;
    }
    size_t i = 0;
    bool good = true;
    auto one = [&](uint32_t& t) {
      const Json& value = row[i++];
      good = good && value.is_number_unsigned() &&
             value.get<uint64_t>() <= std::numeric_limits<uint32_t>::max();
      if (good) t = static_cast<uint32_t>(value.get<uint64_t>());
    };
    (one(to), ...);
    if (!good) Fail(place, "an array of whole 32-bit numbers");
    return good;
  }
  void Fail(std::string_view place, std::string_view wanted) {
    if (status_.ok()) {
      status_ = absl::InvalidArgumentError(
          absl::StrCat("plan: ", where_.empty() || place == where_ ? "" : absl::StrCat(where_, "."),
                       place, " should be ", wanted));
    }
  }

 private:
  const Json* Find(const char* key) {
    if (!status_.ok()) return nullptr;
    auto it = json_.find(key);
    if (it != json_.end()) return &*it;
    Fail(key, "there, and is missing");
    return nullptr;
  }

  const Json& json_;
  const std::string where_;
  absl::Status& status_;
};

absl::StatusOr<PlanReason> ParseReason(std::string_view name) {
  for (int i = 0; i < kPlanReasonCount; ++i) {
    if (name == PlanReasonName(static_cast<PlanReason>(i))) return static_cast<PlanReason>(i);
  }
  return absl::InvalidArgumentError(absl::StrCat("plan: unknown reason '", name, "'"));
}

}  // namespace

std::string PlanToJson(const Plan& plan) {
  nlohmann::ordered_json out;
  out["format"] = kFormat;
  out["name"] = plan.name;
  out["fingerprint"] = absl::StrFormat("%016x", plan.fingerprint);
  out["mode"] = PlanModeName(plan.mode);
  out["alignment"] = plan.alignment_bytes;
  auto& arenas = out["arenas"] = nlohmann::ordered_json::array();
  for (const PlanArena& a : plan.arenas) {
    arenas.push_back({{"space", a.space.ToString()},
                      {"queue", a.queue},
                      {"size", a.size_bytes},
                      {"alignment", a.alignment_bytes}});
    if (a.memory_of) arenas.back()["memory_of"] = *a.memory_of;
  }
  auto& placements = out["placements"] = nlohmann::ordered_json::array();
  for (const Placement& p : plan.placements) {
    placements.push_back({{"storage", p.storage},
                          {"arena", p.arena},
                          {"offset", p.offset_bytes},
                          {"size", p.size_bytes},
                          {"first", p.first_step},
                          {"last", p.last_step},
                          {"exclusive", p.exclusive}});
    if (!p.name.empty()) placements.back()["name"] = p.name;
  }
  auto& not_planned = out["not_planned"] = nlohmann::ordered_json::array();
  for (const NotPlanned& n : plan.not_planned) {
    not_planned.push_back({{"storage", n.storage},
                           {"name", n.name},
                           {"size", n.size_bytes},
                           {"reason", PlanReasonName(n.reason)},
                           {"detail", n.detail}});
  }
  auto& edges = out["reuse_edges"] = nlohmann::ordered_json::array();
  for (const ReuseEdge& e : plan.reuse_edges) edges.push_back({e.before, e.after});
  auto& fills = out["fills"] = nlohmann::ordered_json::array();
  for (const PlanFill& f : plan.fills) fills.push_back({f.step, f.storage});
  auto& in_place = out["in_place"] = nlohmann::ordered_json::array();
  for (const InPlaceWrite& w : plan.in_place) in_place.push_back({w.step, w.input, w.output});
  out["unplanned_bytes"] = plan.unplanned_bytes;
  out["arena_bytes"] = plan.arena_bytes;
  out["lower_bound_bytes"] = plan.lower_bound_bytes;
  out["optimal"] = plan.optimal;
  out["deadline_hit"] = plan.deadline_hit;
  // Names come from the caller and need not be UTF-8.
  return out.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

absl::StatusOr<Plan> PlanFromJson(std::string_view text) {
  if (absl::Status status = CheckJsonText(text); !status.ok()) return Annotate(status, "plan");
  const Json json = Json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  Plan plan;
  absl::Status status;
  Reader in(json, "", status);
  std::string format, fingerprint, mode;
  in.String("format", format);
  if (status.ok() && format != kFormat) {
    return absl::InvalidArgumentError(
        absl::StrCat("plan: format is '", format, "', not '", kFormat, "'"));
  }
  in.String("name", plan.name);
  in.String("fingerprint", fingerprint);
  if (status.ok() && (fingerprint.size() != 16 ||
                      !std::all_of(fingerprint.begin(), fingerprint.end(), absl::ascii_isxdigit) ||
                      !absl::SimpleHexAtoi(fingerprint, &plan.fingerprint))) {
    in.Fail("fingerprint", "16 hex digits");
  }
  in.String("mode", mode);
  if (absl::StatusOr<PlanMode> parsed = ParsePlanMode(mode); parsed.ok()) {
    plan.mode = *parsed;
  } else {
    status.Update(parsed.status());
  }
  in.Number("alignment", plan.alignment_bytes);
  in.Array("arenas", [&](const Json& element, const std::string& place) {
    PlanArena arena;
    Reader row(element, place, status);
    std::string space;
    row.String("space", space);
    row.Number(row.Renamed("queue", "lane"), arena.queue);
    row.Number("size", arena.size_bytes);
    row.Number("alignment", arena.alignment_bytes);
    if (row.Has("memory_of")) row.Number("memory_of", arena.memory_of.emplace());
    if (!status.ok()) return;
    absl::StatusOr<MemorySpace> parsed = MemorySpace::Parse(space);
    if (!parsed.ok()) return status.Update(parsed.status());
    arena.space = *std::move(parsed);
    plan.arenas.push_back(std::move(arena));
  });
  in.Array("placements", [&](const Json& element, const std::string& place) {
    Reader row(element, place, status);
    Placement p;
    row.Number("storage", p.storage);
    row.Number("arena", p.arena);
    row.Number("offset", p.offset_bytes);
    row.Number("size", p.size_bytes);
    row.Number("first", p.first_step);
    row.Number("last", p.last_step);
    row.Bool("exclusive", p.exclusive);
    if (row.Has("name")) row.String("name", p.name);
    plan.placements.push_back(std::move(p));
  });
  in.Array("not_planned", [&](const Json& element, const std::string& place) {
    Reader row(element, place, status);
    NotPlanned n;
    std::string reason;
    row.Number("storage", n.storage);
    row.String("name", n.name);
    row.Number("size", n.size_bytes);
    row.String("reason", reason);
    row.String("detail", n.detail);
    if (!status.ok()) return;
    absl::StatusOr<PlanReason> parsed = ParseReason(reason);
    if (!parsed.ok()) return status.Update(parsed.status());
    n.reason = *parsed;
    plan.not_planned.push_back(std::move(n));
  });
  in.Array("reuse_edges", [&](const Json& row, const std::string& place) {
    ReuseEdge e;
    if (in.Row(row, place, e.before, e.after)) plan.reuse_edges.push_back(e);
  });
  in.Array("fills", [&](const Json& row, const std::string& place) {
    PlanFill f;
    if (in.Row(row, place, f.step, f.storage)) plan.fills.push_back(f);
  });
  in.Array(in.Renamed("in_place", "taken_over"), [&](const Json& row, const std::string& place) {
    InPlaceWrite w;
    if (in.Row(row, place, w.step, w.input, w.output)) plan.in_place.push_back(w);
  });
  in.Number("unplanned_bytes", plan.unplanned_bytes);
  in.Number("arena_bytes", plan.arena_bytes);
  in.Number("lower_bound_bytes", plan.lower_bound_bytes);
  in.Bool("optimal", plan.optimal);
  in.Bool("deadline_hit", plan.deadline_hit);
  if (!status.ok()) return status;
  return plan;
}

absl::StatusOr<Plan> LoadPlan(std::string_view json, const Schedule& schedule) {
  TENURE_ASSIGN_OR_RETURN(Plan plan, PlanFromJson(json));
  TENURE_ASSIGN_OR_RETURN(Liveness liveness, internal::ValidateFromScratch(plan, schedule));
  // The file may claim more than it can prove.
  plan.lower_bound_bytes = std::min(plan.lower_bound_bytes, internal::BoundOfLives(plan, liveness));
  plan.optimal = plan.lower_bound_bytes == plan.arena_bytes;
  internal::RememberCheck(schedule, liveness, plan);
  return plan;
}

}  // namespace tenure
