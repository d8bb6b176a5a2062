// Buffer's copies and fills, at once and behind fences.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tenure/allocator/capabilities.h"
#include "tenure/allocator/copy/copy_table.h"
#include "tenure/allocator/copy/host_worker.h"
#include "tenure/allocator/observer.h"
#include "tenure/base/checked.h"
#include "tenure/runtime/buffer.h"
#include "tenure/runtime/buffer_errors.h"

namespace tenure {
namespace {

using internal::Describe;

absl::Time DeadlineOf(const TransferOptions& options) {
  return options.timeout == absl::InfiniteDuration() ? absl::InfiniteFuture()
                                                     : absl::Now() + options.timeout;
}

// What a transfer needs besides the windows, which PrepareAccess checks.
absl::Status CheckTransfer(const void* host, uint64_t size_bytes, const TransferOptions& options) {
  if (host == nullptr && size_bytes > 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("null host memory for a copy of ", size_bytes, " bytes"));
  }
  if (options.max_threads < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("max_threads is ", options.max_threads, "; 0 means as many as pay off"));
  }
  return absl::OkStatus();
}

absl::Status WrongSize(const Buffer& buffer, uint64_t size_bytes, std::string_view part_of) {
  if (buffer.is_null()) return internal::NullBufferError();
  return absl::InvalidArgumentError(absl::StrCat(size_bytes, " bytes for ", Describe(buffer),
                                                 " of ", buffer.size(), " bytes; copy all of it, ",
                                                 "or use ", part_of));
}

absl::StatusOr<FillPattern> PatternOf(absl::Span<const std::byte> bytes) {
  FillPattern pattern;
  if (!IsPowerOfTwo(bytes.size()) || bytes.size() > sizeof(pattern.bytes)) {
    return absl::InvalidArgumentError(
        absl::StrCat("a fill pattern has 1, 2, 4, 8 or 16 bytes; this one has ", bytes.size()));
  }
  std::memcpy(pattern.bytes, bytes.data(), bytes.size());
  pattern.size_bytes = static_cast<uint32_t>(bytes.size());
  return pattern;
}

// The moves themselves, without checks and waits: what is done now or, queued, later. They hold
// nothing, but what RunWhenFree keeps alive.
//
// The observer's names for things, built only when somebody looks.
void NotifyMoved(Event::Kind kind, Storage& storage, StorageId source, const SubRegion& region) {
  if (!Observed()) return;
  Notify({.kind = kind,
          .space = &storage.allocator().space(),
          .name = storage.name(),
          .storage = storage.id(),
          .source = source,
          .allocation = region.allocation->id,
          .offset_bytes = region.offset_bytes,
          .size_bytes = region.size_bytes});
}

// Whose the bytes are: a placed storage's are of its arena's allocator.
Allocator& AllocatorOf(Storage* storage) { return storage->root_storage().allocator(); }

// Only devices have queues that a transfer could be put into.
absl::Status CheckQueue(const CopyOptions& options, std::initializer_list<Allocator*> allocators) {
  if (options.queue == nullptr) return absl::OkStatus();
  for (Allocator* allocator : allocators) {
    if (allocator->Capability<QueueCapability>() != nullptr) return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("a transfer of '", (*allocators.begin())->space().ToString(),
                   "' can't be put into a device's queue; leave TransferOptions::queue null"));
}

struct MoveIn {
  Storage* storage;
  SubRegion to;
  const void* from;
  absl::StatusOr<Fence> operator()(const CopyOptions& options) const {
    if (absl::Status s = CheckQueue(options, {&AllocatorOf(storage)}); !s.ok()) return s;
    absl::StatusOr<Fence> fence = AllocatorOf(storage).CopyIn(to, from, options);
    if (fence.ok()) NotifyMoved(Event::Kind::kCopyIn, *storage, {}, to);
    return fence;
  }
  bool CanWaitFor(const Fence& fence, const Queue* /*queue*/) const {
    auto* queues = AllocatorOf(storage).Capability<QueueCapability>();
    return queues != nullptr && queues->CanWaitFor(fence);
  }
};

struct MoveOut {
  Storage* storage;
  void* to;
  SubRegion from;
  absl::StatusOr<Fence> operator()(const CopyOptions& options) const {
    if (absl::Status s = CheckQueue(options, {&AllocatorOf(storage)}); !s.ok()) return s;
    absl::StatusOr<Fence> fence = AllocatorOf(storage).CopyOut(to, from, options);
    if (fence.ok()) NotifyMoved(Event::Kind::kCopyOut, *storage, {}, from);
    return fence;
  }
  bool CanWaitFor(const Fence& fence, const Queue* /*queue*/) const {
    auto* queues = AllocatorOf(storage).Capability<QueueCapability>();
    return queues != nullptr && queues->CanWaitFor(fence);
  }
};

struct MoveBetween {
  Storage* storage;
  SubRegion to;
  Storage* source;
  SubRegion from;
  absl::StatusOr<Fence> operator()(const CopyOptions& options) const {
    absl::Status status = CheckQueue(options, {&AllocatorOf(storage), &AllocatorOf(source)});
    if (!status.ok()) return status;
    absl::StatusOr<Fence> fence = CopyTable::Default().Copy({&AllocatorOf(storage), to},
                                                            {&AllocatorOf(source), from}, options);
    if (fence.ok()) NotifyMoved(Event::Kind::kCopy, *storage, source->id(), to);
    return fence;
  }
  bool CanWaitFor(const Fence& fence, const Queue* queue) const {
    return CopyTable::Default().CanWaitFor({&AllocatorOf(storage), to},
                                           {&AllocatorOf(source), from}, fence, queue);
  }
};

struct FillAll {
  Storage* storage;
  SubRegion to;
  FillPattern pattern;
  absl::StatusOr<Fence> operator()(const CopyOptions& options) const {
    if (absl::Status s = CheckQueue(options, {&AllocatorOf(storage)}); !s.ok()) return s;
    absl::StatusOr<Fence> fence = AllocatorOf(storage).Fill(to, pattern, options);
    if (fence.ok()) NotifyMoved(Event::Kind::kFill, *storage, {}, to);
    return fence;
  }
  bool CanWaitFor(const Fence& fence, const Queue* /*queue*/) const {
    auto* queues = AllocatorOf(storage).Capability<QueueCapability>();
    return queues != nullptr && queues->CanWaitFor(fence);
  }
};

absl::Status WaitFor(const absl::StatusOr<Fence>& fence) {
  if (!fence.ok()) return fence.status();
  // Without a deadline: what moves bytes of the caller's must not go on after the call.
  return fence->timeline() == nullptr ? absl::OkStatus() : fence->Wait();
}

// One window that a transfer uses; offsets are the storage's.
struct Use {
  Storage* storage;
  uint64_t begin;
  uint64_t end;
  Access access;

  void Record(const Fence& fence) const {
    if (fence.timeline() != nullptr) storage->RecordUse(begin, end, access, fence);
  }
};

// Keeps a storage alive until queued work is done, and unsealed if it is to be written.
class Hold {
 public:
  Hold(Storage* storage, Access access) : storage_(storage), access_(access) {}
  ~Hold() {
    if (access_ == Access::kWrite) storage_->EndWritableMapping();
  }
  Hold(const Hold&) = delete;
  Hold& operator=(const Hold&) = delete;

  static absl::StatusOr<std::shared_ptr<Hold>> Of(const Use& use) {
    if (use.access == Access::kWrite) {
      if (absl::Status status = use.storage->BeginWritableMapping(); !status.ok()) return status;
    }
    return std::make_shared<Hold>(use.storage, use.access);
  }

 private:
  StorageKeepAlive storage_;
  Access access_;
};

CopyOptions Blocking(const TransferOptions& options) {
  return {
      .max_threads = options.max_threads, .may_block = true, .after = {}, .queue = options.queue};
}

// Does `move` at once if nothing that it conflicts with is under way, or if the device can put it
// behind that, and queues it on the host otherwise.
template <typename Move>
absl::StatusOr<Fence> RunWhenFree(std::initializer_list<Use> uses, const TransferOptions& transfer,
                                  const Move& move) {
  const absl::Time deadline = DeadlineOf(transfer);
  CopyOptions options{.max_threads = transfer.max_threads,
                      .may_block = false,
                      .after = {},
                      .queue = transfer.queue};
  std::vector<Fence> after;
  for (const Use& use : uses) {
    std::vector<Fence> found = use.storage->ConflictingUses(use.begin, use.end, use.access);
    after.insert(after.end(), found.begin(), found.end());
  }
  const bool followed = deadline == absl::InfiniteFuture() &&
                        std::all_of(after.begin(), after.end(), [&](const Fence& f) {
                          return move.CanWaitFor(f, transfer.queue);
                        });
  if (after.empty() || followed) {
    // Waits for nothing; tells of uses that ended with an error.
    for (const Use& use : uses) {
      if (!after.empty()) break;
      absl::Status status = use.storage->WaitForUses(use.begin, use.end, use.access, deadline);
      if (!status.ok()) return status;
    }
    options.after = after;
    absl::StatusOr<Fence> fence = move(options);
    if (!fence.ok()) return fence;
    for (const Use& use : uses) use.Record(*fence);
    return fence;
  }
  if (transfer.queue != nullptr) {
    return absl::FailedPreconditionError(
        "the transfer has to wait on the host for another use of the bytes, and so can't keep its "
        "place in a device's queue; wait for that use first, and give no timeout");
  }
  // Then its own thread may be used as long as it takes.
  options.may_block = true;
  std::vector<std::shared_ptr<Hold>> holds;
  holds.reserve(uses.size());
  for (const Use& use : uses) {
    absl::StatusOr<std::shared_ptr<Hold>> hold = Hold::Of(use);
    if (!hold.ok()) return hold.status();
    holds.push_back(*std::move(hold));
  }
  absl::StatusOr<Fence> done = HostWorker::Default().Submit(
      std::move(after), deadline, [holds = std::move(holds), move, options]() -> absl::Status {
        return WaitFor(move(options));
      });
  if (!done.ok()) return done;
  for (const Use& use : uses) use.Record(*done);
  return done;
}

}  // namespace

// ------------------------------------------------------------------------------------------------
// host memory

absl::Status Buffer::CopyIn(const void* from, uint64_t size_bytes,
                            const TransferOptions& options) const {
  if (is_null() || size_bytes != size_) return WrongSize(*this, size_bytes, "CopyInAt or a view");
  return CopyInAt(0, from, size_bytes, options);
}

absl::Status Buffer::CopyOut(void* to, uint64_t size_bytes, const TransferOptions& options) const {
  if (is_null() || size_bytes != size_) return WrongSize(*this, size_bytes, "CopyOutAt or a view");
  return CopyOutAt(0, to, size_bytes, options);
}

absl::Status Buffer::CopyInAt(uint64_t offset_bytes, const void* from, uint64_t size_bytes,
                              const TransferOptions& options) const {
  if (absl::Status s = CheckTransfer(from, size_bytes, options); !s.ok()) return s;
  absl::Status status = BeginAccess(Access::kWrite, offset_bytes, size_bytes, DeadlineOf(options));
  if (!status.ok() || size_bytes == 0) return status;
  return WaitFor(MoveIn{storage_.get(), Region(offset_bytes, size_bytes), from}(Blocking(options)));
}

absl::Status Buffer::CopyOutAt(uint64_t offset_bytes, void* to, uint64_t size_bytes,
                               const TransferOptions& options) const {
  if (absl::Status s = CheckTransfer(to, size_bytes, options); !s.ok()) return s;
  absl::Status status = BeginAccess(Access::kRead, offset_bytes, size_bytes, DeadlineOf(options));
  if (!status.ok() || size_bytes == 0) return status;
  return WaitFor(MoveOut{storage_.get(), to, Region(offset_bytes, size_bytes)}(Blocking(options)));
}

absl::StatusOr<Fence> Buffer::CopyInAsync(const void* from, uint64_t size_bytes,
                                          const TransferOptions& options) const {
  if (is_null() || size_bytes != size_) return WrongSize(*this, size_bytes, "a view");
  if (absl::Status s = CheckTransfer(from, size_bytes, options); !s.ok()) return s;
  absl::Status status = PrepareAccess(Access::kWrite, 0, size_bytes);
  if (!status.ok()) return status;
  if (size_bytes == 0) return Fence();
  return RunWhenFree({{storage_.get(), offset_, offset_ + size_, Access::kWrite}}, options,
                     MoveIn{storage_.get(), Region(0, size_), from});
}

absl::StatusOr<Fence> Buffer::CopyOutAsync(void* to, uint64_t size_bytes,
                                           const TransferOptions& options) const {
  if (is_null() || size_bytes != size_) return WrongSize(*this, size_bytes, "a view");
  if (absl::Status s = CheckTransfer(to, size_bytes, options); !s.ok()) return s;
  absl::Status status = PrepareAccess(Access::kRead, 0, size_bytes);
  if (!status.ok()) return status;
  if (size_bytes == 0) return Fence();
  return RunWhenFree({{storage_.get(), offset_, offset_ + size_, Access::kRead}}, options,
                     MoveOut{storage_.get(), to, Region(0, size_)});
}

// ------------------------------------------------------------------------------------------------
// between buffers

absl::Status Buffer::CopyFrom(const Buffer& source, const TransferOptions& options) const {
  if (is_null() || source.is_null()) return internal::NullBufferError();
  if (source.size_ != size_) return WrongSize(*this, source.size_, "CopyRegionFrom");
  return CopyRegionFrom(source, 0, 0, size_, options);
}

absl::Status Buffer::CopyRegionFrom(const Buffer& source, uint64_t source_offset_bytes,
                                    uint64_t offset_bytes, uint64_t size_bytes,
                                    const TransferOptions& options) const {
  if (absl::Status s = CheckTransfer(this, size_bytes, options); !s.ok()) return s;
  absl::Status status;
  const bool free = IsFree(Access::kWrite) && source.IsFree(Access::kRead) &&
                    WindowFits(offset_bytes, size_bytes, size_) &&
                    WindowFits(source_offset_bytes, size_bytes, source.size_);
  if (!free) {
    // Both are checked before either is allocated, and allocated before either is waited for.
    status = CheckAccess(Access::kWrite, offset_bytes, size_bytes);
    if (status.ok()) status = source.PrepareAccess(Access::kRead, source_offset_bytes, size_bytes);
    if (status.ok()) status = PrepareAccess(Access::kWrite, offset_bytes, size_bytes);
  }
  if (!status.ok() || size_bytes == 0) return status;
  if (!free) {
    const absl::Time deadline = DeadlineOf(options);
    const uint64_t to = offset_ + offset_bytes, from = source.offset_ + source_offset_bytes;
    status = source.storage_->WaitForUses(from, from + size_bytes, Access::kRead, deadline);
    if (status.ok()) {
      status = storage_->WaitForUses(to, to + size_bytes, Access::kWrite, deadline);
    }
    if (!status.ok()) return status;
  }
  return WaitFor(MoveBetween{storage_.get(), Region(offset_bytes, size_bytes),
                             source.storage_.get(),
                             source.Region(source_offset_bytes, size_bytes)}(Blocking(options)));
}

absl::Status Buffer::CopyWithin(uint64_t from_offset_bytes, uint64_t to_offset_bytes,
                                uint64_t size_bytes, const TransferOptions& options) const {
  return CopyRegionFrom(*this, from_offset_bytes, to_offset_bytes, size_bytes, options);
}

absl::StatusOr<Fence> Buffer::CopyFromAsync(const Buffer& source,
                                            const TransferOptions& options) const {
  if (is_null() || source.is_null()) return internal::NullBufferError();
  if (source.size_ != size_) return WrongSize(*this, source.size_, "views");
  if (absl::Status s = CheckTransfer(this, size_, options); !s.ok()) return s;
  absl::Status status = CheckAccess(Access::kWrite, 0, size_);
  if (status.ok()) status = source.PrepareAccess(Access::kRead, 0, size_);
  if (status.ok()) status = PrepareAccess(Access::kWrite, 0, size_);
  if (!status.ok()) return status;
  if (size_ == 0) return Fence();
  return RunWhenFree(
      {{source.storage_.get(), source.offset_, source.offset_ + size_, Access::kRead},
       {storage_.get(), offset_, offset_ + size_, Access::kWrite}},
      options,
      MoveBetween{storage_.get(), Region(0, size_), source.storage_.get(),
                  source.Region(0, size_)});
}

// ------------------------------------------------------------------------------------------------
// fills

absl::Status Buffer::Fill(absl::Span<const std::byte> bytes, const TransferOptions& options) const {
  absl::StatusOr<FillPattern> pattern = PatternOf(bytes);
  if (!pattern.ok()) return pattern.status();
  if (absl::Status s = CheckTransfer(this, size_, options); !s.ok()) return s;
  absl::Status status = BeginAccess(Access::kWrite, 0, size_, DeadlineOf(options));
  if (!status.ok() || size_ == 0) return status;
  return WaitFor(FillAll{storage_.get(), Region(0, size_), *pattern}(Blocking(options)));
}

absl::StatusOr<Fence> Buffer::FillAsync(absl::Span<const std::byte> bytes,
                                        const TransferOptions& options) const {
  absl::StatusOr<FillPattern> pattern = PatternOf(bytes);
  if (!pattern.ok()) return pattern.status();
  if (absl::Status s = CheckTransfer(this, size_, options); !s.ok()) return s;
  absl::Status status = PrepareAccess(Access::kWrite, 0, size_);
  if (!status.ok()) return status;
  if (size_ == 0) return Fence();
  return RunWhenFree({{storage_.get(), offset_, offset_ + size_, Access::kWrite}}, options,
                     FillAll{storage_.get(), Region(0, size_), *pattern});
}

}  // namespace tenure
