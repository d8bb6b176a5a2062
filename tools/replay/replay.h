// Replay: runs a ReplayProgram against an allocator, checks what the allocator does, and measures
// it.
//
// What is checked:
//  - where the host can read and write the bytes: the first and the last bytes of each allocation,
//    before every write and at its free (another owner of the same bytes would have changed them),
//    the ends of what was copied in, filled or zeroed, and alignments;
//  - everywhere: the allocator's counters before and after.
//
// The operations run in the order of the log, on one thread, and each copy is waited for. What the
// log never frees is freed at the end. Where the space has no bytes, copies and fills are left out.
//
// Example:
//   TENURE_ASSIGN_OR_RETURN(ReplayProgram program, ReplayProgram::ReadFile("log.csv"));
//   CpuAllocator cpu;
//   TENURE_ASSIGN_OR_RETURN(ReplayReport report, Replay(program, cpu, {}));
//
// Cost: that of the operations, two looks at the clock for each, and the checks.
// Thread safety: single-threaded; nobody else may use the allocator meanwhile.
// Errors: the allocator's, and DataLoss or Internal for what is wrong with it, with the line of the
// log. ResourceExhausted if the host has too little memory for the log. After an error everything
// has been given back too.

#ifndef TENURE_TOOLS_REPLAY_REPLAY_H_
#define TENURE_TOOLS_REPLAY_REPLAY_H_

#include <array>
#include <cstdint>

#include "absl/status/statusor.h"
#include "tenure/allocator/allocator.h"
#include "tenure/tools/replay/replay_program.h"

namespace tenure {

struct ReplayOptions {
  // False: the operations only, without checks and measurements. For benchmarks.
  bool check = true;
};

struct ReplayReport {
  struct Total {
    uint64_t count = 0;
    uint64_t bytes = 0;
    uint64_t time_ns = 0;
  };
  std::array<Total, 6> totals = {};  // kAllocate to kFill
  uint64_t left_out = 0;             // copies and fills in a space without bytes
  bool bytes_checked = false;
  // These are 0 without ReplayOptions::check.
  uint64_t peak_in_use_bytes = 0;
  uint64_t peak_reserved_bytes = 0;

  const Total& Of(Event::Kind kind) const { return totals[static_cast<size_t>(kind)]; }
  // How much of the most that was reserved was not in use at the peak, in percent.
  double fragmentation_percent() const {
    if (peak_reserved_bytes <= peak_in_use_bytes) return 0;
    return 100.0 * static_cast<double>(peak_reserved_bytes - peak_in_use_bytes) /
           static_cast<double>(peak_reserved_bytes);
  }
};

absl::StatusOr<ReplayReport> Replay(const ReplayProgram& program, Allocator& allocator,
                                    const ReplayOptions& options);

}  // namespace tenure

#endif  // TENURE_TOOLS_REPLAY_REPLAY_H_
