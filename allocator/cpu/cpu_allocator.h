// CpuAllocator: ordinary host memory.
//
// Why two sources: blocks below Options::slab_bytes come from mimalloc, which serves any thread in
// nanoseconds. Larger ones are mapped from the system one by one. Such mappings are zero already
// (zeroed memory costs no extra write), may use huge pages, can have any alignment without waste,
// and return to the system when freed. Programs that allocate and free large blocks all the time
// put a CachingAllocator on top.
//
//   size  0 ........ 64 B .................... slab_bytes ............. 2^47
//         no bytes   |  mimalloc               |  own mapping, MADV_HUGEPAGE
//
// mimalloc is used only through its own functions: malloc and operator new of the process do not
// change.
//
// Example:
//   CpuAllocator cpu;
//   TENURE_ASSIGN_OR_RETURN(Allocation a, cpu.Allocate({.size_bytes = 4096, .zeroed = true}));
//   std::memcpy(a.host, data, 4096);
//   cpu.Deallocate(a);
//
// Foreign memory (AllocationRequest::foreign) is wrapped in place. Its `release` is called once, on
// the thread that reaps after the last fence is reached. Its alignment is that of its address;
// requesting more is an error.
//
// Cost: small blocks take some tens of nanoseconds, including the counters. Slabs take three system
// calls (seven if the kernel does not align them), and a page fault for each (huge) page touched.
// Thread safety: thread-safe; any thread may free a block.
// Ownership: owns the bytes that it allocates, borrows foreign memory.
// Errors: ResourceExhausted; InvalidArgument for misaligned foreign memory; FailedPrecondition for
// writes to read-only foreign memory.

#ifndef TENURE_ALLOCATOR_CPU_CPU_ALLOCATOR_H_
#define TENURE_ALLOCATOR_CPU_CPU_ALLOCATOR_H_

#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tenure/allocator/allocator.h"
#include "tenure/allocator/capabilities.h"
#include "tenure/allocator/space_driver.h"
#include "tenure/allocator/support/root_allocator.h"

namespace tenure {

class CpuAllocator final : public RootAllocator, public ForeignMemoryCapability {
 public:
  struct Options {
    // Blocks of this size or more are mapped from the system one by one.
    uint64_t slab_bytes = uint64_t{4} << 20;
    // Ask the system for huge pages for slabs.
    bool huge_pages = true;
  };

  CpuAllocator() : CpuAllocator(Options()) {}
  explicit CpuAllocator(const Options& options);
  ~CpuAllocator() override;

  absl::StatusOr<Fence> CopyIn(const SubRegion& to, const void* from,
                               const CopyOptions& options) override;
  absl::StatusOr<Fence> CopyOut(void* to, const SubRegion& from,
                                const CopyOptions& options) override;
  absl::StatusOr<Fence> CopyWithin(const SubRegion& to, const SubRegion& from,
                                   const CopyOptions& options) override;
  absl::StatusOr<Fence> Fill(const SubRegion& to, const FillPattern& pattern,
                             const CopyOptions& options) override;

 protected:
  void* FindCapability(std::string_view name) override;
  absl::StatusOr<Allocation> Make(const AllocationRequest& request) override;
  void Release(const Allocation& allocation) override;

 private:
  absl::StatusOr<Allocation> MakeBlock(const AllocationRequest& request, uint64_t alignment);
  absl::StatusOr<Allocation> MakeSlab(const AllocationRequest& request, uint64_t alignment);

  const Options options_;
};

// The space `cpu`, for Registry::AddDriver.
SpaceDriver CpuDriver();

}  // namespace tenure

#endif  // TENURE_ALLOCATOR_CPU_CPU_ALLOCATOR_H_
