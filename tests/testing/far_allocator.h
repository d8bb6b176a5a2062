// FarAllocator: a space for tests whose bytes the host can't address, as a device's. It moves real
// bytes, at once or, when told to hold, on Release(), after which the fences it gave are reached.
//
// Thread safety: thread-safe. Ownership: as every allocator.

#ifndef TENURE_TESTS_TESTING_FAR_ALLOCATOR_H_
#define TENURE_TESTS_TESTING_FAR_ALLOCATOR_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "tenure/allocator/support/root_allocator.h"
#include "tenure/base/host_memory.h"

namespace tenure {

class FarAllocator final : public RootAllocator {
 public:
  explicit FarAllocator(MemorySpace space = *MemorySpace::Parse("cuda:0"))
      : RootAllocator(std::move(space), FarTraits()) {}
  ~FarAllocator() override { Close(); }

  // From now on work waits for Go().
  void Hold() {
    absl::MutexLock lock(&mutex_);
    holding_ = true;
  }
  void Go() {
    absl::MutexLock lock(&mutex_);
    holding_ = false;
    for (auto& work : held_) work();
    held_.clear();
    timeline_->Signal(given_);
  }

  absl::StatusOr<Fence> CopyIn(const SubRegion& to, const void* from, const CopyOptions&) override {
    return Do([=] { std::memcpy(At(to), from, to.size_bytes); });
  }
  absl::StatusOr<Fence> CopyOut(void* to, const SubRegion& from, const CopyOptions&) override {
    return Do([=] { std::memcpy(to, At(from), from.size_bytes); });
  }
  absl::StatusOr<Fence> CopyWithin(const SubRegion& to, const SubRegion& from,
                                   const CopyOptions&) override {
    return Do([=] { std::memmove(At(to), At(from), from.size_bytes); });
  }
  absl::StatusOr<Fence> Fill(const SubRegion& to, const FillPattern& pattern,
                             const CopyOptions&) override {
    return Do([=] { host::FillBytes(At(to), to.size_bytes, pattern, 1); });
  }

 protected:
  void* FindCapability(std::string_view) override { return nullptr; }
  absl::StatusOr<Allocation> Make(const AllocationRequest& request) override {
    auto* bytes = new std::byte[request.size_bytes + 1];
    if (request.zeroed) std::memset(bytes, 0, request.size_bytes);
    Allocation made;
    made.reserved_bytes = request.size_bytes;
    made.alignment_bytes = AlignmentFor(request);
    made.device_address = uint64_t{1} << 40;
    made.token = reinterpret_cast<uintptr_t>(bytes);
    return made;
  }
  void Release(const Allocation& allocation) override {
    delete[] reinterpret_cast<std::byte*>(allocation.token);
  }

 private:
  static SpaceTraits FarTraits() {
    SpaceTraits traits;
    traits.host_readable = traits.host_writable = false;
    traits.device_readable = traits.device_writable = true;
    return traits;
  }
  static std::byte* At(const SubRegion& region) {
    return reinterpret_cast<std::byte*>(region.allocation->token) + region.offset_bytes;
  }
  absl::StatusOr<Fence> Do(std::function<void()> work) ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    if (!holding_) {
      work();
      return Fence();
    }
    held_.push_back(std::move(work));
    return Fence(timeline_, ++given_);
  }

  absl::Mutex mutex_;
  const std::shared_ptr<HostTimeline> timeline_ = std::make_shared<HostTimeline>();
  bool holding_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t given_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<std::function<void()>> held_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tenure

#endif  // TENURE_TESTS_TESTING_FAR_ALLOCATOR_H_
