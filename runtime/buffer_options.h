// What can be said when buffers are made and when bytes are moved.
//
// Example: x.CopyIn(data, size, {.timeout = absl::Seconds(1), .max_threads = 2});
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
  std::string name = {};             // for errors, logs and pictures
  uint64_t alignment_bytes = 0;      // a power of two; 0: the space's default
  bool zeroed = false;               // reads as zeros until written
  bool immediate = false;            // allocate now
  Sharing sharing = Sharing::kNone;  // with other processes (cuda.h)
  bool write_combined = false;       // of pinned memory: for the host to write only
  // The device's queue (CUDA: the CUstream) that uses it first, if that is known: it may have bytes
  // then that other work uses until that queue gets to it (cuda.h). 0: none in particular.
  uint64_t queue = 0;
};

struct BufferSpec {
  DType dtype = DType::kUInt8;
  Shape shape = {};
  BufferOptions options = {};
};

// How a transfer with host memory, or between buffers, goes about it.
struct TransferOptions {
  absl::Duration timeout = absl::InfiniteDuration();  // for uses by devices that it has to wait for
  int max_threads = 0;  // of a large copy, the caller's included; 0: as many as pay off
  // A device's queue (CUDA: the CUstream), in whose order the transfer is to be; 0: none in
  // particular; its legacy default stream is 1 (CU_STREAM_LEGACY). What can't keep that order (a
  // file, two devices that don't reach each other) is refused. Pageable host memory is copied by
  // the driver then, and so is all that stays in host memory: the caller may be held until it is
  // done. Within a stream capture, asynchronous transfers become nodes of the graph, but for those
  // two, which are refused (cuda.h).
  uint64_t queue = 0;
};

enum class Hazard { kNone, kReadAfterWrite, kWriteAfterRead, kWriteAfterWrite };

}  // namespace tenure

#endif  // TENURE_RUNTIME_BUFFER_OPTIONS_H_
