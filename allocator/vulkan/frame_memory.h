// FrameMemory: transient memory that lives for one frame, such as constants and vertices that the
// host writes anew each time. A piece is the next bytes of a block; nothing is freed by itself.
// When the device has done with a frame, all of its bytes are used again.
//
//   frame 0  |piece|piece|    piece    |      |   the device works on it
//   frame 1  |piece|  piece  | ->             |   the host fills it
//   frame 0 again, when its fences are reached
//
// Example:
//   TENURE_ASSIGN_OR_RETURN(std::unique_ptr<FrameMemory> frames,
//                           FrameMemory::Create(upload, {.frames_in_flight = 3}));
//   TENURE_RETURN_IF_ERROR(frames->BeginFrame());
//   TENURE_ASSIGN_OR_RETURN(SubRegion constants, frames->Allocate(256));
//   std::memset(constants.host(), 0, constants.size_bytes);
//   TENURE_RETURN_IF_ERROR(frames->Flush());
//   TENURE_ASSIGN_OR_RETURN(Fence done, queue.Submit({commands}));
//   TENURE_RETURN_IF_ERROR(frames->EndFrame({done}));
//
// Kernels use a piece by its address (SubRegion::device_address) or bound (buffer_views.h). The
// memory is that of the allocator: mapped for 'vulkan-upload', the device's own for 'vulkan'.
//
// How it grows: a frame that needs more gets further blocks. When the frame comes again, it has one
// block that is as large as all of them. So after some frames nothing is allocated any more.
//
// Cost: a piece takes a lock and an addition. BeginFrame waits until the device has done with the
// frame that comes again. Thread safety: thread-safe; a piece that is allocated while another thread
// ends the frame may be refused. Ownership: borrows the allocator, which must outlive it. Pieces are
// valid until their frame begins again. The destructor frees the blocks behind the frames' fences.
// Errors: FailedPrecondition (a piece outside of a frame, a frame within a frame), InvalidArgument
// (no bytes; an alignment that is no power of two, or above 4096), DeadlineExceeded (BeginFrame),
// the allocator's, and those of the device's work.

#ifndef TENURE_ALLOCATOR_VULKAN_FRAME_MEMORY_H_
#define TENURE_ALLOCATOR_VULKAN_FRAME_MEMORY_H_

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "tenure/allocator/allocator.h"
#include "tenure/allocator/timeline/timeline.h"

namespace tenure::vulkan {

class FrameMemory {
 public:
  static constexpr uint64_t kMaxAlignmentBytes = 4096;

  struct Options {
    uint32_t frames_in_flight = 2;               // that the host may be ahead of the device
    uint64_t block_bytes = uint64_t{256} << 10;  // the least size of a block
  };

  // Allocates nothing yet.
  static absl::StatusOr<std::unique_ptr<FrameMemory>> Create(Allocator& allocator,
                                                             const Options& options);
  ~FrameMemory();
  FrameMemory(const FrameMemory&) = delete;
  FrameMemory& operator=(const FrameMemory&) = delete;

  // Begins the next frame. Waits for the fences that the frame had when it was ended last. After an
  // error no frame has begun; it may be tried again. An error of the device's work is given once.
  absl::Status BeginFrame(absl::Duration timeout = absl::InfiniteDuration())
      ABSL_LOCKS_EXCLUDED(mutex_);
  // A piece of the current frame. Alignment 0 is the space's, which suits every kind of binding.
  absl::StatusOr<SubRegion> Allocate(uint64_t size_bytes, uint64_t alignment_bytes = 0)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // The device sees what the host has written into the pieces of this frame, from work on that is
  // submitted later. Does nothing where memory is coherent.
  absl::Status Flush() ABSL_LOCKS_EXCLUDED(mutex_);
  // Ends the frame. Its bytes are used until all of these fences are reached.
  absl::Status EndFrame(absl::Span<const Fence> fences) ABSL_LOCKS_EXCLUDED(mutex_);

  // Frees the blocks of frames that nobody uses now.
  void Trim() ABSL_LOCKS_EXCLUDED(mutex_);
  // Of the blocks of all frames.
  uint64_t reserved_bytes() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Block {
    Allocation allocation;
    uint64_t used_bytes = 0;
  };
  struct Frame {
    std::vector<std::unique_ptr<Block>> blocks;  // pieces come from the last one
    uint64_t wanted_bytes = 0;                   // of the first block, from earlier rounds
    std::vector<Fence> fences;
  };

  FrameMemory(Allocator& allocator, const Options& options)
      : allocator_(allocator), options_(options), frames_(options.frames_in_flight) {}
  absl::Status AddBlock(Frame& frame, uint64_t size_bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void FreeBlocks(Frame& frame) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Allocator& allocator_;
  const Options options_;
  mutable absl::Mutex mutex_;
  std::vector<Frame> frames_ ABSL_GUARDED_BY(mutex_);
  size_t current_ ABSL_GUARDED_BY(mutex_) = 0;
  bool open_ ABSL_GUARDED_BY(mutex_) = false;       // between BeginFrame and EndFrame
  bool beginning_ ABSL_GUARDED_BY(mutex_) = false;  // a thread waits in BeginFrame
};

}  // namespace tenure::vulkan

#endif  // TENURE_ALLOCATOR_VULKAN_FRAME_MEMORY_H_
