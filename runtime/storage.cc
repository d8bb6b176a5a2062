#include "tenure/runtime/storage.h"

#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "tenure/allocator/observer.h"
#include "tenure/base/checked.h"

namespace tenure {

// One try at allocating, and its result for the threads that wait for it.
struct Storage::Attempt {
  bool done = false;
  absl::Status status;
};

namespace {

std::string Describe(const Storage& storage) {
  return storage.name().empty() ? absl::StrCat("storage ", storage.id().value())
                                : absl::StrCat("storage '", storage.name(), "'");
}

}  // namespace

Storage::Storage(Allocator& allocator, uint64_t size_bytes, const Options& options)
    : id_(StorageId::Mint()),
      allocator_(&allocator),
      size_bytes_(size_bytes),
      alignment_bytes_(options.alignment_bytes),
      hints_(options.hints),
      zeroed_(options.zeroed),
      name_(options.name) {}

StorageHandle Storage::Make(Allocator& allocator, uint64_t size_bytes, const Options& options) {
  return StorageHandle::Adopt(new Storage(allocator, size_bytes, options));
}

void Storage::Destroy(Storage* storage) { delete storage; }

Storage::~Storage() {
  UseList* uses = uses_.load(std::memory_order_acquire);
  StorageImports* imports = imports_.load(std::memory_order_acquire);
  if (state_.load(std::memory_order_acquire) == kAllocated) {
    NotifyFreed();
    if (uses == nullptr && imports == nullptr) {
      allocator_->Deallocate(allocation_);
    } else {
      const std::vector<Fence> fences = uses == nullptr ? std::vector<Fence>() : uses->Finish();
      if (imports != nullptr) imports->Deallocate(fences);
      allocator_->Deallocate(allocation_, fences);
    }
  }
  delete uses;
  delete imports;
}

void Storage::NotifyFreed() const noexcept {
  try {
    Notify([this] {
      return Event{.kind = Event::Kind::kFree,
                   .space = allocator_->space(),
                   .allocation = allocation_.id,
                   .storage = id_,
                   .size_bytes = size_bytes_,
                   .alignment_bytes = alignment_bytes_,
                   .imported = allocation_.imported,
                   .name = name_};
    });
  } catch (...) {  // there is nobody to tell: a handle is being dropped
  }
}

AllocationRequest Storage::Request() const {
  AllocationRequest request;
  request.size_bytes = size_bytes_;
  request.alignment_bytes = alignment_bytes_;
  request.zeroed = zeroed_;
  request.hints = hints_;
  return request;
}

absl::Status Storage::AllocateSlowly() { return AllocateWith(Request()); }

absl::Status Storage::Import(AllocationRequest request) {
  AllocationRequest whole = Request();
  whole.foreign = std::move(request.foreign);
  whole.file = request.file;
  return AllocateWith(std::move(whole));
}

absl::Status Storage::AllocateWith(AllocationRequest request) {
  request.name = name_;
  request.storage = id_;
  // The bytes of somebody else's attempt are not those that an import brings.
  auto cannot_import = [this](std::string_view why) {
    return absl::FailedPreconditionError(
        absl::StrCat("can't give ", Describe(*this), " bytes that exist already: ", why));
  };
  std::shared_ptr<Attempt> attempt;
  {
    absl::MutexLock lock(&mutex_);
    auto not_reserved = [this] { return state_.load(std::memory_order_relaxed) != kReserved; };
    mutex_.Await(absl::Condition(&not_reserved));
    if (is_allocated()) {
      return request.imports() ? cannot_import("it has bytes") : absl::OkStatus();
    }
    if (state_.load(std::memory_order_relaxed) == kBusy) {
      if (request.imports()) return cannot_import("another thread is allocating it");
      attempt = attempt_;
      auto done = [&attempt] { return attempt->done; };
      mutex_.Await(absl::Condition(&done));
      return attempt->status;
    }
    attempt = attempt_ = std::make_shared<Attempt>();
    state_.store(kBusy, std::memory_order_relaxed);
  }
  // Also after an exception: threads that wait for this attempt must go on. Its error is made
  // before there is no memory for it.
  static const absl::Status& thrown = *new absl::Status(
      absl::InternalError("an exception ended the allocation in another thread; try again"));
  absl::StatusOr<Allocation> made;
  std::vector<Fence> pending;
  absl::Cleanup give_up = [&] {
    if (made.ok()) allocator_->Deallocate(*made, pending);
    root_ = nullptr;
    EndAttempt(*attempt, kUnallocated, thrown);
  };
  // No lock is held here: waiting threads have released it, and allocators may take their time.
  if (hints_.queue != nullptr) request.pending = &pending;
  made = allocator_->Allocate(request);
  if (made.ok()) {
    allocation_ = *made;
    root_ = &allocation_;
    root_offset_ = 0;
    coherent_ = allocator_->traits().coherence_atom_bytes <= 1;
    // Uses by earlier owners of the bytes: the host waits for them as for any other use.
    for (const Fence& fence : pending) RecordUse(0, size_bytes_, Access::kWrite, fence);
  }
  std::move(give_up).Cancel();
  EndAttempt(*attempt, made.ok() ? kAllocated : kUnallocated, made.status());
  // Only now: observers may use the bytes.
  Notify([&] {
    return Event{.kind = Event::Kind::kAllocate,
                 .status = made.status().code(),
                 .space = allocator_->space(),
                 .allocation = made.ok() ? made->id : AllocationId(),
                 .storage = id_,
                 .size_bytes = size_bytes_,
                 .alignment_bytes = request.alignment_bytes,
                 .zeroed = request.zeroed,
                 .imported = request.imports(),
                 .name = name_};
  });
  return made.status();
}

void Storage::EndAttempt(Attempt& attempt, State state, absl::Status status) {
  absl::MutexLock lock(&mutex_);
  state_.store(state, std::memory_order_release);
  attempt.status = std::move(status);
  attempt.done = true;
  attempt_.reset();
}

absl::Status Storage::ReservePlace(const Storage& arena, uint64_t offset_bytes) {
  auto refuse = [this](auto... why) {
    return absl::FailedPreconditionError(
        absl::StrCat("can't place ", Describe(*this), ": ", why...));
  };
  if (&arena == this || !arena.is_allocated())
    return refuse("the arena has no bytes yet; allocate it first");
  if (arena.allocator().space() != allocator_->space()) {
    return refuse("it is of space ", allocator_->space().ToString(), ", the arena of ",
                  arena.allocator().space().ToString());
  }
  if (!WindowFits(offset_bytes, size_bytes_, arena.size_bytes_)) {
    return absl::OutOfRangeError(absl::StrCat("can't place ", Describe(*this), " of ", size_bytes_,
                                              " bytes at ", offset_bytes, " of an arena of ",
                                              arena.size_bytes_));
  }
  const uint64_t needed = alignment_bytes_;
  const uint64_t at = arena.root_offset_ + offset_bytes;
  if (needed != 0 && size_bytes_ != 0 &&
      (arena.root_->alignment_bytes % needed != 0 || at % needed != 0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("can't place ", Describe(*this), " at offset ", at, " of memory aligned to ",
                     arena.root_->alignment_bytes, ": it needs ", needed));
  }
  {
    absl::MutexLock lock(&mutex_);
    switch (state_.load(std::memory_order_acquire)) {
      case kUnallocated:
        break;
      case kBusy:
        return refuse("another thread is allocating it");
      case kReserved:
        return refuse("another thread is placing it");
      case kAllocated:
        return refuse("it has bytes already");
      default:
        return refuse("it is placed already; unplace it first");
    }
    if (sealed()) return refuse("it is sealed");
    state_.store(kReserved, std::memory_order_relaxed);
  }
  return absl::OkStatus();
}

void Storage::CommitPlace(Storage& arena, uint64_t offset_bytes, bool exclusive) {
  absl::MutexLock lock(&mutex_);
  root_ = arena.root_;
  root_offset_ = arena.root_offset_ + offset_bytes;
  coherent_ = arena.coherent_;
  // Arenas within arenas are flattened: one root, one offset.
  arena_ = StorageKeepAlive(&arena.root_storage());
  exclusive_ = exclusive;
  state_.store(kPlaced, std::memory_order_release);
}

void Storage::CancelPlace() {
  absl::MutexLock lock(&mutex_);
  state_.store(kUnallocated, std::memory_order_release);
}

absl::Status Storage::PlaceAll(absl::Span<const PlaceRequest> requests) {
  size_t reserved = 0;
  absl::Cleanup cancel = [&] {
    while (reserved > 0) requests[--reserved].storage->CancelPlace();
  };
  for (; reserved < requests.size(); ++reserved) {
    const PlaceRequest& r = requests[reserved];
    absl::Status status = r.storage->ReservePlace(*r.arena, r.offset_bytes);
    if (!status.ok()) return status;
  }
  std::move(cancel).Cancel();
  for (const PlaceRequest& r : requests) {
    r.storage->CommitPlace(*r.arena, r.offset_bytes, r.exclusive);
  }
  // Observers may use the storages, so they are called when none is reserved any more.
  for (const PlaceRequest& r : requests) {
    Notify([&r] {
      return Event{.kind = Event::Kind::kPlace,
                   .space = r.storage->allocator_->space(),
                   .allocation = r.arena->root_->id,
                   .storage = r.storage->id_,
                   .source_storage = r.arena->id_,
                   .size_bytes = r.storage->size_bytes_,
                   .offset_bytes = r.arena->root_offset_ + r.offset_bytes,
                   .name = r.storage->name_};
    });
  }
  return absl::OkStatus();
}

absl::Status Storage::Unplace() {
  if (!is_placed()) {
    return absl::FailedPreconditionError(absl::StrCat(Describe(*this), " is not placed"));
  }
  if ((write_state_.load(std::memory_order_acquire) & (kSealed | kHolds)) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("can't unplace ", Describe(*this), ": it is sealed or mapped for writing"));
  }
  const AllocationId root = root_->id;
  const uint64_t offset_bytes = root_offset_;
  StorageKeepAlive arena;  // dropped at the end, without the lock: its end is an event too
  {
    absl::MutexLock lock(&mutex_);
    root_ = nullptr;
    root_offset_ = 0;
    exclusive_ = true;
    arena = std::move(arena_);
    state_.store(kUnallocated, std::memory_order_release);
  }
  Notify([&] {
    return Event{.kind = Event::Kind::kUnplace,
                 .space = allocator_->space(),
                 .allocation = root,
                 .storage = id_,
                 .size_bytes = size_bytes_,
                 .offset_bytes = offset_bytes,
                 .name = name_};
  });
  return absl::OkStatus();
}

absl::Status Storage::Seal() {
  // A plan that is placing it has looked whether it is sealed, and won't look again.
  absl::MutexLock lock(&mutex_);
  auto not_reserved = [this] { return state_.load(std::memory_order_relaxed) != kReserved; };
  mutex_.Await(absl::Condition(&not_reserved));
  if (is_placed() && !exclusive_) {
    return absl::FailedPreconditionError(
        absl::StrCat("can't seal ", Describe(*this),
                     ": the plan gives its bytes to other storages too; seal before planning, or "
                     "plan with it held"));
  }
  // A device's write is recorded before the hold of the call that began it ends. So if no hold has
  // ended since `state` was read, no write began after the uses were looked at.
  uint64_t state = write_state_.load(std::memory_order_acquire);
  do {
    if ((state & kSealed) != 0) return absl::OkStatus();
    if ((state & kHolds) != 0) {
      return absl::FailedPreconditionError(
          absl::StrCat("can't seal ", Describe(*this), ": ", state & kHolds,
                       " writable mappings of it or copies into it are not over; drop the "
                       "mappings, and wait for the fences of such copies"));
    }
    if (is_allocated() && !ConflictingUses(0, size_bytes_, Access::kRead).empty()) {
      return absl::FailedPreconditionError(
          absl::StrCat("can't seal ", Describe(*this),
                       ": a device still writes to it; wait for the fences of such copies and "
                       "kernels, or call Synchronize"));
    }
  } while (!write_state_.compare_exchange_weak(state, state | kSealed, std::memory_order_acq_rel,
                                               std::memory_order_acquire));
  return absl::OkStatus();
}

absl::StatusOr<WritableHold> WritableHold::Of(Storage* storage) {
  if (absl::Status status = storage->BeginWriting(); !status.ok()) return status;
  WritableHold hold;
  hold.storage_ = storage;
  return hold;
}

absl::Status Storage::BeginWriting() {
  uint64_t state = write_state_.load(std::memory_order_relaxed);
  do {
    if ((state & kSealed) != 0) {
      return absl::FailedPreconditionError(
          absl::StrCat(Describe(*this), " is sealed; write to a fork of it (ForkViews)"));
    }
  } while (!write_state_.compare_exchange_weak(state, state + 1, std::memory_order_acq_rel));
  return absl::OkStatus();
}

UseList& Storage::root_uses() {
  std::atomic<UseList*>& place = root_storage().uses_;
  UseList* uses = place.load(std::memory_order_acquire);
  if (uses == nullptr) {
    auto fresh = std::make_unique<UseList>();
    if (place.compare_exchange_strong(uses, fresh.get(), std::memory_order_acq_rel)) {
      uses = fresh.release();
    }
  }
  return *uses;
}

absl::StatusOr<const Allocation*> Storage::ImportedBy(
    Allocator& other, absl::FunctionRef<absl::StatusOr<Allocation>()> import) {
  std::atomic<StorageImports*>& place = root_storage().imports_;
  StorageImports* imports = place.load(std::memory_order_acquire);
  if (imports == nullptr) {
    auto fresh = std::make_unique<StorageImports>();
    if (place.compare_exchange_strong(imports, fresh.get(), std::memory_order_acq_rel)) {
      imports = fresh.release();
    }
  }
  return imports->Of(other, import);
}

void Storage::RecordUse(uint64_t begin, uint64_t end, Access access, const Fence& fence) {
  const UseList::Range range{root_offset_ + begin, root_offset_ + end, access};
  root_uses().Record({&range, 1}, fence);
}

std::vector<Fence> Storage::ConflictingUses(uint64_t begin, uint64_t end, Access access) {
  UseList* uses = root_storage().uses_.load(std::memory_order_acquire);
  if (uses == nullptr) return {};
  return uses->Conflicts(root_offset_ + begin, root_offset_ + end, access);
}

absl::StatusOr<std::vector<Fence>> Storage::PendingUses(uint64_t begin, uint64_t end,
                                                        Access access) {
  UseList* uses = root_storage().uses_.load(std::memory_order_acquire);
  if (uses == nullptr) return std::vector<Fence>();
  return uses->Pending(root_offset_ + begin, root_offset_ + end, access);
}

}  // namespace tenure
