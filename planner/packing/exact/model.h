// The problem in the form that exact search works on: small integers, sections and conflicts.
//
// Why: the sizes of real buffers share a large divisor, and so do the offsets of every packing in
// which no item can be moved down. Dividing by it makes heights small numbers and rounds every
// lower bound up. It also makes most alignments redundant: an alignment that divides the divisor
// always holds.
//
//   section       0      1      2          a section is a moment at which the set of items that
//   item a    [==============)             hold bytes is maximal; items conflict exactly if they
//   item b           [==============)      share a section. A gap that frees all bytes takes an
//   item c    [=====)  gap  [=====)        item out of the sections in between.
//
//   std::optional<Model> model = BuildModel(problem, ModelLimits{});
//
// Cost: O(n log n) and 4 bytes for each conflict; limits are checked before memory is taken. Thread
// safety: thread-compatible; search threads share one const Model. Ownership: by value. Errors: no
// model is returned for features that exact search doesn't support (several arenas, adjacency,
// partial orders, gaps that keep some bytes), beyond the limits, or where heights of 2^61 bytes
// could occur; `why` says which it is. The problem must have passed CheckProblem.

#ifndef TENURE_PLANNER_PACKING_EXACT_MODEL_H_
#define TENURE_PLANNER_PACKING_EXACT_MODEL_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tenure/planner/packing/problem.h"

namespace tenure::packing::exact {

// Offsets, sizes and heights, in units of Model::unit.
using Units = int64_t;
inline constexpr Units kNoUnits = INT64_MAX / 4;  // above every sum that occurs

// Rows of numbers in one array.
struct Rows {
  std::vector<uint32_t> begin;  // the start of each row, and the end of the last
  std::vector<uint32_t> values;

  const uint32_t* first(size_t row) const { return values.data() + begin[row]; }
  const uint32_t* last(size_t row) const { return values.data() + begin[row + 1]; }
};

struct Model {
  uint64_t unit = 1;      // bytes
  uint32_t sections = 0;  // numbered from 0, forwards or backwards in time

  // These vectors have an entry for each item that holds bytes at some moment. The model leaves
  // other items out. It has its own order of items: neither this order nor anything else in the
  // model depends on the order of items in the problem, on the direction of time or on its unit.
  std::vector<uint32_t> problem_item;
  std::vector<Units> size;
  std::vector<Units> alignment;  // 1: any offset is allowed
  std::vector<Units> fixed;      // -1 if not fixed
  std::vector<uint32_t> first_section;
  std::vector<uint32_t> last_section;  // inclusive
  Rows spans;                          // of each item: the sections it is in, ascending
  Rows members;                        // of each section: the items in it, ascending
  Rows conflicts;            // of each item: the items that share a section with it, ascending
  std::vector<Units> total;  // of each section: the sum of sizes

  Units idle_height = 0;  // of the items that never hold a byte, at their fixed offsets or at 0
  Units bound = 0;        // a lower bound: the largest total, or the highest fixed end

  size_t items() const { return size.size(); }
  // About how long a search may go without reading the clock when it begins or ends.
  std::chrono::nanoseconds SetUpTime() const {
    return std::chrono::nanoseconds(2 * (spans.values.size() + conflicts.values.size()));
  }
  // In sections.
  uint32_t width(size_t i) const { return spans.begin[i + 1] - spans.begin[i]; }
};

struct ModelLimits {
  uint64_t entries = 40'000'000;  // of spans, members and conflicts together
  // Called now and then while the model is built; if it returns true, building ends. May be empty.
  std::function<bool()> interrupted;
};

// `why` may be null. If no model is returned, it gets the reason as text for people; it stays as it
// is if the building was interrupted.
std::optional<Model> BuildModel(const Problem& problem, const ModelLimits& limits,
                                std::string* why = nullptr);

// Returns the part of a model that lives in sections [first, last], with items cut to these
// sections. If a part can't be packed, neither can the whole. Fixed offsets, alignments and the
// unit stay the same.
Model Window(const Model& model, uint32_t first, uint32_t last);

}  // namespace tenure::packing::exact

#endif  // TENURE_PLANNER_PACKING_EXACT_MODEL_H_
