#include "tenure/allocator/mmap/mmap_allocator.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <limits>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "tenure/base/checked.h"
#include "tenure/base/host_memory.h"
#include "tenure/base/status_macros.h"
#include "tenure/base/workers.h"

namespace tenure {
namespace {

// The bytes that a thread claims at a time: a huge page, because two threads that touch one huge
// page first would both clear one.
constexpr uint64_t kReadBytes = uint64_t{2} << 20;

SpaceTraits FileTraits() {
  SpaceTraits traits;
  traits.min_alignment_bytes = 1;
  traits.host_writable = false;
  traits.host_reads_may_fault = true;
  return traits;
}

std::string Named(std::string_view name) {
  return name.empty() ? std::string() : absl::StrCat(" for '", name, "'");
}

absl::Status NotARegularFile(const std::string& path, mode_t mode) {
  const char* what = S_ISDIR(mode)                    ? "a directory"
                     : S_ISFIFO(mode)                 ? "a pipe"
                     : S_ISBLK(mode) || S_ISCHR(mode) ? "a device"
                                                      : "a special file";
  return absl::FailedPreconditionError(
      absl::StrCat("can't map '", path, "': it is ", what, "; give a regular file"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<MmapAllocator>> MmapAllocator::Open(const std::string& path) {
  if (path.find('\0') != path.npos) {
    // The system would take the part before it for the path.
    return absl::InvalidArgumentError(absl::StrCat(
        "can't open '", path.c_str(), "': a zero byte and more text follow in the path"));
  }
  // Non-blocking, because opening a pipe by mistake must not hang.
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (descriptor < 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("can't open '", path, "' for reading"));
  }
  struct stat info;
  absl::Status status;
  void* base = nullptr;
  uint64_t size = 0;
  if (fstat(descriptor, &info) != 0) {
    status = absl::ErrnoToStatus(errno, absl::StrCat("can't ask for the size of '", path, "'"));
  } else if (!S_ISREG(info.st_mode)) {
    status = NotARegularFile(path, info.st_mode);
  } else {
    size = static_cast<uint64_t>(info.st_size);
    if (size > std::numeric_limits<size_t>::max() / 2) {
      status = absl::OutOfRangeError(absl::StrCat("can't map '", path, "': ", size, " bytes"));
    } else if (size > 0) {
      base = mmap(nullptr, size, PROT_READ, MAP_SHARED, descriptor, 0);
      if (base == MAP_FAILED) {
        status = absl::ErrnoToStatus(
            errno, absl::StrCat("can't map the ", size, " bytes of '", path, "'"));
      }
    }
  }
  if (!status.ok()) {
    close(descriptor);
    return status;
  }
  return absl::WrapUnique(new MmapAllocator(path, descriptor, size, base));
}

MmapAllocator::MmapAllocator(const std::string& path, int descriptor, uint64_t size_bytes,
                             void* base)
    : RootAllocator(MemorySpace::Disk(path), FileTraits()),
      descriptor_(descriptor),
      size_bytes_(size_bytes),
      base_(static_cast<std::byte*>(base)) {}

MmapAllocator::~MmapAllocator() {
  if (!Close()) return;  // windows are still in use
  if (base_ != nullptr) munmap(base_, size_bytes_);
  close(descriptor_);
}

void* MmapAllocator::FindCapability(std::string_view name) {
  if (name == FileCapability::kName) return static_cast<FileCapability*>(this);
  if (name == AdviceCapability::kName) return static_cast<AdviceCapability*>(this);
  return nullptr;
}

bool MmapAllocator::IsReplaced() {
  struct stat mapped, named;
  if (fstat(descriptor_, &mapped) != 0 || stat(space().path().c_str(), &named) != 0) return false;
  return mapped.st_dev != named.st_dev || mapped.st_ino != named.st_ino ||
         static_cast<uint64_t>(named.st_size) != size_bytes_;
}

absl::StatusOr<Allocation> MmapAllocator::Make(const AllocationRequest& request) {
  if (!request.file.has_value()) {
    return absl::FailedPreconditionError(
        absl::StrCat("can't allocate ", request.size_bytes, " bytes", Named(request.name), " in ",
                     space().ToString(),
                     ": it is read-only and only gives windows of its file; name the window "
                     "(AllocationRequest::file), or allocate in 'cpu' and copy"));
  }
  if (request.zeroed) {
    return absl::InvalidArgumentError(absl::StrCat("a window", Named(request.name), " of ",
                                                   space().ToString(),
                                                   " shows the file's bytes; it can't be zeroed"));
  }
  const uint64_t offset = request.file->offset_bytes;
  if (!WindowFits(offset, request.size_bytes, size_bytes_)) {
    return absl::OutOfRangeError(absl::StrCat("window", Named(request.name), " at offset ", offset,
                                              " of ", request.size_bytes, " bytes does not fit in ",
                                              space().ToString(), ", which had ", size_bytes_,
                                              " bytes when it was mapped"));
  }
  Allocation made;
  made.host = request.size_bytes == 0 ? nullptr : base_ + offset;
  const auto address = reinterpret_cast<uintptr_t>(base_ + offset);
  made.alignment_bytes =
      address == 0 ? 4096 : uint64_t{1} << std::min(62, std::countr_zero(address));
  if (made.alignment_bytes < request.alignment_bytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "window", Named(request.name), " at offset ", offset, " of ", space().ToString(),
        " is aligned to ", made.alignment_bytes, " bytes, not to the ", request.alignment_bytes,
        " asked for; copy it into a buffer of its own"));
  }
  made.native_handle = static_cast<uint64_t>(descriptor_);
  made.native_offset = offset;
  made.native_size = size_bytes_;
  made.read_only = true;
  made.imported = true;
  return made;
}

absl::Status MmapAllocator::ReadAt(std::byte* to, uint64_t offset_bytes,
                                   uint64_t size_bytes) const {
  while (size_bytes > 0) {
    const ssize_t got = pread(descriptor_, to, std::min<uint64_t>(size_bytes, 1 << 30),
                              static_cast<off_t>(offset_bytes));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      const std::string what = absl::StrCat("can't read ", size_bytes, " bytes at offset ",
                                            offset_bytes, " of '", space().path(), "'");
      if (errno == EIO) return absl::DataLossError(absl::StrCat(what, ": ", std::strerror(errno)));
      return absl::ErrnoToStatus(errno, what);
    }
    if (got == 0) {
      return absl::DataLossError(absl::StrCat("'", space().path(), "' shrank: it had ", size_bytes_,
                                              " bytes when it was mapped and ends at ",
                                              offset_bytes, " or before now"));
    }
    to += got;
    offset_bytes += static_cast<uint64_t>(got);
    size_bytes -= static_cast<uint64_t>(got);
  }
  return absl::OkStatus();
}

absl::StatusOr<Fence> MmapAllocator::CopyOut(void* to, const SubRegion& from,
                                             const CopyOptions& options) {
  auto* target = static_cast<std::byte*>(to);
  const uint64_t start = from.allocation->native_offset + from.offset_bytes;
  const int threads = from.size_bytes < host::kLargeBytes
                          ? 1
                          : host::ThreadsFor(from.size_bytes, options.max_threads);
  if (threads == 1) {
    TENURE_RETURN_IF_ERROR(ReadAt(target, start, from.size_bytes));
    return Fence();
  }
  absl::Mutex mutex;
  absl::Status failure;
  const uint64_t pieces = (from.size_bytes - 1) / kReadBytes + 1;
  host::RunChunks(pieces, threads, [&](uint64_t i) {
    const uint64_t offset = i * kReadBytes;
    absl::Status read =
        ReadAt(target + offset, start + offset, std::min(kReadBytes, from.size_bytes - offset));
    if (read.ok()) return;
    absl::MutexLock lock(&mutex);
    failure.Update(read);
  });
  if (!failure.ok()) return failure;
  return Fence();
}

absl::Status MmapAllocator::ReadOnly() const {
  return absl::FailedPreconditionError(absl::StrCat(
      space().ToString(), " is mapped read-only; copy the window into memory of its own to write"));
}

absl::StatusOr<Fence> MmapAllocator::CopyIn(const SubRegion&, const void*, const CopyOptions&) {
  return ReadOnly();
}

absl::StatusOr<Fence> MmapAllocator::CopyWithin(const SubRegion&, const SubRegion&,
                                                const CopyOptions&) {
  return ReadOnly();
}

absl::StatusOr<Fence> MmapAllocator::Fill(const SubRegion&, const FillPattern&,
                                          const CopyOptions&) {
  return ReadOnly();
}

absl::Status MmapAllocator::Advise(const SubRegion& region, Advice advice) {
  if (!WindowFits(region.offset_bytes, region.size_bytes, region.allocation->size_bytes)) {
    return absl::OutOfRangeError(absl::StrCat("advice on ", region.size_bytes, " bytes at offset ",
                                              region.offset_bytes, " of a window of ",
                                              region.allocation->size_bytes, " bytes"));
  }
  if (region.size_bytes == 0) return absl::OkStatus();
  int what = MADV_NORMAL;
  if (advice == Advice::kSequential) what = MADV_SEQUENTIAL;
  if (advice == Advice::kRandom) what = MADV_RANDOM;
  if (advice == Advice::kWillNeed) what = MADV_WILLNEED;
  if (advice == Advice::kDontNeed) what = MADV_DONTNEED;
  // The system takes advice for whole pages. Use all pages that the range touches, but for
  // kDontNeed only those that it fills.
  const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  uint64_t first = region.allocation->native_offset + region.offset_bytes;
  uint64_t last = first + region.size_bytes;
  if (advice == Advice::kDontNeed) {
    first = (first + page - 1) / page * page;
    if (last != size_bytes_) last = last / page * page;
    if (first >= last) return absl::OkStatus();
  } else {
    first = first / page * page;
  }
  if (madvise(base_ + first, last - first, what) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("advice on '", space().path(), "'"));
  }
  if (advice == Advice::kDontNeed) {
    // The system keeps pages that other processes use.
    (void)posix_fadvise(descriptor_, static_cast<off_t>(first), static_cast<off_t>(last - first),
                        POSIX_FADV_DONTNEED);
  }
  return absl::OkStatus();
}

SpaceDriver FileDriver() {
  return {.name = "file",
          .spaces = {kDiskSpace},
          .factory = [](const MemorySpace& space) -> absl::StatusOr<std::unique_ptr<Allocator>> {
            return MmapAllocator::Open(space.path());
          }};
}

}  // namespace tenure
