// Event: one thing that happened to memory, such as an allocation, a copy or a placement.
//
// Storages, the RecordingAllocator and the planner all report with this type. Observers get it
// (observer.h). An EventLog makes the leak report, the statistics by name and the log of it
// (event_log.h). `tenure replay` runs such a log again.
//
// A log is CSV with one event a line, below a line of column names:
//
//   event,status,time_ns,thread,space,allocation,storage,source_allocation,source_storage,
//     size_bytes,alignment_bytes,offset_bytes,source_offset_bytes,zeroed,imported,name
//   allocate,OK,1200,1,cpu,7,3,0,0,4096,64,0,0,1,0,"kv, cache"
//   free,OK,5300,1,cpu,7,3,0,0,4096,64,0,0,0,0,"kv, cache"
//
// (The column names stand on one line.) JSON is for viewers: an array of objects with the same
// keys.
//
// Example:
//   std::ifstream file("log.csv");
//   TENURE_ASSIGN_OR_RETURN(std::vector<Event> events, ReadCsv(file));
//   for (const Event& event : events) std::cout << EventKindName(event.kind) << "\n";
//
// Cost: an event owns its strings, so it is made only when somebody wants it. Writing and reading
// take some hundred nanoseconds each.
// Thread safety: an Event is a thread-compatible value; the functions are pure.
// Errors: ReadCsv gives InvalidArgument that names the line.

#ifndef TENURE_ALLOCATOR_EVENT_H_
#define TENURE_ALLOCATOR_EVENT_H_

#include <cstdint>
#include <istream>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "tenure/allocator/memory_space.h"
#include "tenure/base/ids.h"

namespace tenure {

struct Event {
  enum class Kind : uint8_t {
    kAllocate,  // `allocation` was made for `storage`; none was if it failed
    kFree,      // the owner gave `allocation` back (a device may still use its bytes)
    kCopyIn,    // from host memory to `allocation`
    kCopyOut,   // from `allocation` to host memory
    kCopy,      // from `source_allocation` to `allocation`
    kFill,
    kPlace,    // `storage` got a range of `allocation`, the arena; the arena is `source_storage`
    kUnplace,  // `storage` lost its range of `allocation`
    kPlan,     // a plan called `name` was made; `size_bytes` is what its arenas take
  };
  Kind kind = Kind::kAllocate;
  // The outcome of the call. Work that was queued without an error may still fail later, which
  // only its fence tells.
  absl::StatusCode status = absl::StatusCode::kOk;
  // When it was reported, on the steady clock, since the first event of the process.
  uint64_t time_ns = 0;
  uint32_t thread = 0;  // 1, 2, ... in order of appearance in the process; 0: not stamped yet
  std::optional<MemorySpace> space = {};  // none for plans
  AllocationId allocation = {};
  StorageId storage = {};  // unknown to allocators when they copy
  // Of copies between allocations. None if the source is not one that whoever reports knows.
  AllocationId source_allocation = {};
  StorageId source_storage = {};
  uint64_t size_bytes = 0;
  uint64_t alignment_bytes = 0;      // as an allocation was asked for; 0: the space's default
  uint64_t offset_bytes = 0;         // within `allocation`
  uint64_t source_offset_bytes = 0;  // within `source_allocation`
  bool zeroed = false;
  bool imported = false;
  std::string name = {};

  bool ok() const { return status == absl::StatusCode::kOk; }
  friend bool operator==(const Event&, const Event&) = default;
};

std::string_view EventKindName(Event::Kind kind);

// Writes the present time and thread into the event, unless it has them already.
void Stamp(Event& event);

// The line of column names, without its end.
std::string_view EventCsvHeader();
// One line, without its end. Zero bytes in names become U+FFFD, as no log may hold any.
std::string ToCsv(const Event& event);
void WriteCsv(absl::Span<const Event> events, std::ostream& out);
// Bytes of names that are not UTF-8 become U+FFFD.
void WriteJson(absl::Span<const Event> events, std::ostream& out);
// `lines`, if not null, gets the number of the line at which each event begins.
absl::StatusOr<std::vector<Event>> ReadCsv(std::istream& in,
                                           std::vector<uint64_t>* lines = nullptr);

}  // namespace tenure

#endif  // TENURE_ALLOCATOR_EVENT_H_
