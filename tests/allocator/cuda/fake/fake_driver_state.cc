#include "tenure/tests/allocator/cuda/fake/fake_driver_state.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

#ifdef TENURE_FAKE_TSAN
extern "C" {
void AnnotateIgnoreReadsBegin(const char* file, int line);
void AnnotateIgnoreReadsEnd(const char* file, int line);
void AnnotateIgnoreWritesBegin(const char* file, int line);
void AnnotateIgnoreWritesEnd(const char* file, int line);
void AnnotateIgnoreSyncBegin(const char* file, int line);
void AnnotateIgnoreSyncEnd(const char* file, int line);
void __tsan_acquire(void* address);
void __tsan_release(void* address);
}
#endif

namespace tenure::cuda::fake {
namespace {

thread_local int quiet_depth = 0;

// Abseil declares some of these as if they were locks.
void Ignore(bool begin) ABSL_NO_THREAD_SAFETY_ANALYSIS {
#ifdef TENURE_FAKE_TSAN
  if (begin) {
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
    AnnotateIgnoreSyncBegin(__FILE__, __LINE__);
  } else {
    AnnotateIgnoreSyncEnd(__FILE__, __LINE__);
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
  }
#else
  (void)begin;
#endif
}

ABSL_CONST_INIT absl::Mutex current_mutex(absl::kConstInit);
State* current ABSL_GUARDED_BY(current_mutex) = nullptr;

}  // namespace

Quiet::Quiet() {
  if (quiet_depth++ == 0) Ignore(true);
}
Quiet::~Quiet() {
  if (--quiet_depth == 0) Ignore(false);
}
Loud::Loud() : depth_(quiet_depth) {
  if (depth_ > 0) Ignore(false);
  quiet_depth = 0;
}
Loud::~Loud() {
  quiet_depth = depth_;
  if (depth_ > 0) Ignore(true);
}

void ReleaseOrder([[maybe_unused]] uint64_t* token) {
#ifdef TENURE_FAKE_TSAN
  Loud loud;
  __tsan_release(token);
#endif
}

void AcquireOrder([[maybe_unused]] uint64_t* token) {
#ifdef TENURE_FAKE_TSAN
  Loud loud;
  __tsan_acquire(token);
#endif
}

uint64_t ThisThread() {
  static std::atomic<uint64_t> next{1};
  static thread_local const uint64_t id = next.fetch_add(1, std::memory_order_relaxed);
  return id;
}

void SetCurrent(State* from, State* to) {
  absl::MutexLock lock(&current_mutex);
  // One from before a fork is not ours.
  if (current != nullptr && current != from && current->pid == getpid()) {
    std::fputs("FakeDriver: another one is alive; only one can be\n", stderr);
    std::abort();
  }
  current = to;
}

std::string Hex(CUdeviceptr address) { return absl::StrCat("0x", absl::Hex(address)); }

std::string StreamName(const Stream& stream) {
  return stream.is_default
             ? absl::StrCat("the default stream of device ", stream.device)
             : absl::StrCat("stream ", Hex(reinterpret_cast<uintptr_t>(stream.handle)));
}

const char* Region::Name() const {
  switch (kind) {
    case kDevice:
      return "device memory";
    case kManaged:
      return "managed memory";
    case kPinned:
      return "pinned memory";
    case kRegistered:
      return "registered memory";
    case kReserved:
      return "reserved addresses";
    case kImported:
      return "memory opened by IPC";
    case kExternal:
      return "memory of another API";
  }
  return "memory";
}

Call::Call(const char* name, Needs needs) {
  std::string_view short_name = name;
  short_name.remove_prefix(2);
  {
    absl::MutexLock lock(&current_mutex);
    if (current == nullptr) {
      result_ = CUDA_ERROR_DEINITIALIZED;
      return;
    }
    if (current->pid != getpid()) {  // as the real one in a child of fork
      result_ = CUDA_ERROR_NOT_INITIALIZED;
      return;
    }
    state_ = current;
    absl::MutexLock inner(&state_->mutex);
    ++state_->calls_inside;
  }
  absl::MutexLock lock(&state_->mutex);
  ++state_->all_calls;
  ++state_->calls[std::string(short_name)];
  for (size_t i = 0; i < state_->failures.size(); ++i) {
    Failure& failure = state_->failures[i];
    if (!failure.name.empty() && failure.name != short_name) continue;
    if (failure.countdown > 1) {
      --failure.countdown;
      continue;
    }
    result_ = failure.result;
    if (failure.countdown == 1) state_->failures.erase(state_->failures.begin() + i);
    return;
  }
  if (needs == kNothing) return;
  if (!state_->initialised) {
    result_ = state_->Violate(absl::StrCat(name, ": before cuInit"), CUDA_ERROR_NOT_INITIALIZED);
    return;
  }
  if (needs != kContext) return;
  const int device = state_->CurrentDevice();
  if (device < 0) {
    result_ = state_->Violate(absl::StrCat(name, ": no context is current on this thread"),
                              CUDA_ERROR_INVALID_CONTEXT);
  } else if (state_->devices[device].retained == 0) {
    result_ = state_->Violate(absl::StrCat(name, ": the current context was released"),
                              CUDA_ERROR_CONTEXT_IS_DESTROYED);
  } else {
    result_ = state_->devices[device].fault;
  }
}

Call::~Call() {
  if (state_ == nullptr) return;
  absl::MutexLock lock(&state_->mutex);
  --state_->calls_inside;
  if (state_->stopping) state_->progress.SignalAll();
}

}  // namespace tenure::cuda::fake

namespace tenure::cuda {

using fake::Hex;

FakeDriver::State::State(FakeDriver* f, FakeOptions o)
    : options(std::move(o)), fake(f), pid(getpid()), random(options.seed) {
  absl::MutexLock lock(&mutex);
  for (size_t i = 0; i < options.devices.size(); ++i) {
    Device device;
    device.options = options.devices[i];
    device.limit_bytes = device.options.memory_bytes;
    device.context = NewHandle<CUcontext>();
    device.fd = memfd_create("tenure-fake-cuda", MFD_CLOEXEC);
    device.default_stream = std::make_unique<Stream>();
    device.default_stream->device = static_cast<int>(i);
    device.default_stream->is_default = true;
    device.default_stream->id = next_id++;
    devices.push_back(std::move(device));
  }
  fake::FillDevices(&table);
  fake::FillMemory(&table);
  fake::FillVirtual(&table);
  fake::FillStreams(&table);
  fake::FillWork(&table);
  fake::FillExternal(&table);
}

FakeDriver::State::~State() {
  for (auto* of : {&regions, &graves}) {
    for (auto& [base, region] : *of) {
      if (region->mapped_bytes != 0) munmap(region->bytes, region->mapped_bytes);
      for (const auto& [where, bytes] : region->windows) munmap(bytes, where.second);
    }
  }
  for (auto& [id, handle] : handles) close(handle.fd);
  for (Device& device : devices) close(device.fd);
}

CUresult FakeDriver::State::Violate(std::string text, CUresult result) {
  violations.push_back(std::move(text));
  violations_unseen = true;
  return result;
}

const char* FakeDriver::State::WhyNot(const void* handle) const {
  const uintptr_t value = reinterpret_cast<uintptr_t>(handle);
  return value >= fake::kFirstHandle && value < fake::kFirstHandle + 16 * next_id ? "destroyed"
                                                                                  : "unknown";
}

int FakeDriver::State::DeviceOf(CUcontext context) const {
  for (size_t i = 0; i < devices.size(); ++i) {
    if (devices[i].context == context) return static_cast<int>(i);
  }
  return -1;
}

int FakeDriver::State::CurrentDevice() const {
  auto found = contexts.find(fake::ThisThread());
  return found == contexts.end() || found->second.empty() ? -1 : DeviceOf(found->second.back());
}

std::shared_ptr<fake::Region> FakeDriver::State::Find(CUdeviceptr address) const {
  auto next = regions.upper_bound(address);
  if (next == regions.begin()) return nullptr;
  const std::shared_ptr<Region>& region = std::prev(next)->second;
  return address - region->base < region->size_bytes ? region : nullptr;
}

std::shared_ptr<fake::Region> FakeDriver::State::FindIn(CUdeviceptr address,
                                                        uint64_t size_bytes) const {
  if (std::shared_ptr<Region> first = Find(address)) return first;
  auto next = regions.upper_bound(address);
  return next != regions.end() && next->first - address < size_bytes ? next->second : nullptr;
}

std::string FakeDriver::State::Describe(CUdeviceptr address) const {
  auto text = [&](const Region& region) {
    return absl::StrCat(region.Name(), " of ", region.size_bytes, " bytes at ", Hex(region.base));
  };
  if (auto region = Find(address)) return text(*region);
  auto next = graves.upper_bound(address);
  if (next != graves.begin()) {
    const Region& region = *std::prev(next)->second;
    if (address - region.base < region.size_bytes) return absl::StrCat("freed ", text(region));
  }
  return address >= fake::kFirstDeviceAddress ? "no allocation" : "host memory";
}

fake::Place FakeDriver::State::Locate(CUdeviceptr address, uint64_t size_bytes, int device,
                                      bool write, std::string* why) const {
  Place place;
  place.region = Find(address);
  auto bad = [&](auto... what) {
    *why = absl::StrCat(size_bytes, " bytes at ", Hex(address), ": ", what...);
    place.kind = Place::kBad;
    return place;
  };
  if (size_bytes > UINT64_MAX - address) return bad("they wrap around");
  if (place.region == nullptr) {
    const std::string what = Describe(address);
    if (what != "host memory") return bad(what);
    if (FindIn(address, size_bytes) != nullptr) return bad("only in part page-locked or managed");
    place.kind = Place::kPageable;
    place.bytes = reinterpret_cast<std::byte*>(address);
    return place;
  }
  const Region& region = *place.region;
  const uint64_t offset = address - region.base;
  if (size_bytes > region.size_bytes - offset) {
    return bad("they go beyond the end of ", Describe(address));
  }
  if (region.kind != Region::kReserved) place.bytes = region.bytes + offset;
  switch (region.kind) {
    case Region::kPinned:
    case Region::kRegistered:
      place.kind = Place::kHost;
      return place;
    case Region::kManaged:
      place.kind = Place::kManaged;
      return place;
    case Region::kDevice:
    case Region::kImported:
    case Region::kExternal:
      if (device >= 0 && device != region.device) {
        return bad("memory of device ", region.device, ", used by device ", device);
      }
      place.kind = Place::kDevice;
      return place;
    case Region::kReserved:
      break;
  }
  for (uint64_t at = offset; at < offset + size_bytes;) {
    auto next = region.mappings.upper_bound(at);
    if (next == region.mappings.begin()) return bad("not mapped at ", Hex(region.base + at));
    const auto& [start, mapping] = *std::prev(next);
    if (at - start >= mapping.size_bytes) return bad("not mapped at ", Hex(region.base + at));
    const uint64_t able = write ? mapping.writers : mapping.readers;
    if (device >= 0 ? (able >> device & 1) == 0 : able == 0) {
      return bad("mapped, but without access at ", Hex(region.base + at));
    }
    std::byte* const bytes = mapping.bytes + (at - start);
    if (at == offset) place.bytes = bytes;
    if (bytes != place.bytes + (at - offset)) {
      return bad("across what the fake can map in one piece (", fake::kWindow, " bytes)");
    }
    at = start + mapping.size_bytes;
  }
  place.kind = Place::kDevice;
  return place;
}

std::vector<std::string> FakeDriver::State::Leaks() const {
  std::vector<std::string> leaks;
  for (const auto& [base, region] : regions) {
    leaks.push_back(
        absl::StrCat(region->Name(), ": ", region->size_bytes, " bytes at ", Hex(base)));
    for (const auto& [offset, mapping] : region->mappings) {
      leaks.push_back(
          absl::StrCat("a mapping of ", mapping.size_bytes, " bytes at ", Hex(base + offset)));
    }
  }
  for (const auto& [id, handle] : handles) {
    if (handle.references > 0) {
      leaks.push_back(absl::StrCat("a handle of ", handle.size_bytes, " bytes",
                                   handle.imported ? " (imported)" : ""));
    }
  }
  for (const auto& [handle, object] : external_memories) {
    leaks.push_back(absl::StrCat("memory of another API: ", object.size_bytes, " bytes"));
  }
  leaks.insert(leaks.end(), external_semaphores.size(), "a semaphore of another API");
  for (const auto& [handle, stream] : streams) {
    if (!stream->destroyed) {
      leaks.push_back(absl::StrCat(StreamName(*stream), " of device ", stream->device));
    } else if (!stream->queue.empty()) {
      leaks.push_back(absl::StrCat("work of destroyed ", StreamName(*stream)));
    }
  }
  for (const auto& [handle, event] : events) {
    leaks.push_back(absl::StrCat("an event of device ", event.device));
  }
  for (const auto& [module, device] : modules) {
    leaks.push_back(absl::StrCat("a module of device ", device));
  }
  for (size_t i = 0; i < devices.size(); ++i) {
    if (devices[i].retained != 0) {
      leaks.push_back(absl::StrCat("the primary context of device ", i, ", retained ",
                                   devices[i].retained, " times"));
    }
  }
  for (const auto& [thread, stack] : contexts) {
    if (!stack.empty()) {
      leaks.push_back(absl::StrCat(stack.size(), " contexts on the stack of thread ", thread));
    }
  }
  return leaks;
}

}  // namespace tenure::cuda
