// ReplayProgram: a log of events, checked and made ready to be run again.
//
// What can be run: allocations, frees, copies and fills, in the order of the log, with their sizes,
// alignments and offsets. Contents are made up, as no log has them. Failed calls, empty copies,
// placements and plans are counted and not run. Imports become ordinary allocations.
//
// Example:
//   TENURE_ASSIGN_OR_RETURN(ReplayProgram program, ReplayProgram::ReadFile("log.csv"));
//   TENURE_ASSIGN_OR_RETURN(ReplayReport report, Replay(program, cpu, {}));   // replay.h
//
// Cost: some hundred nanoseconds an event. Thread safety: a thread-compatible value.
// Errors: InvalidArgument that names the line and the reason: use before the allocation or after
// the free, a free of another size, ranges beyond the allocation, alignments that are no power of
// two, more bytes than 64 bits count, and what ReadCsv refuses.

#ifndef TENURE_TOOLS_REPLAY_REPLAY_PROGRAM_H_
#define TENURE_TOOLS_REPLAY_REPLAY_PROGRAM_H_

#include <cstdint>
#include <istream>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tenure/allocator/event.h"

namespace tenure {

class ReplayProgram {
 public:
  // Allocations become slots of an array. A slot is used again after its free.
  struct Op {
    Event::Kind kind;  // of those that can be run; a kCopy without a source is a kCopyIn
    uint32_t slot = 0;
    uint32_t source_slot = 0;  // of kCopy
    bool zeroed = false;       // of kAllocate
    uint64_t size_bytes = 0;
    uint64_t alignment_bytes = 0;  // of kAllocate
    uint64_t offset_bytes = 0;
    uint64_t source_offset_bytes = 0;
    uint64_t line = 0;
  };

  static absl::StatusOr<ReplayProgram> Read(std::istream& csv);
  static absl::StatusOr<ReplayProgram> ReadFile(const std::string& path);

  const std::vector<Op>& ops() const { return ops_; }
  uint32_t slots() const { return slots_; }
  uint64_t skipped_events() const { return skipped_; }
  uint64_t peak_bytes() const { return peak_bytes_; }            // allocated at a time
  uint64_t largest_copy_bytes() const { return largest_copy_; }  // with host memory
  // Allocations that the log never frees.
  uint64_t leaked_count() const { return leaked_; }

 private:
  class Builder;

  std::vector<Op> ops_;
  uint32_t slots_ = 0;
  uint64_t skipped_ = 0;
  uint64_t peak_bytes_ = 0;
  uint64_t largest_copy_ = 0;
  uint64_t leaked_ = 0;
};

}  // namespace tenure

#endif  // TENURE_TOOLS_REPLAY_REPLAY_PROGRAM_H_
