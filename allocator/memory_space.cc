#include "tenure/allocator/memory_space.h"

#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace tenure {
namespace {

absl::Status Malformed(std::string_view text, std::string_view why) {
  const auto pattern = [](std::string* out, SpaceKind kind) { out->append(kind.Pattern()); };
  return absl::InvalidArgumentError(
      absl::StrCat("memory space '", text, "': ", why, "; spaces are ",
                   absl::StrJoin(SpaceKind::Declared(), ", ", pattern)));
}

}  // namespace

absl::StatusOr<MemorySpace> MemorySpace::Parse(std::string_view text) {
  const size_t colon = text.find(':');
  const std::string_view head = text.substr(0, colon);
  for (const SpaceKind kind : SpaceKind::Declared()) {
    if (head != kind.name()) continue;
    switch (kind.form()) {
      case SpaceKind::Form::kPath: {
        if (colon == text.npos || colon + 1 == text.size()) {
          return Malformed(text, "the path is missing");
        }
        const std::string_view path = text.substr(colon + 1);
        if (path.find('\0') != path.npos) return Malformed(head, "the path holds a zero byte");
        return AtPath(kind, std::string(path));
      }
      case SpaceKind::Form::kOrdinal: {
        uint32_t ordinal = 0;
        if (colon != text.npos) {
          const std::string_view digits = text.substr(colon + 1);
          bool plain = !digits.empty() && digits.size() <= 10;
          for (char c : digits) plain = plain && absl::ascii_isdigit(static_cast<unsigned char>(c));
          if (!plain || !absl::SimpleAtoi(digits, &ordinal)) {
            return Malformed(text, "the device number is not a number");
          }
        }
        return Device(kind, ordinal);
      }
      case SpaceKind::Form::kPlain:
        if (colon != text.npos) {
          return Malformed(text, absl::StrCat(kind.name(), " takes nothing after it"));
        }
        return Device(kind, 0);
    }
  }
  return Malformed(text, "unknown");
}

std::string MemorySpace::ToString() const {
  switch (kind_.form()) {
    case SpaceKind::Form::kPath:
      return absl::StrCat(kind_.name(), ":", path_);
    case SpaceKind::Form::kOrdinal:
      return absl::StrCat(kind_.name(), ":", ordinal_);
    case SpaceKind::Form::kPlain:
      break;
  }
  return std::string(kind_.name());
}

}  // namespace tenure
