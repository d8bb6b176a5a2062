// Entry points for streams and events, and capture.

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "tenure/tests/allocator/cuda/fake/fake_driver_state.h"

namespace tenure::cuda::fake {
namespace {

CUresult StreamCreate(CUstream* out, unsigned flags) {
  TENURE_FAKE_CALL("cuStreamCreate", kContext);
  if (out == nullptr || flags > CU_STREAM_NON_BLOCKING) return CUDA_ERROR_INVALID_VALUE;
  auto stream = std::make_unique<Stream>();
  if (s.free_stream_handles.empty()) {
    stream->handle = s.NewHandle<CUstream>();
  } else {
    stream->handle = s.free_stream_handles.back();
    s.free_stream_handles.pop_back();
  }
  stream->id = s.next_id++;
  stream->device = s.CurrentDevice();
  stream->flags = flags;
  stream->held = s.hold_new;
  *out = stream->handle;
  s.streams[*out] = std::move(stream);
  return CUDA_SUCCESS;
}

// Queued work is done all the same.
CUresult StreamDestroy(CUstream handle) {
  TENURE_FAKE_CALL("cuStreamDestroy", kContext);
  if (handle == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  CUresult result;
  Stream* stream = s.FindStream(kCall, handle, &result);
  if (stream == nullptr) return result;
  if (stream->capture != nullptr) {
    stream->capture->invalid = true;
    return s.Violate("cuStreamDestroy: of a stream that is captured",
                     CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  }
  stream->destroyed = true;
  if (s.options.reuse_stream_handles) {
    // The old stream goes on under a handle that nobody has.
    std::unique_ptr<Stream> moved = std::move(s.streams[handle]);
    s.streams.erase(handle);
    s.free_stream_handles.push_back(handle);
    handle = moved->handle = s.NewHandle<CUstream>();
    s.streams[handle] = std::move(moved);
  }
  if (!stream->has_thread) {
    s.streams.erase(handle);
  } else {
    stream->work.SignalAll();
  }
  return CUDA_SUCCESS;
}

CUresult StreamSynchronize(CUstream handle) {
  TENURE_FAKE_CALL("cuStreamSynchronize", kContext);
  CUresult result;
  Stream* stream = s.FindStream(kCall, handle, &result);
  if (stream == nullptr) return result;
  if (stream->capture != nullptr) {
    stream->capture->invalid = true;
    return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  }
  if (CUresult refused = s.RefuseInCapture(); refused != CUDA_SUCCESS) return refused;
  const std::shared_ptr<Op> last = stream->last;
  return last == nullptr ? CUDA_SUCCESS : s.WaitFor(kCall, last);
}

CUresult StreamIsCapturing(CUstream handle, CUstreamCaptureStatus* status) {
  TENURE_FAKE_CALL("cuStreamIsCapturing", kInit);
  CUresult result;
  Stream* stream = s.FindStream(kCall, handle, &result);
  if (stream == nullptr) return result;
  *status = stream->capture == nullptr ? CU_STREAM_CAPTURE_STATUS_NONE
            : stream->capture->invalid ? CU_STREAM_CAPTURE_STATUS_INVALIDATED
                                       : CU_STREAM_CAPTURE_STATUS_ACTIVE;
  return CUDA_SUCCESS;
}

CUresult ThreadExchangeStreamCaptureMode(CUstreamCaptureMode* mode) {
  TENURE_FAKE_CALL("cuThreadExchangeStreamCaptureMode", kInit);
  if (*mode > CU_STREAM_CAPTURE_MODE_RELAXED) return CUDA_ERROR_INVALID_VALUE;
  auto [own, made] = s.capture_modes.try_emplace(ThisThread(), CU_STREAM_CAPTURE_MODE_GLOBAL);
  std::swap(own->second, *mode);
  return CUDA_SUCCESS;
}

CUresult StreamGetCtx(CUstream handle, CUcontext* context) {
  TENURE_FAKE_CALL("cuStreamGetCtx", kInit);
  CUresult result;
  Stream* stream = s.FindStream(kCall, handle, &result);
  if (stream == nullptr) return result;
  *context = s.devices[stream->device].context;
  return CUDA_SUCCESS;
}

CUresult EventCreate(CUevent* out, unsigned flags) {
  TENURE_FAKE_CALL("cuEventCreate", kContext);
  if (out == nullptr || flags > 7) return CUDA_ERROR_INVALID_VALUE;
  *out = s.NewHandle<CUevent>();
  Event& event = s.events[*out];
  event.flags = flags;
  event.device = s.CurrentDevice();
  return CUDA_SUCCESS;
}

// Or null, a violation, and why.
Event* FindEvent(State& s, const char* call, CUevent handle, CUresult* result)
    ABSL_EXCLUSIVE_LOCKS_REQUIRED(s.mutex) {
  auto found = s.events.find(handle);
  if (found == s.events.end()) {
    *result = s.Violate(absl::StrCat(call, ": the event is ", s.WhyNot(handle)),
                        CUDA_ERROR_INVALID_HANDLE);
    return nullptr;
  }
  *result = s.devices[found->second.device].fault;
  return *result == CUDA_SUCCESS ? &found->second : nullptr;
}

CUresult EventDestroy(CUevent handle) {
  TENURE_FAKE_CALL("cuEventDestroy", kContext);
  CUresult result;
  if (FindEvent(s, kCall, handle, &result) == nullptr) return result;
  s.events.erase(handle);
  return CUDA_SUCCESS;
}

CUresult EventRecord(CUevent handle, CUstream stream_handle) {
  TENURE_FAKE_CALL("cuEventRecord", kContext);
  CUresult result;
  Event* event = FindEvent(s, kCall, handle, &result);
  if (event == nullptr) return result;
  Stream* stream = s.FindStream(kCall, stream_handle, &result);
  if (stream == nullptr) return result;
  if (stream->device != event->device) {
    return s.Violate(absl::StrCat("cuEventRecord: the event is of device ", event->device,
                                  ", the stream of device ", stream->device),
                     CUDA_ERROR_INVALID_HANDLE);
  }
  if (stream->capture != nullptr) {
    if (stream->capture->invalid) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    event->capture = stream->capture;
    event->capture_clock = stream->capture_clock;
    event->record = nullptr;
    return CUDA_SUCCESS;
  }
  auto op = std::make_shared<Op>();
  op->call = kCall;
  result = s.Submit(stream, op);
  if (result != CUDA_SUCCESS) return result;
  event->record = op;
  event->capture = nullptr;
  return CUDA_SUCCESS;
}

// The event was last recorded into a capture: an error, and the capture is spoiled.
CUresult RefuseCaptured(Event* event) {
  if (event->capture == nullptr) return CUDA_SUCCESS;
  event->capture->invalid = true;
  return CUDA_ERROR_CAPTURED_EVENT;
}

CUresult EventQuery(CUevent handle) {
  TENURE_FAKE_CALL("cuEventQuery", kInit);
  CUresult result;
  Event* event = FindEvent(s, kCall, handle, &result);
  if (event == nullptr) return result;
  if (result = RefuseCaptured(event); result != CUDA_SUCCESS) return result;
  if (result = s.RefuseInCapture(); result != CUDA_SUCCESS) return result;
  if (event->record == nullptr) return CUDA_SUCCESS;
  if (!event->record->done) return CUDA_ERROR_NOT_READY;
  AcquireOrder(&event->record->out);
  return CUDA_SUCCESS;
}

CUresult EventSynchronize(CUevent handle) {
  TENURE_FAKE_CALL("cuEventSynchronize", kInit);
  CUresult result;
  Event* event = FindEvent(s, kCall, handle, &result);
  if (event == nullptr) return result;
  if (result = RefuseCaptured(event); result != CUDA_SUCCESS) return result;
  if (result = s.RefuseInCapture(); result != CUDA_SUCCESS) return result;
  const std::shared_ptr<Op> record = event->record;
  return record == nullptr ? CUDA_SUCCESS : s.WaitFor(kCall, record);
}

CUresult EventElapsedTime(float* milliseconds, CUevent start, CUevent end) {
  TENURE_FAKE_CALL("cuEventElapsedTime", kInit);
  CUresult result;
  Event* from = FindEvent(s, kCall, start, &result);
  if (from == nullptr) return result;
  Event* to = FindEvent(s, kCall, end, &result);
  if (to == nullptr) return result;
  for (Event* event : {from, to}) {
    if (result = RefuseCaptured(event); result != CUDA_SUCCESS) return result;
    if ((event->flags & CU_EVENT_DISABLE_TIMING) != 0 || event->record == nullptr) {
      return CUDA_ERROR_INVALID_HANDLE;
    }
    if (!event->record->done) return CUDA_ERROR_NOT_READY;
  }
  *milliseconds =
      static_cast<float>(absl::ToDoubleMilliseconds(to->record->done_at - from->record->done_at));
  return CUDA_SUCCESS;
}

void MergeClock(const std::map<uint64_t, uint64_t>& from, std::map<uint64_t, uint64_t>* into) {
  for (const auto& [id, count] : from) {
    uint64_t& known = (*into)[id];
    known = std::max(known, count);
  }
}

CUresult StreamWaitEvent(CUstream handle, CUevent event_handle, unsigned flags) {
  TENURE_FAKE_CALL("cuStreamWaitEvent", kContext);
  if (flags > 1) return CUDA_ERROR_INVALID_VALUE;
  CUresult result;
  Event* event = FindEvent(s, kCall, event_handle, &result);
  if (event == nullptr) return result;
  Stream* stream = s.FindStream(kCall, handle, &result);
  if (stream == nullptr) return result;
  if (event->capture != nullptr) {
    // The stream joins the event's capture, or has joined it before.
    if (event->capture->invalid || s.captures.count(event->capture.get()) == 0) {
      return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    }
    if (stream->capture != nullptr && stream->capture != event->capture) {
      stream->capture->invalid = event->capture->invalid = true;
      return CUDA_ERROR_STREAM_CAPTURE_MERGE;
    }
    if (stream->capture == nullptr) {
      stream->capture = event->capture;
      stream->capture->streams.insert(stream);
      stream->capture_clock.clear();
      ++stream->capture_clock[stream->id];
    }
    MergeClock(event->capture_clock, &stream->capture_clock);
    return CUDA_SUCCESS;
  }
  if (stream->capture != nullptr) {
    if (event->record == nullptr) return CUDA_SUCCESS;
    stream->capture->invalid = true;
    return CUDA_ERROR_STREAM_CAPTURE_ISOLATION;
  }
  if (event->record == nullptr) return CUDA_SUCCESS;
  auto op = std::make_shared<Op>();
  op->call = kCall;
  op->after = event->record;
  return s.Submit(stream, op);
}

}  // namespace

void FillStreams(DriverTable* table) {
  table->StreamCreate = StreamCreate;
  table->StreamDestroy = StreamDestroy;
  table->StreamSynchronize = StreamSynchronize;
  table->StreamWaitEvent = StreamWaitEvent;
  table->StreamIsCapturing = StreamIsCapturing;
  table->ThreadExchangeStreamCaptureMode = ThreadExchangeStreamCaptureMode;
  table->StreamGetCtx = StreamGetCtx;
  table->EventCreate = EventCreate;
  table->EventDestroy = EventDestroy;
  table->EventRecord = EventRecord;
  table->EventQuery = EventQuery;
  table->EventSynchronize = EventSynchronize;
  table->EventElapsedTime = EventElapsedTime;
}

}  // namespace tenure::cuda::fake

namespace tenure::cuda {

CUresult FakeDriver::BeginCapture(CUstream handle, CUstreamCaptureMode mode) {
  const fake::Quiet quiet;
  absl::MutexLock lock(&state_->mutex);
  CUresult result;
  fake::Stream* stream = state_->FindStream("BeginCapture", handle, &result);
  if (stream == nullptr) return result;
  if (stream->is_default) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  if (stream->capture != nullptr) return CUDA_ERROR_ILLEGAL_STATE;
  stream->capture = std::make_shared<fake::Capture>();
  stream->capture->mode = mode;
  stream->capture->thread = fake::ThisThread();
  stream->capture->origin = stream;
  stream->capture->streams.insert(stream);
  stream->capture_clock.clear();
  state_->captures.insert(stream->capture.get());
  return CUDA_SUCCESS;
}

CUresult FakeDriver::EndCapture(CUstream handle, FakeGraph* graph) {
  const fake::Quiet quiet;
  absl::MutexLock lock(&state_->mutex);
  *graph = {};
  CUresult result;
  fake::Stream* stream = state_->FindStream("EndCapture", handle, &result);
  if (stream == nullptr) return result;
  const std::shared_ptr<fake::Capture> capture = stream->capture;
  if (capture == nullptr) return CUDA_ERROR_ILLEGAL_STATE;
  if (capture->origin != stream) {
    capture->invalid = true;
    return CUDA_ERROR_STREAM_CAPTURE_UNMATCHED;
  }
  result = capture->invalid ? CUDA_ERROR_STREAM_CAPTURE_INVALIDATED : CUDA_SUCCESS;
  for (fake::Stream* joined : capture->streams) {
    if (joined != stream && result == CUDA_SUCCESS &&
        stream->capture_clock[joined->id] < joined->capture_clock[joined->id]) {
      result = CUDA_ERROR_STREAM_CAPTURE_UNJOINED;
    }
  }
  for (fake::Stream* joined : capture->streams) joined->capture = nullptr;
  state_->captures.erase(capture.get());
  if (result != CUDA_SUCCESS) return result;
  auto impl = std::make_shared<FakeGraph::Impl>();
  impl->device = stream->device;
  impl->ops = std::move(capture->ops);
  for (const auto& op : impl->ops) graph->nodes.push_back(op->node);
  graph->impl = std::move(impl);
  return CUDA_SUCCESS;
}

std::vector<FakeNode> FakeDriver::Captured(CUstream handle) const {
  const fake::Quiet quiet;
  absl::MutexLock lock(&state_->mutex);
  std::vector<FakeNode> nodes;
  auto found = state_->streams.find(handle);
  if (found != state_->streams.end() && found->second->capture != nullptr) {
    for (const auto& op : found->second->capture->ops) nodes.push_back(op->node);
  }
  return nodes;
}

CUresult FakeDriver::Replay(const FakeGraph& graph, CUstream handle) {
  const fake::Quiet quiet;
  absl::MutexLock lock(&state_->mutex);
  CUresult result;
  fake::Stream* stream = state_->FindStream("Replay", handle, &result);
  if (stream == nullptr) return result;
  if (graph.impl == nullptr) return CUDA_ERROR_INVALID_VALUE;
  if (graph.impl->device != stream->device) return CUDA_ERROR_INVALID_CONTEXT;
  for (const auto& captured : graph.impl->ops) {
    auto op = std::make_shared<fake::Op>();
    op->call = captured->call;
    op->node = captured->node;
    op->ranges = captured->ranges;
    op->run = captured->run;
    op->function = captured->function;
    result = state_->Submit(stream, op);
    if (result != CUDA_SUCCESS) return result;
  }
  return CUDA_SUCCESS;
}

}  // namespace tenure::cuda
