#include "tenure/allocator/vulkan/frame_memory.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tenure/allocator/capabilities.h"
#include "tenure/allocator/timeline/fence_state.h"
#include "tenure/base/checked.h"
#include "tenure/base/status_macros.h"

namespace tenure::vulkan {

absl::StatusOr<std::unique_ptr<FrameMemory>> FrameMemory::Create(Allocator& allocator,
                                                                 const Options& options) {
  if (options.frames_in_flight == 0 || options.block_bytes == 0) {
    return absl::InvalidArgumentError(
        "frame memory needs at least one frame, and blocks of a byte");
  }
  return std::unique_ptr<FrameMemory>(new FrameMemory(allocator, options));
}

FrameMemory::~FrameMemory() {
  absl::MutexLock lock(&mutex_);
  for (Frame& frame : frames_) FreeBlocks(frame);
}

void FrameMemory::FreeBlocks(Frame& frame) {
  for (const auto& block : frame.blocks) allocator_.Deallocate(block->allocation, frame.fences);
  frame.blocks.clear();
}

absl::Status FrameMemory::BeginFrame(absl::Duration timeout) {
  const absl::Time deadline =
      timeout == absl::InfiniteDuration() ? absl::InfiniteFuture() : absl::Now() + timeout;
  absl::MutexLock lock(&mutex_);
  if (open_ || beginning_) {
    return absl::FailedPreconditionError("a frame has begun already; end it first (EndFrame)");
  }
  const size_t next = (current_ + 1) % frames_.size();
  Frame& frame = frames_[next];
  beginning_ = true;
  absl::Status status;
  while (!frame.fences.empty() && status.ok()) {
    const Fence fence = frame.fences.back();
    mutex_.Unlock();
    status = fence.WaitUntil(deadline);
    const bool is_reached = fence.IsReached();
    mutex_.Lock();
    // Work that has ended with an error uses its bytes no longer.
    if (is_reached) frame.fences.pop_back();
  }
  beginning_ = false;
  TENURE_RETURN_IF_ERROR(status);
  if (frame.blocks.size() > 1) {
    frame.wanted_bytes = 0;
    for (const auto& block : frame.blocks) frame.wanted_bytes += block->allocation.size_bytes;
    FreeBlocks(frame);
  }
  for (const auto& block : frame.blocks) block->used_bytes = 0;
  current_ = next;
  open_ = true;
  return absl::OkStatus();
}

absl::StatusOr<SubRegion> FrameMemory::Allocate(uint64_t size_bytes, uint64_t alignment_bytes) {
  const uint64_t alignment = std::max<uint64_t>(
      alignment_bytes, alignment_bytes == 0 ? allocator_.traits().min_alignment_bytes : 1);
  if (size_bytes == 0 || !IsPowerOfTwo(alignment) || alignment > kMaxAlignmentBytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a piece of ", size_bytes, " bytes, aligned to ", alignment,
        ", can't be had from a frame; ask for a byte or more, and for a power of two up to ",
        kMaxAlignmentBytes));
  }
  absl::MutexLock lock(&mutex_);
  if (!open_) {
    return absl::FailedPreconditionError("no frame has begun; call BeginFrame before allocating");
  }
  Frame& frame = frames_[current_];
  for (const bool is_new : {false, true}) {
    if (is_new) TENURE_RETURN_IF_ERROR(AddBlock(frame, size_bytes));
    if (frame.blocks.empty()) continue;
    Block& block = *frame.blocks.back();
    uint64_t offset = 0;
    if (!CheckedRoundUp(block.used_bytes, alignment, &offset) ||
        !WindowFits(offset, size_bytes, block.allocation.size_bytes)) {
      continue;
    }
    block.used_bytes = offset + size_bytes;
    return SubRegion{&block.allocation, offset, size_bytes};
  }
  return absl::InternalError("a new block has no place for the piece that it was made for");
}

absl::Status FrameMemory::AddBlock(Frame& frame, uint64_t size_bytes) {
  AllocationRequest request;
  request.alignment_bytes = std::max(kMaxAlignmentBytes, allocator_.traits().min_alignment_bytes);
  request.name = "frame memory";
  // As large as all that the frame had, so that it needs no other block from now on.
  uint64_t wanted = std::max(options_.block_bytes, frame.wanted_bytes);
  if (!frame.blocks.empty()) {
    wanted = std::max(wanted, frame.blocks.back()->allocation.size_bytes);
  }
  request.size_bytes = std::max(size_bytes, wanted);
  absl::StatusOr<Allocation> made = allocator_.Allocate(request);
  if (absl::IsResourceExhausted(made.status()) && request.size_bytes > size_bytes) {
    request.size_bytes = size_bytes;
    made = allocator_.Allocate(request);
  }
  TENURE_RETURN_IF_ERROR(made.status());
  auto block = std::make_unique<Block>();
  block->allocation = *made;
  frame.blocks.push_back(std::move(block));
  return absl::OkStatus();
}

absl::Status FrameMemory::Flush() {
  absl::MutexLock lock(&mutex_);
  if (!open_) return absl::FailedPreconditionError("no frame has begun; there is nothing to flush");
  const uint64_t atom = allocator_.traits().coherence_atom_bytes;
  auto* coherence = allocator_.Capability<CoherenceCapability>();
  if (atom <= 1 || coherence == nullptr) return absl::OkStatus();
  for (const auto& block : frames_[current_].blocks) {
    // All of it: the host may also have written to pieces that were flushed before.
    if (block->used_bytes == 0) continue;
    TENURE_RETURN_IF_ERROR(coherence->FlushHostWrites({&block->allocation, 0, block->used_bytes}));
  }
  return absl::OkStatus();
}

absl::Status FrameMemory::EndFrame(absl::Span<const Fence> fences) {
  absl::MutexLock lock(&mutex_);
  if (!open_) return absl::FailedPreconditionError("no frame has begun; call BeginFrame first");
  open_ = false;
  Frame& frame = frames_[current_];
  for (const Fence& fence : fences) {
    // One that has ended with an error is kept: the next BeginFrame of this frame tells it.
    if (!IsSettled(fence)) frame.fences.push_back(fence);
  }
  return absl::OkStatus();
}

void FrameMemory::Trim() {
  absl::MutexLock lock(&mutex_);
  for (size_t i = 0; i < frames_.size(); ++i) {
    Frame& frame = frames_[i];
    const bool in_use = (open_ && i == current_) ||
                        !std::all_of(frame.fences.begin(), frame.fences.end(),
                                     [](const Fence& fence) { return fence.IsReached(); });
    if (in_use) continue;
    FreeBlocks(frame);
    frame.wanted_bytes = 0;
  }
}

uint64_t FrameMemory::reserved_bytes() const {
  absl::MutexLock lock(&mutex_);
  uint64_t bytes = 0;
  for (const Frame& frame : frames_) {
    for (const auto& block : frame.blocks) bytes += block->allocation.size_bytes;
  }
  return bytes;
}

}  // namespace tenure::vulkan
