// Streams at work: queues, their threads, and what waits for them.

#include <algorithm>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "tenure/tests/allocator/cuda/fake/fake_driver_state.h"

namespace tenure::cuda {

using fake::Loud;
using fake::Range;
using fake::StreamName;

namespace {

bool Overlap(CUdeviceptr a, uint64_t a_size, CUdeviceptr b, uint64_t b_size) {
  return a < b ? b - a < a_size : a - b < b_size;
}

bool Touches(const fake::Op& op, CUdeviceptr address, uint64_t size_bytes) {
  return std::any_of(op.ranges.begin(), op.ranges.end(), [&](const Range& range) {
    return Overlap(range.address, range.size_bytes, address, size_bytes);
  });
}

}  // namespace

fake::Stream* FakeDriver::State::FindStream(const char* call, CUstream handle, CUresult* result) {
  Stream* stream = nullptr;
  if (handle == nullptr || handle == CU_STREAM_LEGACY) {
    const int device = CurrentDevice();
    if (device < 0) {
      *result = Violate(absl::StrCat(call, ": no context is current on this thread"),
                        CUDA_ERROR_INVALID_CONTEXT);
      return nullptr;
    }
    stream = devices[device].default_stream.get();
  } else {
    auto found = streams.find(handle);
    if (found == streams.end() || found->second->destroyed) {
      *result = Violate(absl::StrCat(call, ": the stream is ",
                                     found == streams.end() ? WhyNot(handle) : "destroyed"),
                        CUDA_ERROR_INVALID_HANDLE);
      return nullptr;
    }
    stream = found->second.get();
  }
  *result = devices[stream->device].fault;
  return *result == CUDA_SUCCESS ? stream : nullptr;
}

std::vector<fake::Stream*> FakeDriver::State::AllStreams(int device) const {
  std::vector<Stream*> all;
  for (size_t i = 0; i < devices.size(); ++i) {
    if (device < 0 || device == static_cast<int>(i)) all.push_back(devices[i].default_stream.get());
  }
  for (const auto& [handle, stream] : streams) {
    if (device < 0 || device == stream->device) all.push_back(stream.get());
  }
  return all;
}

CUresult FakeDriver::State::RefuseInCapture() {
  CUresult result = CUDA_SUCCESS;
  const auto mode = capture_modes.find(fake::ThisThread());
  if (mode != capture_modes.end() && mode->second == CU_STREAM_CAPTURE_MODE_RELAXED) return result;
  for (fake::Capture* capture : captures) {
    if (capture->mode == CU_STREAM_CAPTURE_MODE_GLOBAL ||
        (capture->mode == CU_STREAM_CAPTURE_MODE_THREAD_LOCAL &&
         capture->thread == fake::ThisThread())) {
      capture->invalid = true;
      result = CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    }
  }
  return result;
}

CUresult FakeDriver::State::Submit(Stream* stream, const std::shared_ptr<Op>& op) {
  op->stream = stream;
  op->device = stream->device;
  if (stream->capture != nullptr) {
    if (stream->capture->invalid) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    stream->capture->ops.push_back(op);
    ++stream->capture_clock[stream->id];
    return CUDA_SUCCESS;
  }
  if (stream->is_default) {
    for (fake::Capture* capture : captures) {
      if ((capture->origin->flags & CU_STREAM_NON_BLOCKING) == 0) {
        capture->invalid = true;
        return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
      }
    }
  }
  op->sequence = ++stream->sequence;
  stream->clock[stream->id] = op->sequence;
  if (op->after != nullptr) {
    for (const auto& [id, sequence] : op->after->clock) {
      uint64_t& known = stream->clock[id];
      known = std::max(known, sequence);
    }
  }
  op->clock = stream->clock;
  CheckRaces(*stream, *op);
  fake::ReleaseOrder(&op->in);
  stream->queue.push_back(op);
  stream->last = op;
  if (!stream->has_thread) {
    stream->has_thread = true;
    ++threads;
    std::thread([this, stream] { Run(stream); }).detach();
  }
  stream->work.SignalAll();
  return CUDA_SUCCESS;
}

void FakeDriver::State::CheckRaces(const Stream& stream, const Op& op) {
  // Moving pages ahead of their use changes no bytes.
  const auto moves_pages = [](const Op& o) { return o.call == "cuMemPrefetchAsync"; };
  if (op.ranges.empty() || moves_pages(op)) return;
  for (const Stream* other : AllStreams(-1)) {
    if (other == &stream) continue;
    auto seen = stream.clock.find(other->id);
    const uint64_t ordered = seen == stream.clock.end() ? 0 : seen->second;
    for (const std::shared_ptr<Op>& queued : other->queue) {
      if (queued->sequence <= ordered || moves_pages(*queued)) continue;
      for (const Range& a : op.ranges) {
        for (const Range& b : queued->ranges) {
          // How a kernel uses its parameters is not known; that it does, is.
          const bool known = (a.exact && b.exact) || op.frees || queued->frees;
          if (!known || (!a.write && !b.write) ||
              !Overlap(a.address, a.size_bytes, b.address, b.size_bytes)) {
            continue;
          }
          Violate(
              absl::StrCat(op.call, " on ", StreamName(stream), " races with ", queued->call,
                           " queued on ", StreamName(*other), ": both touch ",
                           fake::Hex(std::max(a.address, b.address)), " and no event orders them"),
              CUDA_SUCCESS);
          return;
        }
      }
    }
  }
}

bool FakeDriver::State::Ready(const Stream& stream) const {
  if (stream.queue.empty() || stream.running || devices[stream.device].fault != CUDA_SUCCESS) {
    return false;
  }
  if (stream.held && stream.steps == 0) return false;
  const std::shared_ptr<Op>& after = stream.queue.front()->after;
  return after == nullptr || after->done;
}

bool FakeDriver::State::CanProgress(const Stream& stream) const {
  // Events are recorded before they are waited for, so that this chain has no circle.
  const Stream* at = &stream;
  while (!at->running && !Ready(*at)) {
    if (at->queue.empty() || (at->held && at->steps == 0) ||
        devices[at->device].fault != CUDA_SUCCESS) {
      return false;
    }
    at = at->queue.front()->after->stream;
  }
  return true;
}

void FakeDriver::State::Run(Stream* stream) {
  const fake::Quiet quiet;
  mutex.Lock();
  for (;;) {
    while (!stopping && !Ready(*stream) && !(stream->destroyed && stream->queue.empty())) {
      stream->work.Wait(&mutex);
    }
    if (stopping || stream->queue.empty()) break;
    const std::shared_ptr<Op> op = stream->queue.front();
    stream->running = true;
    absl::Duration delay;
    if (options.random_delay > absl::ZeroDuration()) {
      delay = options.random_delay * (static_cast<double>(random() % 1000) / 1000);
    }
    bool alive = true;
    for (const Range& range : op->ranges) {
      if (range.region == nullptr) continue;
      std::string why = "it was freed";
      if (range.region->dead ||
          (range.region->kind == fake::Region::kReserved &&
           Locate(range.address, range.size_bytes, -1, false, &why).kind == Place::kBad)) {
        alive = false;
        Violate(absl::StrCat(op->call, " on ", StreamName(*stream), " came to touch ",
                             fake::Hex(range.address), ": ", why),
                CUDA_SUCCESS);
      }
    }
    mutex.Unlock();
    if (delay > absl::ZeroDuration()) absl::SleepFor(delay);
    if (op->after != nullptr) fake::AcquireOrder(&op->after->out);
    fake::AcquireOrder(&op->in);
    fake::AcquireOrder(&stream->control);
    if (alive && op->run != nullptr) {
      const Loud loud;
      op->run();
    }
    fake::ReleaseOrder(&op->out);
    mutex.Lock();
    stream->running = false;
    if (stream->steps > 0) --stream->steps;
    // After a fault nothing ends.
    if (devices[stream->device].fault == CUDA_SUCCESS) {
      op->done = true;
      op->done_at = absl::Now();
      op->run = nullptr;
      op->after = nullptr;
      stream->queue.pop_front();
    }
    for (Stream* other : AllStreams(-1)) {
      if (!other->queue.empty() && other->queue.front()->after == op) other->work.SignalAll();
    }
    progress.SignalAll();
  }
  if (stream->destroyed && !stopping) {
    ended[stream->handle] = stream->last;
    streams.erase(stream->handle);
  }
  --threads;
  progress.SignalAll();
  mutex.Unlock();
}

CUresult FakeDriver::State::WaitFor(const char* call, const std::shared_ptr<Op>& op) {
  const absl::Time deadline = absl::Now() + options.hang_after;
  CUresult result = CUDA_SUCCESS;
  if (!op->done) {
    blocked.push_back(call);
    progress.SignalAll();
    while (!op->done && result == CUDA_SUCCESS) {
      if (stopping) {
        result = CUDA_ERROR_DEINITIALIZED;
      } else if (devices[op->device].fault != CUDA_SUCCESS) {
        result = devices[op->device].fault;
      } else if (absl::Now() >= deadline) {
        result = Violate(
            absl::StrCat(call, ": hangs, waiting for ", op->call, " of ", StreamName(*op->stream),
                         op->stream->held ? ", which is held" : ""),
            CUDA_ERROR_LAUNCH_TIMEOUT);
      } else {
        progress.WaitWithDeadline(&mutex, deadline);
      }
    }
    blocked.erase(std::find(blocked.begin(), blocked.end(), call));
  }
  if (result == CUDA_SUCCESS) fake::AcquireOrder(&op->out);
  return result;
}

void FakeDriver::State::WaitWhileProgress(const char* call,
                                          const std::vector<std::shared_ptr<Op>>& ops) {
  const absl::Time deadline = absl::Now() + options.hang_after;
  bool waited = false;
  for (const std::shared_ptr<Op>& op : ops) {
    while (!op->done && !stopping && CanProgress(*op->stream) && absl::Now() < deadline) {
      if (!waited) {
        waited = true;
        blocked.push_back(call);
        progress.SignalAll();
      }
      progress.WaitWithDeadline(&mutex, deadline);
    }
    if (op->done) fake::AcquireOrder(&op->out);
  }
  if (waited) blocked.erase(std::find(blocked.begin(), blocked.end(), call));
}

void FakeDriver::State::WaitForDevice(const char* call, int device, CUdeviceptr address,
                                      uint64_t size_bytes) {
  std::vector<std::shared_ptr<Op>> ops;
  std::vector<std::string> names;
  for (Stream* stream : AllStreams(device)) {
    if (stream->queue.empty() && stream->last != nullptr) ops.push_back(stream->last);
    for (const std::shared_ptr<Op>& op : stream->queue) {
      ops.push_back(op);
      names.push_back(op->call);
      if (Touches(*op, address, size_bytes)) {
        Violate(absl::StrCat(call, " of ", Describe(address), ", which ", op->call, " queued on ",
                             StreamName(*stream), " will touch"),
                CUDA_SUCCESS);
      }
    }
  }
  if (!names.empty()) {
    waits.push_back(absl::StrCat(call, " waited for ", names.size(),
                                 " operations: ", absl::StrJoin(names, ", ")));
  }
  WaitWhileProgress(call, ops);
}

void FakeDriver::State::CheckUnused(const char* call, CUdeviceptr address, uint64_t size_bytes) {
  std::vector<std::shared_ptr<Op>> running;
  for (Stream* stream : AllStreams(-1)) {
    for (const std::shared_ptr<Op>& op : stream->queue) {
      if (!Touches(*op, address, size_bytes)) continue;
      Violate(absl::StrCat(call, " of ", Describe(address), ", which ", op->call, " queued on ",
                           StreamName(*stream), " will touch"),
              CUDA_SUCCESS);
      if (stream->running && op == stream->queue.front()) running.push_back(op);
    }
  }
  WaitWhileProgress(call, running);
}

}  // namespace tenure::cuda
