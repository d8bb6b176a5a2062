// What the tables of FakeDriver hold: memory, streams and their operations, events, devices. The fake's
// mutex guards all of it.

#ifndef TENURE_TESTS_ALLOCATOR_CUDA_FAKE_FAKE_DRIVER_RECORDS_H_
#define TENURE_TESTS_ALLOCATOR_CUDA_FAKE_FAKE_DRIVER_RECORDS_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "tenure/tests/allocator/cuda/fake/fake_driver.h"

namespace tenure::cuda::fake {

inline constexpr uint64_t kGranularity = uint64_t{2} << 20;
// Above everything that a process can map, so that the host faults on it.
inline constexpr CUdeviceptr kFirstDeviceAddress = CUdeviceptr{1} << 48;
inline constexpr uintptr_t kFirstHandle = uintptr_t{0xFA} << 40;
inline constexpr uint64_t kWindow = uint64_t{64} << 30;
inline constexpr uint64_t kStagedBytes = 64 << 10;

// Physical memory of cuMemCreate.
struct Handle {
  int fd = -1;
  uint64_t size_bytes = 0;
  int device = 0;
  bool imported = false;
  bool exportable = false;
  int references = 1;  // cuMemCreate's; imports of one file are handles of their own
  int mappings = 0;
};

// Memory of another API.
struct ExternalObject {
  int fd = -1;
  uint64_t size_bytes = 0;
  uint64_t offset = 0;  // of the bytes in the file
  int device = 0;
};

struct Mapping {
  uint64_t size_bytes = 0;
  CUmemGenericAllocationHandle handle = 0;
  std::byte* bytes = nullptr;  // where the host finds them
  uint64_t readers = 0;        // a bit per device
  uint64_t writers = 0;
};

struct Region {
  enum Kind { kDevice, kManaged, kPinned, kRegistered, kReserved, kImported, kExternal };
  Kind kind = kDevice;
  CUdeviceptr base = 0;
  uint64_t size_bytes = 0;
  int device = 0;
  unsigned flags = 0;
  std::byte* bytes = nullptr;  // where the host finds them
  uint64_t mapped_bytes = 0;   // of the process's address space
  uint64_t file_offset = 0;    // in the device's file, or in the exporter's
  uint64_t id = 0;
  int opened = 0;  // kImported: how often
  std::string ipc;
  std::map<uint64_t, Mapping> mappings;  // kReserved: by offset
  // kReserved: where its bytes go, by (offset, size), so that neighbours are neighbours for the
  // host too. Made as needed: ThreadSanitizer leaves no room for the terabytes that one may
  // reserve.
  std::map<std::pair<uint64_t, uint64_t>, std::byte*> windows;
  bool dead = false;

  bool OnHost() const { return kind == kPinned || kind == kRegistered; }
  const char* Name() const;
};

struct Range {
  CUdeviceptr address = 0;
  uint64_t size_bytes = 0;
  bool write = false;
  bool exact = true;                         // false: somewhere in there (a kernel's parameter)
  std::shared_ptr<Region> region = nullptr;  // null: pageable
};

struct Stream;
struct Op {
  std::string call;
  FakeNode node;
  std::vector<Range> ranges;
  std::function<void()> run;  // without the lock, Loud
  std::shared_ptr<Op> after;  // an event's record
  CUfunction function = nullptr;
  bool frees = false;  // cuMemFreeAsync
  Stream* stream = nullptr;
  int device = 0;
  uint64_t sequence = 0;               // in its stream
  std::map<uint64_t, uint64_t> clock;  // of a record: what it is ordered after, by stream
  bool done = false;
  absl::Time done_at;
  uint64_t in = 0;
  uint64_t out = 0;
};

struct Capture {
  CUstreamCaptureMode mode;
  uint64_t thread;
  Stream* origin;
  bool invalid = false;
  std::vector<std::shared_ptr<Op>> ops;
  std::set<Stream*> streams;
};

struct Stream {
  CUstream handle = nullptr;
  uint64_t id = 0;
  int device = 0;
  unsigned flags = 0;
  bool is_default = false;
  bool destroyed = false;
  bool held = false;
  bool running = false;
  int steps = 0;
  bool has_thread = false;
  std::deque<std::shared_ptr<Op>> queue;  // the first may be running
  std::shared_ptr<Op> last;
  uint64_t sequence = 0;
  std::map<uint64_t, uint64_t> clock;  // stream id -> its operations that come before what follows
  std::shared_ptr<Capture> capture;
  std::map<uint64_t, uint64_t> capture_clock;
  absl::CondVar work;
  uint64_t control = 0;  // what the test did before it let the stream go on
};

struct Event {
  unsigned flags = 0;
  int device = 0;
  std::shared_ptr<Op> record;        // the last one
  std::shared_ptr<Capture> capture;  // the last record was captured
  std::map<uint64_t, uint64_t> capture_clock;
};

struct Device {
  FakeDevice options;
  uint64_t limit_bytes = 0;
  CUcontext context = nullptr;
  int retained = 0;
  CUresult fault = CUDA_SUCCESS;
  int fd = -1;  // its memory
  uint64_t next_offset = 0;
  uint64_t used_bytes = 0;
  std::unique_ptr<Stream> default_stream;
};

struct Failure {
  std::string name;        // empty: any
  uint64_t countdown = 0;  // 0: always
  CUresult result = CUDA_SUCCESS;
};

// Where an address lies, seen by a copy.
struct Place {
  enum Kind { kBad, kPageable, kHost, kManaged, kDevice };
  Kind kind = kBad;
  std::byte* bytes = nullptr;
  std::shared_ptr<Region> region;
};

}  // namespace tenure::cuda::fake

#endif  // TENURE_TESTS_ALLOCATOR_CUDA_FAKE_FAKE_DRIVER_RECORDS_H_
