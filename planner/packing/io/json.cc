#include "tenure/planner/packing/io/json.h"

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tenure/base/json_text.h"
#include "tenure/base/status_macros.h"

namespace tenure::packing {
namespace {

using Json = nlohmann::json;

// Reads fields and remembers the first faulty one, with its path.
class Reader {
 public:
  explicit Reader(std::string_view file) : file_(file) {}

  absl::StatusOr<Json> Parse(std::string_view text) {
    if (absl::Status status = CheckJsonText(text); !status.ok()) return Error(status.message());
    Json root = Json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (!root.is_object()) return Error("the text is not a JSON object");
    return root;
  }

  absl::Status status() const { return status_; }
  bool ok() const { return status_.ok(); }

  void Fail(const std::string& path, std::string_view cause) {
    if (ok()) status_ = Error(absl::StrCat(path, ": ", cause));
  }

  template <typename T>
  void Number(const Json& value, const std::string& path, T& out) {
    if (value.is_number_unsigned()) {
      const auto number = value.get<uint64_t>();
      if (number > static_cast<uint64_t>(std::numeric_limits<T>::max())) {
        return Fail(path, "is too large");
      }
      out = static_cast<T>(number);
    } else if (value.is_number_integer()) {
      const auto number = value.get<int64_t>();
      if (!std::numeric_limits<T>::is_signed) return Fail(path, "is negative");
      out = static_cast<T>(number);
    } else {
      Fail(path, "is not a whole number (or does not fit into 64 bits)");
    }
  }

  template <typename T>
  void Field(const Json& object, const std::string& path, const char* name, bool required, T& out) {
    if (!object.is_object()) return Fail(path, "is not an object");
    const auto at = object.find(name);
    if (at == object.end()) {
      if (required) Fail(absl::StrCat(path, ".", name), "is missing");
      return;
    }
    Number(*at, absl::StrCat(path, ".", name), out);
  }

  // An unknown key may be a misspelt one, which must not be ignored.
  void OnlyKeys(const Json& object, const std::string& path,
                std::initializer_list<std::string_view> known) {
    if (!object.is_object()) return;  // reported elsewhere
    for (const auto& [key, value] : object.items()) {
      if (std::find(known.begin(), known.end(), key) != known.end()) continue;
      return Fail(Printable(path.empty() ? key : absl::StrCat(path, ".", key)),
                  absl::StrCat("is not known; there are ", absl::StrJoin(known, ", ")));
    }
  }

  // Reads an offset or a limit. The largest number is refused, because it stands for none.
  void OrNone(const Json& object, const std::string& path, const char* name, uint64_t& out) {
    const uint64_t before = std::exchange(out, 0);
    Field(object, path, name, false, out);
    if (out == kNoOffset) {
      Fail(absl::StrCat(path, ".", name), "is 2^64 - 1, which stands for none; leave it out");
    }
    if (!object.is_object() || !object.contains(name)) out = before;
  }

  // Returns the array of that name, nullptr if it is absent.
  const Json* Array(const Json& object, const char* name) {
    const auto at = object.find(name);
    if (at == object.end()) return nullptr;
    if (at->is_array()) return &*at;
    Fail(name, "is not an array");
    return nullptr;
  }

  template <typename T>
  void Numbers(const Json* array, const std::string& path, std::vector<T>& out) {
    if (array == nullptr) return;
    if (!array->is_array()) return Fail(path, "is not an array");
    out.resize(array->size());
    for (size_t k = 0; k < out.size() && ok(); ++k) {
      Number((*array)[k], absl::StrCat(path, "[", k, "]"), out[k]);
    }
  }

  template <typename T>
  void Pair(const Json& value, const std::string& path, T& a, T& b) {
    if (!value.is_array() || value.size() != 2) return Fail(path, "is not a pair of numbers");
    Number(value[0], absl::StrCat(path, "[0]"), a);
    Number(value[1], absl::StrCat(path, "[1]"), b);
  }

  absl::Status Error(std::string_view cause) const {
    return absl::InvalidArgumentError(absl::StrCat(file_, ": ", cause));
  }

 private:
  static std::string Printable(std::string text) {
    for (char& c : text) {
      if (static_cast<unsigned char>(c) < 0x20) c = ' ';
    }
    return text;
  }

  std::string_view file_;
  absl::Status status_;
};

std::string At(const char* name, size_t k) { return absl::StrCat(name, "[", k, "]"); }

}  // namespace

absl::StatusOr<Problem> ParseProblemJson(std::string_view text, std::string_view file) {
  Reader reader(file);
  TENURE_ASSIGN_OR_RETURN(Json root, reader.Parse(text));
  Problem problem;
  reader.OnlyKeys(root, "",
                  {"items", "gaps", "arenas", "bindings", "adjacent", "order", "capacity"});
  const Json* items = reader.Array(root, "items");
  if (items == nullptr && reader.ok()) reader.Fail("items", "is missing");
  if (items != nullptr) problem.items.resize(items->size());
  for (size_t k = 0; k < problem.items.size() && reader.ok(); ++k) {
    Item& item = problem.items[k];
    const Json& value = (*items)[k];
    const std::string path = At("items", k);
    reader.OnlyKeys(value, path, {"first", "last", "size", "alignment", "fixed", "hint"});
    reader.Field(value, path, "first", true, item.first);
    reader.Field(value, path, "last", true, item.last);
    reader.Field(value, path, "size", true, item.size);
    reader.Field(value, path, "alignment", false, item.alignment);
    reader.OrNone(value, path, "fixed", item.fixed);
    reader.OrNone(value, path, "hint", item.hint);
  }
  const Json* gaps = reader.Array(root, "gaps");
  if (gaps != nullptr) problem.gaps.resize(gaps->size());
  for (size_t k = 0; k < problem.gaps.size() && reader.ok(); ++k) {
    Gap& gap = problem.gaps[k];
    const Json& value = (*gaps)[k];
    const std::string path = At("gaps", k);
    reader.OnlyKeys(value, path, {"item", "first", "last", "window"});
    reader.Field(value, path, "item", true, gap.item);
    reader.Field(value, path, "first", true, gap.first);
    reader.Field(value, path, "last", true, gap.last);
    if (reader.ok() && value.contains("window")) {
      reader.Pair(value["window"], path + ".window", gap.window_begin, gap.window_end);
    }
  }
  const Json* arenas = reader.Array(root, "arenas");
  if (arenas != nullptr) problem.arenas.resize(arenas->size());
  for (size_t k = 0; k < problem.arenas.size() && reader.ok(); ++k) {
    const Json& value = (*arenas)[k];
    const std::string path = At("arenas", k);
    reader.OnlyKeys(value, path, {"limit"});
    reader.OrNone(value, path, "limit", problem.arenas[k].limit);
  }
  const Json* bindings = reader.Array(root, "bindings");
  if (bindings != nullptr) problem.bindings.resize(bindings->size());
  for (size_t k = 0; k < problem.bindings.size() && reader.ok(); ++k) {
    reader.Pair((*bindings)[k], At("bindings", k), problem.bindings[k].item,
                problem.bindings[k].arena);
  }
  const Json* adjacent = reader.Array(root, "adjacent");
  if (adjacent != nullptr) problem.adjacent.resize(adjacent->size());
  for (size_t k = 0; k < problem.adjacent.size() && reader.ok(); ++k) {
    reader.Numbers(&(*adjacent)[k], At("adjacent", k), problem.adjacent[k].items);
  }
  if (reader.ok() && root.contains("order")) {
    const Json& order = root["order"];
    reader.OnlyKeys(order, "order", {"steps", "edges", "uses"});
    reader.Field(order, "order", "steps", true, problem.order.steps);
    const Json* edges = reader.ok() ? reader.Array(order, "edges") : nullptr;
    if (edges != nullptr) problem.order.edges.resize(edges->size());
    for (size_t k = 0; k < problem.order.edges.size() && reader.ok(); ++k) {
      reader.Pair((*edges)[k], At("order.edges", k), problem.order.edges[k].before,
                  problem.order.edges[k].after);
    }
    const Json* uses = reader.ok() ? reader.Array(order, "uses") : nullptr;
    if (uses != nullptr) problem.order.uses.resize(uses->size());
    for (size_t k = 0; k < problem.order.uses.size() && reader.ok(); ++k) {
      reader.Pair((*uses)[k], At("order.uses", k), problem.order.uses[k].item,
                  problem.order.uses[k].step);
    }
  }
  if (reader.ok()) reader.OrNone(root, "problem", "capacity", problem.capacity);
  if (!reader.ok()) return reader.status();
  if (absl::Status s = CheckProblem(problem); !s.ok()) return reader.Error(s.message());
  return problem;
}

std::string FormatProblemJson(const Problem& problem) {
  Json root = Json::object();
  Json& items = root["items"] = Json::array();
  for (const Item& item : problem.items) {
    Json value = {{"first", item.first}, {"last", item.last}, {"size", item.size}};
    if (item.alignment != 1) value["alignment"] = item.alignment;
    if (item.fixed != kNoOffset) value["fixed"] = item.fixed;
    if (item.hint != kNoOffset) value["hint"] = item.hint;
    items.push_back(std::move(value));
  }
  for (const Gap& gap : problem.gaps) {
    Json value = {{"item", gap.item}, {"first", gap.first}, {"last", gap.last}};
    if (gap.window_begin != gap.window_end) value["window"] = {gap.window_begin, gap.window_end};
    root["gaps"].push_back(std::move(value));
  }
  for (const Arena& arena : problem.arenas) {
    Json value = Json::object();
    if (arena.limit != kUnlimited) value["limit"] = arena.limit;
    root["arenas"].push_back(std::move(value));
  }
  for (const Binding& b : problem.bindings) root["bindings"].push_back({b.item, b.arena});
  for (const AdjacencyGroup& group : problem.adjacent) root["adjacent"].push_back(group.items);
  if (problem.order.steps > 0) {
    Json& order = root["order"];
    order["steps"] = problem.order.steps;
    order["edges"] = order["uses"] = Json::array();
    for (const auto& edge : problem.order.edges)
      order["edges"].push_back({edge.before, edge.after});
    for (const auto& use : problem.order.uses) order["uses"].push_back({use.item, use.step});
  }
  if (problem.capacity != kUnlimited) root["capacity"] = problem.capacity;
  return root.dump();
}

absl::StatusOr<Packing> ParsePackingJson(std::string_view text, std::string_view file) {
  Reader reader(file);
  TENURE_ASSIGN_OR_RETURN(Json root, reader.Parse(text));
  Packing packing;
  const std::string status =
      root.value("status", Json()).is_string() ? root["status"].get<std::string>() : std::string();
  bool known = false;
  for (Outcome outcome :
       {Outcome::kNone, Outcome::kFeasible, Outcome::kOptimal, Outcome::kInfeasible}) {
    if (status != OutcomeName(outcome)) continue;
    packing.outcome = outcome;
    known = true;
  }
  if (!known) reader.Fail("status", "is not one of optimal, feasible, infeasible, none");
  if (root.contains("deadline_hit")) {
    const Json& hit = root["deadline_hit"];
    if (hit.is_boolean()) {
      packing.deadline_hit = hit.get<bool>();
    } else {
      reader.Fail("deadline_hit", "is neither true nor false");
    }
  }
  if (reader.ok()) reader.Field(root, "packing", "height", false, packing.height);
  if (reader.ok()) reader.Field(root, "packing", "lower_bound", false, packing.lower_bound);
  if (reader.ok()) reader.Numbers(reader.Array(root, "offsets"), "offsets", packing.offsets);
  if (reader.ok()) reader.Numbers(reader.Array(root, "arena_of"), "arena_of", packing.arena_of);
  if (reader.ok()) reader.Numbers(reader.Array(root, "heights"), "heights", packing.heights);
  if (!reader.ok()) return reader.status();
  return packing;
}

std::string FormatPackingJson(const Packing& packing) {
  Json root = {{"status", OutcomeName(packing.outcome)},
               {"deadline_hit", packing.deadline_hit},
               {"height", packing.height},
               {"heights", packing.heights},
               {"lower_bound", packing.lower_bound},
               {"offsets", packing.offsets},
               {"winner", packing.statistics.winner}};
  if (!packing.search_limit.empty()) root["search_limit"] = packing.search_limit;
  if (!packing.arena_of.empty()) root["arena_of"] = packing.arena_of;
  return root.dump();
}

std::string FormatExplanationJson(const Explanation& why) {
  Json root = {{"lower_bound", why.lower_bound},
               {"peak",
                {{"bytes", why.peak.bytes},
                 {"first", why.peak.first},
                 {"last", why.peak.last},
                 {"items", why.peak_items}}},
               {"conflict", why.conflict},
               {"irreducible", why.irreducible}};
  if (why.capacity != kUnlimited) root["capacity"] = why.capacity;
  return root.dump();
}

}  // namespace tenure::packing
