// Random small problems with every feature, and the slowest planner there is.
//
// Thread safety: thread-compatible. Ownership: by value. Errors: none.

#ifndef TENURE_TESTS_PLANNER_PACKING_TESTING_H_
#define TENURE_TESTS_PLANNER_PACKING_TESTING_H_

#include <cstdint>
#include <optional>
#include <random>
#include <vector>

#include "tenure/planner/packing/packing.h"
#include "tenure/planner/packing/problem.h"

namespace tenure::packing {

// Which features a random problem may have.
struct Features {
  int items = 6;
  int largest_size = 4;
  int moments = 8;
  bool alignment = false;
  bool fixed = false;
  bool gaps = false;
  bool windows = false;
  bool arenas = false;
  bool adjacency = false;
  bool order = false;
};

// A problem that passes CheckProblem; the same for the same seed everywhere.
Problem RandomProblem(const Features& features, uint32_t seed);

// Items that fit together without a hole: a rectangle of moments and bytes, cut at random into so
// many pieces. Its least height is `height`.
Problem Tight(uint32_t seed, Time moments, uint64_t height, size_t items);

// The least height of any packing up to `most`, by trying every offset of every item; nothing if
// there is none. Looks at the problem alone: no code of the planner is used.
std::optional<uint64_t> BruteForce(const Problem& problem, uint64_t most);

// One of the lowest packings up to `most`, found the same way: offsets and arenas.
struct BrutePacking {
  uint64_t height = 0;
  std::vector<uint64_t> offsets;
  std::vector<uint32_t> arenas;
};
std::optional<BrutePacking> BruteForcePacking(const Problem& problem, uint64_t most);

// Whether every rule of the problem but its capacity holds, looked at one by one and pair by pair.
bool IsValid(const Problem& problem, const std::vector<uint64_t>& offsets,
             const std::vector<uint32_t>& arenas);

// The same problem, said in another way; what is known of one holds for the other.
Problem Mirrored(const Problem& problem);                 // time runs backwards
Problem Scaled(const Problem& problem, uint64_t factor);  // all bytes times the factor
Problem Permuted(const Problem& problem, uint32_t seed);  // items and tables in another order

// Whether both items may hold overlapping bytes, as the problem says.
bool MayShare(const Problem& problem, uint32_t a, uint64_t a_offset, uint32_t b, uint64_t b_offset);

}  // namespace tenure::packing

#endif  // TENURE_TESTS_PLANNER_PACKING_TESTING_H_
