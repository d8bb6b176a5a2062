#include "tenure/allocator/space_driver.h"

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace tenure {

absl::StatusOr<uint32_t> SelectDevice(absl::Span<const SpaceDevice> devices,
                                      std::string_view driver, std::string_view selector) {
  auto list = [&] {
    if (devices.empty()) return std::string("the driver sees no device");
    return absl::StrCat(
        "there are ", absl::StrJoin(devices, ", ", [](std::string* out, const SpaceDevice& d) {
          absl::StrAppend(out, d.ordinal, " (", d.name, d.uuid.empty() ? "" : ", ", d.uuid, ")");
        }));
  };
  uint32_t index = 0;
  if (absl::SimpleAtoi(selector, &index)) {
    for (const SpaceDevice& device : devices) {
      if (device.ordinal == index) return index;
    }
    return absl::NotFoundError(absl::StrCat("no ", driver, " device ", index, ": ", list()));
  }
  std::vector<uint32_t> found;
  const std::string wanted = absl::AsciiStrToLower(selector);
  for (const SpaceDevice& device : devices) {
    const bool by_uuid = absl::StartsWith(absl::AsciiStrToLower(device.uuid), wanted);
    const bool by_name = absl::StrContains(absl::AsciiStrToLower(device.name), wanted);
    if (!wanted.empty() && (by_uuid || by_name)) found.push_back(device.ordinal);
  }
  if (found.size() == 1) return found.front();
  return absl::NotFoundError(
      absl::StrCat(found.empty() ? "no " : "more than one ", driver, " device is '", selector,
                   "': ", list(), "; give an index, a UUID or a part of a name that only one has"));
}

}  // namespace tenure
