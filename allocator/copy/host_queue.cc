#include "tenure/allocator/copy/host_queue.h"

#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <deque>
#include <system_error>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace tenure {

// What the queue holds, and the timeline of it: entry number k is over at value k.
class HostQueue::Work final : public Timeline {
 public:
  struct Entry {
    Fence after;
    std::function<absl::Status()> run;  // empty: the entry only waits
  };

  void Add(Entry entry) ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    entries_.push_back(std::move(entry));
    ++given_;
  }

  uint64_t given() const ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    return given_;
  }

  // No more entries will come: Serve ends after those that there are.
  void Close() ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    closed_ = true;
  }

  // The thread's: runs the entries.
  void Serve() ABSL_LOCKS_EXCLUDED(mutex_) {
    Entry entry;
    while (Take(&entry)) {
      absl::Status status = Failed();
      if (status.ok()) status = entry.after.Wait();
      if (status.ok() && entry.run) status = entry.run();
      // What the closure holds goes before anybody hears that the work is over, who may then
      // destroy what the closure refers to.
      entry = Entry();
      absl::MutexLock lock(&mutex_);
      const uint64_t value = reached_.load(std::memory_order_relaxed) + 1;
      if (!status.ok() && failure_.ok()) {
        failure_ = std::move(status);
        failed_at_ = value;
      }
      reached_.store(value, std::memory_order_release);
    }
  }

  uint64_t Reached() const override { return reached_.load(std::memory_order_acquire); }

  absl::Status Wait(uint64_t value, absl::Time deadline) override ABSL_LOCKS_EXCLUDED(mutex_) {
    auto over = [this, value] { return reached_.load(std::memory_order_relaxed) >= value; };
    absl::MutexLock lock(&mutex_);
    if (!mutex_.AwaitWithDeadline(absl::Condition(&over), deadline)) {
      return absl::DeadlineExceededError(
          "the work of a host queue is not over yet; wait longer, or look at what it waits for");
    }
    return value >= failed_at_ ? failure_ : absl::OkStatus();
  }

  // Each value is reached, well or not.
  absl::Status Failure() const override { return absl::OkStatus(); }

 private:
  // False when there are no entries and none will come.
  bool Take(Entry* entry) ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(
        +[](Work* work) ABSL_SHARED_LOCKS_REQUIRED(work->mutex_) {
          return work->closed_ || !work->entries_.empty();
        },
        this));
    if (entries_.empty()) return false;
    *entry = std::move(entries_.front());
    entries_.pop_front();
    return true;
  }

  absl::Status Failed() const ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    return failure_;
  }

  mutable absl::Mutex mutex_;
  std::deque<Entry> entries_ ABSL_GUARDED_BY(mutex_);
  uint64_t given_ ABSL_GUARDED_BY(mutex_) = 0;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  std::atomic<uint64_t> reached_{0};                           // written under mutex_
  uint64_t failed_at_ ABSL_GUARDED_BY(mutex_) = ~uint64_t{0};  // the first entry that failed
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
};

absl::StatusOr<std::shared_ptr<HostQueue>> HostQueue::Create() {
  auto work = std::make_shared<Work>();
  std::shared_ptr<HostQueue> queue(new HostQueue(work));
  // Signals of the embedding process are for its own threads.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  bool made = true;
  try {
    queue->thread_ = std::thread([work = std::move(work)] { work->Serve(); });
  } catch (const std::system_error&) {
    made = false;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (made) return queue;
  return absl::ResourceExhaustedError(
      "no thread can be made for a host queue; end some threads, or use fewer queues");
}

HostQueue::~HostQueue() {
  work_->Close();
  if (!thread_.joinable()) return;
  if (thread_.get_id() == std::this_thread::get_id()) {
    thread_.detach();
  } else {
    thread_.join();
  }
}

absl::Status HostQueue::Enqueue(std::function<absl::Status()> work) {
  if (!work) return absl::InvalidArgumentError("a host queue was given an empty function");
  work_->Add({.after = Fence(), .run = std::move(work)});
  return absl::OkStatus();
}

absl::StatusOr<Fence> HostQueue::Record() { return Fence(work_, work_->given()); }

bool HostQueue::HasRecorded(const Fence& fence) const { return fence.timeline() == work_; }

absl::Status HostQueue::WaitFor(absl::Span<const Fence> fences) {
  for (const Fence& fence : fences) work_->Add({.after = fence, .run = {}});
  return absl::OkStatus();
}

absl::Status HostQueue::Synchronize() { return Fence(work_, work_->given()).Wait(); }

}  // namespace tenure
