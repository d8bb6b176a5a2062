#include "tenure/runtime/transfer.h"

#include <algorithm>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "tenure/allocator/copy/host_worker.h"
#include "tenure/base/checked.h"
#include "tenure/runtime/access.h"
#include "tenure/runtime/buffer.h"
#include "tenure/runtime/buffer_errors.h"
#include "tenure/runtime/move.h"

namespace tenure {
namespace {

using internal::DeadlineAfter;
using internal::Move;

absl::Status CheckOptions(const TransferOptions& options) {
  if (options.max_threads >= 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("max_threads is ", options.max_threads, "; 0 means as many as pay off"));
}

// What a transfer with host memory needs besides its window, which access.h checks.
absl::Status CheckTransfer(const void* host, uint64_t size_bytes, const TransferOptions& options) {
  absl::Status status = internal::CheckHostMemory(host, size_bytes);
  return status.ok() ? CheckOptions(options) : status;
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

CopyOptions ToCopyOptions(const TransferOptions& options, bool may_block) {
  return {.max_threads = options.max_threads,
          .may_block = may_block,
          .after = {},
          .queue = options.queue};
}

// Starts the move and waits for its end, without a timeout: it uses memory of the caller's, which
// it must not touch after the call.
absl::Status RunAndWait(const Move& move, const CopyOptions& options) {
  absl::StatusOr<Fence> fence = move.Start(options);
  if (!fence.ok()) return fence.status();
  return fence->timeline() == nullptr ? absl::OkStatus() : fence->Wait();
}

// Sealing is refused until the result ends. Of nothing if the move writes to no buffer.
absl::StatusOr<WritableHold> HoldUnsealed(const Move& move) {
  if (move.written() == nullptr) return WritableHold();
  return WritableHold::Of(move.written());
}

absl::Status RunNow(const Move& move, const TransferOptions& options) {
  absl::Status status;
  {
    const absl::StatusOr<WritableHold> unsealed = HoldUnsealed(move);
    if (!unsealed.ok()) return unsealed.status();
    status = RunAndWait(move, ToCopyOptions(options, /*may_block=*/true));
  }
  move.NotifyMoved(status);  // an observer may seal the buffer
  return status;
}

// One window that a transfer uses: bytes [begin, end) of the storage.
struct WindowUse {
  WindowUse(const Buffer& buffer, Access how)
      : storage(buffer.storage()),
        begin(buffer.offset()),
        end(buffer.offset() + buffer.size()),
        access(how) {}

  Storage* storage;
  uint64_t begin;
  uint64_t end;
  Access access;
};

// What queued work needs until it is done.
struct Held {
  std::vector<StorageKeepAlive> storages;  // also the arenas that own their bytes
  WritableHold unsealed;                   // of the storage that it writes
};

void Record(std::initializer_list<WindowUse> uses, const Fence& fence) {
  if (fence.timeline() == nullptr) return;
  // After an exception nobody else would know of the work, so it must be over.
  absl::Cleanup finish = [&fence] { fence.Wait().IgnoreError(); };
  for (const WindowUse& use : uses) {
    use.storage->RecordUse(use.begin, use.end, use.access, fence);
  }
  std::move(finish).Cancel();
}

// Runs the move on the host's queue, once `after` are reached. `unsealed` is of what it writes.
absl::StatusOr<Fence> RunLater(std::initializer_list<WindowUse> uses, std::vector<Fence> after,
                               absl::Time deadline, const TransferOptions& options,
                               const Move& move, WritableHold unsealed) {
  auto held = std::make_shared<Held>();
  for (const WindowUse& use : uses) {
    held->storages.emplace_back(use.storage);
    held->storages.emplace_back(&use.storage->root_storage());
  }
  held->unsealed = std::move(unsealed);
  // It may block: the thread of the queue is there to be waited with.
  absl::StatusOr<Fence> done = HostWorker::Default().Submit(
      std::move(after), deadline,
      [held = std::move(held), move, copy = ToCopyOptions(options, /*may_block=*/true)] {
        return RunAndWait(move, copy);
      });
  if (!done.ok()) return done;
  Record(uses, *done);
  move.NotifyMoved(absl::OkStatus());
  return done;
}

// A move that the host does is queued from this size on, so that it does not hold its caller.
// Below, it takes less time than to wake the thread of the queue.
constexpr uint64_t kQueuedBytes = uint64_t{1} << 20;

// Starts the move at once if no use in conflict is under way, or if the device can put it behind
// those. Otherwise queues it on the host.
absl::StatusOr<Fence> RunWhenFree(std::initializer_list<WindowUse> uses,
                                  const TransferOptions& options, const Move& move) {
  absl::StatusOr<WritableHold> unsealed = HoldUnsealed(move);
  if (!unsealed.ok()) return unsealed.status();
  const absl::Time deadline = DeadlineAfter(options.timeout);
  std::vector<Fence> after;
  for (const WindowUse& use : uses) {
    absl::StatusOr<std::vector<Fence>> pending =
        use.storage->PendingUses(use.begin, use.end, use.access);
    if (!pending.ok()) return pending.status();
    after.insert(after.end(), pending->begin(), pending->end());
    if (use.storage->is_coherent() || use.access != Access::kWrite) continue;
    // The host's part of it flushes whole atoms, so nobody else may be writing to them.
    const internal::RootRange atoms = internal::WholeAtoms(*use.storage, use.begin, use.end);
    pending = use.storage->root_storage().PendingUses(atoms.begin, atoms.end, Access::kRead);
    if (!pending.ok()) return pending.status();
    after.insert(after.end(), pending->begin(), pending->end());
  }
  const bool device_waits =
      after.empty() || (deadline == absl::InfiniteFuture() &&
                        std::all_of(after.begin(), after.end(), [&](const Fence& fence) {
                          return move.CanWaitFor(fence, options.queue);
                        }));
  if (!device_waits && options.queue != nullptr) {
    return absl::FailedPreconditionError(
        "the transfer has to wait on the host for another use of the bytes, and so can't keep its "
        "place in a device's queue; wait for that use first, and give no timeout");
  }
  if (!device_waits) {
    return RunLater(uses, std::move(after), deadline, options, move, *std::move(unsealed));
  }
  if (options.queue == nullptr && move.size_bytes() >= kQueuedBytes && move.RunsOnHost()) {
    // Nothing has to be waited for: only a device could have waited for it.
    absl::StatusOr<Fence> fence = RunLater(uses, {}, deadline, options, move, *std::move(unsealed));
    if (!absl::IsResourceExhausted(fence.status())) return fence;
    // Without a thread for the queue, the caller does it.
    if (unsealed = HoldUnsealed(move); !unsealed.ok()) return unsealed.status();
  }
  CopyOptions copy = ToCopyOptions(options, /*may_block=*/false);
  copy.after = after;
  absl::StatusOr<Fence> fence = move.Start(copy);
  if (fence.ok()) Record(uses, *fence);
  *unsealed = WritableHold();  // from here on, Seal looks at the recorded use
  move.NotifyMoved(fence.status());
  return fence;
}

}  // namespace

// --- Host memory

absl::Status CopyIn(const Buffer& to, const void* from, uint64_t size_bytes,
                    const TransferOptions& options) {
  if (to.is_null() || size_bytes != to.size()) {
    return internal::WrongSizeError(to, size_bytes, "CopyInAt or a view");
  }
  return CopyInAt(to, 0, from, size_bytes, options);
}

absl::Status CopyOut(const Buffer& from, void* to, uint64_t size_bytes,
                     const TransferOptions& options) {
  if (from.is_null() || size_bytes != from.size()) {
    return internal::WrongSizeError(from, size_bytes, "CopyOutAt or a view");
  }
  return CopyOutAt(from, 0, to, size_bytes, options);
}

absl::Status CopyInAt(const Buffer& to, uint64_t offset_bytes, const void* from,
                      uint64_t size_bytes, const TransferOptions& options) {
  absl::Status status = CheckTransfer(from, size_bytes, options);
  if (!status.ok()) return status;
  status = internal::BeginAccess(to, Access::kWrite, offset_bytes, size_bytes,
                                 DeadlineAfter(options.timeout));
  if (!status.ok() || size_bytes == 0) return status;
  return RunNow(Move::In(to, offset_bytes, from, size_bytes), options);
}

absl::Status CopyOutAt(const Buffer& from, uint64_t offset_bytes, void* to, uint64_t size_bytes,
                       const TransferOptions& options) {
  absl::Status status = CheckTransfer(to, size_bytes, options);
  if (!status.ok()) return status;
  status = internal::BeginAccess(from, Access::kRead, offset_bytes, size_bytes,
                                 DeadlineAfter(options.timeout));
  if (!status.ok() || size_bytes == 0) return status;
  return RunNow(Move::Out(from, offset_bytes, to, size_bytes), options);
}

absl::StatusOr<Fence> CopyInAsync(const Buffer& to, const void* from, uint64_t size_bytes,
                                  const TransferOptions& options) {
  if (to.is_null() || size_bytes != to.size()) {
    return internal::WrongSizeError(to, size_bytes, "a view");
  }
  absl::Status status = CheckTransfer(from, size_bytes, options);
  if (status.ok()) status = internal::PrepareAccess(to, Access::kWrite, 0, size_bytes);
  if (!status.ok()) return status;
  if (size_bytes == 0) return Fence();
  return RunWhenFree({{to, Access::kWrite}}, options, Move::In(to, 0, from, size_bytes));
}

absl::StatusOr<Fence> CopyOutAsync(const Buffer& from, void* to, uint64_t size_bytes,
                                   const TransferOptions& options) {
  if (from.is_null() || size_bytes != from.size()) {
    return internal::WrongSizeError(from, size_bytes, "a view");
  }
  absl::Status status = CheckTransfer(to, size_bytes, options);
  if (status.ok()) status = internal::PrepareAccess(from, Access::kRead, 0, size_bytes);
  if (!status.ok()) return status;
  if (size_bytes == 0) return Fence();
  return RunWhenFree({{from, Access::kRead}}, options, Move::Out(from, 0, to, size_bytes));
}

// --- Between buffers

absl::Status CopyFrom(const Buffer& to, const Buffer& source, const TransferOptions& options) {
  if (to.is_null() || source.is_null()) return internal::NullBufferError();
  if (source.size() != to.size()) {
    return internal::WrongSizeError(to, source.size(), "CopyRegionFrom");
  }
  return CopyRegionFrom(to, source, 0, 0, to.size(), options);
}

absl::Status CopyRegionFrom(const Buffer& to, const Buffer& source, uint64_t source_offset_bytes,
                            uint64_t offset_bytes, uint64_t size_bytes,
                            const TransferOptions& options) {
  absl::Status status = CheckOptions(options);
  if (!status.ok()) return status;
  const bool free = internal::IsFree(to, Access::kWrite) &&
                    internal::IsFree(source, Access::kRead) &&
                    WindowFits(offset_bytes, size_bytes, to.size()) &&
                    WindowFits(source_offset_bytes, size_bytes, source.size());
  if (!free) {
    // Both are checked before either is allocated, and allocated before either is waited for.
    const absl::Time deadline = DeadlineAfter(options.timeout);
    status = internal::CheckAccess(to, Access::kWrite, offset_bytes, size_bytes);
    if (status.ok()) {
      status = internal::PrepareAccess(source, Access::kRead, source_offset_bytes, size_bytes);
    }
    if (status.ok()) {
      status = internal::PrepareAccess(to, Access::kWrite, offset_bytes, size_bytes);
    }
    if (status.ok() && size_bytes > 0) {
      status =
          internal::BeginAccess(source, Access::kRead, source_offset_bytes, size_bytes, deadline);
    }
    if (status.ok() && size_bytes > 0) {
      status = internal::BeginAccess(to, Access::kWrite, offset_bytes, size_bytes, deadline);
    }
  }
  if (!status.ok() || size_bytes == 0) return status;
  return RunNow(Move::Between(to, offset_bytes, source, source_offset_bytes, size_bytes), options);
}

absl::StatusOr<Fence> CopyFromAsync(const Buffer& to, const Buffer& source,
                                    const TransferOptions& options) {
  if (to.is_null() || source.is_null()) return internal::NullBufferError();
  const uint64_t size = to.size();
  if (source.size() != size) return internal::WrongSizeError(to, source.size(), "views");
  absl::Status status = CheckOptions(options);
  if (status.ok()) status = internal::CheckAccess(to, Access::kWrite, 0, size);
  if (status.ok()) status = internal::PrepareAccess(source, Access::kRead, 0, size);
  if (status.ok()) status = internal::PrepareAccess(to, Access::kWrite, 0, size);
  if (!status.ok()) return status;
  if (size == 0) return Fence();
  return RunWhenFree({{source, Access::kRead}, {to, Access::kWrite}}, options,
                     Move::Between(to, 0, source, 0, size));
}

// --- Fills

absl::Status Fill(const Buffer& buffer, absl::Span<const std::byte> bytes,
                  const TransferOptions& options) {
  absl::StatusOr<FillPattern> pattern = PatternOf(bytes);
  if (!pattern.ok()) return pattern.status();
  absl::Status status = CheckOptions(options);
  if (!status.ok()) return status;
  status = internal::BeginAccess(buffer, Access::kWrite, 0, buffer.size(),
                                 DeadlineAfter(options.timeout));
  if (!status.ok() || buffer.size() == 0) return status;
  return RunNow(Move::Filling(buffer, *pattern), options);
}

absl::StatusOr<Fence> FillAsync(const Buffer& buffer, absl::Span<const std::byte> bytes,
                                const TransferOptions& options) {
  absl::StatusOr<FillPattern> pattern = PatternOf(bytes);
  if (!pattern.ok()) return pattern.status();
  absl::Status status = CheckOptions(options);
  if (status.ok()) status = internal::PrepareAccess(buffer, Access::kWrite, 0, buffer.size());
  if (!status.ok()) return status;
  if (buffer.size() == 0) return Fence();
  return RunWhenFree({{buffer, Access::kWrite}}, options, Move::Filling(buffer, *pattern));
}

}  // namespace tenure
