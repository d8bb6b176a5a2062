#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tenure/tests/allocator/cuda/fake/fake_driver.h"
#include "tenure/tests/allocator/cuda/fake/fake_driver_state.h"

namespace tenure::cuda {

using fake::Loud;
using fake::Op;
using fake::Quiet;
using fake::Stream;

namespace {

std::string ShortName(std::string_view name) {
  if (name.size() > 2 && name.substr(0, 2) == "cu") name.remove_prefix(2);
  return std::string(name);
}

// The stream of a test's call; destroyed ones too while they have work.
Stream* StreamFor(FakeDriver::State& s, CUstream handle) ABSL_EXCLUSIVE_LOCKS_REQUIRED(s.mutex) {
  if (handle == nullptr) return s.devices.empty() ? nullptr : s.devices[0].default_stream.get();
  auto found = s.streams.find(handle);
  return found == s.streams.end() ? nullptr : found->second.get();
}

void Launch(FakeDriver::State& s, CUstream handle, const std::shared_ptr<Op>& op) {
  absl::MutexLock lock(&s.mutex);
  Stream* stream = StreamFor(s, handle);
  op->node.call = op->call;
  if (stream == nullptr) {
    s.Violate(absl::StrCat(op->call, ": the stream is ", s.WhyNot(handle)), CUDA_SUCCESS);
  } else {
    s.Submit(stream, op);
  }
}

}  // namespace

void* FakeLaunch::Touch(CUdeviceptr address, uint64_t size_bytes) const {
  const Quiet quiet;
  FakeDriver::State& s = *fake->state();
  absl::MutexLock lock(&s.mutex);
  std::string why;
  const fake::Place place = s.Locate(address, size_bytes, device, true, &why);
  if (place.kind != fake::Place::kBad && place.kind != fake::Place::kPageable) return place.bytes;
  s.Violate(absl::StrCat("a kernel on device ", device, " touched ", size_bytes, " bytes at ",
                         fake::Hex(address), ": ",
                         place.kind == fake::Place::kBad ? why : "pageable host memory"),
            CUDA_SUCCESS);
  s.devices[device].fault = CUDA_ERROR_ILLEGAL_ADDRESS;
  s.progress.SignalAll();
  return nullptr;
}

FakeDriver::FakeDriver(FakeOptions options) {
  const Quiet quiet;
  state_ = std::make_unique<State>(this, std::move(options));
  fake::SetCurrent(nullptr, state_.get());
}

FakeDriver::~FakeDriver() {
  const Quiet quiet;
  State& s = *state_;
  if (s.pid != getpid()) {  // a child of fork: its threads are not here
    fake::SetCurrent(state_.get(), nullptr);
    state_.release();
    return;
  }
  fake::SetCurrent(state_.get(), nullptr);
  {
    absl::MutexLock lock(&s.mutex);
    s.stopping = true;
    for (Stream* stream : s.AllStreams(-1)) stream->work.SignalAll();
    s.progress.SignalAll();
    while (s.threads > 0 || s.calls_inside > 0) s.progress.Wait(&s.mutex);
    if (s.violations_unseen) {
      for (const std::string& violation : s.violations) {
        std::fprintf(stderr, "FakeDriver: nobody asked for: %s\n", violation.c_str());
      }
    }
  }
  state_.reset();
}

const DriverTable& FakeDriver::table() const { return state_->table; }

std::vector<std::string> FakeDriver::Violations() const {
  const Quiet quiet;
  absl::MutexLock lock(&state_->mutex);
  state_->violations_unseen = false;
  return state_->violations;
}

void FakeDriver::ClearViolations() {
  const Quiet quiet;
  absl::MutexLock lock(&state_->mutex);
  state_->violations.clear();
  state_->violations_unseen = false;
}

std::vector<std::string> FakeDriver::LeakReport() const {
  const Quiet quiet;
  absl::MutexLock lock(&state_->mutex);
  return state_->Leaks();
}

std::vector<std::string> FakeDriver::Waits() const {
  const Quiet quiet;
  absl::MutexLock lock(&state_->mutex);
  return state_->waits;
}

std::byte* FakeDriver::Bytes(CUdeviceptr address, uint64_t size_bytes) {
  const Quiet quiet;
  absl::MutexLock lock(&state_->mutex);
  std::string why;
  const fake::Place place = state_->Locate(address, size_bytes, -1, false, &why);
  if (place.kind != fake::Place::kBad && place.kind != fake::Place::kPageable) return place.bytes;
  state_->Violate(
      absl::StrCat("Bytes: ", place.kind == fake::Place::kBad
                                  ? why
                                  : absl::StrCat(fake::Hex(address), " is pageable host memory")),
      CUDA_SUCCESS);
  return nullptr;
}

uint64_t FakeDriver::UsedBytes(int device) const {
  const Quiet quiet;
  absl::MutexLock lock(&state_->mutex);
  return state_->devices.at(static_cast<size_t>(device)).used_bytes;
}

uint64_t FakeDriver::HostBytes() const {
  const Quiet quiet;
  absl::MutexLock lock(&state_->mutex);
  return state_->host_bytes;
}

size_t FakeDriver::LiveAllocations() const {
  const Quiet quiet;
  absl::MutexLock lock(&state_->mutex);
  size_t count = state_->handles.size();
  for (const auto& [base, region] : state_->regions) {
    count += region->kind != fake::Region::kRegistered && region->kind != fake::Region::kReserved;
  }
  return count;
}

size_t FakeDriver::Registrations() const {
  const Quiet quiet;
  absl::MutexLock lock(&state_->mutex);
  size_t count = 0;
  for (const auto& [base, region] : state_->regions) {
    count += region->kind == fake::Region::kRegistered;
  }
  return count;
}

std::optional<unsigned> FakeDriver::HostFlags(const void* address) const {
  const Quiet quiet;
  absl::MutexLock lock(&state_->mutex);
  const auto region = state_->Find(reinterpret_cast<CUdeviceptr>(address));
  if (region == nullptr || (!region->OnHost() && region->kind != fake::Region::kManaged)) {
    return std::nullopt;
  }
  return region->flags;
}

std::vector<FakeAdvice> FakeDriver::Advices() const {
  const Quiet quiet;
  absl::MutexLock lock(&state_->mutex);
  return state_->advices;
}

void FakeDriver::SetPeerAccess(int from, int to, bool can) {
  const Quiet quiet;
  absl::MutexLock lock(&state_->mutex);
  state_->peers[{from, to}] = can;
}

void FakeDriver::SetMemoryLimit(int device, uint64_t size_bytes) {
  const Quiet quiet;
  absl::MutexLock lock(&state_->mutex);
  state_->devices.at(static_cast<size_t>(device)).limit_bytes = size_bytes;
}

std::vector<CUstream> FakeDriver::Streams(int device) const {
  const Quiet quiet;
  absl::MutexLock lock(&state_->mutex);
  std::vector<CUstream> handles;
  for (const auto& [handle, stream] : state_->streams) {
    if (stream->device == device && !stream->destroyed) handles.push_back(handle);
  }
  return handles;
}

void FakeDriver::Hold(CUstream handle) {
  const Quiet quiet;
  absl::MutexLock lock(&state_->mutex);
  if (Stream* stream = StreamFor(*state_, handle)) stream->held = true;
  state_->progress.SignalAll();
}

void FakeDriver::Release(CUstream handle) {
  const Quiet quiet;
  absl::MutexLock lock(&state_->mutex);
  if (Stream* stream = StreamFor(*state_, handle)) {
    stream->held = false;
    fake::ReleaseOrder(&stream->control);
    stream->work.SignalAll();
  }
}

void FakeDriver::HoldAll() {
  const Quiet quiet;
  absl::MutexLock lock(&state_->mutex);
  state_->hold_new = true;
  for (Stream* stream : state_->AllStreams(-1)) stream->held = true;
  state_->progress.SignalAll();
}

void FakeDriver::ReleaseAll() {
  const Quiet quiet;
  absl::MutexLock lock(&state_->mutex);
  state_->hold_new = false;
  for (Stream* stream : state_->AllStreams(-1)) {
    stream->held = false;
    fake::ReleaseOrder(&stream->control);
    stream->work.SignalAll();
  }
}

bool FakeDriver::Step(CUstream handle) {
  const Quiet quiet;
  absl::MutexLock lock(&state_->mutex);
  Stream* stream = StreamFor(*state_, handle);
  if (stream == nullptr || !stream->held || stream->queue.empty()) return false;
  const std::shared_ptr<Op> op = stream->queue.front();
  if (!stream->running) {
    stream->steps = 1;
    if (!state_->Ready(*stream)) {
      stream->steps = 0;
      return false;
    }
    fake::ReleaseOrder(&stream->control);
    stream->work.SignalAll();
  }
  state_->WaitWhileProgress("Step", {op});
  return true;
}

std::vector<std::string> FakeDriver::Queued(CUstream handle) const {
  const Quiet quiet;
  absl::MutexLock lock(&state_->mutex);
  std::vector<std::string> names;
  if (const Stream* stream = StreamFor(*state_, handle)) {
    for (const auto& op : stream->queue) names.push_back(op->call);
  }
  return names;
}

std::vector<std::string> FakeDriver::Blocked() const {
  const Quiet quiet;
  absl::MutexLock lock(&state_->mutex);
  return state_->blocked;
}

bool FakeDriver::AwaitBlocked(size_t count) {
  const Quiet quiet;
  const absl::Time deadline = absl::Now() + state_->options.hang_after;
  absl::MutexLock lock(&state_->mutex);
  while (state_->blocked.size() < count) {
    if (state_->progress.WaitWithDeadline(&state_->mutex, deadline)) break;
  }
  return state_->blocked.size() >= count;
}

void FakeDriver::Drain(CUstream handle) {
  const Quiet quiet;
  absl::MutexLock lock(&state_->mutex);
  const Stream* stream = StreamFor(*state_, handle);
  auto found = state_->ended.find(handle);
  const std::shared_ptr<Op> last = stream != nullptr              ? stream->last
                                   : found != state_->ended.end() ? found->second
                                                                  : nullptr;
  if (last != nullptr) state_->WaitWhileProgress("Drain", {last});
}

void FakeDriver::LaunchSleep(CUstream stream, absl::Duration duration) {
  const Quiet quiet;
  auto op = std::make_shared<Op>();
  op->call = "LaunchSleep";
  op->run = [duration] { absl::SleepFor(duration); };
  Launch(*state_, stream, op);
}

void FakeDriver::LaunchHost(CUstream stream, std::function<void()> work) {
  const Quiet quiet;
  auto op = std::make_shared<Op>();
  op->call = "LaunchHost";
  op->run = std::move(work);
  Launch(*state_, stream, op);
}

void FakeDriver::LaunchWrite(CUstream stream, CUdeviceptr address, uint64_t size_bytes,
                             unsigned char value) {
  const Quiet quiet;
  std::byte* bytes = Bytes(address, size_bytes);
  if (bytes == nullptr) return;
  auto op = std::make_shared<Op>();
  op->call = "LaunchWrite";
  {
    absl::MutexLock lock(&state_->mutex);
    op->ranges.push_back({address, size_bytes, true, true, state_->Find(address)});
  }
  op->run = [bytes, size_bytes, value] { std::memset(bytes, value, size_bytes); };
  Launch(*state_, stream, op);
}

void FakeDriver::LaunchRead(CUstream stream, CUdeviceptr address, uint64_t size_bytes,
                            std::function<void(const std::byte*)> look) {
  const Quiet quiet;
  const std::byte* bytes = Bytes(address, size_bytes);
  if (bytes == nullptr) return;
  auto op = std::make_shared<Op>();
  op->call = "LaunchRead";
  {
    absl::MutexLock lock(&state_->mutex);
    op->ranges.push_back({address, size_bytes, false, true, state_->Find(address)});
  }
  op->run = [bytes, look = std::move(look)] { look(bytes); };
  Launch(*state_, stream, op);
}

void FakeDriver::RegisterKernel(std::string name, std::vector<size_t> param_sizes,
                                FakeKernel kernel) {
  const Quiet quiet;
  absl::MutexLock lock(&state_->mutex);
  state_->kernels[std::move(name)] = {std::move(param_sizes),
                                      std::make_shared<const FakeKernel>(std::move(kernel))};
}

void FakeDriver::FailCall(std::string_view name, uint64_t nth, CUresult result) {
  const Quiet quiet;
  absl::MutexLock lock(&state_->mutex);
  state_->failures.push_back({ShortName(name), std::max<uint64_t>(nth, 1), result});
}

void FakeDriver::FailCalls(std::string_view name, CUresult result) {
  const Quiet quiet;
  absl::MutexLock lock(&state_->mutex);
  state_->failures.push_back({ShortName(name), 0, result});
}

void FakeDriver::ClearFailures() {
  const Quiet quiet;
  absl::MutexLock lock(&state_->mutex);
  state_->failures.clear();
}

uint64_t FakeDriver::Calls(std::string_view name) const {
  const Quiet quiet;
  absl::MutexLock lock(&state_->mutex);
  if (name.empty()) return state_->all_calls;
  auto found = state_->calls.find(ShortName(name));
  return found == state_->calls.end() ? 0 : found->second;
}

std::vector<std::string> FakeDriver::EntryPoints() {
  return {
#define TENURE_X(name, version) #name,
      TENURE_CUDA_ENTRY_POINTS(TENURE_X)
#undef TENURE_X
  };
}

void FakeDriver::FaultDevice(int device, CUresult result) {
  const Quiet quiet;
  absl::MutexLock lock(&state_->mutex);
  state_->devices.at(static_cast<size_t>(device)).fault = result;
  state_->progress.SignalAll();
}

void FakeDriver::LaunchFault(CUstream stream, CUresult result) {
  const Quiet quiet;
  auto op = std::make_shared<Op>();
  op->call = "LaunchFault";
  op->run = [this, result, fault = std::weak_ptr<Op>(op)] {
    const Quiet again;
    FaultDevice(fault.lock()->device, result);
  };
  Launch(*state_, stream, op);
}

}  // namespace tenure::cuda
