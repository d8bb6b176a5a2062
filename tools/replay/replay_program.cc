#include "tenure/tools/replay/replay_program.h"

#include <errno.h>

#include <algorithm>
#include <fstream>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "tenure/base/annotate.h"
#include "tenure/base/checked.h"

namespace tenure {

// Adds events one by one.
class ReplayProgram::Builder {
 public:
  absl::Status Add(const Event& event, uint64_t line) {
    Op op{.kind = event.kind,
          .zeroed = event.zeroed,
          .size_bytes = event.size_bytes,
          .alignment_bytes = event.alignment_bytes,
          .offset_bytes = event.offset_bytes,
          .source_offset_bytes = event.source_offset_bytes,
          .line = line};
    const bool can_be_run = event.ok() && event.kind != Event::Kind::kPlace &&
                            event.kind != Event::Kind::kUnplace && event.kind != Event::Kind::kPlan;
    if (!can_be_run) {
      ++program_.skipped_;
      return absl::OkStatus();
    }
    absl::Status status;
    if (event.kind == Event::Kind::kAllocate) {
      status = AddAllocation(event, op);
    } else if (event.kind == Event::Kind::kFree) {
      status = AddFree(event, op);
    } else {
      status = AddMove(event, op);
    }
    if (!status.ok()) return status;
    if (op.size_bytes == 0 && op.kind != Event::Kind::kAllocate && op.kind != Event::Kind::kFree) {
      ++program_.skipped_;  // allocators need not take empty ranges
    } else {
      program_.ops_.push_back(op);
    }
    return status;
  }

  ReplayProgram Finish() {
    program_.leaked_ = live_.size();
    return std::move(program_);
  }

 private:
  struct Live {
    uint32_t slot;
    uint64_t size_bytes;
  };

  template <typename... Why>
  static absl::Status Wrong(const Why&... why) {
    return absl::InvalidArgumentError(absl::StrCat(why...));
  }

  absl::StatusOr<Live> Find(AllocationId id) const {
    auto it = live_.find(id);
    if (it != live_.end()) return it->second;
    return Wrong("allocation ", id.value(),
                 " is not alive: it is used before it is allocated or after its free; a log has "
                 "to begin before the first allocation");
  }

  absl::Status AddAllocation(const Event& event, Op& op) {
    if (!event.allocation) return Wrong("an allocation without a number");
    if (event.alignment_bytes != 0 && !IsPowerOfTwo(event.alignment_bytes)) {
      return Wrong("alignment ", event.alignment_bytes, " is no power of two");
    }
    if (!CheckedAdd(in_use_, event.size_bytes, &in_use_)) {
      return Wrong("with these ", event.size_bytes, " bytes, more than 2^64 - 1 are allocated");
    }
    program_.peak_bytes_ = std::max(program_.peak_bytes_, in_use_);
    if (unused_.empty()) unused_.push_back(program_.slots_++);
    op.slot = unused_.back();
    if (!live_.emplace(event.allocation, Live{op.slot, event.size_bytes}).second) {
      return Wrong("allocation ", event.allocation.value(), " is allocated twice");
    }
    unused_.pop_back();
    return absl::OkStatus();
  }

  absl::Status AddFree(const Event& event, Op& op) {
    const absl::StatusOr<Live> live = Find(event.allocation);
    if (!live.ok()) return live.status();
    if (live->size_bytes != event.size_bytes) {
      return Wrong("allocation ", event.allocation.value(), " has ", live->size_bytes,
                   " bytes, and its free says ", event.size_bytes);
    }
    op.slot = live->slot;
    unused_.push_back(live->slot);
    in_use_ -= live->size_bytes;
    live_.erase(event.allocation);
    return absl::OkStatus();
  }

  absl::StatusOr<uint32_t> SlotOf(AllocationId id, uint64_t offset, uint64_t size) const {
    const absl::StatusOr<Live> live = Find(id);
    if (!live.ok()) return live.status();
    if (WindowFits(offset, size, live->size_bytes)) return live->slot;
    return Wrong(size, " bytes at offset ", offset, " are beyond allocation ", id.value(), " of ",
                 live->size_bytes, " bytes");
  }

  absl::Status AddMove(const Event& event, Op& op) {
    const absl::StatusOr<uint32_t> slot =
        SlotOf(event.allocation, event.offset_bytes, event.size_bytes);
    if (!slot.ok()) return slot.status();
    op.slot = *slot;
    if (event.kind == Event::Kind::kCopy && event.source_allocation) {
      const absl::StatusOr<uint32_t> source =
          SlotOf(event.source_allocation, event.source_offset_bytes, event.size_bytes);
      if (!source.ok()) return source.status();
      op.source_slot = *source;
    } else if (event.kind == Event::Kind::kCopy) {
      op.kind = Event::Kind::kCopyIn;
    }
    if (op.kind == Event::Kind::kCopyIn || op.kind == Event::Kind::kCopyOut) {
      program_.largest_copy_ = std::max(program_.largest_copy_, event.size_bytes);
    }
    return absl::OkStatus();
  }

  ReplayProgram program_;
  absl::flat_hash_map<AllocationId, Live> live_;
  std::vector<uint32_t> unused_;
  uint64_t in_use_ = 0;
};

absl::StatusOr<ReplayProgram> ReplayProgram::Read(std::istream& csv) {
  std::vector<uint64_t> lines;
  const absl::StatusOr<std::vector<Event>> events = ReadCsv(csv, &lines);
  if (!events.ok()) return events.status();
  Builder builder;
  for (size_t i = 0; i < events->size(); ++i) {
    if (absl::Status status = builder.Add((*events)[i], lines[i]); !status.ok()) {
      return absl::InvalidArgumentError(absl::StrCat("line ", lines[i], ": ", status.message()));
    }
  }
  return builder.Finish();
}

absl::StatusOr<ReplayProgram> ReplayProgram::ReadFile(const std::string& path) {
  if (path.find('\0') != path.npos) {
    return absl::InvalidArgumentError("the name of a log can't hold a zero byte");
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) return absl::ErrnoToStatus(errno, absl::StrCat(path, ": cannot be opened"));
  absl::StatusOr<ReplayProgram> program = Read(file);
  if (program.ok() && !file.bad()) return program;
  if (program.ok()) return absl::DataLossError(absl::StrCat(path, ": cannot be read"));
  return Annotate(program.status(), path);
}

}  // namespace tenure
