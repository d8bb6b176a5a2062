#include "tenure/allocator/memory_space.h"

#include <iterator>
#include <limits>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace tenure {
namespace {

struct KindInfo {
  SpaceKind kind;
  std::string_view name;
  bool has_ordinal;
};

constexpr KindInfo kKinds[] = {
    {SpaceKind::kCpu, "cpu", false},
    {SpaceKind::kDisk, "disk", false},
    {SpaceKind::kNull, "null", false},
    {SpaceKind::kCuda, "cuda", true},
    {SpaceKind::kCudaUnified, "cuda-unified", true},
    {SpaceKind::kCudaPinned, "cuda-pinned", true},
    {SpaceKind::kVulkan, "vulkan", true},
    {SpaceKind::kVulkanUpload, "vulkan-upload", true},
    {SpaceKind::kVulkanReadback, "vulkan-readback", true},
};
static_assert(std::size(kKinds) == kSpaceKindCount);

const KindInfo& Info(SpaceKind kind) { return kKinds[static_cast<int>(kind)]; }

absl::Status Malformed(std::string_view text, std::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("memory space '", text, "': ", why,
                                                 "; spaces are cpu, disk:/path, null, cuda:N, "
                                                 "cuda-unified:N, cuda-pinned:N, vulkan:N, "
                                                 "vulkan-upload:N, vulkan-readback:N"));
}

}  // namespace

std::string_view SpaceKindName(SpaceKind kind) { return Info(kind).name; }

MemorySpace MemorySpace::Device(SpaceKind kind, uint32_t ordinal) {
  return MemorySpace(kind, Info(kind).has_ordinal ? ordinal : 0, {});
}

absl::StatusOr<MemorySpace> MemorySpace::Parse(std::string_view text) {
  const size_t colon = text.find(':');
  const std::string_view head = text.substr(0, colon);
  for (const KindInfo& info : kKinds) {
    if (head != info.name) continue;
    if (info.kind == SpaceKind::kDisk) {
      if (colon == text.npos || colon + 1 == text.size())
        return Malformed(text, "the path is missing");
      const std::string_view path = text.substr(colon + 1);
      if (path.find('\0') != path.npos) return Malformed(head, "the path holds a zero byte");
      return Disk(std::string(path));
    }
    if (!info.has_ordinal) {
      if (colon != text.npos)
        return Malformed(text, absl::StrCat(info.name, " takes nothing after it"));
      return MemorySpace(info.kind, 0, {});
    }
    uint32_t ordinal = 0;
    if (colon != text.npos) {
      const std::string_view digits = text.substr(colon + 1);
      bool plain = !digits.empty() && digits.size() <= 10;
      for (char c : digits) plain = plain && absl::ascii_isdigit(static_cast<unsigned char>(c));
      if (!plain || !absl::SimpleAtoi(digits, &ordinal)) {
        return Malformed(text, "the device number is not a number");
      }
    }
    return MemorySpace(info.kind, ordinal, {});
  }
  return Malformed(text, "unknown");
}

std::string MemorySpace::ToString() const {
  const KindInfo& info = Info(kind_);
  if (kind_ == SpaceKind::kDisk) return absl::StrCat(info.name, ":", path_);
  if (info.has_ordinal) return absl::StrCat(info.name, ":", ordinal_);
  return std::string(info.name);
}

}  // namespace tenure
