// One depth-first search for a packing within a capacity, by one order of branching.
//
// The search considers only packings in which no item can be moved down; if there is a packing,
// there is one of this kind. Such a packing grows from the ground like a skyline:
//
//   ^          +-------+
//   |  +----+  |       |        the search takes a section whose floor, the lowest offset that an
//   |  |    |  |   +---+---+    open item can have in it, is a local minimum, and asks what lies on
//   |  |    +--+---+  floor     it: each open item of the section that fits there in turn, or
//   +--+----+------+-------+    nothing. Nothing: those items move up to the lowest support.
//
// Branching on places instead of items keeps the tree small. Independent choices are not permuted;
// a place that only one item can fill is no choice; and a place that no item can fill ends the
// branch at once.
//
//   Tree tree(model, strategy, rules, capacity, stop);
//   if (tree.Run(node_limit) == Verdict::kFound) Use(tree.offsets());
//
// Cost: it uses flat arrays and an undo trail, and allocates nothing during the search except when
// they grow. A node costs about the number of conflicts of the item placed. Memory: as much as the
// model. Thread safety: single-threaded; trees of one model are independent. Ownership: borrows the
// model, which must outlive the tree. Errors: none.

#ifndef TENURE_PLANNER_PACKING_EXACT_TREE_H_
#define TENURE_PLANNER_PACKING_EXACT_TREE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "tenure/planner/packing/exact/branching.h"
#include "tenure/planner/packing/exact/model.h"
#include "tenure/planner/packing/search_rules.h"
#include "tenure/planner/packing/sections.h"

namespace tenure::packing::exact {

enum class Verdict : uint8_t {
  kFound,
  kInfeasible,  // proven
  kLimit,       // out of nodes
  kStopped,     // deadline or cancel
};

class Tree {
 public:
  // `stop` also ends the building of large trees. `weights`, if not empty, are the failures of
  // sections in earlier runs; the failures of this run are added to them.
  Tree(const Model& model, const Strategy& strategy, const Rules& rules, Units capacity,
       const Stop& stop = {}, const Lead& lead = {}, const std::vector<double>& weights = {});

  // Must be called only once. `race`, if given, holds the number of the best run that has ended;
  // this run, number `run`, ends when that number becomes smaller than its own.
  Verdict Run(uint64_t node_limit, const std::atomic<uint64_t>* race = nullptr, uint64_t run = 0);

  uint64_t nodes() const { return nodes_; }
  uint64_t backtracks() const { return backtracks_; }
  // Returns the offset of each item of the model, after kFound.
  std::vector<Units> Offsets() const;
  // Returns the causes that ended branches so far.
  Failures FailuresSoFar() const;

 private:
  enum class Branch : uint8_t { kAlive, kDead, kStopped };
  enum class Step : uint8_t { kEnter, kSolved, kFailed, kLimit, kStopped };

  // An open choice, or parts that are searched one after the other.
  struct Frame {
    bool split;
    bool nothing;          // the last way is to place none of the candidates
    uint32_t first, last;  // sections
    uint32_t list;         // where its candidates (or parts) begin in lists_
    uint32_t next;
    size_t trail;
  };
  // The open items with the lowest key in a section.
  struct Lowest {
    Units floor = 0;  // their key
    Units next = 0;   // the lowest key above the floor
    uint32_t ways = 0;
    uint32_t item = 0;  // the item, if there is only one way

    friend bool operator==(const Lowest&, const Lowest&) = default;
  };
  // Several numbers mostly change together, so one entry can undo more than one of them.
  enum class Change : uint32_t { kPlaced, kAll, kLow, kGeometric, kLowest };
  struct Undo {
    Change change;
    uint32_t index;  // item or section
    Units old;
  };

  void Renumber(const Model& model);
  void LinkSiblings();
  void FindTaken();
  void UndoTo(size_t mark);

  // tree.cc
  static Step StepAfter(Branch ended) {
    return ended == Branch::kStopped ? Step::kStopped : Step::kFailed;
  }
  Step Enter(uint32_t first, uint32_t last);
  Step Solved();
  Step Advance();  // takes the next way of the innermost open choice
  // Pushes a frame if the open items fall into parts that share no section. Otherwise sets parts_,
  // part_first_ and part_last_.
  bool Split(uint32_t first, uint32_t last);

  // tree_rules.cc. Functions that read the clock return a Branch, because a stopped search must
  // never be taken for a dead branch: dead branches prove kInfeasible. Functions that return bool
  // return false where the branch is dead.
  Branch Place(uint32_t item);
  Units Fit(uint32_t item, Units offset) const;
  bool Raise(uint32_t item, Units offset, Change change = Change::kLow);
  bool Exclude(uint32_t item);
  Branch CheckTouched();
  bool CheckSection(uint32_t section);
  // The two steps of CheckSection, with 32-bit keys where the capacity allows it. RoomLeft tells
  // whether the open items may still fit, given the lowest key and the bytes at `probe_` or above;
  // UpdateLowest stores the lowest items.
  bool RoomLeft(uint32_t section, Units floor, Units above) const;
  void UpdateLowest(uint32_t section, const Lowest& lowest);
  bool CheckNarrow(uint32_t section);
  bool CheckWide(uint32_t section);
  Branch PlaceDominating(uint32_t first, uint32_t last);
  void Touch(uint32_t section) {
    if (touched_flag_[section] != 0) return;
    touched_flag_[section] = 1;
    touched_.push_back(section);
  }
  void ClearTouched();
  Units LowestOther(uint32_t item) const;  // the lowest offset of an open item in its sections
  Units LowestSupport(uint32_t item);
  bool OutOfOrder(uint32_t item, Units offset) const;
  void TakeOut(uint32_t section, uint32_t span);
  // Writes the key of an open item to the tables of its sections.
  void TellSections(uint32_t item);
  void FillNarrow();
  void SetLowest(uint32_t section, const Lowest& lowest) {
    lowest_[section] = lowest;
    floor_[section] = lowest.floor;
    second_[section] = lowest.ways > 1 ? lowest.floor : lowest.next;
    next_[section] = lowest.next;
  }
  const uint32_t* OpenBegin(uint32_t section) const { return members_.first(section); }
  const uint32_t* OpenEnd(uint32_t section) const {
    return members_.first(section) + open_count_[section];
  }
  // Counts work, and reads the clock now and then. Returns true if the search must end.
  bool Halted(uint64_t work) {
    work_ += work;
    if (work_ < kWorkOfLook) return halted_;
    work_ = 0;
    if (stop_.Now()) halted_ = true;
    return halted_;
  }
  uint64_t Neighbours(uint32_t item) const {
    return conflicts_.begin[item + 1] - conflicts_.begin[item];
  }
  bool IsOpen(uint32_t item) const { return key(item) != kNoUnits; }
  Units key(uint32_t item) const { return cell_[item].key; }
  Units size(uint32_t item) const { return cell_[item].size; }
  double Area(uint32_t item) const {
    return static_cast<double>(size(item)) *
           static_cast<double>(spans_.begin[item + 1] - spans_.begin[item]);
  }
  void Blame(uint32_t section);

  // tree_choice.cc
  struct Spot {
    uint32_t section = 0;
    uint32_t item = 0;  // of Choice::kItem
    Units floor = 0;
    bool nothing = false;  // the place may stay empty
  };
  Spot Choose(uint32_t first, uint32_t last);
  bool Look(uint32_t section, Spot& spot, double& value);
  SectionRange LowestBoundingBox(uint32_t section) const;
  double Value(uint32_t section, uint32_t ways) const;
  bool MayStayEmpty(uint32_t section);

  static constexpr uint64_t kWorkOfLook = 20000;  // about ten microseconds

  const Rules rules_;
  const Strategy strategy_;
  const Units capacity_;
  std::vector<uint32_t>
      order_;  // the model's item for each item here; items here are in static order

  // Key and size stand side by side, because sections ask for both.
  struct Cell {
    Units key;  // low_, kNoUnits once placed
    Units size;
  };
  std::vector<Cell> cell_;
  std::vector<Units> alignment_, fixed_;
  bool any_fixed_ = false;
  // For each item: the offsets at which it would overlap fixed items, as disjoint open intervals in
  // ascending order.
  std::vector<uint32_t> taken_begin_;
  std::vector<std::pair<Units, Units>> taken_;
  std::vector<uint32_t> first_section_, last_section_;
  Rows spans_, conflicts_;
  bool whole_ = true;                                      // no item has a gap
  std::vector<uint32_t> next_sibling_, previous_sibling_;  // the number of items if there is none
  std::vector<uint32_t> group_;                            // items of equal spans
  Rows groups_;

  // Of each section: the items in it, open items first. Taking an item out swaps it with the last
  // open one, so putting it back only needs the count to grow again.
  Rows members_;
  std::vector<uint32_t> member_span_;  // of each entry of members_: its entry of spans_
  std::vector<uint32_t> member_at_;    // of each entry of spans_: its entry of members_
  // For each entry of members_, if `narrow_`: key and size, side by side for the scans. The keys
  // equal those of cell_; the keys of entries that are not open have no meaning.
  bool narrow_ = false;
  std::vector<int32_t> member_key_, member_size_;

  // The state. Every change to it is recorded on the trail.
  std::vector<uint32_t> open_count_;  // of each section
  std::vector<Units> geometric_;      // lowest offset above all placed items
  std::vector<Units> low_;            // lowest offset that all rules allow; the offset once placed
  std::vector<Units> total_;          // of each section: open sizes
  std::vector<Units> floor_;          // of each section: lowest key
  std::vector<Units>
      second_;  // of each section: second lowest key; equals the lowest if that occurs twice
  std::vector<Units> next_;         // of each section: lowest key above the floor
  std::vector<Lowest> lowest_;      // of each section; the three vectors above are parts of it
  std::vector<uint32_t> crossing_;  // of each section: open items that are in the previous one too
  std::vector<Undo> trail_;
  std::vector<Lowest> old_lowest_;  // for the entries of the trail with Change::kLowest

  std::vector<double> weight_;      // of each section: its failures plus one
  std::vector<double> old_weight_;  // the weights at the start of the run
  double open_area_ = 0;            // sum of size times sections over open items
  double least_area_ = 0;           // the smallest open_area_ so far
  double all_area_ = 0;
  std::vector<double> failures_;  // of each item
  std::vector<uint8_t> touched_flag_;
  std::vector<uint32_t> touched_;
  std::vector<uint32_t> lists_;
  std::vector<Frame> frames_;
  std::vector<Units> support_;  // a cache of LowestSupport within a node
  std::vector<uint64_t> support_node_;
  Units probe_ = 0;  // the offset that items were last moved up to
  size_t parts_ = 0;
  uint32_t part_first_ = 0, part_last_ = 0;
  uint32_t enter_first_ = 0, enter_last_ = 0;
  uint64_t nodes_ = 0;
  uint64_t backtracks_ = 0;
  uint64_t node_limit_ = 0;
  uint64_t step_ = 0;
  const Stop stop_;
  uint64_t work_ = 0;
  bool halted_ = false;
  const std::atomic<uint64_t>* race_ = nullptr;
  uint64_t run_ = 0;
};

}  // namespace tenure::packing::exact

#endif  // TENURE_PLANNER_PACKING_EXACT_TREE_H_
