// MmapAllocator: the space `disk:/path`. It maps one file read-only and allocates windows of it.
//
// Why: weights come as files. A window is an allocation like any other, but its bytes are the
// file's own, which the system reads page by page on first access. The whole file is mapped once,
// for any number of windows.
//
//   file   0 ........................................ size
//   map    [==========================================)   one mapping
//   a         [-----)                 offset 100, alignment 4
//   b                  [------------) offset 4096, alignment 4096
//
// Example:
//   TENURE_ASSIGN_OR_RETURN(auto disk, MmapAllocator::Open("/models/w.safetensors"));
//   TENURE_ASSIGN_OR_RETURN(Allocation w,
//                           disk->Allocate({.size_bytes = 4096, .file = FileWindow{512}}));
//   Use(w.host);  // without a copy, or with one:
//   TENURE_ASSIGN_OR_RETURN(Fence copied, disk->CopyOut(to, {&w, 0, 4096}, {}));
//
// Reading through Allocation::host needs no copy. But if the file has been truncated since,
// touching the missing part raises SIGBUS, and a library cannot turn that into an error in a
// process that it does not own. CopyOut reads the file instead and returns DataLoss.
//
// Allocation::native_handle is the file descriptor, and native_offset the window's offset in the
// file. alignment_bytes is the true alignment of the address.
//
// Cost: Open makes four system calls for any size. A window makes none. CopyOut makes one read, or,
// from 32 MiB on and if CPUs are idle, reads with several threads.
// Thread safety: thread-safe. Ownership: owns the mapping and the descriptor.
// Errors: InvalidArgument (a path with a zero byte), NotFound, PermissionDenied, FailedPrecondition (not a regular file; allocations that are
// not windows; writes), OutOfRange (a window beyond the end), DataLoss (the file shrank).

#ifndef TENURE_ALLOCATOR_MMAP_MMAP_ALLOCATOR_H_
#define TENURE_ALLOCATOR_MMAP_MMAP_ALLOCATOR_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tenure/allocator/allocator.h"
#include "tenure/allocator/capabilities.h"
#include "tenure/allocator/space_driver.h"
#include "tenure/allocator/support/root_allocator.h"

namespace tenure {

class MmapAllocator final : public RootAllocator, public FileCapability, public AdviceCapability {
 public:
  static absl::StatusOr<std::unique_ptr<MmapAllocator>> Open(const std::string& path);
  ~MmapAllocator() override;

  absl::StatusOr<Fence> CopyIn(const SubRegion& to, const void* from,
                               const CopyOptions& options) override;
  absl::StatusOr<Fence> CopyOut(void* to, const SubRegion& from,
                                const CopyOptions& options) override;
  absl::StatusOr<Fence> CopyWithin(const SubRegion& to, const SubRegion& from,
                                   const CopyOptions& options) override;
  absl::StatusOr<Fence> Fill(const SubRegion& to, const FillPattern& pattern,
                             const CopyOptions& options) override;

  // FileCapability
  absl::StatusOr<uint64_t> FileSize() override { return size_bytes_; }
  bool IsReplaced() override;
  // AdviceCapability. kWillNeed starts reading ahead. kDontNeed also lets the system drop pages
  // that it has read.
  absl::Status Advise(const SubRegion& region, Advice advice) override;

 protected:
  void* FindCapability(std::string_view name) override;
  absl::StatusOr<Allocation> Make(const AllocationRequest& request) override;
  void Release(const Allocation&) override {}

 private:
  MmapAllocator(const std::string& path, int descriptor, uint64_t size_bytes, void* base);

  absl::Status ReadAt(std::byte* to, uint64_t offset_bytes, uint64_t size_bytes) const;
  absl::Status ReadOnly() const;

  const int descriptor_;
  const uint64_t size_bytes_;
  std::byte* const base_;  // null for an empty file
};

// The spaces `disk:/path`, for Registry::AddDriver.
SpaceDriver FileDriver();

}  // namespace tenure

#endif  // TENURE_ALLOCATOR_MMAP_MMAP_ALLOCATOR_H_
