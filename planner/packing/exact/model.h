// The problem as exact search sees it: small integers, sections and conflicts.
//
// Why: sizes of real buffers share a large divisor, and so do the offsets of every packing in which
// nothing can be moved down. Dividing it out makes heights small numbers, rounds every lower bound
// up, and lets most alignments vanish (those that divide the divisor hold by themselves).
//
//   section       0      1      2          a section is a moment at which the set of items that
//   item a    [==============)             hold bytes is maximal; items conflict exactly if they
//   item b           [==============)      share a section. A gap that frees all bytes takes an
//   item c    [=====)  gap  [=====)        item out of the sections in between.
//
//   std::optional<Model> model = BuildModel(problem, ModelLimits{});
//
// Cost: O(n log n) and the number of conflicts, 4 bytes each; limits are checked before memory is
// taken. Thread safety: thread-compatible; search threads share one const Model.
// Ownership: by value. Errors: nothing is returned for what exact search does not take (arenas
// beyond one, adjacency, partial orders, gaps that keep some bytes), beyond the limits, or where
// heights of 2^61 bytes could occur; the problem must have passed CheckProblem.

#ifndef TENURE_PLANNER_PACKING_EXACT_MODEL_H_
#define TENURE_PLANNER_PACKING_EXACT_MODEL_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "tenure/planner/packing/problem.h"

namespace tenure::packing::exact {

// Offsets, sizes and heights, in units of Model::unit.
using Units = int64_t;
inline constexpr Units kNoUnits = INT64_MAX / 4;  // above every sum that occurs

// Rows of numbers in one array.
struct Rows {
  std::vector<uint32_t> begin;  // of each row, and the end of the last
  std::vector<uint32_t> values;

  const uint32_t* first(size_t row) const { return values.data() + begin[row]; }
  const uint32_t* last(size_t row) const { return values.data() + begin[row + 1]; }
};

struct Model {
  uint64_t unit = 1;      // bytes
  uint32_t sections = 0;  // numbered from 0, forwards or backwards in time

  // Of each item that holds bytes at some moment. Others have no item here. Items are in an order
  // of their own: neither it nor anything else here depends on the order of items in the problem,
  // on the direction of time or on its unit.
  std::vector<uint32_t> problem_item;
  std::vector<Units> size;
  std::vector<Units> alignment;  // 1: any offset
  std::vector<Units> fixed;      // or -1
  std::vector<uint32_t> first_section;
  std::vector<uint32_t> last_section;  // inclusive
  Rows spans;                          // of each item: the sections it is in, ascending
  Rows members;                        // of each section: the items in it, ascending
  Rows conflicts;            // of each item: the items that share a section with it, ascending
  std::vector<Units> total;  // of each section: the sum of sizes

  Units idle_height = 0;  // of the items that never hold a byte: at their fixed offsets or at 0
  Units bound = 0;        // no packing is lower: largest total, highest fixed end

  size_t items() const { return size.size(); }
  // For how long a search may not look at the clock when it begins or ends, about.
  std::chrono::nanoseconds SetUpTime() const {
    return std::chrono::nanoseconds(2 * (spans.values.size() + conflicts.values.size()));
  }
  // In sections.
  uint32_t width(size_t i) const { return spans.begin[i + 1] - spans.begin[i]; }
};

struct ModelLimits {
  uint64_t entries = 40'000'000;  // of spans, members and conflicts together
  // Called now and then while building; true ends it. May be empty.
  std::function<bool()> interrupted;
};

std::optional<Model> BuildModel(const Problem& problem, const ModelLimits& limits);

// The part of a model that lives in sections [first, last], items cut to it. A part that cannot be
// packed proves that the whole cannot. Fixed offsets, alignments and the unit stay.
Model Window(const Model& model, uint32_t first, uint32_t last);

}  // namespace tenure::packing::exact

#endif  // TENURE_PLANNER_PACKING_EXACT_MODEL_H_
