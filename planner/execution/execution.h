// Execution: runs the steps of a schedule on queues, in the order that its plan relies on.
//
// Why: a plan gives the same bytes to several storages, one after the other. On several queues only
// waits keep these uses apart, and the bytes of a step must not be freed or read while its queue
// still has the work. Execution makes the waits, zeroes the storages that the plan lists, and
// records the uses. The caller launches each step.
//
//   queue 0   | 0: write a | fence |            | 2: write b, in the bytes of a | fence |
//                             \ dependency     / reuse edge
//   queue 1                    | 1: read a | fence |
//
// Example:
//   TENURE_ASSIGN_OR_RETURN(Plan plan, MakePlan(schedule, {.fill_zeroed = true}));
//   TENURE_ASSIGN_OR_RETURN(PlacedPlan placed, PlacePlan(plan, schedule));
//   TENURE_ASSIGN_OR_RETURN(Execution execution,  // queue 0 is `compute`, queue 1 is `copies`
//                           Execution::Create(std::move(schedule), placed, {compute, copies}));
//   TENURE_RETURN_IF_ERROR(execution.Run([&](const StepContext& at) {
//     return LaunchKernel(at.step, at.queue);  // gives its work to at.queue and returns
//   }));
//   TENURE_RETURN_IF_ERROR(execution.Wait());  // or read an output: that waits too
//
// Order: in total order, steps are ordered if they touch the same bytes of one storage, and by the
// plan's reuse edges; with dependencies, they are ordered by Step::after. Uses of a storage that
// were recorded before the run (a copy into an input, an earlier run) come before the first step of
// each queue that touches the storage. Queues wait for each other on the device. The host waits
// only where Queue::CanWaitFor says no.
//
// Cost: a fence for each step, with which all uses of the step are recorded, and a wait for each
// order that crosses queues and that no other wait implies. Create is linear in the buffers that
// the steps touch. Thread safety: thread-compatible. During Run no other thread may use the
// storages of the schedule. Afterwards all may, since uses are recorded. Ownership: owns the steps
// and so their handles; shares the queues and the arenas. The destructor waits for nothing, because
// fences guard the work that is still queued. Errors: InvalidArgument if queue numbers, fills or
// edges do not fit the schedule or the queues. Run and Wait give the first error, which names the
// step, as in "step 3 ('matmul'): ...". A copy into an input that failed before the run is an error
// of the run. After an error nothing more is launched. Work that is already queued goes on, guarded
// by its fences, and Wait waits for it.

#ifndef TENURE_PLANNER_EXECUTION_EXECUTION_H_
#define TENURE_PLANNER_EXECUTION_EXECUTION_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "tenure/allocator/queue.h"
#include "tenure/planner/execution/step_waits.h"
#include "tenure/planner/place_plan.h"
#include "tenure/planner/rebind.h"
#include "tenure/planner/schedule.h"
#include "tenure/runtime/hazards.h"

namespace tenure {

struct ExecutionOptions {
  // How many steps may be launched and not yet over. A larger number lets the host run further
  // ahead of the queues. A smaller one lets memory that steps have released come back sooner. 0:
  // each step is over before the next is launched.
  uint32_t max_steps_ahead = 128;
  // Drop the handles of each step once it is launched, so that a storage that is not placed is
  // freed after its last step. Then there can be only one run.
  bool release_steps = false;
  // When this is true, Run ends with Cancelled before the next step. Borrowed; may be null.
  const std::atomic<bool>* cancel = nullptr;
};

// The arguments of a launch. The buffers of the step are allocated, and the queue is behind all
// work that the step has to come after.
struct StepContext {
  uint32_t number;
  const Step& step;
  Queue& queue;
};

class Execution {
 public:
  // Gives the step's work to its queue and returns. Work that is given to anything else must be
  // made part of the queue by Queue::WaitFor, because the uses of the step are recorded until the
  // current work of the queue is over.
  using Launch = absl::FunctionRef<absl::Status(const StepContext&)>;

  // Steps of queue i (Step::queue) run on queues[i]. One Queue may stand for several numbers.
  // `placed` must be of the same schedule; it is empty if the schedule is not planned.
  static absl::StatusOr<Execution> Create(Schedule schedule, const PlacedPlan& placed,
                                          const std::vector<std::shared_ptr<Queue>>& queues,
                                          const ExecutionOptions& options = {});

  // Launches every step, in the order of the schedule. It can be called again, also while earlier
  // runs are under way: the queues keep the runs in order. An out-of-memory error is reported only
  // when everything launched is over and memory is still missing.
  absl::Status Run(Launch launch);

  // Gives the steps other buffers for the next runs, without planning again: other inputs, other
  // outputs. Each `from` is a buffer that the steps use now, with memory of its own that no plan has
  // lent to others; `to` is as large, in the same space, and may be a window of a larger storage.
  // Runs that are under way keep the old ones. All or none.
  absl::Status Rebind(absl::Span<const Rebinding> rebindings);

  // Waits until every step that was launched is over. DeadlineExceeded names one that is not.
  absl::Status Wait(absl::Duration timeout = absl::InfiniteDuration());

 private:
  struct Launched {
    uint32_t step;
    Fence done;
  };

  Execution(std::vector<Step> steps, OrderKind order, const PlacedPlan& placed,
            std::vector<std::shared_ptr<Queue>> queues, std::vector<uint32_t> queue_of_step,
            const ExecutionOptions& options);
  absl::Status BeginRun();
  absl::Status RunStep(uint32_t number, Launch launch);
  // Allocates the step's buffers. If memory is missing, waits for launched steps.
  absl::Status Allocate(const Step& step);
  // Makes the queue wait for steps on other queues.
  absl::Status FollowSteps(uint32_t number, Queue& queue);
  // Zeroes the storages that the plan lists for this step.
  absl::Status FillFor(uint32_t number);
  // Makes the queue wait for uses from before the run, and for fills.
  absl::Status FollowOthers(const Step& step, uint32_t queue);
  // An input holds bytes from before the run: the error of what wrote them is the run's.
  absl::Status FollowOthers(Storage& storage, uint32_t queue, bool is_input);
  // Returns whether one of the queues has recorded the fence since the run began. waits_ orders
  // these.
  bool IsOfThisRun(const Fence& fence) const;
  // Records the step's uses until the current work of its queue is over.
  absl::Status RecordUses(uint32_t number, Queue& queue);
  absl::Status WaitForOldest(absl::Time deadline);
  absl::Status AtStep(uint32_t number, const absl::Status& status) const;

  ExecutionOptions options_;
  std::vector<Step> steps_;
  std::vector<PlacedFill> fills_;  // by step
  std::vector<Buffer> arenas_;     // kept
  std::vector<std::shared_ptr<const WritableHold>> holds_;
  std::vector<std::shared_ptr<Queue>> queues_;
  std::vector<uint32_t> queue_of_step_;
  StepWaits waits_;
  absl::flat_hash_set<StorageId> written_;
  internal::BoundWindows bound_;
  std::deque<Launched> launched_;  // steps of all runs that may not be over yet

  // The state of the current run.
  bool released_ = false;
  std::vector<Fence> starts_;                             // of each queue
  std::vector<Fence> ends_;                               // of each step that others wait for
  std::vector<absl::flat_hash_set<StorageId>> followed_;  // of each queue
  size_t next_fill_ = 0;
  std::vector<Use> uses_;  // of one step; kept for its memory
};

}  // namespace tenure

#endif  // TENURE_PLANNER_EXECUTION_EXECUTION_H_
