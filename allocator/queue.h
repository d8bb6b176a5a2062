// Queue: where a device, or the host's worker, does work in order. It records fences and waits for
// fences. CUDA's stream is a Queue.
//
// Why an object and not the driver's handle: a handle is a number that the driver may give again as
// soon as its stream is destroyed, and 0 is a valid handle of CUDA (the legacy default stream). A
// Queue has an identity of its own, which is never reused, so a new stream is a new Queue even
// where the driver gives an old handle again.
//
//   queue    | kernel A | copy | fence 1 | kernel B | fence 2 |
//                                ^ Record()           ^ Record()
//
// Example:
//   TENURE_ASSIGN_OR_RETURN(std::shared_ptr<cuda::Stream> stream, cuda::Stream::Wrap(0, handle));
//   TENURE_RETURN_IF_ERROR(x.CopyInAsync(data, size, {.queue = stream.get()}).status());
//   TENURE_ASSIGN_OR_RETURN(Fence done, stream->Record());
//
// Options hold a plain Queue*, which means: in this queue's order. A null pointer means: in no
// queue's order, the library chooses.
//
// Cost: what the driver takes to record an event (0.4 to 0.6 us with CUDA).
// Thread safety: thread-safe; a queue's order is the order of the calls.
// Ownership: made and held as std::shared_ptr. Options borrow the queue until the call returns;
// what goes on afterwards shares it.
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

  // Tells this queue from every other one of the process, also from those that are gone.
  QueueId id() const { return id_; }

  // The driver that runs it: "cuda", "host". Allocators accept the queues of their own driver.
  virtual std::string_view driver() const = 0;

  // The driver's own object (CUDA: the CUstream), for launches; 0 where there is none, and for
  // CUDA's legacy default stream.
  virtual uint64_t native_handle() const = 0;

  // A fence at the end of all work that the queue holds so far.
  virtual absl::StatusOr<Fence> Record() = 0;

  // Whether the queue can wait for this fence without the host. A fence that is reached can always
  // be waited for. Calls no driver for fences of devices, so it may be asked while a lock is held.
  virtual bool CanWaitFor(const Fence& fence) const = 0;

  // Whether this queue recorded the fence: what is queued later comes after it without a wait.
  // Calls no driver.
  virtual bool HasRecorded(const Fence& fence) const = 0;

  // False while the queue takes no waits: a CUDA stream that is being captured into a graph, which
  // cannot wait for work outside of the graph.
  virtual bool AcceptsWaits() const { return true; }

  // Work that is queued from now on runs after all of `fences`. The host does not wait.
  // FailedPrecondition if CanWaitFor is false for one of them: wait for that one on the host first.
  virtual absl::Status WaitFor(absl::Span<const Fence> fences) = 0;
  absl::Status WaitFor(const Fence& fence) { return WaitFor(absl::MakeConstSpan(&fence, 1)); }

  // The host waits until all work that is queued so far is done.
  virtual absl::Status Synchronize() = 0;

 protected:
  Queue() : id_(QueueId::Mint()) {}

 private:
  const QueueId id_;
};

}  // namespace tenure

#endif  // TENURE_ALLOCATOR_QUEUE_H_
