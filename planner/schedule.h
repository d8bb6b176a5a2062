// Schedule: the compiler's list of steps, with the buffers that each step reads and writes.
//
// The schedule holds real buffers. From them the planner knows which views belong to one storage,
// since those live and die together, and whether a handle exists outside the schedule. A storage
// with such a handle is "held" and is not planned, so move your handles into the schedule.
//
//   step 0   embed    reads: tokens (input), table      writes: h0
//   step 1   matmul   reads: h0, w1                     writes: h1
//   step 2   add      reads: h0, h1                     writes: out (output)
//                     in_place: {{1, 0}}                write 0 may use the bytes of read 1
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
// Order: with OrderKind::kTotal the steps have the effect of running one after the other, in the
// order in which they were added. An executor that runs them concurrently must order steps that
// touch the same bytes, one of them writing, and must add Plan::reuse_edges. With kDependencies
// only `after` orders steps. All other steps may run at the same time, and the plan needs no
// further edges.
//
// Cost: moving the handles; linear in the length of a step.
// Thread safety: thread-compatible. Ownership: owns the handles it was given. Errors:
// InvalidArgument, naming the step and what is wrong with it.

#ifndef TENURE_PLANNER_SCHEDULE_H_
#define TENURE_PLANNER_SCHEDULE_H_

#include <any>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "tenure/planner/schedule_state.h"
#include "tenure/runtime/buffer.h"

namespace tenure {

enum class OrderKind : uint8_t { kTotal, kDependencies };

// What becomes of an input's bytes.
enum class InputUse : uint8_t {
  kKept,     // they are the caller's: nothing but the steps that name the input touches them
  kDonated,  // after the input's last use other storages may have them; the contents are lost then
};

// Where the bytes of an output lie.
enum class OutputPlacement : uint8_t {
  kOwn,      // in memory of its own, which nothing else uses
  kReused,   // in memory of its own, which intermediates may use before the output's first use
  kInArena,  // in an arena of the plan; whoever needs the output keeps a handle or the arena
};

// Permission to work in place: write number `write` may get the bytes of read number `read`. The
// planner makes use of it if this is the last use of the input, both are whole storages of equal
// size and space that the plan may place, and the step touches each of the two once. An output is
// not written into the memory of a donated input, since the input of the next run would erase it.
struct InPlace {
  uint32_t read = 0;
  uint32_t write = 0;
};

struct Step {
  // All members have initializers, so that a designated initializer may leave any of them out.
  std::string name = {};
  std::vector<Buffer> reads = {};
  std::vector<Buffer> writes = {};
  // Earlier steps that must be over before this one starts. Only with OrderKind::kDependencies.
  std::vector<uint32_t> after = {};
  // The number of the queue that the step runs on, for example 0 for compute and 1 for copies.
  // Storages that are first touched on different queues are packed into different arenas.
  uint32_t queue = 0;
  std::vector<InPlace> in_place = {};
  // Whatever the caller wants to find again when the step is launched, such as its kernel:
  //   std::any_cast<const Kernel&>(at.step.payload)
  // The planner does not look at it.
  std::any payload = {};
};

// One buffer in place of another: every window of the storage of `from` becomes the same window of
// `to`.
struct Rebinding {
  Buffer from;
  Buffer to;
};

class Schedule {
 public:
  explicit Schedule(std::string name = {}, OrderKind order = OrderKind::kTotal)
      : name_(std::move(name)), order_(order) {}
  Schedule(Schedule&&) = default;
  Schedule& operator=(Schedule&&) = default;

  // Appends a step and returns its number. Refuses null buffers, an `after` that does not name
  // earlier steps, and in-place permissions that name no read or write of the step.
  absl::StatusOr<uint32_t> AddStep(Step step);

  // The storage has its contents before the first step. It keeps memory of its own. A donated input
  // must be writable, and must be written again before each further run. It is kept all the same if
  // it is also an output, sealed, promised to be zeroed without having bytes yet, or in memory that
  // only it may use.
  void MarkInput(const Buffer& buffer, InputUse use = InputUse::kKept);
  // The storage is read after the last step. With kReused and kInArena, handles outside the schedule
  // do not matter, the storage has no contents before its first write, and it can't be sealed while
  // it shares bytes. With kInArena it must not have bytes yet.
  void MarkOutput(const Buffer& buffer, OutputPlacement placement = OutputPlacement::kOwn);
  // The storage may be planned even if handles to it exist outside the schedule, so a compiler whose
  // IR keeps handles need not drop them. The caller promises that nothing outside the schedule
  // depends on the contents: during and after a run the bytes may be those of another storage. All
  // other marks have precedence over this one.
  void MarkIntermediate(const Buffer& buffer) { MarkIntermediate(buffer.storage_id()); }
  void MarkIntermediate(StorageId id);
  // The same for every storage of the schedule, also for those of later steps.
  void MarkAllIntermediate();
  // Keeps the storage out of the plan. `why` is the reason that the plan reports.
  void Hold(const Buffer& buffer, std::string why);

  // Returns the same schedule on other storages, so that one plan serves many instances:
  //   PlacePlan(plan, *schedule.Instance({{input, input2}, {output, output2}}))
  // Storages that have a mark (other than MarkIntermediate) or bytes stay those of this schedule,
  // unless they are rebound; all others are fresh. `to` must be a whole storage that the
  // schedule does not use otherwise, made with the size, alignment and space of `from`.
  absl::StatusOr<Schedule> Instance(absl::Span<const Rebinding> rebindings = {}) const;

  const std::string& name() const { return name_; }
  OrderKind order() const { return order_; }
  const std::vector<Step>& steps() const { return steps_; }
  // Returns the steps with their handles and leaves the schedule without steps.
  std::vector<Step> TakeSteps();
  bool IsInput(StorageId id) const { return inputs_.contains(id); }
  bool IsOutput(StorageId id) const { return outputs_.contains(id); }
  bool IsDonated(StorageId id) const;
  // kOwn if it is no output.
  OutputPlacement PlacementOf(StorageId id) const;
  bool IsIntermediate(StorageId id) const {
    return all_intermediate_ || intermediates_.contains(id);
  }
  // Returns the reason that was given to Hold, or null.
  const std::string* HeldBecause(StorageId id) const;

  // Changes with every change of the schedule. For the planner (plan_check.h).
  const internal::ScheduleState& state() const { return state_.state(); }

 private:
  internal::ScheduleStateCounter state_;
  std::string name_;
  OrderKind order_;
  std::vector<Step> steps_;
  absl::flat_hash_map<StorageId, InputUse> inputs_;
  absl::flat_hash_map<StorageId, OutputPlacement> outputs_;
  absl::flat_hash_set<StorageId> intermediates_;
  bool all_intermediate_ = false;
  absl::flat_hash_map<StorageId, std::string> held_;
};

}  // namespace tenure

#endif  // TENURE_PLANNER_SCHEDULE_H_
