#include "tenure/allocator/cuda/copy_engine.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tenure/base/host_memory.h"
#include "tenure/base/status_macros.h"

namespace tenure::cuda {
namespace {

// Up to this size, the driver's own copy of pageable memory takes no longer than waking threads.
constexpr uint64_t kDirectBytes = uint64_t{4} << 20;
// Up to this size, the driver copies pageable bytes away at once, even if the copy must wait for
// other work.
constexpr uint64_t kUnaskedBytes = uint64_t{64} << 10;
// Parts of batches up to this size are gathered in page-locked memory; larger ones gain nothing.
constexpr uint64_t kPartBytes = uint64_t{64} << 10;
constexpr uint64_t kGatherBytes = uint64_t{1} << 20;
// Copies between overlapping ranges use up to this much scratch memory. Ranges that are at least as
// far apart need none.
constexpr uint64_t kScratchBytes = uint64_t{32} << 20;
// Without scratch memory, pieces of this size or more are copied in place.
constexpr uint64_t kLeastPieceBytes = uint64_t{256} << 10;

uint64_t Distance(CUdeviceptr a, CUdeviceptr b) { return a > b ? a - b : b - a; }

enum class Memory { kPageable, kPageLocked, kOther };

// Classifies the memory at `begin`: pageable, page-locked for its whole size, or device or managed
// memory.
Memory MemoryAt(const Device& device, CUdeviceptr begin, uint64_t size) {
  CUmemorytype type = static_cast<CUmemorytype>(0);
  unsigned int managed = 0;
  CUdeviceptr start = 0;
  size_t range = 0;
  CUpointer_attribute attributes[] = {
      CU_POINTER_ATTRIBUTE_MEMORY_TYPE, CU_POINTER_ATTRIBUTE_IS_MANAGED,
      CU_POINTER_ATTRIBUTE_RANGE_START_ADDR, CU_POINTER_ATTRIBUTE_RANGE_SIZE};
  void* values[] = {&type, &managed, &start, &range};
  if (device.driver()->PointerGetAttributes(4, attributes, values, begin) != CUDA_SUCCESS) {
    return Memory::kPageable;
  }
  if (type == CU_MEMORYTYPE_DEVICE || managed != 0) return Memory::kOther;
  // The driver reports no type for memory that it does not know.
  const bool all = static_cast<int>(type) != 0 && start <= begin && size <= range &&
                   begin - start <= range - size;
  return all ? Memory::kPageLocked : Memory::kPageable;
}

// Whether the driver can read or write the whole range in place.
bool IsAddressable(const Device& device, const void* begin, uint64_t size) {
  return MemoryAt(device, reinterpret_cast<CUdeviceptr>(begin), size) != Memory::kPageable;
}

DevicePlace PlaceOf(CUdeviceptr address) { return {.object = 0, .offset = address}; }

// The shortest pattern that repeats to the same bytes.
FillPattern Shortest(FillPattern pattern) {
  while (pattern.size_bytes > 1 &&
         std::memcmp(pattern.bytes, pattern.bytes + pattern.size_bytes / 2,
                     pattern.size_bytes / 2) == 0) {
    pattern.size_bytes /= 2;
  }
  return pattern;
}

// Waits for a copy. Large copies of pageable memory return an unreached fence even if the caller
// waits.
absl::Status Ended(const absl::StatusOr<Fence>& copied) {
  return copied.ok() ? copied->Wait() : copied.status();
}

struct Engines {
  absl::Mutex mutex;
  std::map<const Device*, std::weak_ptr<CopyEngine>> engines ABSL_GUARDED_BY(mutex);
};
Engines& All() {
  static auto* const all = new Engines;
  return *all;
}

}  // namespace

absl::StatusOr<std::shared_ptr<CopyEngine>> CopyEngine::Of(std::shared_ptr<Device> device) {
  Engines& all = All();
  absl::MutexLock lock(&all.mutex);
  std::weak_ptr<CopyEngine>& slot = all.engines[device.get()];
  if (std::shared_ptr<CopyEngine> engine = slot.lock()) return engine;
  std::shared_ptr<CopyEngine> engine(new CopyEngine(std::move(device)));
  slot = engine;
  return engine;
}

CopyEngine::~CopyEngine() {
  Device::Scope scope(*device_);
  if (!scope.status().ok()) return;  // lost
  absl::MutexLock lock(&mutex_);
  for (CUstream stream : idle_) (void)device_->driver()->StreamDestroy(stream);
  for (std::byte* memory : gather_) (void)device_->driver()->MemFreeHost(memory);
  for (const LentMemory& lent : lent_) {
    lent.until.Wait().IgnoreError();
    (void)device_->driver()->MemFreeHost(lent.memory);
  }
}

absl::StatusOr<std::shared_ptr<DeviceStream>> CopyEngine::StreamOf(Direction direction) {
  {
    absl::MutexLock lock(&mutex_);
    const std::shared_ptr<DeviceStream>& stream = direction_streams_[static_cast<int>(direction)];
    if (stream != nullptr) return stream;
  }
  TENURE_ASSIGN_OR_RETURN(std::shared_ptr<DeviceStream> made, DeviceStream::Create(device_));
  absl::MutexLock lock(&mutex_);
  std::shared_ptr<DeviceStream>& stream = direction_streams_[static_cast<int>(direction)];
  if (stream == nullptr) stream = made;  // otherwise another thread was faster
  return stream;
}

bool CopyEngine::AreOthers(absl::Span<const Fence> fences) {
  const Timeline* own[3] = {};
  if (fences.empty()) return false;
  {
    absl::MutexLock lock(&mutex_);
    for (int i = 0; i < 3; ++i)
      own[i] = direction_streams_[i] == nullptr ? nullptr : direction_streams_[i]->timeline();
  }
  return std::any_of(fences.begin(), fences.end(), [&](const Fence& fence) {
    return !fence.IsReached() &&
           std::find(std::begin(own), std::end(own), fence.timeline().get()) == std::end(own);
  });
}

absl::StatusOr<std::shared_ptr<DeviceStream>> CopyEngine::AcquireSideStream() {
  {
    absl::MutexLock lock(&side_mutex_);
    SideStream* best = nullptr;
    for (SideStream& one : side_streams_) {
      if (!one.taken && one.last.IsReached()) {
        best = &one;
        break;
      }
      if (best == nullptr || one.used < best->used) best = &one;
    }
    if (best != nullptr &&
        ((!best->taken && best->last.IsReached()) || side_streams_.size() >= kMostSideStreams)) {
      best->taken = true;
      best->used = ++side_stream_uses_;
      return best->stream;
    }
  }
  TENURE_ASSIGN_OR_RETURN(std::shared_ptr<DeviceStream> made, DeviceStream::Create(device_));
  absl::MutexLock lock(&side_mutex_);
  side_streams_.push_back({made, Fence(), ++side_stream_uses_, true});
  return made;
}

void CopyEngine::ReleaseSideStream(const DeviceStream& stream, const Fence& last) {
  absl::MutexLock lock(&side_mutex_);
  for (SideStream& one : side_streams_) {
    if (one.stream.get() != &stream) continue;
    one.taken = false;
    // Two threads may have used the stream; the later end counts.
    if (last.value() >= one.last.value()) one.last = last;
  }
}

absl::StatusOr<CUstream> CopyEngine::AcquireStream() {
  {
    absl::MutexLock lock(&mutex_);
    if (!idle_.empty()) {
      CUstream stream = idle_.back();
      idle_.pop_back();
      return stream;
    }
  }
  CUstream stream = nullptr;
  TENURE_RETURN_IF_ERROR(
      TENURE_CU(device_->driver(), StreamCreate, &stream, CU_STREAM_NON_BLOCKING));
  return stream;
}

void CopyEngine::ReleaseStream(CUstream stream) {
  absl::MutexLock lock(&mutex_);
  idle_.push_back(stream);
}

absl::StatusOr<std::byte*> CopyEngine::AcquireGatherMemory() {
  std::vector<LentMemory> lent;
  {
    absl::MutexLock lock(&mutex_);
    lent.swap(lent_);
  }
  // Not under the lock, because it queries events.
  const auto in_use = std::partition(lent.begin(), lent.end(),
                                     [](const LentMemory& one) { return one.until.IsReached(); });
  {
    absl::MutexLock lock(&mutex_);
    for (auto it = lent.begin(); it != in_use; ++it) gather_.push_back(it->memory);
    lent_.insert(lent_.end(), in_use, lent.end());
    if (!gather_.empty()) {
      std::byte* memory = gather_.back();
      gather_.pop_back();
      return memory;
    }
  }
  void* memory = nullptr;
  TENURE_RETURN_IF_ERROR(
      TENURE_CU(device_->driver(), MemHostAlloc, &memory, kGatherBytes, CU_MEMHOSTALLOC_PORTABLE));
  return static_cast<std::byte*>(memory);
}

void CopyEngine::ReleaseGatherMemory(std::byte* memory, Fence until) {
  absl::MutexLock lock(&mutex_);
  if (until.timeline() == nullptr) {
    gather_.push_back(memory);
  } else {
    lent_.push_back({memory, std::move(until)});
  }
}

uint64_t CopyEngine::ScratchBytes(CUdeviceptr to, CUdeviceptr from, uint64_t size_bytes) {
  const uint64_t distance = Distance(to, from);
  const bool by_way = distance != 0 && distance < std::min(size_bytes, kScratchBytes);
  return by_way ? std::min(size_bytes, kScratchBytes) : 0;
}

absl::Status CopyEngine::InMany(absl::Span<const BatchCapability::In> parts) {
  Device::Scope scope(*device_);
  TENURE_RETURN_IF_ERROR(scope.status());
  TENURE_ASSIGN_OR_RETURN(std::byte* const gather, AcquireGatherMemory());
  absl::Status status;
  for (size_t next = 0; status.ok() && next < parts.size();) {
    if (parts[next].to.size_bytes > kPartBytes) {
      const BatchCapability::In& part = parts[next++];
      status = Ended(In(part.to.device_address(), part.from, part.to.size_bytes, {}));
      continue;
    }
    status = Run(Direction::kIn, {}, [&](CUstream stream) {
               absl::Status queued;
               for (uint64_t used = 0; queued.ok() && next < parts.size(); ++next) {
                 const BatchCapability::In& part = parts[next];
                 if (part.to.size_bytes > std::min(kPartBytes, kGatherBytes - used)) break;
                 if (part.to.size_bytes == 0) continue;
                 std::memcpy(gather + used, part.from, part.to.size_bytes);
                 queued = TENURE_CU(device_->driver(), MemcpyHtoDAsync, part.to.device_address(),
                                    gather + used, part.to.size_bytes, stream);
                 used += part.to.size_bytes;
               }
               return queued;
             }).status();
  }
  ReleaseGatherMemory(gather);
  return status;
}

absl::Status CopyEngine::OutMany(absl::Span<const BatchCapability::Out> parts) {
  Device::Scope scope(*device_);
  TENURE_RETURN_IF_ERROR(scope.status());
  TENURE_ASSIGN_OR_RETURN(std::byte* const gather, AcquireGatherMemory());
  absl::Status status;
  for (size_t next = 0; status.ok() && next < parts.size();) {
    if (parts[next].from.size_bytes > kPartBytes) {
      const BatchCapability::Out& part = parts[next++];
      status = Ended(Out(part.to, part.from.device_address(), part.from.size_bytes, {}));
      continue;
    }
    const size_t first = next;
    status = Run(Direction::kOut, {}, [&](CUstream stream) {
               absl::Status queued;
               for (uint64_t used = 0; queued.ok() && next < parts.size(); ++next) {
                 const BatchCapability::Out& part = parts[next];
                 if (part.from.size_bytes > std::min(kPartBytes, kGatherBytes - used)) break;
                 if (part.from.size_bytes == 0) continue;
                 queued = TENURE_CU(device_->driver(), MemcpyDtoHAsync, gather + used,
                                    part.from.device_address(), part.from.size_bytes, stream);
                 used += part.from.size_bytes;
               }
               return queued;
             }).status();
    for (uint64_t used = 0, i = first; status.ok() && i < next; ++i) {
      if (parts[i].from.size_bytes == 0) continue;
      std::memcpy(parts[i].to, gather + used, parts[i].from.size_bytes);
      used += parts[i].from.size_bytes;
    }
  }
  ReleaseGatherMemory(gather);
  return status;
}

absl::StatusOr<Fence> CopyEngine::Run(Direction direction, const CopyOptions& options,
                                      absl::FunctionRef<absl::Status(CUstream)> queue_work,
                                      const Move* move) {
  Device::Scope scope(*device_);
  TENURE_RETURN_IF_ERROR(scope.status());
  if (options.may_block && options.queue == nullptr) {
    TENURE_ASSIGN_OR_RETURN(CUstream stream, AcquireStream());
    absl::Status status = QueueWaits(*device_, stream, options.after);
    if (status.ok()) status = queue_work(stream);
    // Also after an error, because work may be running.
    absl::Status ended = EndWork(*device_, stream);
    ReleaseStream(stream);
    if (status.ok()) status = std::move(ended);
    if (!status.ok()) return status;
    return Fence();
  }
  const bool follows = options.queue == nullptr && AreOthers(options.after);
  std::shared_ptr<DeviceStream> own;  // null if the caller's stream is used
  DeviceStream* stream = nullptr;
  if (options.queue != nullptr) {
    TENURE_ASSIGN_OR_RETURN(stream, DeviceStream::Of(*options.queue, *device_));
  } else {
    TENURE_ASSIGN_OR_RETURN(own, follows ? AcquireSideStream() : StreamOf(direction));
    stream = own.get();
  }
  bool capturing = false;
  if (options.queue != nullptr) {
    TENURE_ASSIGN_OR_RETURN(capturing, stream->IsCapturing());
    absl::Status fits;
    if (capturing && options.may_block) {
      fits = RefuseCapture(*device_, stream->get(),
                           "the end of a transfer, which the host would wait for");
    }
    if (capturing && !std::all_of(options.after.begin(), options.after.end(),
                                  [](const Fence& fence) { return fence.IsReached(); })) {
      fits = absl::FailedPreconditionError(
          "the bytes are in use by work outside of the graph that is being captured, which the "
          "graph can't wait for; wait for that work before the capture");
    }
    if (capturing && move != nullptr) fits.Update(CheckCapturable(*move));
    if (!fits.ok()) return fits;
  }
  absl::Status status = QueueWaits(*device_, stream->get(), options.after);
  if (status.ok()) status = queue_work(stream->get());
  if (capturing) {
    if (!status.ok()) return status;
    return Fence();
  }
  // Also after an error, work may be running. If it has no fence, wait for it.
  absl::StatusOr<Fence> fence = stream->Record();
  if (!status.ok() || !fence.ok()) EndWork(*device_, stream->get()).IgnoreError();
  if (follows) ReleaseSideStream(*stream, fence.ok() ? *fence : Fence());
  return status.ok() ? fence : status;
}

absl::Status CopyEngine::CheckCapturable(const Move& move) const {
  const Memory to = MemoryAt(*device_, move.to, move.size_bytes);
  const Memory from = MemoryAt(*device_, move.from, move.size_bytes);
  if (to == Memory::kPageable || from == Memory::kPageable) {
    return absl::FailedPreconditionError(
        "the stream is being captured into a graph, which can't copy pageable host memory; copy "
        "it before the capture, or use a buffer of 'cuda-pinned' or 'cuda-unified'");
  }
  if (to == Memory::kPageLocked && from == Memory::kPageLocked) {
    return absl::FailedPreconditionError(
        "the stream is being captured into a graph, which can't copy from host memory to host "
        "memory; let the host copy, before the capture or after the graph has run");
  }
  if (move.by_way) {
    return absl::FailedPreconditionError(
        "the stream is being captured into a graph, and a copy onto itself would need scratch "
        "memory for as long as the graph lives; copy by way of a buffer of your own, in two steps");
  }
  return absl::OkStatus();
}

absl::StatusOr<Fence> CopyEngine::In(CUdeviceptr to, const void* from, uint64_t size_bytes,
                                     const CopyOptions& options) {
  // Without a wait, even small copies of pageable memory go to the staging threads. The driver
  // would block the caller until the device reaches the copy.
  const uint64_t direct = options.may_block ? kDirectBytes : kUnaskedBytes;
  if (size_bytes > direct && options.queue == nullptr) {
    Device::Scope scope(*device_);
    TENURE_RETURN_IF_ERROR(scope.status());
    if (!IsAddressable(*device_, from, size_bytes)) {
      auto read = [from](uint64_t offset, void* slot, uint64_t size) -> absl::Status {
        std::memcpy(slot, static_cast<const std::byte*>(from) + offset, size);
        return absl::OkStatus();
      };
      return staging_.ToDevice(PlaceOf(to), size_bytes, read,
                               {options.after.begin(), options.after.end()}, options.max_threads);
    }
  }
  const Move move{to, reinterpret_cast<CUdeviceptr>(from), size_bytes};
  return Run(
      Direction::kIn, options,
      [&](CUstream stream) {
        return TENURE_CU(device_->driver(), MemcpyHtoDAsync, to, from, size_bytes, stream);
      },
      &move);
}

absl::StatusOr<Fence> CopyEngine::Out(void* to, CUdeviceptr from, uint64_t size_bytes,
                                      const CopyOptions& options) {
  const uint64_t direct = options.may_block ? kDirectBytes : 0;
  if (size_bytes > direct && options.queue == nullptr) {
    Device::Scope scope(*device_);
    TENURE_RETURN_IF_ERROR(scope.status());
    if (!IsAddressable(*device_, to, size_bytes)) {
      return staging_.ToHost(to, PlaceOf(from), size_bytes,
                             {options.after.begin(), options.after.end()}, options.max_threads);
    }
  }
  const Move move{reinterpret_cast<CUdeviceptr>(to), from, size_bytes};
  return Run(
      Direction::kOut, options,
      [&](CUstream stream) {
        return TENURE_CU(device_->driver(), MemcpyDtoHAsync, to, from, size_bytes, stream);
      },
      &move);
}

absl::StatusOr<Fence> CopyEngine::InFrom(CUdeviceptr to, uint64_t size_bytes,
                                         StagingRing::Reader read, const CopyOptions& options) {
  if (options.queue != nullptr) {
    return absl::UnimplementedError(
        "copies through staging memory can't keep the order of a device's queue");
  }
  return staging_.ToDevice(PlaceOf(to), size_bytes, std::move(read),
                           {options.after.begin(), options.after.end()}, options.max_threads);
}

absl::StatusOr<Fence> CopyEngine::Between(CUdeviceptr to, CUdeviceptr from, uint64_t size_bytes,
                                          const CopyOptions& options, Direction direction,
                                          Scratch scratch) {
  if (to == from) {
    // No bytes move, but the caller still depends on the fences in `after`.
    if (options.after.empty()) return Fence();
    return Run(direction, options, [](CUstream) { return absl::OkStatus(); });
  }
  const uint64_t distance = Distance(to, from);
  const Move move{to, from, size_bytes, ScratchBytes(to, from, size_bytes) > 0};
  std::byte* gather = nullptr;
  if (move.by_way && scratch.address == 0 && distance < kLeastPieceBytes) {
    Device::Scope scope(*device_);
    TENURE_RETURN_IF_ERROR(scope.status());
    TENURE_ASSIGN_OR_RETURN(gather, AcquireGatherMemory());
    scratch = {reinterpret_cast<CUdeviceptr>(gather), kGatherBytes};
  }
  absl::StatusOr<Fence> copied = Run(
      direction, options,
      [&](CUstream stream) {
        if (distance < size_bytes) return CopyOverlapping(to, from, size_bytes, scratch, stream);
        return TENURE_CU(device_->driver(), MemcpyAsync, to, from, size_bytes, stream);
      },
      &move);
  if (gather != nullptr) ReleaseGatherMemory(gather, copied.ok() ? *copied : Fence());
  return copied;
}

// Copies in pieces that do not overlap themselves, starting at the end whose bytes are no longer
// needed as a source. Pieces that are no longer than the distance need no scratch memory.
absl::Status CopyEngine::CopyOverlapping(CUdeviceptr to, CUdeviceptr from, uint64_t size_bytes,
                                         Scratch scratch, CUstream stream) {
  const Driver& driver = device_->driver();
  const bool up = to > from;
  const bool direct = scratch.address == 0;
  const uint64_t piece_bytes = direct ? Distance(to, from) : scratch.size_bytes;
  absl::Status status;
  for (uint64_t done = 0; status.ok() && done < size_bytes;) {
    const uint64_t size = std::min(piece_bytes, size_bytes - done);
    const uint64_t offset = up ? size_bytes - done - size : done;
    if (direct) {
      status = TENURE_CU(driver, MemcpyAsync, to + offset, from + offset, size, stream);
    } else {
      status = TENURE_CU(driver, MemcpyAsync, scratch.address, from + offset, size, stream);
      if (status.ok()) {
        status = TENURE_CU(driver, MemcpyAsync, to + offset, scratch.address, size, stream);
      }
    }
    done += size;
  }
  return status;
}

absl::StatusOr<Fence> CopyEngine::Fill(CUdeviceptr to, uint64_t size_bytes,
                                       const FillPattern& pattern, const CopyOptions& options) {
  TENURE_RETURN_IF_ERROR(host::CheckPattern(pattern));
  const FillPattern shortest = Shortest(pattern);
  return Run(Direction::kWithin, options,
             [&](CUstream stream) { return QueueFill(to, size_bytes, shortest, stream); });
}

absl::Status CopyEngine::QueueFill(CUdeviceptr to, uint64_t size_bytes, const FillPattern& pattern,
                                   CUstream stream) {
  const Driver& driver = device_->driver();
  const uint64_t width = pattern.size_bytes;
  auto bytes = [&](uint64_t at, uint64_t count) -> absl::Status {
    absl::Status status;
    for (uint64_t i = at; status.ok() && i < at + count; ++i) {
      status = TENURE_CU(driver, MemsetD8Async, to + i,
                         static_cast<unsigned char>(pattern.bytes[i % width]), 1, stream);
    }
    return status;
  };
  absl::Status status;
  if (width == 1) {
    return TENURE_CU(driver, MemsetD8Async, to, static_cast<unsigned char>(pattern.bytes[0]),
                     size_bytes, stream);
  }
  const uint64_t whole = size_bytes / width * width;
  if (width == 2 && to % 2 == 0) {
    uint16_t value;
    std::memcpy(&value, pattern.bytes, sizeof(value));
    if (whole > 0) status = TENURE_CU(driver, MemsetD16Async, to, value, whole / 2, stream);
    return status.ok() ? bytes(whole, size_bytes - whole) : status;
  }
  if (width == 4 && to % 4 == 0) {
    uint32_t value;
    std::memcpy(&value, pattern.bytes, sizeof(value));
    if (whole > 0) status = TENURE_CU(driver, MemsetD32Async, to, value, whole / 4, stream);
    return status.ok() ? bytes(whole, size_bytes - whole) : status;
  }
  // Writes the pattern once, by single bytes or words, and then doubles the filled part until it
  // fills the range.
  uint64_t filled = std::min(width, size_bytes);
  if (to % 4 == 0 && width >= 4 && filled == width) {
    for (uint64_t i = 0; status.ok() && i < width; i += 4) {
      uint32_t value;
      std::memcpy(&value, pattern.bytes + i, sizeof(value));
      status = TENURE_CU(driver, MemsetD32Async, to + i, value, 1, stream);
    }
  } else {
    status = bytes(0, filled);
  }
  while (status.ok() && filled < size_bytes) {
    const uint64_t size = std::min(filled, size_bytes - filled);
    status = TENURE_CU(driver, MemcpyDtoDAsync, to + filled, to, size, stream);
    filled += size;
  }
  return status;
}

absl::Status CopyEngine::Synchronize() {
  staging_.Drain();
  std::vector<std::shared_ptr<DeviceStream>> streams;
  {
    absl::MutexLock lock(&mutex_);
    for (const auto& direction : direction_streams_) {
      if (direction != nullptr) streams.push_back(direction);
    }
  }
  {
    absl::MutexLock lock(&side_mutex_);
    for (const SideStream& side : side_streams_) streams.push_back(side.stream);
  }
  for (const auto& stream : streams) {
    TENURE_RETURN_IF_ERROR(stream->Synchronize());
  }
  return absl::OkStatus();
}

}  // namespace tenure::cuda
