// StableHash: a 64-bit hash that is the same in every process, unlike absl::Hash with its random
// seed. Stored plans depend on its values. The finalizer is that of splitmix64. Internal to the
// planner.
//
// Cost: a few instructions for each number or character. Thread safety: thread-compatible.

#ifndef TENURE_PLANNER_STABLE_HASH_H_
#define TENURE_PLANNER_STABLE_HASH_H_

#include <cstdint>
#include <string_view>

namespace tenure::internal {

class StableHash {
 public:
  void Add(uint64_t value) {
    state_ += value + 0x9e3779b97f4a7c15;
    state_ = (state_ ^ (state_ >> 30)) * 0xbf58476d1ce4e5b9;
    state_ = (state_ ^ (state_ >> 27)) * 0x94d049bb133111eb;
    state_ ^= state_ >> 31;
  }
  void Add(std::string_view text) {
    Add(text.size());
    for (char c : text) Add(static_cast<unsigned char>(c));
  }
  uint64_t value() const { return state_; }

 private:
  uint64_t state_ = 0;
};

}  // namespace tenure::internal

#endif  // TENURE_PLANNER_STABLE_HASH_H_
