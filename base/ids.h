// Identities: StorageId (logical bytes), BufferId (a handle on them), AllocationId (an allocation
// of an allocator) and QueueId (a queue of work).
//
// They are distinct types over uint64, so that one can't be passed for another.
// Each value is unique in the process and never reused; 0 is "none". Values grow within one thread.
// Values of different threads do not tell which is older.
//
// Cost: minting is a thread-local increment. Once in 65,536 mints a thread takes a new block from a
// shared counter, so threads do not contend. At one per nanosecond, 2^64 values last 580 years.
// Thread safety: all functions are thread-safe.

#ifndef TENURE_BASE_IDS_H_
#define TENURE_BASE_IDS_H_

#include <compare>
#include <cstdint>
#include <functional>
#include <utility>

namespace tenure {

template <typename Tag>
class StrongId {
 public:
  constexpr StrongId() = default;
  constexpr explicit StrongId(uint64_t value) : value_(value) {}

  // A new value.
  static StrongId Mint();

  constexpr uint64_t value() const { return value_; }
  constexpr explicit operator bool() const { return value_ != 0; }
  friend constexpr auto operator<=>(StrongId, StrongId) = default;

  template <typename H>
  friend H AbslHashValue(H h, StrongId id) {
    return H::combine(std::move(h), id.value_);
  }

 private:
  uint64_t value_ = 0;
};

using StorageId = StrongId<struct StorageIdTag>;
using BufferId = StrongId<struct BufferIdTag>;
using AllocationId = StrongId<struct AllocationIdTag>;
using QueueId = StrongId<struct QueueIdTag>;

namespace internal {

struct IdBlock {
  uint64_t next = 0;
  uint64_t end = 0;
};

template <typename Tag>
inline constinit thread_local IdBlock id_block{};

// Takes the next block of ids of one kind. `kind`: kIdKind of the tag.
IdBlock TakeIdBlock(int kind);

template <typename Tag>
inline constexpr int kIdKind = -1;
template <>
inline constexpr int kIdKind<StorageIdTag> = 0;
template <>
inline constexpr int kIdKind<BufferIdTag> = 1;
template <>
inline constexpr int kIdKind<AllocationIdTag> = 2;
template <>
inline constexpr int kIdKind<QueueIdTag> = 3;

}  // namespace internal

template <typename Tag>
inline StrongId<Tag> StrongId<Tag>::Mint() {
  internal::IdBlock& block = internal::id_block<Tag>;
  if (block.next == block.end) [[unlikely]] {
    block = internal::TakeIdBlock(internal::kIdKind<Tag>);
  }
  return StrongId(block.next++);
}

}  // namespace tenure

template <typename Tag>
struct std::hash<tenure::StrongId<Tag>> {
  size_t operator()(tenure::StrongId<Tag> id) const { return std::hash<uint64_t>()(id.value()); }
};

#endif  // TENURE_BASE_IDS_H_
