#include "tenure/allocator/copy/host_worker.h"

#include <algorithm>
#include <list>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tenure/allocator/timeline/fence_state.h"
#include "tenure/base/cpus.h"
#include "tenure/base/guarded.h"
#include "tenure/base/thread_pool.h"

namespace tenure {
namespace {

// How long one fence is waited for before the others are looked at again.
constexpr absl::Duration kLook = absl::Milliseconds(1);

// Whether this thread is inside of work that was given. What runs there are also the callbacks of
// users, when the work holds the last reference to something.
constinit thread_local bool in_work = false;

// An exception ends the work alone, and not the thread of all work.
absl::Status Do(const std::function<absl::Status()>& work) {
  in_work = true;
  const absl::Cleanup leave = [] { in_work = false; };
  return host::Guarded(work);
}

}  // namespace

// The end of a job. The work of a job may not wait for it: the thread that would reach it is its
// own.
class HostWorker::JobEnd final : public Timeline {
 public:
  explicit JobEnd(const HostWorker* worker) : worker_(worker) {}
  void Finish(absl::Status status) { end_.Finish(std::move(status)); }
  std::string Describe() const override { return end_.Describe(); }
  uint64_t Reached() const override { return end_.Reached(); }
  absl::Status Wait(uint64_t value, absl::Time deadline) override {
    if (Reached() < value && IsOfParent()) return Failure();
    if (in_work && Reached() < value) {
      return absl::FailedPreconditionError(
          "this thread does the queued copies of host memory, so to wait here for one of them "
          "would never end; wait on another thread");
    }
    return end_.Wait(value, deadline);
  }
  bool WasTold(uint64_t value) const override { return end_.WasTold(value); }
  absl::Status Failure() const override {
    if (Reached() > 0 || !IsOfParent()) return absl::OkStatus();
    return absl::FailedPreconditionError(
        "this process was forked while the copy was queued, and its parent's copies are not done "
        "here; wait for them before forking");
  }

 private:
  // Whether this process was forked after the work was given.
  bool IsOfParent() const { return worker_ != &Default(); }

  const HostWorker* const worker_;
  Completion end_;
};

HostWorker& HostWorker::Default() { return host::PerProcess<HostWorker>::Get(); }

absl::StatusOr<Fence> HostWorker::Submit(std::vector<Fence> after, absl::Time deadline,
                                         std::function<absl::Status()> work) {
  auto end = std::make_shared<JobEnd>(this);
  std::list<Job> job;
  job.push_back({std::move(after), deadline, std::move(work), end});
  if (job.front().after.empty() && StartAlone(job)) return Fence(std::move(end), 1);
  absl::MutexLock lock(&mutex_);
  if (!serving_ && !host::ThreadPool::Default().Start([this] { Serve(); })) {
    return absl::ResourceExhaustedError(
        "no thread can be made for work that has to wait; end some threads, or use the call that "
        "waits");
  }
  serving_ = true;
  given_.splice(given_.end(), job);
  return Fence(std::move(end), 1);
}

bool HostWorker::StartAlone(std::list<Job>& job) {
  absl::Cleanup give_back = [this] { alone_.fetch_sub(1, std::memory_order_relaxed); };
  if (alone_.fetch_add(1, std::memory_order_relaxed) < host::UsableCpus()) {
    auto mine = std::make_shared<std::list<Job>>();
    mine->swap(job);
    const bool started = host::ThreadPool::Default().Start([this, mine] {
      TryJob(mine->front());
      alone_.fetch_sub(1, std::memory_order_relaxed);
    });
    if (started) {
      std::move(give_back).Cancel();
      return true;
    }
    mine->swap(job);
  }
  return false;
}

bool HostWorker::TryJob(Job& job) {
  absl::Status status;
  if (std::all_of(job.after.begin(), job.after.end(), IsOver)) {
    for (const Fence& fence : job.after) {
      status = fence.WaitUntil(absl::InfinitePast());
      if (!status.ok()) break;
    }
    if (status.ok()) status = Do(job.work);
  } else if (job.deadline != absl::InfiniteFuture() && absl::Now() >= job.deadline) {
    status = absl::DeadlineExceededError(absl::StrCat(
        "waited in vain for earlier uses of the bytes; ",
        std::count_if(job.after.begin(), job.after.end(), [&](auto& f) { return !IsOver(f); }),
        " are not over"));
  } else {
    return false;
  }
  // What the work holds is let go before anybody hears that it is done, who may then end the life
  // of what it was made of.
  in_work = true;
  job.work = nullptr;
  in_work = false;
  job.end->Finish(std::move(status));
  return true;
}

void HostWorker::Serve() {
  std::list<Job> waiting;
  while (true) {
    {
      absl::MutexLock lock(&mutex_);
      if (waiting.empty() && given_.empty()) {
        serving_ = false;
        return;
      }
      waiting.splice(waiting.end(), given_);
    }
    // No lock while timelines are asked and work is done.
    waiting.remove_if([](Job& job) { return TryJob(job); });
    if (waiting.empty()) continue;
    const Job& first = waiting.front();
    for (const Fence& fence : first.after) {
      if (IsOver(fence)) continue;
      fence.WaitUntil(std::min(first.deadline, absl::Now() + kLook)).IgnoreError();
      break;
    }
  }
}

}  // namespace tenure
