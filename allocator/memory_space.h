// MemorySpace: where bytes can live, as a value that is parsed from and printed
// as one string.
//
//   cpu                  ordinary host memory
//   disk:/path/file      a mapped file, read-only; everything after the first
//                        colon is the path, byte for byte
//   null                 sizes and ids, but no bytes: for planning without memory
//   cuda:0               memory of CUDA device 0
//   cuda-unified:0       its managed memory
//   cuda-pinned:0        host memory that is page-locked for it
//   vulkan:0             memory of Vulkan device 0
//   vulkan-upload:0      what the host writes and it reads
//   vulkan-readback:0    what it writes and the host reads
//
// Example:
//   TENURE_ASSIGN_OR_RETURN(MemorySpace space, MemorySpace::Parse("cuda:1"));
//   space.kind();      // SpaceKind::kCuda
//   space.ordinal();   // 1
//   space.ToString();  // "cuda:1"
//
// A device space without a number is device 0 ("cuda" is "cuda:0").
// Thread safety: thread-compatible value. Errors: Parse gives InvalidArgument
// and lists what there is.

#ifndef TENURE_ALLOCATOR_MEMORY_SPACE_H_
#define TENURE_ALLOCATOR_MEMORY_SPACE_H_

#include <cstdint>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"

namespace tenure {

enum class SpaceKind : uint8_t {
  kCpu,
  kDisk,
  kNull,
  kCuda,
  kCudaUnified,
  kCudaPinned,
  kVulkan,
  kVulkanUpload,
  kVulkanReadback,
};
inline constexpr int kSpaceKindCount = 9;

// "cpu", "cuda-unified", ...: the part before the colon.
std::string_view SpaceKindName(SpaceKind kind);

class MemorySpace {
 public:
  MemorySpace() = default;  // cpu

  static absl::StatusOr<MemorySpace> Parse(std::string_view text);
  static MemorySpace Cpu() { return {}; }
  static MemorySpace Null() { return MemorySpace(SpaceKind::kNull, 0, {}); }
  static MemorySpace Disk(std::string path) {
    return MemorySpace(SpaceKind::kDisk, 0, std::move(path));
  }
  // For the kinds that have devices; others ignore the ordinal.
  static MemorySpace Device(SpaceKind kind, uint32_t ordinal);

  SpaceKind kind() const { return kind_; }
  uint32_t ordinal() const { return ordinal_; }
  const std::string& path() const { return path_; }  // of disk spaces; empty otherwise
  std::string ToString() const;

  friend bool operator==(const MemorySpace&, const MemorySpace&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const MemorySpace& s) {
    return H::combine(std::move(h), s.kind_, s.ordinal_, s.path_);
  }
  friend std::ostream& operator<<(std::ostream& out, const MemorySpace& s) {
    return out << s.ToString();
  }

 private:
  MemorySpace(SpaceKind kind, uint32_t ordinal, std::string path)
      : kind_(kind), ordinal_(ordinal), path_(std::move(path)) {}

  SpaceKind kind_ = SpaceKind::kCpu;
  uint32_t ordinal_ = 0;
  std::string path_;
};

}  // namespace tenure

#endif  // TENURE_ALLOCATOR_MEMORY_SPACE_H_
