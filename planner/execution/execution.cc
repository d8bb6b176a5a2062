#include "tenure/planner/execution/execution.h"

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tenure/base/annotate.h"
#include "tenure/base/status_macros.h"

namespace tenure {
namespace {

std::string NameOf(uint32_t number, const Step& step) {
  return step.name.empty() ? absl::StrCat("step ", number)
                           : absl::StrCat("step ", number, " ('", step.name, "')");
}

// Makes all later work of the queue come after `fence`.
absl::Status Follow(Queue& queue, const Fence& fence) {
  return queue.CanWaitFor(fence) ? queue.WaitFor(fence) : fence.Wait();
}

// Numbers the queues, as one Queue may stand for several numbers, and finds the queue of each step.
absl::StatusOr<std::vector<uint32_t>> QueuesOfSteps(
    const std::vector<Step>& steps, const std::vector<std::shared_ptr<Queue>>& numbered,
    std::vector<std::shared_ptr<Queue>>& queues) {
  std::vector<uint32_t> index_of_number;
  for (const std::shared_ptr<Queue>& queue : numbered) {
    if (queue == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("queue ", index_of_number.size(),
                       " is null; give a Queue for each number that a step names"));
    }
    const auto found = std::find(queues.begin(), queues.end(), queue);
    index_of_number.push_back(static_cast<uint32_t>(found - queues.begin()));
    if (found == queues.end()) queues.push_back(queue);
  }
  std::vector<uint32_t> queue_of_step;
  queue_of_step.reserve(steps.size());
  for (uint32_t s = 0; s < steps.size(); ++s) {
    if (steps[s].queue >= index_of_number.size()) {
      return absl::InvalidArgumentError(absl::StrCat(
          NameOf(s, steps[s]), " is of queue ", steps[s].queue, ", but queues were given for ",
          index_of_number.size(), " numbers; one Queue may be given for several of them"));
    }
    queue_of_step.push_back(index_of_number[steps[s].queue]);
  }
  return queue_of_step;
}

absl::Status CheckPlaced(const PlacedPlan& placed, size_t steps) {
  for (const PlacedFill& fill : placed.fills) {
    if (fill.step >= steps || fill.storage.is_null()) {
      return absl::InvalidArgumentError(absl::StrCat("the placed plan fills a storage at step ",
                                                     fill.step, ", but there are ", steps,
                                                     " steps; place the plan of this schedule"));
    }
  }
  for (const ReuseEdge& edge : placed.reuse_edges) {
    if (edge.before >= edge.after || edge.after >= steps) {
      return absl::InvalidArgumentError(absl::StrCat("the placed plan has a reuse edge from step ",
                                                     edge.before, " to ", edge.after, " of ", steps,
                                                     " steps; place the plan of this schedule"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Execution> Execution::Create(Schedule schedule, const PlacedPlan& placed,
                                            const std::vector<std::shared_ptr<Queue>>& queues,
                                            const ExecutionOptions& options) {
  std::vector<Step> steps = schedule.TakeSteps();
  TENURE_RETURN_IF_ERROR(CheckPlaced(placed, steps.size()));
  std::vector<std::shared_ptr<Queue>> distinct;
  TENURE_ASSIGN_OR_RETURN(std::vector<uint32_t> queue_of_step,
                          QueuesOfSteps(steps, queues, distinct));
  return Execution(std::move(steps), schedule.order(), placed, std::move(distinct),
                   std::move(queue_of_step), options);
}

Execution::Execution(std::vector<Step> steps, OrderKind order, const PlacedPlan& placed,
                     std::vector<std::shared_ptr<Queue>> queues,
                     std::vector<uint32_t> queue_of_step, const ExecutionOptions& options)
    : options_(options),
      steps_(std::move(steps)),
      fills_(placed.fills),
      arenas_(placed.arenas),
      holds_(placed.holds),
      queues_(std::move(queues)),
      queue_of_step_(std::move(queue_of_step)),
      waits_(steps_, order, placed.reuse_edges, queue_of_step_) {
  std::stable_sort(fills_.begin(), fills_.end(),
                   [](const PlacedFill& a, const PlacedFill& b) { return a.step < b.step; });
  for (const Step& step : steps_) {
    for (const Buffer& buffer : step.writes) written_.insert(buffer.storage_id());
  }
}

absl::Status Execution::Rebind(absl::Span<const Rebinding> rebindings) {
  for (const auto& [from, to] : rebindings) {
    if (from.is_null()) continue;  // RebindSteps says so
    const auto window = bound_.find(from.storage_id());
    const Buffer whole =
        window == bound_.end() ? Buffer::OfStorage(*from.storage()) : window->second;
    for (const Buffer& arena : arenas_) {
      if (!arena.Overlaps(whole) && !arena.Overlaps(to)) continue;
      return absl::FailedPreconditionError(absl::StrCat(
          "can't rebind '", from.name(), "' to '", to.name(),
          "': the plan has placed one of them, or others in its memory; to rebind an input or "
          "output, mark it with InputUse::kKept or OutputPlacement::kOwn"));
    }
    if (to.is_sealed() && written_.contains(from.storage_id())) {
      return absl::FailedPreconditionError(
          absl::StrCat("can't rebind '", from.name(), "' to '", to.name(),
                       "': it is written, and the latter is sealed"));
    }
  }
  TENURE_RETURN_IF_ERROR(internal::RebindSteps(rebindings, steps_, bound_));
  written_.clear();
  for (const Step& step : steps_) {
    for (const Buffer& buffer : step.writes) written_.insert(buffer.storage_id());
  }
  return absl::OkStatus();
}

absl::Status Execution::Run(Launch launch) {
  TENURE_RETURN_IF_ERROR(BeginRun());
  for (uint32_t number = 0; number < steps_.size(); ++number) {
    if (options_.cancel != nullptr && options_.cancel->load(std::memory_order_relaxed)) {
      return AtStep(number, absl::CancelledError("cancelled before it was launched"));
    }
    TENURE_RETURN_IF_ERROR(RunStep(number, launch));
  }
  return absl::OkStatus();
}

absl::Status Execution::BeginRun() {
  if (released_) {
    return absl::FailedPreconditionError(
        "the first run has released the steps; make an execution for each run, or leave "
        "ExecutionOptions::release_steps out");
  }
  next_fill_ = 0;
  ends_.assign(steps_.size(), Fence());
  followed_.assign(queues_.size(), {});
  starts_.clear();
  for (const std::shared_ptr<Queue>& queue : queues_) {
    absl::StatusOr<Fence> start = queue->Record();
    if (!start.ok()) return Annotate(start.status(), "before the first step");
    starts_.push_back(*std::move(start));
  }
  return absl::OkStatus();
}

absl::Status Execution::RunStep(uint32_t number, Launch launch) {
  Step& step = steps_[number];
  const uint32_t queue_number = queue_of_step_[number];
  Queue& queue = *queues_[queue_number];
  absl::Status status = Allocate(step);
  if (status.ok()) status = FollowSteps(number, queue);
  if (status.ok()) status = FillFor(number);
  if (status.ok()) status = FollowOthers(step, queue_number);
  if (!status.ok()) return AtStep(number, status);
  status = launch({.number = number, .step = step, .queue = queue});
  // The uses are recorded after an error too, because part of the step may be running.
  status.Update(RecordUses(number, queue));
  if (!status.ok()) return AtStep(number, status);
  if (options_.release_steps) {
    released_ = true;
    step.reads.clear();
    step.writes.clear();
  }
  while (launched_.size() > options_.max_steps_ahead) {
    status = WaitForOldest(absl::InfiniteFuture());
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status Execution::Allocate(const Step& step) {
  for (const auto& [buffers, role] :
       {std::pair(&step.reads, "read "), std::pair(&step.writes, "write ")}) {
    for (size_t i = 0; i < buffers->size(); ++i) {
      const Buffer& buffer = (*buffers)[i];
      absl::Status status = buffer.EnsureAllocated();
      // Memory that launched steps have released comes back when they are over.
      while (absl::IsResourceExhausted(status) && !launched_.empty()) {
        if (absl::Status s = WaitForOldest(absl::InfiniteFuture()); !s.ok()) {
          return Annotate(s, "waiting for memory that earlier steps use");
        }
        status = buffer.EnsureAllocated();
      }
      if (!status.ok()) return Annotate(status, absl::StrCat(role, i, " '", buffer.name(), "'"));
    }
  }
  return absl::OkStatus();
}

absl::Status Execution::FollowSteps(uint32_t number, Queue& queue) {
  for (uint32_t before : waits_.Of(number)) {
    if (absl::Status status = Follow(queue, ends_[before]); !status.ok()) {
      return Annotate(status, absl::StrCat("waiting for ", NameOf(before, steps_[before])));
    }
  }
  return absl::OkStatus();
}

absl::Status Execution::FillFor(uint32_t number) {
  constexpr std::byte kZero{0};
  for (; next_fill_ < fills_.size() && fills_[next_fill_].step == number; ++next_fill_) {
    // The fill comes after every recorded use of the bytes. It is recorded itself, as a use that
    // the step then follows: a fill comes before any other touch of its storage.
    const Buffer& storage = fills_[next_fill_].storage;
    if (absl::Status status = storage.FillAsync({&kZero, 1}).status(); !status.ok()) {
      return Annotate(status, absl::StrCat("zeroing '", storage.name(), "'"));
    }
  }
  return absl::OkStatus();
}

absl::Status Execution::FollowOthers(const Step& step, uint32_t queue) {
  for (const std::vector<Buffer>* buffers : {&step.reads, &step.writes}) {
    for (const Buffer& buffer : *buffers) {
      const StorageId id = buffer.storage_id();
      const bool is_new = std::none_of(followed_.begin(), followed_.end(),
                                       [&](const auto& storages) { return storages.contains(id); });
      if (!followed_[queue].insert(id).second) continue;
      const bool is_input = is_new && buffers == &step.reads;
      if (absl::Status status = FollowOthers(*buffer.storage(), queue, is_input); !status.ok()) {
        return Annotate(status, absl::StrCat("waiting for earlier uses of '", buffer.name(), "'"));
      }
    }
  }
  return absl::OkStatus();
}

absl::Status Execution::FollowOthers(Storage& storage, uint32_t queue, bool is_input) {
  const Access access = written_.contains(storage.id()) ? Access::kWrite : Access::kRead;
  std::vector<Fence> fences = storage.ConflictingUses(0, storage.size_bytes(), access);
  if (is_input) {
    // A copy in that is over and has failed has no fence to follow, but its bytes are not there.
    // Asked second, so that a copy that fails meanwhile is seen too.
    TENURE_ASSIGN_OR_RETURN(const std::vector<Fence> writes,
                            storage.PendingUses(0, storage.size_bytes(), Access::kRead));
    fences.insert(fences.end(), writes.begin(), writes.end());
  }
  for (const Fence& fence : fences) {
    if (queues_[queue]->HasRecorded(fence) || IsOfThisRun(fence)) continue;
    TENURE_RETURN_IF_ERROR(Follow(*queues_[queue], fence));
  }
  return absl::OkStatus();
}

bool Execution::IsOfThisRun(const Fence& fence) const {
  return std::any_of(starts_.begin(), starts_.end(), [&fence](const Fence& start) {
    return start.timeline() == fence.timeline() && start.value() < fence.value();
  });
}

absl::Status Execution::RecordUses(uint32_t number, Queue& queue) {
  const Step& step = steps_[number];
  absl::StatusOr<Fence> done = queue.Record();
  if (!done.ok()) {
    // No fence guards the work of the queue, so it has to be over before anything is freed.
    queue.Synchronize().IgnoreError();
    return done.status();
  }
  launched_.push_back({number, *done});
  if (waits_.IsWaitedFor(number)) ends_[number] = *done;
  uses_.clear();
  for (const Buffer& buffer : step.reads) uses_.push_back({&buffer, Access::kRead});
  for (const Buffer& buffer : step.writes) uses_.push_back({&buffer, Access::kWrite});
  return tenure::RecordUses(uses_, *done);
}

absl::Status Execution::WaitForOldest(absl::Time deadline) {
  const Launched oldest = launched_.front();
  absl::Status status = oldest.done.WaitUntil(deadline);
  if (status.ok() || !absl::IsDeadlineExceeded(status) || oldest.done.IsReached()) {
    launched_.pop_front();
  }
  return AtStep(oldest.step, status);
}

absl::Status Execution::Wait(absl::Duration timeout) {
  const absl::Time deadline =
      timeout == absl::InfiniteDuration() ? absl::InfiniteFuture() : absl::Now() + timeout;
  absl::Status first;
  while (!launched_.empty()) {
    const size_t before = launched_.size();
    first.Update(WaitForOldest(deadline));
    if (launched_.size() == before) break;
  }
  return first;
}

absl::Status Execution::AtStep(uint32_t number, const absl::Status& status) const {
  return Annotate(status, NameOf(number, steps_[number]));
}

}  // namespace tenure
