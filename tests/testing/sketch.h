// Sketch: schedules for tests, by names.
//
//   Sketch sketch;
//   sketch.Add("h0", 64);
//   sketch.Step("embed", {}, {"h0"});
//   sketch.Release();                       // else everything is held outside the schedule
//   absl::StatusOr<Plan> plan = MakePlan(sketch.schedule);
//
// A window of a buffer is "h0[16:48]".

#ifndef TENURE_TESTS_TESTING_SKETCH_H_
#define TENURE_TESTS_TESTING_SKETCH_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "gtest/gtest.h"
#include "tenure/allocator/null/null_allocator.h"
#include "tenure/planner/liveness.h"
#include "tenure/planner/planner.h"
#include "tenure/runtime/buffer.h"

namespace tenure {

struct StepExtras {
  std::vector<uint32_t> after = {};
  uint32_t queue = 0;
  std::vector<InPlace> in_place = {};
};

class Sketch {
 public:
  explicit Sketch(OrderKind order = OrderKind::kTotal) : schedule("sketch", order) {}

  const Buffer& Add(const std::string& name, uint64_t bytes, BufferOptions options = {},
                    Allocator* allocator = nullptr) {
    options.name = name;
    absl::StatusOr<Buffer> made = Buffer::Create(allocator == nullptr ? device : *allocator,
                                                 DType::kUInt8, Shape::Vector(bytes), options);
    EXPECT_TRUE(made.ok()) << made.status();
    return buffers[name] = *std::move(made);
  }

  const Buffer& operator[](const std::string& name) const { return buffers.at(name); }

  Buffer Window(const std::string& text) const {
    const std::vector<std::string> parts = absl::StrSplit(text, absl::MaxSplits('[', 1));
    const Buffer& whole = buffers.at(parts[0]);
    if (parts.size() == 1) return whole;
    const std::pair<std::string, std::string> range =
        absl::StrSplit(absl::StripSuffix(parts[1], "]"), ':');
    uint64_t begin = 0, end = 0;
    EXPECT_TRUE(absl::SimpleAtoi(range.first, &begin) && absl::SimpleAtoi(range.second, &end));
    return whole.View(begin, end - begin).value();
  }

  absl::StatusOr<uint32_t> TryStep(const std::string& name, const std::vector<std::string>& reads,
                                   const std::vector<std::string>& writes,
                                   const StepExtras& extras = {}) {
    tenure::Step step;
    step.name = name;
    for (const std::string& read : reads) step.reads.push_back(Window(read));
    for (const std::string& write : writes) step.writes.push_back(Window(write));
    step.after = extras.after;
    step.queue = extras.queue;
    step.in_place = extras.in_place;
    return schedule.AddStep(std::move(step));
  }
  uint32_t Step(const std::string& name, const std::vector<std::string>& reads,
                const std::vector<std::string>& writes, const StepExtras& extras = {}) {
    absl::StatusOr<uint32_t> number = TryStep(name, reads, writes, extras);
    EXPECT_TRUE(number.ok()) << number.status();
    return number.value_or(0);
  }

  // Lets go of every handle but these.
  void Release(const std::vector<std::string>& keep = {}) {
    std::map<std::string, Buffer> kept;
    for (const std::string& name : keep) kept[name] = buffers.at(name);
    buffers = std::move(kept);
  }

  // The number of a storage in plans.
  uint32_t Number(const std::string& name) const {
    const StepOrder order(schedule);
    const absl::StatusOr<Liveness> liveness = AnalyzeLiveness(schedule, order, {});
    EXPECT_TRUE(liveness.ok()) << liveness.status();
    for (uint32_t s = 0; liveness.ok() && s < liveness->storages.size(); ++s) {
      if (liveness->storages[s].storage->name() == name) return s;
    }
    ADD_FAILURE() << "no storage is called " << name;
    return 0;
  }

  // Where the plan put it, or null.
  const Placement* Find(const Plan& plan, const std::string& name) const {
    const uint32_t number = Number(name);
    for (const Placement& p : plan.placements) {
      if (p.storage == number) return &p;
    }
    return nullptr;
  }
  Placement At(const Plan& plan, const std::string& name) const {
    const Placement* p = Find(plan, name);
    EXPECT_NE(p, nullptr) << name << " is not placed";
    return p == nullptr ? Placement() : *p;
  }
  // Why it was not planned.
  static NotPlanned Why(const Plan& plan, const std::string& name) {
    for (const NotPlanned& n : plan.not_planned) {
      if (n.name == name) return n;
    }
    ADD_FAILURE() << name << " is not listed";
    return {.reason = PlanReason::kPlanned};
  }

  NullAllocator device;
  std::map<std::string, Buffer> buffers;
  Schedule schedule;
};

// Whether the two share bytes.
inline bool ShareBytes(const Placement& a, const Placement& b) {
  return a.arena == b.arena && a.offset_bytes < b.offset_bytes + b.size_bytes &&
         b.offset_bytes < a.offset_bytes + a.size_bytes;
}

}  // namespace tenure

#endif  // TENURE_TESTS_TESTING_SKETCH_H_
