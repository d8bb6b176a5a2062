// Schedule: the compiler's list of steps, with the live buffers that each reads and writes.
//
// Why live handles: the planner sees through views (all buffers of one storage live and die
// together), and the storage's reference count tells whether anybody outside the schedule still
// holds it. So hand your handles over: what you keep is "held" and not planned.
//
//   step 0   embed    reads: tokens (input), table      writes: h0
//   step 1   matmul   reads: h0, w1                     writes: h1
//   step 2   add      reads: h0, h1                     writes: out (output)
//                     in_place: {{1, 0}}                write 0 may take over read 1's bytes
//
// Example:
//   Schedule schedule("decoder");
//   schedule.MarkInput(tokens);
//   schedule.MarkInput(table);
//   schedule.MarkOutput(out);
//   TENURE_RETURN_IF_ERROR(
//       schedule.AddStep({.name = "embed", .reads = {tokens, table}, .writes = {h0}}).status());
//   h0 = Buffer();  // the schedule alone holds it now, so it can be planned
//   TENURE_ASSIGN_OR_RETURN(Plan plan, MakePlan(schedule));  // planner.h
//
// Order: with OrderKind::kTotal steps run as if one after the other, in the order added (a
// concurrent executor honours hazards and adds Plan::reuse_edges). With kDependencies only `after`
// orders steps: the rest may run at the same time, and the plan needs no further edges.
//
// Cost: moving the handles; linear in what a step says.
// Thread safety: thread-compatible. Ownership: owns the handles it was given. Errors:
// InvalidArgument, naming the step and what is wrong with it.

#ifndef TENURE_PLANNER_SCHEDULE_H_
#define TENURE_PLANNER_SCHEDULE_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tenure/runtime/buffer.h"

namespace tenure {

enum class OrderKind : uint8_t { kTotal, kDependencies };

// Permission: write number `write` may take over the bytes of read number `read`. Used where it is
// the input's last use, both are whole storages of equal size and space that the plan may place,
// and the step touches each of the two once.
struct InPlace {
  uint32_t read = 0;
  uint32_t write = 0;
};

// Members have initializers so that designated ones may be left out.
struct Step {
  std::string name = {};
  std::vector<Buffer> reads = {};
  std::vector<Buffer> writes = {};
  // Earlier steps that must be over; only with OrderKind::kDependencies.
  std::vector<uint32_t> after = {};
  // Copy and compute queues: storages that are first touched on different lanes get arenas of their
  // own.
  uint32_t lane = 0;
  std::vector<InPlace> in_place = {};
};

class Schedule {
 public:
  explicit Schedule(std::string name = {}, OrderKind order = OrderKind::kTotal)
      : name_(std::move(name)), order_(order) {}
  Schedule(Schedule&&) = default;
  Schedule& operator=(Schedule&&) = default;

  // Appends a step and returns its number. Refuses null buffers, `after` that does not name earlier
  // steps, and permissions that name no read or write.
  absl::StatusOr<uint32_t> AddStep(Step step);

  // The storage has its contents before the first step. Not planned.
  void MarkInput(const Buffer& buffer) { inputs_.insert(buffer.storage_id()); }
  // The storage is read after the last step. Not planned: it outlives the arenas.
  void MarkOutput(const Buffer& buffer) { outputs_.insert(buffer.storage_id()); }
  // Keep it out of the plan, for a reason of the caller's.
  void Hold(const Buffer& buffer, std::string why) { held_[buffer.storage_id()] = std::move(why); }

  const std::string& name() const { return name_; }
  OrderKind order() const { return order_; }
  const std::vector<Step>& steps() const { return steps_; }
  // Gives the steps and their handles back; the schedule is empty then.
  std::vector<Step> TakeSteps() { return std::exchange(steps_, {}); }
  bool IsInput(StorageId id) const { return inputs_.contains(id); }
  bool IsOutput(StorageId id) const { return outputs_.contains(id); }
  // The reason given to Hold, or null.
  const std::string* HeldBecause(StorageId id) const;

 private:
  std::string name_;
  OrderKind order_;
  std::vector<Step> steps_;
  absl::flat_hash_set<StorageId> inputs_;
  absl::flat_hash_set<StorageId> outputs_;
  absl::flat_hash_map<StorageId, std::string> held_;
};

}  // namespace tenure

#endif  // TENURE_PLANNER_SCHEDULE_H_
