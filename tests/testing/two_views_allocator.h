// TwoViewsAllocator: a space for tests whose memory is not coherent. It keeps two copies of its
// bytes, the host's view and the device's, and moves whole atoms from one to the other only when it
// is told to flush or to invalidate. So a flush or an invalidation that somebody forgets is seen.
//
// The host copies in and out; the device (a call at once) copies within the space and fills.
//
// Thread safety: thread-safe, and more: flushes may read, and invalidations write, what other
// threads use, as the caches of a device do. ThreadSanitizer is told so. Ownership: as every
// allocator.

#ifndef TENURE_TESTS_TESTING_TWO_VIEWS_ALLOCATOR_H_
#define TENURE_TESTS_TESTING_TWO_VIEWS_ALLOCATOR_H_

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "absl/base/attributes.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tenure/allocator/capabilities.h"
#include "tenure/allocator/support/coherent_access.h"
#include "tenure/allocator/support/root_allocator.h"
#include "tenure/base/host_memory.h"

namespace tenure {

class TwoViewsAllocator final : public RootAllocator, public CoherenceCapability {
 public:
  static constexpr uint64_t kAtomBytes = 64;

  TwoViewsAllocator() : RootAllocator(*MemorySpace::Parse("vulkan:0"), Traits()) {}
  ~TwoViewsAllocator() override { Close(); }

  // What the device sees of a region of this allocator.
  static std::byte* OnDevice(const SubRegion& region) {
    return ViewsOf(*region.allocation).device + region.offset_bytes;
  }

  // From now on no flush succeeds, until it is told otherwise.
  void FailFlushes(bool fail) { fail_ = fail; }
  int flushes() const { return flushes_; }
  int invalidations() const { return invalidations_; }
  // Calls whose region did not begin at a whole atom.
  int misfits() const { return misfits_; }

  absl::Status FlushHostWrites(const SubRegion& region) override {
    Check(region);
    if (fail_) return absl::ResourceExhaustedError("the device has no memory left to flush");
    ++flushes_;
    MoveView(OnDevice(region), region.host(), SizeOfAtoms(region));
    return absl::OkStatus();
  }
  absl::Status InvalidateForHostReads(const SubRegion& region) override {
    Check(region);
    ++invalidations_;
    MoveView(region.host(), OnDevice(region), SizeOfAtoms(region));
    return absl::OkStatus();
  }

  absl::StatusOr<Fence> CopyIn(const SubRegion& to, const void* from, const CopyOptions&) override {
    if (to.size_bytes == 0) return Fence();
    auto access = CoherentAccess::Begin(*this, to, CoherentAccess::Kind::kWrite);
    if (!access.ok()) return access.status();
    std::memcpy(to.host(), from, to.size_bytes);
    if (absl::Status status = access->End(); !status.ok()) return status;
    return Fence();
  }
  absl::StatusOr<Fence> CopyOut(void* to, const SubRegion& from, const CopyOptions&) override {
    if (from.size_bytes == 0) return Fence();
    auto access = CoherentAccess::Begin(*this, from, CoherentAccess::Kind::kRead);
    if (!access.ok()) return access.status();
    std::memcpy(to, from.host(), from.size_bytes);
    return Fence();
  }
  absl::StatusOr<Fence> CopyWithin(const SubRegion& to, const SubRegion& from,
                                   const CopyOptions&) override {
    if (to.size_bytes > 0) std::memmove(OnDevice(to), OnDevice(from), to.size_bytes);
    return Fence();
  }
  absl::StatusOr<Fence> Fill(const SubRegion& to, const FillPattern& pattern,
                             const CopyOptions&) override {
    if (absl::Status valid = host::CheckPattern(pattern); !valid.ok()) return valid;
    if (to.size_bytes > 0) host::FillBytes(OnDevice(to), to.size_bytes, pattern, 1);
    return Fence();
  }

 protected:
  void* FindCapability(std::string_view name) override {
    return name == CoherenceCapability::kName ? static_cast<CoherenceCapability*>(this) : nullptr;
  }
  absl::StatusOr<Allocation> Make(const AllocationRequest& request) override {
    const uint64_t alignment = AlignmentFor(request);
    if (request.size_bytes > uint64_t{1} << 40) {
      return Exhausted(request, request.size_bytes, "nothing: it is a space for tests");
    }
    auto* views = new Views(request.size_bytes, alignment);
    // Neither view has what the other has, until they are brought together.
    std::memset(views->host, 0xaa, request.size_bytes);
    std::memset(views->device, request.zeroed ? 0 : 0xdd, request.size_bytes);
    Allocation made;
    made.reserved_bytes = request.size_bytes;
    made.alignment_bytes = alignment;
    made.host = request.size_bytes == 0 ? nullptr : views->host;
    made.token = reinterpret_cast<uintptr_t>(views);
    return made;
  }
  void Release(const Allocation& allocation) override { delete &ViewsOf(allocation); }

 private:
  struct Views {
    Views(uint64_t size, uint64_t alignment)
        : host_bytes(size + alignment), device_bytes(size + 1), device(device_bytes.data()) {
      const auto address = reinterpret_cast<uintptr_t>(host_bytes.data());
      host = host_bytes.data() + (alignment - address % alignment) % alignment;
    }
    std::vector<std::byte> host_bytes;
    std::vector<std::byte> device_bytes;
    std::byte* host;
    std::byte* device;
  };

  static SpaceTraits Traits() {
    SpaceTraits traits;
    traits.coherence_atom_bytes = kAtomBytes;
    traits.device_readable = traits.device_writable = true;
    return traits;
  }
  static Views& ViewsOf(const Allocation& allocation) {
    return *reinterpret_cast<Views*>(allocation.token);
  }
  void Check(const SubRegion& region) {
    if (region.size_bytes == 0 || region.offset_bytes % kAtomBytes != 0) ++misfits_;
  }
  static uint64_t SizeOfAtoms(const SubRegion& region) {
    const uint64_t rounded = (region.size_bytes + kAtomBytes - 1) / kAtomBytes * kAtomBytes;
    return std::min(rounded, region.allocation->size_bytes - region.offset_bytes);
  }
  // Byte by byte: other threads may use these bytes, and a call of memcpy would be seen by
  // ThreadSanitizer.
  ABSL_ATTRIBUTE_NO_SANITIZE_THREAD static void MoveView(volatile std::byte* to,
                                                         const volatile std::byte* from,
                                                         uint64_t size) {
    for (uint64_t i = 0; i < size; ++i) to[i] = from[i];
  }

  std::atomic<bool> fail_{false};
  std::atomic<int> flushes_{0};
  std::atomic<int> invalidations_{0};
  std::atomic<int> misfits_{0};
};

}  // namespace tenure

#endif  // TENURE_TESTS_TESTING_TWO_VIEWS_ALLOCATOR_H_
