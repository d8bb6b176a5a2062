#include "tenure/allocator/cpu/cpu_allocator.h"

#include <mimalloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tenure/allocator/errors.h"
#include "tenure/base/checked.h"
#include "tenure/base/host_memory.h"
#include "tenure/base/status_macros.h"

namespace tenure {
namespace {

// Allocation::token: the source of the bytes. Any other value is the address of a ForeignRecord.
enum : uint64_t { kNoBytes = 0, kBlock = 1, kSlab = 2 };

constexpr uint64_t kHugePage = uint64_t{2} << 20;
// Up to this alignment, a mimalloc block whose size is a multiple of the alignment is nearly always
// aligned.
constexpr uint64_t kNaturalAlignment = 4096;
// Larger alignments than this get a mapping of their own.
constexpr uint64_t kMostBlockAlignment = uint64_t{1} << 20;
// Larger sizes too, whatever Options::slab_bytes says. No address space has more, so that mapping
// them fails with the reason; a block's size could wrap when it is rounded.
constexpr uint64_t kMostBlockBytes = uint64_t{1} << 56;

uint64_t PageSize() {
  static const auto size = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  return size;
}

}  // namespace

CpuAllocator::CpuAllocator(const Options& options)
    : RootAllocator(MemorySpace::Cpu(), SpaceTraits()), options_(options) {}

CpuAllocator::~CpuAllocator() { Close(); }

void* CpuAllocator::FindCapability(std::string_view name) {
  if (name == ForeignMemoryCapability::kName) return static_cast<ForeignMemoryCapability*>(this);
  return nullptr;
}

absl::StatusOr<Allocation> CpuAllocator::Make(const AllocationRequest& request) {
  if (request.foreign.has_value()) {
    Allocation made = WrapForeign(request);
    if (request.size_bytes > 0) made.host = request.foreign->data;
    return made;
  }
  const uint64_t alignment = AlignmentFor(request);
  if (request.size_bytes == 0) {
    Allocation none;
    none.alignment_bytes = alignment;
    none.token = kNoBytes;
    return none;
  }
  if (request.size_bytes >= options_.slab_bytes || request.size_bytes > kMostBlockBytes ||
      alignment > kMostBlockAlignment) {
    return MakeSlab(request, alignment);
  }
  return MakeBlock(request, alignment);
}

absl::StatusOr<Allocation> CpuAllocator::MakeBlock(const AllocationRequest& request,
                                                   uint64_t alignment) {
  // From 256 bytes on, mimalloc's size classes are multiples of 64, and its pages begin aligned. So
  // a block of a rounded size is usually aligned by itself. It costs less than an aligned block,
  // which is longer by the alignment.
  uint64_t rounded = request.size_bytes;
  if (alignment <= kNaturalAlignment) rounded = (rounded + alignment - 1) & ~(alignment - 1);
  auto aligned = [alignment](void* data) {
    return (reinterpret_cast<uintptr_t>(data) & (alignment - 1)) == 0;
  };
  void* data = nullptr;
  if (alignment <= kNaturalAlignment) {
    data = request.zeroed ? mi_zalloc(rounded) : mi_malloc(rounded);
    if (!aligned(data)) {
      mi_free(data);
      data = nullptr;
    }
  }
  if (data == nullptr) {
    // mimalloc 2.0.9 assumes that blocks whose size is a power of two are aligned, and some are not
    // (256 bytes at 256). So ask for another size, and check.
    const uint64_t asked = IsPowerOfTwo(rounded) ? rounded + 64 : rounded;
    data =
        request.zeroed ? mi_zalloc_aligned(asked, alignment) : mi_malloc_aligned(asked, alignment);
    if (!aligned(data)) {
      mi_free(data);
      return MakeSlab(request, alignment);
    }
  }
  if (data == nullptr) {
    return Exhausted(request, rounded, "a mimalloc block, but the system provided no memory");
  }
  Allocation made;
  made.reserved_bytes = std::max<uint64_t>(mi_usable_size(data), request.size_bytes);
  made.alignment_bytes = alignment;
  made.host = data;
  made.token = kBlock;
  return made;
}

absl::StatusOr<Allocation> CpuAllocator::MakeSlab(const AllocationRequest& request,
                                                  uint64_t alignment) {
  uint64_t size;
  // Slabs begin at a huge page boundary; otherwise a part of them could not use one.
  const bool huge = options_.huge_pages && request.size_bytes >= kHugePage;
  const uint64_t start = std::max(alignment, huge ? kHugePage : PageSize());
  uint64_t span;
  if (!CheckedRoundUp(request.size_bytes, PageSize(), &size) ||
      !CheckedAdd(size, start - PageSize(), &span) ||
      span > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    return Exhausted(request, request.size_bytes, "nothing: the size exceeds the address space");
  }
  auto refused = [&](uint64_t bytes, int error) {
    return Exhausted(request, size,
                     absl::StrCat("to map ", bytes, " bytes: ", std::strerror(error)));
  };
  // Newer kernels usually return an aligned mapping at once. Otherwise reserve address space first,
  // and then get memory for the aligned part alone. The system counts the memory in that second
  // step, and may refuse it.
  auto map = [](uint64_t bytes, int protection) {
    return mmap(nullptr, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  };
  void* data = map(size, PROT_READ | PROT_WRITE);
  if (data == MAP_FAILED) return refused(size, errno);
  if ((reinterpret_cast<uintptr_t>(data) & (start - 1)) != 0) {
    munmap(data, size);
    void* mapped = map(span, PROT_NONE);
    if (mapped == MAP_FAILED) return refused(span, errno);
    const uint64_t head = -reinterpret_cast<uintptr_t>(mapped) & (start - 1);
    const uint64_t tail = span - head - size;
    data = static_cast<std::byte*>(mapped) + head;
    if (head > 0) munmap(mapped, head);
    if (tail > 0) munmap(static_cast<std::byte*>(data) + size, tail);
    if (mprotect(data, size, PROT_READ | PROT_WRITE) != 0) {
      const int error = errno;
      munmap(data, size);
      return refused(size, error);
    }
  }
  // This is only advice; small pages work as well.
  if (huge) (void)madvise(data, size, MADV_HUGEPAGE);
  Allocation made;
  made.reserved_bytes = size;
  made.alignment_bytes = alignment;
  made.host = data;
  made.token = kSlab;
  return made;
}

void CpuAllocator::Release(const Allocation& allocation) {
  if (allocation.imported) return ReleaseForeign(allocation);
  switch (allocation.token) {
    case kNoBytes:
      return;
    case kBlock:
      mi_free(allocation.host);
      return;
    case kSlab:
      munmap(allocation.host, allocation.reserved_bytes);
      return;
  }
}

absl::StatusOr<Fence> CpuAllocator::CopyIn(const SubRegion& to, const void* from,
                                           const CopyOptions& options) {
  if (to.allocation->read_only) return ReadOnlyError(*to.allocation);
  host::MoveBytes(to.host(), from, to.size_bytes, options.max_threads);
  return Fence();
}

absl::StatusOr<Fence> CpuAllocator::CopyOut(void* to, const SubRegion& from,
                                            const CopyOptions& options) {
  host::MoveBytes(to, from.host(), from.size_bytes, options.max_threads);
  return Fence();
}

absl::StatusOr<Fence> CpuAllocator::CopyWithin(const SubRegion& to, const SubRegion& from,
                                               const CopyOptions& options) {
  if (to.allocation->read_only) return ReadOnlyError(*to.allocation);
  host::MoveBytes(to.host(), from.host(), to.size_bytes, options.max_threads);
  return Fence();
}

absl::StatusOr<Fence> CpuAllocator::Fill(const SubRegion& to, const FillPattern& pattern,
                                         const CopyOptions& options) {
  TENURE_RETURN_IF_ERROR(host::CheckPattern(pattern));
  if (to.allocation->read_only) return ReadOnlyError(*to.allocation);
  host::FillBytes(to.host(), to.size_bytes, pattern, options.max_threads);
  return Fence();
}

SpaceDriver CpuDriver() {
  return {.name = "host", .spaces = {kCpuSpace}, .factory = [](const MemorySpace&) {
            return std::make_unique<CpuAllocator>();
          }};
}

}  // namespace tenure
