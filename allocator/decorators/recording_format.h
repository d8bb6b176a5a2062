// RecordedEvent: one line of an allocation log, and the two forms it is written
// in.
//
// CSV is for machines (the replay benchmark reads it back), one event a line
// below a line of names:
//
//   event,time_ns,thread,allocation,storage,size_bytes,alignment_bytes,offset_bytes,zeroed,imported,name
//   allocate,1200,1,7,3,4096,64,0,1,0,"kv, cache"
//   free,5300,1,7,3,4096,64,0,0,0,
//
// JSON is for viewers: an array of objects with the same keys.
//
// Cost: some hundred nanoseconds an event. Thread safety: pure functions.
// Errors: ReadCsv gives InvalidArgument that names the line.

#ifndef TENURE_ALLOCATOR_DECORATORS_RECORDING_FORMAT_H_
#define TENURE_ALLOCATOR_DECORATORS_RECORDING_FORMAT_H_

#include <cstdint>
#include <istream>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "tenure/allocator/observer.h"
#include "tenure/base/ids.h"

namespace tenure {

struct RecordedEvent {
  Event::Kind kind = Event::Kind::kAllocate;
  uint64_t time_ns = 0;  // since the recording began
  uint32_t thread = 0;   // 1, 2, ... in order of appearance in the process
  AllocationId allocation = {};
  StorageId storage = {};
  uint64_t size_bytes = 0;
  uint64_t alignment_bytes = 0;  // of allocations
  uint64_t offset_bytes = 0;     // of copies and fills
  bool zeroed = false;
  bool imported = false;
  std::string name = {};

  friend bool operator==(const RecordedEvent&, const RecordedEvent&) = default;
};

// The line of names, without its end.
std::string_view RecordingCsvHeader();
// One line, without its end.
std::string ToCsv(const RecordedEvent& event);
void WriteCsv(absl::Span<const RecordedEvent> events, std::ostream& out);
void WriteJson(absl::Span<const RecordedEvent> events, std::ostream& out);
absl::StatusOr<std::vector<RecordedEvent>> ReadCsv(std::istream& in);

}  // namespace tenure

#endif  // TENURE_ALLOCATOR_DECORATORS_RECORDING_FORMAT_H_
