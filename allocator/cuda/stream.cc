#include "tenure/allocator/cuda/stream.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tenure/base/status_macros.h"

namespace tenure::cuda {
namespace {

// The sleep between two queries of a wait with a deadline. It is short at first, because most waits
// are.
constexpr absl::Duration kShortestSleep = absl::Microseconds(5);
constexpr absl::Duration kLongestSleep = absl::Microseconds(200);
// After so many records, the timeline looks which events are complete.
constexpr uint64_t kRecordsPerLook = 64;

}  // namespace

// ------------------------------------------------------------------------------------------------
// EventTimeline

absl::StatusOr<uint64_t> EventTimeline::Record(CUstream stream) {
  TENURE_ASSIGN_OR_RETURN(CUevent event, device_->AcquireEvent());
  auto pooled = std::make_shared<PooledEvent>(device_, event);
  // Under the lock, because values must be in the order of the events.
  absl::MutexLock lock(&mutex_);
  if (!failure_.ok()) return failure_;
  TENURE_RETURN_IF_ERROR(TENURE_CU(device_->driver(), EventRecord, event, stream));
  const uint64_t value = issued_.load(std::memory_order_relaxed) + 1;
  pending_.push_back({value, std::move(pooled)});
  issued_.store(value, std::memory_order_release);
  if (value % kRecordsPerLook == 0) Look();
  return value;
}

bool EventTimeline::IsComplete(size_t at) const {
  const CUresult result = device_->driver()->EventQuery(pending_[at].event->get());
  if (result == CUDA_SUCCESS) return true;
  if (result != CUDA_ERROR_NOT_READY) {
    failure_ = device_->driver().StatusOf(result, "cuEventQuery");
  }
  return false;
}

void EventTimeline::Look() const {
  if (!failure_.ok() || pending_.empty() || !IsComplete(0)) return;
  // Events before `complete` are complete; those from `open` on were not.
  size_t complete = 1, open = pending_.size();
  for (size_t step = 1; complete < open && failure_.ok(); step *= 2) {
    const size_t at = std::min(complete + step, open) - 1;
    if (!IsComplete(at)) {
      open = at;
      break;
    }
    complete = at + 1;
  }
  while (complete < open && failure_.ok()) {
    const size_t at = complete + (open - complete) / 2;
    if (IsComplete(at)) {
      complete = at + 1;
    } else {
      open = at;
    }
  }
  reached_.store(pending_[complete - 1].value, std::memory_order_release);
  pending_.erase(pending_.begin(), pending_.begin() + static_cast<ptrdiff_t>(complete));
}

uint64_t EventTimeline::Reached() const {
  const uint64_t reached = reached_.load(std::memory_order_acquire);
  if (reached == issued_.load(std::memory_order_acquire)) return reached;
  // A thread that holds the lock is already querying.
  if (!mutex_.TryLock()) return reached;
  Device::Scope scope(*device_);
  if (scope.status().ok()) Look();
  mutex_.Unlock();
  return reached_.load(std::memory_order_acquire);
}

std::shared_ptr<PooledEvent> EventTimeline::EventOf(uint64_t value) {
  absl::MutexLock lock(&mutex_);
  for (const Pending& pending : pending_) {
    if (pending.value >= value) return pending.event;
  }
  return nullptr;
}

absl::Status EventTimeline::Wait(uint64_t value, absl::Time deadline) {
  if (reached_.load(std::memory_order_acquire) >= value) return absl::OkStatus();
  Device::Scope scope(*device_);
  TENURE_RETURN_IF_ERROR(scope.status());
  absl::Duration sleep = kShortestSleep;
  while (true) {
    std::shared_ptr<PooledEvent> event;
    {
      absl::MutexLock lock(&mutex_);
      Look();
      if (reached_.load(std::memory_order_relaxed) >= value) return absl::OkStatus();
      if (!failure_.ok()) return failure_;
      if (value > issued_.load(std::memory_order_relaxed)) {
        return absl::InvalidArgumentError(
            absl::StrCat("waits for value ", value, " of a stream's timeline that has come to ",
                         issued_.load(std::memory_order_relaxed), "; wait for a recorded fence"));
      }
      for (const Pending& pending : pending_) {
        if (pending.value >= value) {
          event = pending.event;
          break;
        }
      }
    }
    if (deadline == absl::InfiniteFuture()) {
      // The next query finds an error of this call.
      const CUresult result = device_->driver()->EventSynchronize(event->get());
      if (result == CUDA_SUCCESS) continue;
      absl::MutexLock lock(&mutex_);
      Look();
      if (failure_.ok()) failure_ = device_->driver().StatusOf(result, "cuEventSynchronize");
      continue;
    }
    const absl::Time now = absl::Now();
    if (now >= deadline) {
      return absl::DeadlineExceededError(
          absl::StrCat("CUDA device ", device_->ordinal(),
                       " has not finished the work "
                       "that was waited for; wait longer, or look at what is queued"));
    }
    absl::SleepFor(std::min(sleep, deadline - now));
    sleep = std::min(2 * sleep, kLongestSleep);
  }
}

absl::StatusOr<bool> EventTimeline::SignalAt(uint64_t value,
                                             const std::shared_ptr<ExportableTimeline>& semaphore) {
  const std::shared_ptr<PooledEvent> event = EventOf(value);
  if (event == nullptr) return false;
  Device::Scope scope(*device_);
  TENURE_RETURN_IF_ERROR(scope.status());
  TENURE_RETURN_IF_ERROR(device_->semaphores().Signal(event->get(), semaphore, value));
  return true;
}

absl::Status EventTimeline::Failure() const {
  absl::MutexLock lock(&mutex_);
  return failure_;
}

std::string EventTimeline::Describe() const {
  return absl::StrCat("a stream of CUDA device ", device_->ordinal());
}

// ------------------------------------------------------------------------------------------------
// DeviceStream

absl::StatusOr<std::shared_ptr<DeviceStream>> DeviceStream::Create(std::shared_ptr<Device> device) {
  Device::Scope scope(*device);
  TENURE_RETURN_IF_ERROR(scope.status());
  CUstream stream = nullptr;
  TENURE_RETURN_IF_ERROR(
      TENURE_CU(device->driver(), StreamCreate, &stream, CU_STREAM_NON_BLOCKING));
  return std::shared_ptr<DeviceStream>(new DeviceStream(std::move(device), stream, true));
}

absl::StatusOr<std::shared_ptr<DeviceStream>> DeviceStream::Wrap(std::shared_ptr<Device> device,
                                                                 CUstream stream) {
  if (stream == CU_STREAM_PER_THREAD) {
    return absl::InvalidArgumentError(
        "CU_STREAM_PER_THREAD is another stream in each thread, and so has no one order that a "
        "fence could be a point of; make a stream (cuStreamCreate), and give its handle");
  }
  if (stream != nullptr && stream != CU_STREAM_LEGACY) {
    Device::Scope scope(*device);
    TENURE_RETURN_IF_ERROR(scope.status());
    CUcontext context = nullptr;
    TENURE_RETURN_IF_ERROR(TENURE_CU(device->driver(), StreamGetCtx, stream, &context));
    if (context != device->context()) {
      return absl::InvalidArgumentError(
          absl::StrCat("the stream is not of the primary context of CUDA device ",
                       device->ordinal(), "; make it there, or name its device"));
    }
  }
  return std::shared_ptr<DeviceStream>(new DeviceStream(std::move(device), stream, false));
}

DeviceStream::~DeviceStream() {
  if (!owned_) return;
  Device::Scope scope(*device_);
  if (!scope.status().ok()) return;  // lost
  // The driver still completes queued work.
  (void)device_->driver()->StreamDestroy(stream_);
}

absl::StatusOr<Fence> DeviceStream::Record() {
  Device::Scope scope(*device_);
  TENURE_RETURN_IF_ERROR(scope.status());
  TENURE_RETURN_IF_ERROR(RefuseCapture(*device_, stream_, "a fence that the host could wait for"));
  TENURE_ASSIGN_OR_RETURN(const uint64_t value, timeline_->Record(stream_));
  return Fence(timeline_, value);
}

bool DeviceStream::AcceptsWaits() const {
  const absl::StatusOr<bool> capturing = IsCapturing();
  return capturing.ok() && !*capturing;
}

absl::Status DeviceStream::WaitFor(absl::Span<const Fence> fences) {
  if (std::all_of(fences.begin(), fences.end(), [](const Fence& f) { return f.IsReached(); })) {
    return absl::OkStatus();
  }
  Device::Scope scope(*device_);
  TENURE_RETURN_IF_ERROR(scope.status());
  // The driver would invalidate the capture.
  TENURE_RETURN_IF_ERROR(RefuseCapture(*device_, stream_, "a wait for work outside of it"));
  return QueueWaits(*device_, stream_, fences);
}

absl::Status DeviceStream::Synchronize() {
  Device::Scope scope(*device_);
  TENURE_RETURN_IF_ERROR(scope.status());
  TENURE_RETURN_IF_ERROR(RefuseCapture(*device_, stream_, "a wait of the host's"));
  return TENURE_CU(device_->driver(), StreamSynchronize, stream_);
}

absl::StatusOr<bool> DeviceStream::IsCapturing() const {
  Device::Scope scope(*device_);
  TENURE_RETURN_IF_ERROR(scope.status());
  CUstreamCaptureStatus capturing = CU_STREAM_CAPTURE_STATUS_NONE;
  TENURE_RETURN_IF_ERROR(TENURE_CU(device_->driver(), StreamIsCapturing, stream_, &capturing));
  return capturing != CU_STREAM_CAPTURE_STATUS_NONE;
}

bool DeviceStream::AnyStreamCanWaitFor(const Fence& fence) {
  // The order matters: asking a device's timeline whether the fence is reached would call the
  // driver.
  return dynamic_cast<const EventTimeline*>(fence.timeline().get()) != nullptr || fence.IsReached();
}

bool DeviceStream::StreamsCanWaitFor(const Device& device, const Fence& fence) {
  const auto* shared = dynamic_cast<const ExportableTimeline*>(fence.timeline().get());
  if (shared != nullptr && !shared->card().empty() && shared->card() == device.shared_card() &&
      shared->IsOfDeviceAlone(fence.value())) {
    return true;
  }
  return AnyStreamCanWaitFor(fence);
}

absl::StatusOr<DeviceStream*> DeviceStream::Of(Queue& queue, const Device& device) {
  auto* stream = dynamic_cast<DeviceStream*>(&queue);
  if (stream == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a queue of '", queue.driver(), "' was given for work on CUDA device ", device.ordinal(),
        "; give a cuda::Stream of that device (Stream::Create or Stream::Wrap)"));
  }
  if (stream->device().get() != &device) {
    return absl::InvalidArgumentError(
        absl::StrCat("the stream is of CUDA device ", stream->device()->ordinal(),
                     ", and the work is on device ", device.ordinal(),
                     "; give a stream of that device, and let it wait for the other one's fence"));
  }
  return stream;
}

absl::Status QueueWaits(const Device& device, CUstream stream, absl::Span<const Fence> fences) {
  for (const Fence& fence : fences) {
    if (fence.IsReached()) continue;
    if (!DeviceStream::StreamsCanWaitFor(device, fence)) {
      return absl::FailedPreconditionError(
          absl::StrCat("a stream of CUDA device ", device.ordinal(),
                       " can't wait for a fence of the host, or of an API that does not share its "
                       "timelines; wait for it before queueing"));
    }
    if (auto shared = std::dynamic_pointer_cast<ExportableTimeline>(fence.timeline())) {
      TENURE_RETURN_IF_ERROR(shared->Failure());
      Device::Scope scope(device);
      TENURE_RETURN_IF_ERROR(scope.status());
      TENURE_RETURN_IF_ERROR(device.semaphores().Wait(stream, shared, fence.value()));
      continue;
    }
    auto* timeline = dynamic_cast<EventTimeline*>(fence.timeline().get());
    if (timeline == nullptr) continue;  // reached meanwhile
    TENURE_RETURN_IF_ERROR(timeline->Failure());
    std::shared_ptr<PooledEvent> event = timeline->EventOf(fence.value());
    if (event == nullptr) continue;
    Device::Scope scope(device);
    TENURE_RETURN_IF_ERROR(scope.status());
    // The event may return to its pool and be recorded again. The wait applies to what it stands
    // for now.
    TENURE_RETURN_IF_ERROR(
        TENURE_CU(device.driver(), StreamWaitEvent, stream, event->get(), CU_EVENT_WAIT_DEFAULT));
  }
  return absl::OkStatus();
}

absl::Status EndWork(const Device& device, CUstream stream) {
  absl::Status status = TENURE_CU(device.driver(), StreamSynchronize, stream);
  // A failed device fails again, and does no more work.
  if (!status.ok()) (void)device.driver()->StreamSynchronize(stream);
  return status;
}

absl::Status RefuseCapture(const Device& device, CUstream stream, std::string_view what) {
  CUstreamCaptureStatus capturing = CU_STREAM_CAPTURE_STATUS_NONE;
  TENURE_RETURN_IF_ERROR(TENURE_CU(device.driver(), StreamIsCapturing, stream, &capturing));
  if (capturing == CU_STREAM_CAPTURE_STATUS_NONE) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("the stream is being captured into a graph, which has no place for ", what,
                   "; use asynchronous copies and fills with TransferOptions::queue, and the "
                   "graph's own order, or end the capture"));
}

// ------------------------------------------------------------------------------------------------
// Timestamps

struct Timestamp::Recorded {
  std::shared_ptr<Device> device;
  CUevent event;
  Recorded(std::shared_ptr<Device> d, CUevent e) : device(std::move(d)), event(e) {}
  ~Recorded() {
    Device::Scope scope(*device);
    if (scope.status().ok()) (void)device->driver()->EventDestroy(event);
  }
};

absl::StatusOr<Timestamp> DeviceStream::RecordTimestamp() {
  Device::Scope scope(*device_);
  TENURE_RETURN_IF_ERROR(scope.status());
  TENURE_RETURN_IF_ERROR(RefuseCapture(*device_, stream_, "a timestamp"));
  CUevent event = nullptr;
  TENURE_RETURN_IF_ERROR(TENURE_CU(device_->driver(), EventCreate, &event, CU_EVENT_DEFAULT));
  auto recorded = std::make_shared<Timestamp::Recorded>(device_, event);
  TENURE_RETURN_IF_ERROR(TENURE_CU(device_->driver(), EventRecord, event, stream_));
  return Timestamp(std::move(recorded));
}

absl::StatusOr<absl::Duration> Timestamp::Since(const Timestamp& earlier) const {
  if (recorded_ == nullptr || earlier.recorded_ == nullptr) {
    return absl::FailedPreconditionError("a timestamp that was never recorded");
  }
  if (recorded_->device != earlier.recorded_->device) {
    return absl::InvalidArgumentError("the timestamps are of two devices, whose clocks differ");
  }
  const Device& device = *recorded_->device;
  Device::Scope scope(device);
  TENURE_RETURN_IF_ERROR(scope.status());
  TENURE_RETURN_IF_ERROR(TENURE_CU(device.driver(), EventSynchronize, earlier.recorded_->event));
  TENURE_RETURN_IF_ERROR(TENURE_CU(device.driver(), EventSynchronize, recorded_->event));
  float milliseconds = 0;
  TENURE_RETURN_IF_ERROR(TENURE_CU(device.driver(), EventElapsedTime, &milliseconds,
                                   earlier.recorded_->event, recorded_->event));
  return absl::Milliseconds(milliseconds);
}

}  // namespace tenure::cuda
