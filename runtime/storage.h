// Storage: logical bytes that live or die together. Buffers are windows onto it.
//
//                      EnsureAllocated
//   kUnallocated ------------------------> kAllocated
//        |  ^
//        |  '--------- Unplace ----------.
//        '------------ Place ------------> kPlaced
//
// One thread takes a storage out of kUnallocated; the others wait for it and get the same result. A
// placed storage owns no bytes: they are a range of an arena, which it keeps alive.
//
// Compilers use Buffer. This header is for authors of planners, which place storages.
//
// Cost: 248 bytes each; the allocated check is one acquire load.
// Thread safety: thread-safe, except for Unplace: no other thread may use the storage meanwhile.
// Ownership: counted. There are two kinds of references. Handles (buffers) are counted by planners,
// to find out whether a storage is held outside the schedule. Internal ones (copies under way,
// arenas of placed storages) keep it alive and are not counted as holders. Its allocator is
// borrowed and must outlive it.

#ifndef TENURE_RUNTIME_STORAGE_H_
#define TENURE_RUNTIME_STORAGE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/attributes.h"
#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/span.h"
#include "tenure/allocator/allocation.h"
#include "tenure/allocator/allocator.h"
#include "tenure/base/ids.h"
#include "tenure/runtime/storage_imports.h"
#include "tenure/runtime/use_list.h"

namespace tenure {

class Storage;

// A counted reference. kUnit is 1 for handles and 2^32 for internal references, so that one atomic
// word counts both.
template <uint64_t kUnit>
class StorageReference {
 public:
  StorageReference() = default;
  explicit StorageReference(Storage* storage);  // adds a reference
  StorageReference(const StorageReference& other) : StorageReference(other.storage_) {}
  StorageReference(StorageReference&& other) noexcept
      : storage_(std::exchange(other.storage_, nullptr)) {}
  StorageReference& operator=(StorageReference other) noexcept {
    std::swap(storage_, other.storage_);
    return *this;
  }
  ~StorageReference();

  // Takes over a reference that is counted already.
  static StorageReference Adopt(Storage* storage) {
    StorageReference reference;
    reference.storage_ = storage;
    return reference;
  }

  Storage* get() const { return storage_; }
  Storage* operator->() const { return storage_; }
  Storage& operator*() const { return *storage_; }
  explicit operator bool() const { return storage_ != nullptr; }

 private:
  Storage* storage_ = nullptr;
};
using StorageHandle = StorageReference<1>;
using StorageKeepAlive = StorageReference<uint64_t{1} << 32>;

class Storage {
 public:
  struct Options {
    uint64_t alignment_bytes = 0;  // a power of two (checked when allocated), or 0
    bool zeroed = false;           // reads as zeros before the first write
    MemoryHints hints = {};
    std::string_view name = {};  // borrowed for the call
  };
  static StorageHandle Make(Allocator& allocator, uint64_t size_bytes, const Options& options);

  StorageId id() const { return id_; }
  Allocator& allocator() const { return *allocator_; }
  uint64_t size_bytes() const { return size_bytes_; }
  uint64_t alignment_bytes() const { return alignment_bytes_; }
  bool zeroed() const { return zeroed_; }
  const MemoryHints& hints() const { return hints_; }
  const std::string& name() const { return name_; }

  // How many buffers hold it. Exact only while no other thread copies or drops handles.
  uint64_t handle_count() const { return refs_.load(std::memory_order_acquire) & 0xffffffffu; }

  bool is_allocated() const { return state_.load(std::memory_order_acquire) >= kAllocated; }
  bool is_placed() const { return state_.load(std::memory_order_acquire) == kPlaced; }
  absl::Status EnsureAllocated() {
    return ABSL_PREDICT_TRUE(is_allocated()) ? absl::OkStatus() : AllocateSlowly();
  }
  // Makes bytes that exist already its own: `request` names foreign memory or a window of a file,
  // and the rest comes from the storage's options. FailedPrecondition if it has bytes, or is given
  // some by another thread meanwhile; foreign memory is then not released.
  absl::Status Import(AllocationRequest request) ABSL_LOCKS_EXCLUDED(mutex_);

  // Places all of these storages, or none. Until it is decided, no other thread sees any of them
  // placed: threads that need their bytes wait for the decision, which calls no allocator.
  struct PlaceRequest {
    Storage* storage = nullptr;
    Storage* arena = nullptr;
    uint64_t offset_bytes = 0;
    bool exclusive = false;
  };
  static absl::Status PlaceAll(absl::Span<const PlaceRequest> requests);
  // Gives it [offset, offset + size) of `arena`, whose bytes must be allocated, of the same space,
  // and aligned for it. `exclusive`: no other storage is ever given any of these bytes.
  // FailedPrecondition if it is allocated, placed or sealed. The bytes are left as they are: if the
  // storage was promised to be zeroed, the caller fills them (PlacePlan does).
  absl::Status Place(Storage& arena, uint64_t offset_bytes, bool exclusive) {
    const PlaceRequest request{this, &arena, offset_bytes, exclusive};
    return PlaceAll({&request, 1});
  }
  // Back to unallocated; its contents are lost. Uses by the device must be over. Mappings for
  // reading keep the arena's bytes. Not thread-safe.
  absl::Status Unplace() ABSL_LOCKS_EXCLUDED(mutex_);

  // Call these only when is_allocated(). Windows of this storage start at root_offset() of
  // root().
  const Allocation& root() const { return *root_; }
  uint64_t root_offset() const { return root_offset_; }
  // Whether host and device see the same bytes at any time (SpaceTraits::coherence_atom_bytes).
  bool is_coherent() const { return coherent_; }
  // The storage that keeps the uses of these bytes: this one, or the arena that it is placed in.
  Storage& root_storage() { return arena_ ? *arena_ : *this; }

  // The allocation of another allocator that has the bytes of root() too, for an API that shares
  // the card (interop/in_space.h). `import` makes it, when it is first asked for. It is freed
  // together with root(), after the same uses. The other allocator must outlive the storage.
  absl::StatusOr<const Allocation*> ImportedBy(
      Allocator& other, absl::FunctionRef<absl::StatusOr<Allocation>()> import);

  // One-way. FailedPrecondition while a WritableHold lives or a recorded use writes to the bytes,
  // or if a plan has given the bytes to other storages too.
  absl::Status Seal() ABSL_LOCKS_EXCLUDED(mutex_);
  bool sealed() const { return (write_state_.load(std::memory_order_acquire) & kSealed) != 0; }
  // Of window [begin, end) of this storage.
  void RecordUse(uint64_t begin, uint64_t end, Access access, const Fence& fence);
  absl::Status WaitForUses(uint64_t begin, uint64_t end, Access access, absl::Time deadline) {
    UseList* uses = root_storage().uses_.load(std::memory_order_acquire);
    if (ABSL_PREDICT_TRUE(uses == nullptr)) return absl::OkStatus();
    return uses->Wait(root_offset_ + begin, root_offset_ + end, access, deadline);
  }
  // Whether any use was ever recorded of the allocation that holds its bytes.
  bool has_uses() { return root_storage().uses_.load(std::memory_order_acquire) != nullptr; }
  std::vector<Fence> ConflictingUses(uint64_t begin, uint64_t end, Access access);
  // The same, or the error that one of the uses has ended with (UseList::Pending).
  absl::StatusOr<std::vector<Fence>> PendingUses(uint64_t begin, uint64_t end, Access access);
  // The uses of all bytes of root(), made with the first call. Ranges are root()'s.
  UseList& root_uses();

 private:
  template <uint64_t kUnit>
  friend class StorageReference;
  friend class WritableHold;

  enum State : uint32_t { kUnallocated, kBusy, kReserved, kAllocated, kPlaced };
  // write_state_: the number of WritableHolds, whether it is sealed, and above that the number of
  // holds that have ended, which may wrap.
  static constexpr uint64_t kSealed = uint64_t{1} << 32;
  static constexpr uint64_t kHolds = kSealed - 1;
  static constexpr uint64_t kHoldEnded = uint64_t{1} << 33;
  struct Attempt;

  Storage(Allocator& allocator, uint64_t size_bytes, const Options& options);
  ~Storage();
  absl::Status BeginWriting();  // refused once sealed
  void EndWriting() { write_state_.fetch_add(kHoldEnded - 1, std::memory_order_release); }
  // A request with what this storage was made with.
  AllocationRequest Request() const;
  void NotifyFreed() const noexcept;
  absl::Status AllocateSlowly() ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status AllocateWith(AllocationRequest request) ABSL_LOCKS_EXCLUDED(mutex_);
  // Tells the threads that wait for the attempt.
  void EndAttempt(Attempt& attempt, State state, absl::Status status) ABSL_LOCKS_EXCLUDED(mutex_);
  // The parts of PlaceAll. ReservePlace makes all checks; from then on other threads can't
  // allocate, place or seal the storage, until CommitPlace or CancelPlace.
  absl::Status ReservePlace(const Storage& arena, uint64_t offset_bytes)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void CommitPlace(Storage& arena, uint64_t offset_bytes, bool exclusive)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void CancelPlace() ABSL_LOCKS_EXCLUDED(mutex_);
  void Release(uint64_t unit) {
    // The only owner needs no atomic subtraction, because no other thread can add a reference.
    if (refs_.load(std::memory_order_acquire) == unit ||
        refs_.fetch_sub(unit, std::memory_order_acq_rel) == unit) {
      Destroy(this);
    }
  }
  static void Destroy(Storage* storage);

  std::atomic<uint64_t> refs_{1};  // the handle that Make returns
  std::atomic<uint64_t> write_state_{0};
  const StorageId id_;
  Allocator* const allocator_;
  const uint64_t size_bytes_;
  const uint64_t alignment_bytes_;
  // Written before state_ says that they may be read.
  const Allocation* root_ = nullptr;
  uint64_t root_offset_ = 0;
  StorageKeepAlive arena_;
  Allocation allocation_;
  std::atomic<UseList*> uses_{nullptr};
  std::atomic<StorageImports*> imports_{nullptr};
  absl::Mutex mutex_;
  std::shared_ptr<Attempt> attempt_ ABSL_GUARDED_BY(mutex_);  // while kBusy
  const MemoryHints hints_;
  std::atomic<uint32_t> state_{kUnallocated};
  const bool zeroed_;
  bool exclusive_ = true;  // as given to Place
  bool coherent_ = true;   // written before state_ says that it may be read
  const std::string name_;
};

// Keeps a storage unsealed: sealing is refused while it lives. Writable mappings, copies and fills
// have one, because they write later than they check. The storage must outlive it.
class WritableHold {
 public:
  WritableHold() = default;  // of nothing
  WritableHold(WritableHold&& other) noexcept : storage_(std::exchange(other.storage_, nullptr)) {}
  WritableHold& operator=(WritableHold&& other) noexcept {
    std::swap(storage_, other.storage_);
    return *this;
  }
  WritableHold(const WritableHold&) = delete;
  WritableHold& operator=(const WritableHold&) = delete;
  ~WritableHold() {
    if (storage_ != nullptr) storage_->EndWriting();
  }

  // FailedPrecondition if the storage is sealed.
  static absl::StatusOr<WritableHold> Of(Storage* storage);

 private:
  Storage* storage_ = nullptr;
};

template <uint64_t kUnit>
inline StorageReference<kUnit>::StorageReference(Storage* storage) : storage_(storage) {
  if (storage_ != nullptr) storage_->refs_.fetch_add(kUnit, std::memory_order_relaxed);
}

template <uint64_t kUnit>
inline StorageReference<kUnit>::~StorageReference() {
  if (storage_ != nullptr) storage_->Release(kUnit);
}

}  // namespace tenure

#endif  // TENURE_RUNTIME_STORAGE_H_
