// Options for making buffers and for moving bytes.
//
// Example:
//   TENURE_RETURN_IF_ERROR(
//       x.CopyIn(data, size, {.timeout = absl::Seconds(1), .max_threads = 2}));
//
// Thread safety: thread-compatible values.

#ifndef TENURE_RUNTIME_BUFFER_OPTIONS_H_
#define TENURE_RUNTIME_BUFFER_OPTIONS_H_

#include <cstdint>
#include <string>

#include "absl/time/time.h"
#include "tenure/allocator/allocation.h"
#include "tenure/runtime/dtype.h"
#include "tenure/runtime/shape.h"

namespace tenure {

struct BufferOptions {
  std::string name = {};         // for errors, logs and pictures
  uint64_t alignment_bytes = 0;  // a power of two; 0: the space's default
  bool zeroed = false;           // reads as zeros until written
  bool immediate = false;        // allocate now
  MemoryHints hints = {};        // sharing, write-combining, the queue that uses it first
};

struct BufferSpec {
  DType dtype = DType::kUInt8;
  Shape shape = {};
  BufferOptions options = {};
};

// Options for transfers with host memory and between buffers.
struct TransferOptions {
  absl::Duration timeout = absl::InfiniteDuration();  // for uses by devices that it has to wait for
  int max_threads = 0;  // of a large copy, the caller's included; 0: as many as pay off
  // The queue in whose order the transfer is to be, borrowed for the call (CUDA: a cuda::Stream);
  // null: in no queue's order. A transfer that cannot keep that order is refused (of a file, or
  // between two devices that do not reach each other). The driver copies pageable host memory
  // itself then, and all that stays in host memory, so the caller may be held until it is done.
  // Within a stream capture, asynchronous transfers become nodes of the graph, except those two
  // kinds, which are refused (cuda.h).
  Queue* queue = nullptr;
};

}  // namespace tenure

#endif  // TENURE_RUNTIME_BUFFER_OPTIONS_H_
