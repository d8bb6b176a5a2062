// MemorySpace: a place where bytes can live. It is a value with a text form.
//
//   cpu                  ordinary host memory
//   disk:/path/file      a mapped file, read-only; everything after the first colon is the path,
//                        byte for byte
//   null                 sizes and ids, but no bytes: for planning without memory
//   cuda:0               memory of CUDA device 0
//   cuda-unified:0       its managed memory
//   cuda-pinned:0        host memory that is page-locked for it
//   vulkan:0             memory of Vulkan device 0
//   vulkan-upload:0      memory that the host writes and the device reads
//   vulkan-readback:0    memory that the device writes and the host reads
//
// Drivers and programs can add names of their own (space_kind.h).
//
// Example:
//   TENURE_ASSIGN_OR_RETURN(MemorySpace space, MemorySpace::Parse("cuda:1"));
//   space.kind().name();  // "cuda"
//   space.ordinal();      // 1
//   space.ToString();     // "cuda:1"
//
// A device space without a number means device 0: "cuda" is "cuda:0".
// Thread safety: thread-compatible value. Errors: Parse returns InvalidArgument, with a list of the
// declared spaces.

#ifndef TENURE_ALLOCATOR_MEMORY_SPACE_H_
#define TENURE_ALLOCATOR_MEMORY_SPACE_H_

#include <cstdint>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "tenure/allocator/space_kind.h"

namespace tenure {

// The spaces that every machine has. Drivers declare the spaces of devices.
inline constexpr SpaceKind kCpuSpace(kReservedSpaces[0]);
inline constexpr SpaceKind kDiskSpace(kReservedSpaces[1]);
inline constexpr SpaceKind kNullSpace(kReservedSpaces[2]);

class MemorySpace {
 public:
  MemorySpace() = default;  // cpu

  static absl::StatusOr<MemorySpace> Parse(std::string_view text);
  static MemorySpace Cpu() { return {}; }
  static MemorySpace Null() { return MemorySpace(kNullSpace, 0, {}); }
  static MemorySpace Disk(std::string path) { return MemorySpace(kDiskSpace, 0, std::move(path)); }
  // For kinds that have devices; other kinds ignore the ordinal.
  static MemorySpace Device(SpaceKind kind, uint32_t ordinal) {
    return MemorySpace(kind, kind.form() == SpaceKind::Form::kOrdinal ? ordinal : 0, {});
  }
  // For kinds that have a path; other kinds ignore it.
  static MemorySpace AtPath(SpaceKind kind, std::string path) {
    return MemorySpace(kind, 0, kind.form() == SpaceKind::Form::kPath ? std::move(path) : "");
  }

  SpaceKind kind() const { return kind_; }
  uint32_t ordinal() const { return ordinal_; }
  const std::string& path() const { return path_; }  // empty where the kind has none
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

  SpaceKind kind_ = kCpuSpace;
  uint32_t ordinal_ = 0;
  std::string path_;
};

}  // namespace tenure

#endif  // TENURE_ALLOCATOR_MEMORY_SPACE_H_
