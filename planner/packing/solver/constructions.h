// Greedy constructions of one set of rectangles, under several rankings and with repair.
//
// Why: each ranking is nearly always good and sometimes bad, and the packing itself shows the
// fault: the rectangles that stick out above the bound were placed too late. Repair promotes them
// in the ranking and constructs again, a few dozen times.
//
//   bound ----------------########----     the rectangle on top is promoted to the rank of the
//        ####   ########  ########         rectangles that live at the peak; if it sticks out
//        ####################  ###         again, it is promoted above them
//
// Two rules of promotion differ in how fast a rectangle rises. A third kind of repair puts weights
// on the sections that overflow (by pressure, see bit_skyline.h). None is best everywhere. All are
// deterministic.
//
// Cost: one construction for each round; see skyline.h and bit_skyline.h. Thread safety:
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

// How fast rectangles that stick out rise in the ranking.
enum class Promotion {
  kHalfway,  // half of the way to the rectangles of the peak, then one place above them
  kAtOnce,   // to the rectangles of the peak, then above them, then above all
};

class Constructions {
 public:
  // Constructs packings of the rectangles `ids` of the instance, or of all if `ids` is empty. They
  // lie in `totals.size()` sections from `first_section` on. A top below `target` is no better than
  // `target`.
  Constructions(const PlainInstance& plain, std::vector<uint64_t> totals,
                const std::vector<uint32_t>& ids, uint32_t first_section, uint64_t target);

  // Makes one construction. The letters name the keys of the ranking, the most important first;
  // larger values rank first:
  //
  //   T  the largest section total that the rectangle takes part in
  //   W  the length of its life
  //   A  length times size
  //   S  its size
  //   t  like T, in steps of 1/64 of the target
  //
  // Returns false if the budget ended. Even then there is a packing.
  bool Try(std::string_view ranking, Budget& budget);

  // Makes up to `rounds` constructions with promotion between them.
  bool Repair(std::string_view ranking, Promotion promotion, int rounds, Budget& budget);
  // The same with weights on sections. Does nothing if there are too many rectangles for
  // BitSkyline.
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
  // Keeps the trial if it is the best so far. A trial that was cut short is finished if there is no
  // other packing.
  void Take(bool complete, std::string_view kind, std::string_view ranking);
  void PromoteOffenders(Promotion promotion);

  const PlainInstance& plain_;
  std::vector<Rectangle>
      own_;  // the rectangles, renumbered to their own sections, unless all are used
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
