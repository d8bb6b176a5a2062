// Queue: a sequence of work that a device, or a host thread, runs in order. It records fences and
// waits for fences. A CUDA stream is a Queue.
//
// Why an object and not the driver's handle: a driver may reuse a handle as soon as its stream is
// destroyed, and 0 is a valid handle in CUDA (the legacy default stream). The identity of a Queue
// is never reused, so a new stream is a new Queue even if the driver reuses the handle.
//
//   queue    | kernel A | copy | fence 1 | kernel B | fence 2 |
//                                ^ Record()           ^ Record()
//
// Example:
//   TENURE_ASSIGN_OR_RETURN(std::shared_ptr<cuda::Stream> stream, cuda::Stream::Wrap(0, handle));
//   TENURE_RETURN_IF_ERROR(x.CopyInAsync(data, size, {.queue = stream.get()}).status());
//   TENURE_ASSIGN_OR_RETURN(Fence done, stream->Record());
//
// Options hold a plain Queue*. The operation then runs in that queue's order. A null pointer lets
// the library choose.
//
// Cost: Record costs what the driver takes to record an event (0.4 to 0.6 us with CUDA).
// Thread safety: thread-safe; a queue's order is the order of the calls.
// Ownership: queues are made and held as std::shared_ptr. Options borrow the queue until the call
// returns; work that continues afterwards shares it.
// Errors: the driver's; FailedPrecondition for a fence that the queue cannot wait for.

#ifndef TENURE_ALLOCATOR_QUEUE_H_
#define TENURE_ALLOCATOR_QUEUE_H_

#include <cstdint>
#include <memory>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "tenure/allocator/timeline/timeline.h"
#include "tenure/base/ids.h"

namespace tenure {

class Queue : public std::enable_shared_from_this<Queue> {
 public:
  virtual ~Queue() = default;
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;

  // Distinguishes this queue from every other queue of the process, including destroyed ones.
  QueueId id() const { return id_; }

  // The name of the driver that runs the queue: "cuda", "host". Allocators accept only queues of
  // their own driver.
  virtual std::string_view driver() const = 0;

  // The driver's object (in CUDA the CUstream), for kernel launches. 0 if there is none, and for
  // CUDA's legacy default stream.
  virtual uint64_t native_handle() const = 0;

  // A fence that is reached when all work queued so far is done.
  virtual absl::StatusOr<Fence> Record() = 0;

  // Whether the queue can wait for this fence without the host. It always can if the fence is
  // reached. Makes no driver call for fences of devices, so it may be called with a lock held.
  virtual bool CanWaitFor(const Fence& fence) const = 0;

  // Whether this queue recorded the fence. Work that is queued later then runs after it without a
  // wait. Makes no driver call.
  virtual bool HasRecorded(const Fence& fence) const = 0;

  // False while the queue accepts no waits: a CUDA stream that is being captured into a graph
  // cannot wait for work outside of the graph.
  virtual bool AcceptsWaits() const { return true; }

  // Makes work that is queued from now on run after all of `fences`. The host does not wait.
  // FailedPrecondition if CanWaitFor is false for one of them; wait for that fence on the host
  // first.
  virtual absl::Status WaitFor(absl::Span<const Fence> fences) = 0;
  absl::Status WaitFor(const Fence& fence) { return WaitFor(absl::MakeConstSpan(&fence, 1)); }

  // Blocks the host until all work queued so far is done.
  virtual absl::Status Synchronize() = 0;

 protected:
  Queue() : id_(QueueId::Mint()) {}

 private:
  const QueueId id_;
};

}  // namespace tenure

#endif  // TENURE_ALLOCATOR_QUEUE_H_
