#include "tenure/runtime/interop/same_card.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "tenure/allocator/external_memory.h"

namespace tenure {

absl::StatusOr<uint32_t> SameCard(const SpaceDevice& device, absl::Span<const SpaceDevice> others) {
  const std::string card = CardOfUuid(device.uuid);
  const SpaceDevice* by_name = nullptr;
  int with_name = 0;
  for (const SpaceDevice& other : others) {
    const std::string other_card = CardOfUuid(other.uuid);
    if (!card.empty() && card == other_card) return other.ordinal;
    // Two UUIDs that differ are two cards, whatever their names.
    if ((!card.empty() && !other_card.empty()) || other.name != device.name) continue;
    by_name = &other;
    ++with_name;
  }
  if (with_name == 1) return by_name->ordinal;
  return absl::NotFoundError(absl::StrCat("none of ", others.size(), " devices is the card of ",
                                          device.name, " (", device.uuid, ")"));
}

}  // namespace tenure
