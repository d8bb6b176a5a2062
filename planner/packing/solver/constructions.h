// Greedy constructions of one set of rectangles: under several rankings, and repaired.
//
// Why: each ranking is nearly always good and sometimes bad, and what went wrong can be read off
// the packing: the rectangles that stick out above the bound were placed too late. Repair promotes
// them in the ranking and constructs again, a few dozen times.
//
//   bound ----------------########----     the rectangle on top is promoted to the rank of those
//        ####   ########  ########         that live at the peak, and behind its second offence
//        ####################  ###         above them
//
// Two rules of promotion differ in how fast a rectangle rises, and a third kind of repair puts
// weight on the sections that overflow (by pressure, see bit_skyline.h). None is best everywhere;
// all are deterministic.
//
// Cost: one construction for each round: see skyline.h and bit_skyline.h. Thread safety:
// single-threaded. Ownership: borrows the instance. Errors: none.

#ifndef TENURE_PLANNER_PACKING_SOLVER_CONSTRUCTIONS_H_
#define TENURE_PLANNER_PACKING_SOLVER_CONSTRUCTIONS_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tenure/planner/packing/budget.h"
#include "tenure/planner/packing/plain.h"
#include "tenure/planner/packing/skyline.h"
#include "tenure/planner/packing/solver/bit_skyline.h"

namespace tenure::packing {

// How fast rectangles that stick out rise.
enum class Promotion {
  kHalfway,  // half of the way to those that live at the peak; beyond it by one
  kAtOnce,   // beside those that live at the peak, then above them, then above all
};

class Constructions {
 public:
  // The rectangles `ids` of the instance, or all if empty; they lie in `totals.size()` sections
  // from `first_section`. Nothing is gained by a top below `target`.
  Constructions(const PlainInstance& plain, std::vector<uint64_t> totals,
                const std::vector<uint32_t>& ids, uint32_t first_section, uint64_t target);

  // One construction. Letters name the keys of the ranking, the most important first, largest value
  // first:
  //
  //   T  the largest section total that the rectangle takes part in
  //   W  the length of its life
  //   A  length times size
  //   S  its size
  //   t  like T, in steps of 1/64 of the target
  //
  // False if the budget ended; there is a packing all the same.
  bool Try(std::string_view ranking, Budget& budget);

  // Up to `rounds` constructions with promotion between them.
  bool Repair(std::string_view ranking, Promotion promotion, int rounds, Budget& budget);
  // The same with weights on sections. Does nothing if there are too many rectangles for bits.
  bool RepairByPressure(int rounds, Budget& budget);

  bool done() const { return top_ <= target_; }
  bool small() const { return bits_.has_value(); }
  size_t size() const { return rectangles_.size(); }
  uint64_t top() const { return top_; }
  const std::vector<uint64_t>& offsets() const { return offsets_; }
  const std::string& winner() const { return winner_; }
  uint64_t constructions() const { return constructions_; }
  uint64_t improvements() const { return improvements_; }

 private:
  struct Ranked {
    std::array<uint64_t, 3> keys;
    uint32_t rectangle;
    // Best first.
    friend bool operator<(const Ranked& a, const Ranked& b) {
      if (a.keys != b.keys) return a.keys > b.keys;
      return a.rectangle < b.rectangle;
    }
  };

  void Prepare();
  void Rank(std::string_view ranking);
  void SetOrder();
  bool Construct(uint64_t limit, Budget& budget);
  // Keeps the trial if it is the best; finishes it if it was cut short and there is nothing else.
  void Take(bool complete, std::string_view kind, std::string_view ranking);
  void PromoteOffenders(Promotion promotion);

  const PlainInstance& plain_;
  std::vector<Rectangle> own_;  // rectangles with sections of their own, unless all
  const std::vector<Rectangle>& rectangles_;
  std::vector<uint64_t> totals_;
  std::vector<uint64_t> width_;  // of rectangles
  uint64_t target_;

  std::vector<uint64_t> most_;  // the largest section total of each rectangle
  std::optional<SkylineGreedy> tree_;
  std::optional<BitSkyline> bits_;
  std::vector<Ranked> ranked_, promoted_, merged_;
  std::vector<uint32_t> order_;
  std::vector<uint64_t> trial_, offsets_;
  uint64_t top_ = kUnlimited;
  uint64_t constructions_ = 0, improvements_ = 0;
  std::string winner_;
};

}  // namespace tenure::packing

#endif  // TENURE_PLANNER_PACKING_SOLVER_CONSTRUCTIONS_H_
