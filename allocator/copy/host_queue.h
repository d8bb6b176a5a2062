// HostQueue: a Queue whose device is a thread of the host. It runs closures one after the other, in
// the order in which they were given.
//
// Why: a schedule that runs on the host is then launched like one that runs on a device. The caller
// goes on at once, work on several queues runs at the same time, and fences order it.
//
//   calls    Enqueue(a)   WaitFor(F)   Enqueue(b)   Record() -> fence
//   thread   | a |        | waits for F |  | b |    ^ the fence is reached
//
// Example:
//   TENURE_ASSIGN_OR_RETURN(std::shared_ptr<HostQueue> queue, HostQueue::Create());
//   TENURE_RETURN_IF_ERROR(queue->WaitFor(copy_is_done));
//   TENURE_RETURN_IF_ERROR(queue->Enqueue([=] { return Multiply(a, b, c); }));
//   TENURE_ASSIGN_OR_RETURN(Fence done, queue->Record());
//
// HostWorker (host_worker.h) is different: it has one thread for the whole process and runs what is
// ready first.
//
// Cost: a thread for each queue. A lock and an allocation for each closure; some 10 us until a
// thread that sleeps starts to work.
// Thread safety: thread-safe. Closures may use the queue, but must not wait for work that comes
// after them.
// Ownership: owns the closures until they have run, and destroys each before its fence is reached.
// The destructor waits for all work, and so for all fences that the work waits for. A closure that
// shares the queue may be its last owner: the thread then ends without anybody waiting for it.
// Errors: ResourceExhausted where no thread can be made. After a closure failed, or a fence that
// the queue waited for, the queue runs nothing more: later closures are dropped, and their fences
// and Synchronize give that error. Make another queue then. A forked child has none of its parent's
// threads and must not use the parent's queues.

#ifndef TENURE_ALLOCATOR_COPY_HOST_QUEUE_H_
#define TENURE_ALLOCATOR_COPY_HOST_QUEUE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "tenure/allocator/queue.h"
#include "tenure/allocator/timeline/timeline.h"

namespace tenure {

class HostQueue final : public Queue {
 public:
  static absl::StatusOr<std::shared_ptr<HostQueue>> Create();
  ~HostQueue() override;

  // Runs `work` after all that was given before. InvalidArgument for an empty function.
  absl::Status Enqueue(std::function<absl::Status()> work);

  std::string_view driver() const override { return "host"; }
  uint64_t native_handle() const override { return 0; }
  absl::StatusOr<Fence> Record() override;
  // Always: the thread waits.
  bool CanWaitFor(const Fence&) const override { return true; }
  bool HasRecorded(const Fence& fence) const override;
  using Queue::WaitFor;
  absl::Status WaitFor(absl::Span<const Fence> fences) override;
  absl::Status Synchronize() override;

 private:
  class Work;
  explicit HostQueue(std::shared_ptr<Work> work) : work_(std::move(work)) {}

  const std::shared_ptr<Work> work_;  // shared with the thread and with fences
  std::thread thread_;
};

}  // namespace tenure

#endif  // TENURE_ALLOCATOR_COPY_HOST_QUEUE_H_
