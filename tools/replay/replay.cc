#include "tenure/tools/replay/replay.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>
#include <new>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tenure/base/annotate.h"
#include "tenure/base/checked.h"
#include "tenure/base/system_memory.h"

namespace tenure {
namespace {

using Kind = Event::Kind;
using Op = ReplayProgram::Op;

constexpr uint8_t kHostByte = 0x5a;
constexpr uint8_t kFillByte = 0xa5;

// Host memory that copies read or write.
using HostBytes = std::unique_ptr<uint8_t[]>;

// One run.
class Run {
 public:
  Run(Allocator& allocator, const ReplayProgram& program, const ReplayOptions& options)
      : allocator_(allocator),
        program_(program),
        check_(options.check),
        has_bytes_(allocator.traits().has_bytes),
        slots_(program.slots()),
        before_(allocator.Stats()) {
    const SpaceTraits& traits = allocator.traits();
    report_.bytes_checked = check_ && has_bytes_ && traits.host_readable && traits.host_writable;
  }
  ~Run() { FreeAll(); }
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  absl::Status MakeHostBytes() {
    if (!has_bytes_ || program_.largest_copy_bytes() == 0) return absl::OkStatus();
    const uint64_t size = program_.largest_copy_bytes();
    host_.reset(new (std::nothrow) uint8_t[size]);
    if (host_ == nullptr) {
      return absl::ResourceExhaustedError(
          absl::StrCat("no ", size, " bytes of host memory for the largest copy of the log"));
    }
    std::memset(host_.get(), kHostByte, size);
    return absl::OkStatus();
  }

  absl::StatusOr<ReplayReport> Ops() {
    for (const Op& op : program_.ops()) {
      if (absl::Status status = Do(op); !status.ok()) {
        return Annotate(status, absl::StrCat("line ", op.line));
      }
    }
    absl::Status status = CheckSlots();
    FreeAll();
    if (status.ok()) status = CheckCounters();
    if (!status.ok()) return status;
    return report_;
  }

 private:
  struct Slot {
    Allocation allocation;
    uint64_t mark = 0;  // what its first and last bytes are
  };

  template <typename Call>
  auto Timed(const Op& op, const Call& call) {
    ReplayReport::Total& total = report_.totals[static_cast<size_t>(op.kind)];
    ++total.count;
    if (!CheckedAdd(total.bytes, op.size_bytes, &total.bytes)) total.bytes = ~uint64_t{0};
    if (!check_) return call();
    const auto start = std::chrono::steady_clock::now();
    auto result = call();
    total.time_ns += static_cast<uint64_t>(
        std::chrono::nanoseconds(std::chrono::steady_clock::now() - start).count());
    return result;
  }

  absl::Status Do(const Op& op) {
    if (op.kind == Kind::kAllocate) return DoAllocate(op);
    if (op.kind == Kind::kFree) return DoFree(op);
    if (has_bytes_) return DoMove(op);
    ++report_.left_out;
    return absl::OkStatus();
  }

  absl::Status DoAllocate(const Op& op) {
    Slot& slot = slots_[op.slot];
    absl::StatusOr<Allocation> made = Timed(op, [&] {
      return allocator_.Allocate({.size_bytes = op.size_bytes,
                                  .alignment_bytes = op.alignment_bytes,
                                  .zeroed = op.zeroed,
                                  .name = "replay"});
    });
    if (!made.ok()) return made.status();
    slot.allocation = *made;
    if (!check_) return absl::OkStatus();
    in_use_ += op.size_bytes;
    report_.peak_in_use_bytes = std::max(report_.peak_in_use_bytes, in_use_);
    report_.peak_reserved_bytes =
        std::max(report_.peak_reserved_bytes, allocator_.Stats().reserved_bytes);
    if (made->size_bytes != op.size_bytes || (op.alignment_bytes != 0 && has_bytes_ &&
                                              made->alignment_bytes % op.alignment_bytes != 0)) {
      return absl::InternalError(absl::StrCat(op.size_bytes, " bytes aligned to ",
                                              op.alignment_bytes, " were asked for; the allocator ",
                                              "gave ", made->size_bytes, " aligned to ",
                                              made->alignment_bytes));
    }
    if (!Readable(slot)) return absl::OkStatus();
    if (reinterpret_cast<uintptr_t>(made->host) % made->alignment_bytes != 0) {
      return absl::InternalError("the address is not aligned as the allocation says");
    }
    if (op.zeroed && !EndsAre(slot, 0, op.size_bytes, 0)) {
      return absl::DataLossError("an allocation that was to be zeroed is not");
    }
    slot.mark = 0x9e3779b97f4a7c15u * ++marks_;
    Mark(slot);
    return absl::OkStatus();
  }

  absl::Status DoFree(const Op& op) {
    Slot& slot = slots_[op.slot];
    if (absl::Status status = CheckMark(slot); !status.ok()) return status;
    Timed(op, [&] {
      allocator_.Deallocate(slot.allocation);
      return 0;
    });
    slot.allocation = Allocation();
    in_use_ -= op.size_bytes;
    return absl::OkStatus();
  }

  absl::Status DoMove(const Op& op) {
    Slot& slot = slots_[op.slot];
    if (absl::Status status = CheckMark(slot); !status.ok()) return status;
    const SubRegion region{&slot.allocation, op.offset_bytes, op.size_bytes};
    absl::Status moved = Timed(op, [&]() -> absl::Status {
      const absl::StatusOr<Fence> fence = Move(op, region);
      return fence.ok() ? fence->Wait() : fence.status();
    });
    if (!moved.ok() || !Readable(slot) || op.kind == Kind::kCopyOut) return moved;
    if ((op.kind == Kind::kCopyIn && !EndsAre(slot, op.offset_bytes, op.size_bytes, kHostByte)) ||
        (op.kind == Kind::kFill && !EndsAre(slot, op.offset_bytes, op.size_bytes, kFillByte))) {
      return absl::DataLossError("the bytes are not there afterwards");
    }
    Mark(slot);
    return absl::OkStatus();
  }

  absl::StatusOr<Fence> Move(const Op& op, const SubRegion& region) {
    switch (op.kind) {
      case Kind::kCopyIn:
        return allocator_.CopyIn(region, host_.get(), {});
      case Kind::kCopyOut: {
        // A buffer of its own: copies in are checked by what the other one holds.
        if (out_ == nullptr) {
          out_.reset(new (std::nothrow) uint8_t[program_.largest_copy_bytes()]);
          if (out_ == nullptr) return absl::ResourceExhaustedError("no host memory to copy out to");
        }
        return allocator_.CopyOut(out_.get(), region, {});
      }
      case Kind::kCopy:
        return allocator_.CopyWithin(
            region, {&slots_[op.source_slot].allocation, op.source_offset_bytes, op.size_bytes},
            {});
      default:
        return allocator_.Fill(region, {.bytes = {std::byte{kFillByte}}}, {});
    }
  }

  bool Readable(const Slot& slot) const {
    return report_.bytes_checked && slot.allocation.host != nullptr && !slot.allocation.read_only;
  }
  static uint8_t* Bytes(const Slot& slot) { return static_cast<uint8_t*>(slot.allocation.host); }

  static bool EndsAre(const Slot& slot, uint64_t offset, uint64_t size, uint8_t value) {
    const uint8_t* bytes = Bytes(slot) + offset;
    return size == 0 || (bytes[0] == value && bytes[size - 1] == value);
  }

  // The mark at each end does not reach beyond the middle, so that both fit.
  static size_t MarkSize(const Slot& slot) {
    return static_cast<size_t>(
        std::min<uint64_t>(sizeof(slot.mark), slot.allocation.size_bytes / 2));
  }
  static void Mark(Slot& slot) {
    const size_t size = MarkSize(slot);
    std::memcpy(Bytes(slot), &slot.mark, size);
    std::memcpy(Bytes(slot) + slot.allocation.size_bytes - size, &slot.mark, size);
  }
  absl::Status CheckMark(const Slot& slot) const {
    if (!slot.allocation || !Readable(slot)) return absl::OkStatus();
    const size_t size = MarkSize(slot);
    const bool first = std::memcmp(Bytes(slot), &slot.mark, size) == 0;
    const bool last =
        std::memcmp(Bytes(slot) + slot.allocation.size_bytes - size, &slot.mark, size) == 0;
    if (first && last) return absl::OkStatus();
    return absl::DataLossError(absl::StrCat(
        "the ", first ? "last" : "first", " bytes of an allocation of ", slot.allocation.size_bytes,
        " changed although nobody wrote to them; the ", "allocator gave them to two owners"));
  }

  absl::Status CheckSlots() const {
    for (const Slot& slot : slots_) {
      if (absl::Status status = CheckMark(slot); !status.ok()) return status;
    }
    return absl::OkStatus();
  }

  void FreeAll() {
    for (Slot& slot : slots_) {
      if (slot.allocation) allocator_.Deallocate(slot.allocation);
      slot.allocation = Allocation();
    }
  }

  absl::Status CheckCounters() const {
    if (!check_) return absl::OkStatus();
    const AllocatorStats after = allocator_.Stats();
    const uint64_t made = report_.Of(Kind::kAllocate).count;
    if (after.in_use_count == before_.in_use_count && after.in_use_bytes == before_.in_use_bytes &&
        after.allocation_count - before_.allocation_count == made) {
      return absl::OkStatus();
    }
    return absl::InternalError(absl::StrCat(
        "the allocator's counters are wrong: after ", made, " allocations and as many frees they ",
        "say ", after.allocation_count - before_.allocation_count, " allocations, ",
        after.in_use_count, " still in use with ", after.in_use_bytes, " bytes, where ",
        before_.in_use_count, " with ", before_.in_use_bytes, " were before"));
  }

  Allocator& allocator_;
  const ReplayProgram& program_;
  const bool check_;
  const bool has_bytes_;
  std::vector<Slot> slots_;
  const AllocatorStats before_;
  ReplayReport report_;
  HostBytes host_, out_;
  uint64_t marks_ = 0;
  uint64_t in_use_ = 0;
};

// Linux gives more memory than there is, and ends processes when it is used.
absl::Status CheckHostMemory(const ReplayProgram& program, const SpaceTraits& traits) {
  if (!traits.has_bytes) return absl::OkStatus();
  uint64_t needed = 0;
  const uint64_t space = traits.host_readable ? program.peak_bytes() : 0;
  if (!CheckedMul(program.largest_copy_bytes(), 2, &needed) ||
      !CheckedAdd(needed, space, &needed)) {
    needed = ~uint64_t{0};
  }
  const uint64_t available = host::ReadSystemMemory().available_bytes;
  if (needed <= available) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat("to replay the log takes up to ", needed,
                                                   " bytes of host memory, and ", available,
                                                   " are available; the space 'null' needs none"));
}

}  // namespace

absl::StatusOr<ReplayReport> Replay(const ReplayProgram& program, Allocator& allocator,
                                    const ReplayOptions& options) {
  if (options.check) {
    absl::Status status = CheckHostMemory(program, allocator.traits());
    if (!status.ok()) return status;
  }
  Run run(allocator, program, options);
  if (absl::Status status = run.MakeHostBytes(); !status.ok()) return status;
  return run.Ops();
}

}  // namespace tenure
