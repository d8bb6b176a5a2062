#include "tenure/allocator/vulkan/copy_engine.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tenure/base/host_memory.h"
#include "tenure/base/status_macros.h"

namespace tenure::vulkan {
namespace {

// From this size on, a copy with ordinary host memory goes through the ring.
constexpr uint64_t kDirectBytes = uint64_t{512} << 10;
// Parts of batches up to this size are gathered; larger ones gain nothing.
constexpr uint64_t kPartBytes = uint64_t{64} << 10;
constexpr uint64_t kGatherBytes = uint64_t{1} << 20;
// Copies between overlapping ranges go through so much memory of the device.
constexpr uint64_t kScratchBytes = uint64_t{8} << 20;
// A pattern is repeated in staging memory to this size. It is a multiple of every pattern's.
constexpr uint64_t kRepeatedBytes = uint64_t{64} << 10;
// Each piece waits for a submission, so more threads than with CUDA keep the bus busy.
constexpr int kRingThreads = 12;
// Both ways to copy and to fill are timed on so many bytes, before the first transfer of that size.
constexpr uint64_t kMeasuredBytes = uint64_t{16} << 20;
// Smaller copies take the driver's command: a dispatch costs more than they do.
constexpr uint64_t kLeastByKernel = uint64_t{256} << 10;

VkBuffer BufferOf(const SubRegion& region) {
  return reinterpret_cast<VkBuffer>(region.allocation->native_handle);
}
uint64_t OffsetOf(const SubRegion& region) {
  return region.allocation->native_offset + region.offset_bytes;
}
uint64_t AddressOf(const SubRegion& region) { return region.device_address(); }
DevicePlace PlaceOf(const SubRegion& region) {
  return {.object = region.allocation->native_handle, .offset = OffsetOf(region)};
}

bool AllReached(absl::Span<const Fence> fences) {
  return std::all_of(fences.begin(), fences.end(),
                     [](const Fence& fence) { return fence.IsReached(); });
}

absl::Status WaitForAll(absl::Span<const Fence> fences) {
  for (const Fence& fence : fences) TENURE_RETURN_IF_ERROR(fence.Wait());
  return absl::OkStatus();
}

// Whether the host still moves bytes for the fence.
bool HasHostParts(const Fence& fence) {
  auto* timeline = dynamic_cast<SemaphoreTimeline*>(fence.timeline().get());
  return timeline != nullptr && timeline->HasHostParts(fence.value());
}

bool IsForeign(const Fence& fence) {
  return fence.timeline() != nullptr &&
         dynamic_cast<SemaphoreTimeline*>(fence.timeline().get()) == nullptr;
}

// The host reads memory of the caller's when a copy in is queued. What other copies still bring
// there must have arrived.
absl::Status WaitForHostParts(absl::Span<const Fence> fences) {
  for (const Fence& fence : fences) {
    // Another API may be the one that brings them.
    if (HasHostParts(fence) || IsForeign(fence)) TENURE_RETURN_IF_ERROR(fence.Wait());
  }
  return absl::OkStatus();
}

// Puts a barrier between two copies of one submission that may write to the same bytes. Vulkan keeps
// no order among them by itself.
class Written {
 public:
  explicit Written(const Device& device) : device_(device) {}

  // The next copy writes to this region.
  void Add(VkCommandBuffer commands, const SubRegion& to) {
    const uint64_t begin = OffsetOf(to), end = begin + to.size_bytes;
    auto [it, is_new] = hulls_.try_emplace(to.allocation->native_handle, begin, end);
    if (is_new) return;
    auto& [first, last] = it->second;
    if (begin < last && first < end) {
      RecordBarrier(device_, commands);
      hulls_.clear();
      hulls_[to.allocation->native_handle] = {begin, end};
      return;
    }
    first = std::min(first, begin);
    last = std::max(last, end);
  }

 private:
  const Device& device_;
  std::map<uint64_t, std::pair<uint64_t, uint64_t>> hulls_;  // of what was written, by buffer
};

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
  TENURE_ASSIGN_OR_RETURN(std::shared_ptr<StagingPool> upload,
                          StagingPool::Create(device, Purpose::kUpload));
  TENURE_ASSIGN_OR_RETURN(std::shared_ptr<StagingPool> readback,
                          StagingPool::Create(device, Purpose::kReadback));
  TENURE_ASSIGN_OR_RETURN(std::shared_ptr<StagingPool> scratch,
                          StagingPool::Create(device, Purpose::kDevice));
  absl::StatusOr<std::unique_ptr<ComputeKernels>> kernels = ComputeKernels::Create(*device);
  if (!kernels.ok() && !absl::IsUnimplemented(kernels.status())) return kernels.status();
  std::shared_ptr<CopyEngine> engine(new CopyEngine(std::move(device), std::move(upload),
                                                    std::move(readback), std::move(scratch),
                                                    kernels.ok() ? *std::move(kernels) : nullptr));
  slot = engine;
  return engine;
}

CopyEngine::CopyEngine(std::shared_ptr<Device> device, std::shared_ptr<StagingPool> upload,
                       std::shared_ptr<StagingPool> readback, std::shared_ptr<StagingPool> scratch,
                       std::unique_ptr<ComputeKernels> kernels)
    : device_(std::move(device)),
      upload_(std::move(upload)),
      readback_(std::move(readback)),
      scratch_(std::move(scratch)),
      kernels_(std::move(kernels)),
      copies_by_kernel_(kernels_ != nullptr && device_->info().type == DeviceType::kDiscrete),
      fills_by_kernel_(copies_by_kernel_.load()),
      ring_({.make_lane = [this] { return VulkanStagingLane::Make(device_, *readback_); },
             .no_thread = "no thread can be made to copy through staging memory; end some threads, "
                          "or copy from a buffer of 'vulkan-upload'",
             .usual_threads = kRingThreads}) {}

CopyEngine::~CopyEngine() {
  // Staging memory may still be in use, also by queues of callers.
  device_->WaitIdle().IgnoreError();
}

absl::Status CopyEngine::Synchronize() {
  std::vector<std::shared_ptr<DeviceQueue>> queues;
  {
    absl::MutexLock lock(&mutex_);
    for (const auto& queue : direction_queues_) queues.push_back(queue);
    for (const auto& queue : side_queues_) queues.push_back(queue);
  }
  absl::Status status;
  for (const auto& queue : queues) {
    if (queue != nullptr) status.Update(queue->Synchronize());
  }
  ring_.Drain();
  return status;
}

absl::StatusOr<std::shared_ptr<DeviceQueue>> CopyEngine::QueueFor(Direction direction,
                                                                  absl::Span<const Fence> after) {
  absl::MutexLock lock(&mutex_);
  // Work of the three direction queues always ends by itself.
  bool waits = false;
  for (const Fence& fence : after) {
    bool is_own = fence.IsReached();
    for (const auto& own : direction_queues_) is_own |= own != nullptr && own->HasRecorded(fence);
    waits |= !is_own;
  }
  std::shared_ptr<DeviceQueue>& queue =
      waits ? side_queues_[next_side_queue_++ % kSideQueues] : direction_queues_[direction];
  if (queue == nullptr) {
    const QueueUse use = waits || direction == kWithin ? QueueUse::kCompute : QueueUse::kTransfer;
    TENURE_ASSIGN_OR_RETURN(queue, DeviceQueue::Create(device_, use));
  }
  return queue;
}

absl::StatusOr<Fence> CopyEngine::Run(Direction direction, const CopyOptions& options,
                                      DeviceQueue::Recorder record,
                                      std::function<absl::Status()> host_part) {
  absl::Span<const Fence> after = options.after;
  if (options.may_block && options.queue == nullptr) {
    TENURE_RETURN_IF_ERROR(WaitForAll(after));
    after = {};
  }
  std::shared_ptr<DeviceQueue> own;
  DeviceQueue* queue = nullptr;
  if (options.queue != nullptr) {
    TENURE_ASSIGN_OR_RETURN(queue, DeviceQueue::Of(*options.queue, *device_));
  } else {
    TENURE_ASSIGN_OR_RETURN(own, QueueFor(direction, after));
    queue = own.get();
  }
  return queue->SubmitRecorded(after, record, std::move(host_part));
}

absl::StatusOr<Fence> CopyEngine::Ended(const Fence& fence, const CopyOptions& options) {
  if (!options.may_block) return fence;
  TENURE_RETURN_IF_ERROR(fence.Wait());
  return Fence();
}

absl::StatusOr<Fence> CopyEngine::In(const SubRegion& to, const void* from,
                                     const CopyOptions& options) {
  const bool large = to.size_bytes > kDirectBytes;
  const bool late = !options.may_block && !AllReached(options.after);
  if (options.queue == nullptr && (large || late)) {
    auto read = [from](uint64_t offset, void* slot, uint64_t size) -> absl::Status {
      std::memcpy(slot, static_cast<const std::byte*>(from) + offset, size);
      return absl::OkStatus();
    };
    return InFrom(to, read, options);
  }
  TENURE_RETURN_IF_ERROR(options.may_block && options.queue == nullptr
                             ? WaitForAll(options.after)
                             : WaitForHostParts(options.after));
  TENURE_ASSIGN_OR_RETURN(StagingBlock block, upload_->Acquire(to.size_bytes, options.may_block));
  host::MoveBytes(block.host(), from, to.size_bytes, options.max_threads);
  TENURE_RETURN_IF_ERROR(block.Flush());
  const VkBufferCopy region = {block.offset(), OffsetOf(to), to.size_bytes};
  TENURE_ASSIGN_OR_RETURN(Fence fence, Run(kIn, options, [&](VkCommandBuffer commands) {
                            device_->calls().CmdCopyBuffer(commands, block.buffer(), BufferOf(to),
                                                           1, &region);
                            return absl::OkStatus();
                          }));
  block.ReleaseAfter(fence);
  return Ended(fence, options);
}

absl::StatusOr<Fence> CopyEngine::Out(void* to, const SubRegion& from, const CopyOptions& options) {
  const bool large = from.size_bytes > kDirectBytes;
  const bool late = !options.may_block && !AllReached(options.after);
  if (options.queue == nullptr && (large || late)) {
    return ring_.ToHost(to, PlaceOf(from), from.size_bytes,
                        {options.after.begin(), options.after.end()}, options.max_threads);
  }
  TENURE_ASSIGN_OR_RETURN(StagingBlock acquired,
                          readback_->Acquire(from.size_bytes, options.may_block));
  auto block = std::make_shared<StagingBlock>(std::move(acquired));
  const VkBufferCopy region = {OffsetOf(from), block->offset(), from.size_bytes};
  // The device waits for the device's parts of earlier copies. What the host does for them comes
  // first too: it may write to the same bytes of the host's.
  std::vector<Fence> earlier;
  for (const Fence& fence : options.after) {
    if (HasHostParts(fence)) earlier.push_back(fence);
  }
  // The block belongs to the host's part, so it is given back when that is done.
  TENURE_ASSIGN_OR_RETURN(const Fence fence,
                          Run(
                              kOut, options,
                              [&](VkCommandBuffer commands) {
                                device_->calls().CmdCopyBuffer(commands, BufferOf(from),
                                                               block->buffer(), 1, &region);
                                return absl::OkStatus();
                              },
                              [block, to, size = from.size_bytes, threads = options.max_threads,
                               earlier = std::move(earlier)] {
                                absl::Status status = WaitForAll(earlier);
                                if (status.ok()) status = block->Invalidate();
                                if (status.ok()) host::MoveBytes(to, block->host(), size, threads);
                                return status;
                              }));
  return Ended(fence, options);
}

absl::StatusOr<Fence> CopyEngine::InFrom(const SubRegion& to, StagingRing::Reader read,
                                         const CopyOptions& options) {
  if (options.queue != nullptr) {
    return absl::UnimplementedError(
        "the host takes part in this copy, so it can't keep its place in a device's queue; copy by "
        "way of a buffer of 'vulkan-upload'");
  }
  return ring_.ToDevice(PlaceOf(to), to.size_bytes, std::move(read),
                        {options.after.begin(), options.after.end()}, options.max_threads);
}

absl::StatusOr<Fence> CopyEngine::Between(const SubRegion& to, const SubRegion& from,
                                          const CopyOptions& options) {
  if (BufferOf(to) == BufferOf(from)) {
    const uint64_t a = OffsetOf(to), b = OffsetOf(from);
    if (a == b) {
      // Nothing moves, but the fence must come after what the copy was to follow.
      TENURE_ASSIGN_OR_RETURN(const Fence fence, Run(kWithin, options, [](VkCommandBuffer) {
                                return absl::OkStatus();
                              }));
      return Ended(fence, options);
    }
    if (std::max(a, b) - std::min(a, b) < to.size_bytes) return CopyOverlapping(to, from, options);
  }
  // What crosses the bus goes by the queues that have it to themselves.
  const bool from_host = from.allocation->host != nullptr, to_host = to.allocation->host != nullptr;
  const Direction direction = from_host == to_host ? kWithin : from_host ? kIn : kOut;
  bool by_kernel = false;
  if (direction == kWithin) {
    MeasureOnce(to.size_bytes, options);
    by_kernel =
        copies_by_kernel_.load(std::memory_order_relaxed) && to.size_bytes >= kLeastByKernel;
  }
  TENURE_ASSIGN_OR_RETURN(const Fence fence, Run(direction, options, [&](VkCommandBuffer commands) {
                            RecordCopy(commands, to, from, by_kernel);
                            return absl::OkStatus();
                          }));
  return Ended(fence, options);
}

void CopyEngine::RecordCopy(VkCommandBuffer commands, const SubRegion& to, const SubRegion& from,
                            bool by_kernel) const {
  if (by_kernel) {
    kernels_->RecordCopy(commands, AddressOf(from), AddressOf(to), to.size_bytes);
    return;
  }
  const VkBufferCopy region = {OffsetOf(from), OffsetOf(to), to.size_bytes};
  device_->calls().CmdCopyBuffer(commands, BufferOf(from), BufferOf(to), 1, &region);
}

void CopyEngine::MeasureOnce(uint64_t size_bytes, const CopyOptions& options) {
  // Only for a caller that waits anyway, and in no queue of the caller's.
  if (kernels_ == nullptr || size_bytes < kMeasuredBytes || !options.may_block ||
      options.queue != nullptr || measured_.exchange(true, std::memory_order_relaxed)) {
    return;
  }
  // Without the memory for it, the first choice stays.
  Measure().IgnoreError();
}

absl::Status CopyEngine::Measure() {
  TENURE_ASSIGN_OR_RETURN(StagingBlock a, scratch_->Acquire(kMeasuredBytes));
  TENURE_ASSIGN_OR_RETURN(StagingBlock b, scratch_->Acquire(kMeasuredBytes));
  TENURE_ASSIGN_OR_RETURN(const std::shared_ptr<DeviceQueue> queue, DeviceQueue::Create(device_));
  const SubRegion to = a.region(), from = b.region();
  const auto time_of =
      [&](absl::FunctionRef<void(VkCommandBuffer)> record) -> absl::StatusOr<absl::Duration> {
    absl::Duration best = absl::InfiniteDuration();
    for (int i = 0; i < 3; ++i) {
      const absl::Time begin = absl::Now();
      TENURE_ASSIGN_OR_RETURN(const Fence fence,
                              queue->SubmitRecorded({}, [&](VkCommandBuffer commands) {
                                record(commands);
                                return absl::OkStatus();
                              }));
      a.ReleaseAfter(fence);
      b.ReleaseAfter(fence);
      TENURE_RETURN_IF_ERROR(fence.Wait());
      best = std::min(best, absl::Now() - begin);
    }
    return best;
  };
  TENURE_ASSIGN_OR_RETURN(
      const absl::Duration copied_by_command,
      time_of([&](VkCommandBuffer commands) { RecordCopy(commands, to, from, false); }));
  TENURE_ASSIGN_OR_RETURN(
      const absl::Duration copied_by_kernel,
      time_of([&](VkCommandBuffer commands) { RecordCopy(commands, to, from, true); }));
  copies_by_kernel_.store(copied_by_kernel < copied_by_command, std::memory_order_relaxed);
  TENURE_ASSIGN_OR_RETURN(
      const absl::Duration filled_by_command, time_of([&](VkCommandBuffer commands) {
        device_->calls().CmdFillBuffer(commands, BufferOf(to), OffsetOf(to), to.size_bytes, 0);
      }));
  TENURE_ASSIGN_OR_RETURN(
      const absl::Duration filled_by_kernel, time_of([&](VkCommandBuffer commands) {
        kernels_->RecordFill(commands, AddressOf(to), to.size_bytes, FillPattern());
      }));
  fills_by_kernel_.store(filled_by_kernel < filled_by_command, std::memory_order_relaxed);
  return absl::OkStatus();
}

absl::StatusOr<Fence> CopyEngine::CopyOverlapping(const SubRegion& to, const SubRegion& from,
                                                  const CopyOptions& options) {
  const uint64_t size = to.size_bytes;
  TENURE_ASSIGN_OR_RETURN(StagingBlock scratch,
                          scratch_->Acquire(std::min(size, kScratchBytes), options.may_block));
  const bool backwards = OffsetOf(to) > OffsetOf(from);
  TENURE_ASSIGN_OR_RETURN(
      Fence fence, Run(kWithin, options, [&](VkCommandBuffer commands) {
        for (uint64_t done = 0; done < size;) {
          const uint64_t piece = std::min(scratch.size_bytes(), size - done);
          const uint64_t at = backwards ? size - done - piece : done;
          const VkBufferCopy out = {OffsetOf(from) + at, scratch.offset(), piece};
          const VkBufferCopy in = {scratch.offset(), OffsetOf(to) + at, piece};
          device_->calls().CmdCopyBuffer(commands, BufferOf(from), scratch.buffer(), 1, &out);
          RecordBarrier(*device_, commands);
          device_->calls().CmdCopyBuffer(commands, scratch.buffer(), BufferOf(to), 1, &in);
          RecordBarrier(*device_, commands);
          done += piece;
        }
        return absl::OkStatus();
      }));
  scratch.ReleaseAfter(fence);
  return Ended(fence, options);
}

void CopyEngine::RecordFill(VkCommandBuffer commands, const SubRegion& to,
                            const FillPattern& pattern, const StagingBlock& repeated) const {
  const uint64_t begin = OffsetOf(to);
  const uint64_t end = begin + to.size_bytes;
  // The middle by the driver's own fill, if it can: whole words, and a pattern that a word repeats.
  uint64_t middle = end, middle_end = end;
  if (pattern.size_bytes <= 4) {
    middle = std::min(end, (begin + 3) / 4 * 4);
    middle_end = std::max(middle, end / 4 * 4);
  }
  if (middle < middle_end) {
    uint32_t word = 0;
    std::byte bytes[4];
    for (uint64_t i = 0; i < 4; ++i) {
      bytes[i] = pattern.bytes[(middle - begin + i) % pattern.size_bytes];
    }
    std::memcpy(&word, bytes, 4);
    device_->calls().CmdFillBuffer(commands, BufferOf(to), middle, middle_end - middle, word);
  }
  // The rest by copies of the repeated pattern. Both parts begin where the pattern does, or a part
  // of it: the source is moved by that.
  std::vector<VkBufferCopy> regions;
  const auto cover = [&](uint64_t first, uint64_t last) {
    const uint64_t shift = (first - begin) % pattern.size_bytes;
    const uint64_t usable = kRepeatedBytes - pattern.size_bytes;
    for (uint64_t at = first; at < last; at += usable) {
      regions.push_back({repeated.offset() + shift, at, std::min(usable, last - at)});
    }
  };
  cover(begin, std::min(middle, end));
  cover(middle_end, end);
  if (!regions.empty()) {
    device_->calls().CmdCopyBuffer(commands, repeated.buffer(), BufferOf(to),
                                   static_cast<uint32_t>(regions.size()), regions.data());
  }
}

absl::StatusOr<Fence> CopyEngine::Fill(const SubRegion& to, const FillPattern& pattern,
                                       const CopyOptions& options) {
  TENURE_RETURN_IF_ERROR(host::CheckPattern(pattern));
  MeasureOnce(to.size_bytes, options);
  const bool by_words = pattern.size_bytes <= 4 && OffsetOf(to) % 4 == 0 && to.size_bytes % 4 == 0;
  const bool by_kernel =
      kernels_ != nullptr && (!by_words || (fills_by_kernel_.load(std::memory_order_relaxed) &&
                                            to.size_bytes >= kLeastByKernel));
  StagingBlock repeated;
  const bool by_copies = !by_words && !by_kernel;
  if (by_copies) {
    TENURE_ASSIGN_OR_RETURN(repeated, upload_->Acquire(kRepeatedBytes, options.may_block));
    host::FillBytes(repeated.host(), kRepeatedBytes, pattern, 1);
    TENURE_RETURN_IF_ERROR(repeated.Flush());
  }
  TENURE_ASSIGN_OR_RETURN(Fence fence, Run(kWithin, options, [&](VkCommandBuffer commands) {
                            if (by_kernel) {
                              kernels_->RecordFill(commands, AddressOf(to), to.size_bytes, pattern);
                            } else {
                              RecordFill(commands, to, pattern, repeated);
                            }
                            return absl::OkStatus();
                          }));
  if (by_copies) repeated.ReleaseAfter(fence);
  return Ended(fence, options);
}

absl::Status CopyEngine::InMany(absl::Span<const BatchCapability::In> parts) {
  TENURE_ASSIGN_OR_RETURN(StagingBlock gather, upload_->Acquire(kGatherBytes));
  for (size_t next = 0; next < parts.size();) {
    if (parts[next].to.size_bytes > kPartBytes) {
      const BatchCapability::In& part = parts[next++];
      TENURE_ASSIGN_OR_RETURN(const Fence done, In(part.to, part.from, {}));
      TENURE_RETURN_IF_ERROR(done.Wait());
      continue;
    }
    const size_t first = next;
    uint64_t used = 0;
    for (; next < parts.size(); ++next) {
      const BatchCapability::In& part = parts[next];
      if (part.to.size_bytes > std::min(kPartBytes, kGatherBytes - used)) break;
      if (part.to.size_bytes != 0) std::memcpy(gather.host() + used, part.from, part.to.size_bytes);
      used += part.to.size_bytes;
    }
    TENURE_RETURN_IF_ERROR(gather.Flush());
    TENURE_ASSIGN_OR_RETURN(const Fence fence, Run(kIn, {}, [&](VkCommandBuffer commands) {
                              uint64_t at = gather.offset();
                              Written written(*device_);
                              for (size_t i = first; i < next; ++i) {
                                const SubRegion& to = parts[i].to;
                                if (to.size_bytes == 0) continue;
                                written.Add(commands, to);
                                const VkBufferCopy region = {at, OffsetOf(to), to.size_bytes};
                                device_->calls().CmdCopyBuffer(commands, gather.buffer(),
                                                               BufferOf(to), 1, &region);
                                at += to.size_bytes;
                              }
                              return absl::OkStatus();
                            }));
    gather.ReleaseAfter(fence);
    TENURE_RETURN_IF_ERROR(fence.Wait());
  }
  return absl::OkStatus();
}

absl::Status CopyEngine::OutMany(absl::Span<const BatchCapability::Out> parts) {
  TENURE_ASSIGN_OR_RETURN(StagingBlock gather, readback_->Acquire(kGatherBytes));
  for (size_t next = 0; next < parts.size();) {
    if (parts[next].from.size_bytes > kPartBytes) {
      const BatchCapability::Out& part = parts[next++];
      TENURE_ASSIGN_OR_RETURN(const Fence done, Out(part.to, part.from, {}));
      TENURE_RETURN_IF_ERROR(done.Wait());
      continue;
    }
    const size_t first = next;
    TENURE_ASSIGN_OR_RETURN(
        const Fence fence, Run(kOut, {}, [&](VkCommandBuffer commands) {
          for (uint64_t used = 0; next < parts.size(); ++next) {
            const SubRegion& from = parts[next].from;
            if (from.size_bytes > std::min(kPartBytes, kGatherBytes - used)) break;
            if (from.size_bytes == 0) continue;
            const VkBufferCopy region = {OffsetOf(from), gather.offset() + used, from.size_bytes};
            device_->calls().CmdCopyBuffer(commands, BufferOf(from), gather.buffer(), 1, &region);
            used += from.size_bytes;
          }
          return absl::OkStatus();
        }));
    gather.ReleaseAfter(fence);
    TENURE_RETURN_IF_ERROR(fence.Wait());
    TENURE_RETURN_IF_ERROR(gather.Invalidate());
    uint64_t used = 0;
    for (size_t i = first; i < next; ++i) {
      if (parts[i].from.size_bytes == 0) continue;
      std::memcpy(parts[i].to, gather.host() + used, parts[i].from.size_bytes);
      used += parts[i].from.size_bytes;
    }
  }
  return absl::OkStatus();
}

}  // namespace tenure::vulkan
