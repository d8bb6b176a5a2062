#include "tenure/tools/render/layout.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <utility>

#include "absl/numeric/int128.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "tenure/base/status_macros.h"

namespace tenure {

std::string HumanBytes(uint64_t bytes) {
  constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  if (bytes < 1024) return absl::StrCat(bytes, " B");
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  // 1023.95 would be printed as 1024.
  while (value >= 1023.95) {
    value /= 1024;
    ++unit;
  }
  char text[32];
  const int decimals = value < 9.995 ? 2 : (value < 99.95 ? 1 : 0);
  std::snprintf(text, sizeof(text), "%.*f", decimals, value);
  std::string number = text;
  while (decimals > 0 && number.back() == '0') number.pop_back();
  if (number.back() == '.') number.pop_back();
  return absl::StrCat(number, " ", kUnits[unit]);
}

namespace internal_render {
namespace {

// Returns the distance from a to b >= a, for any signs.
uint64_t Distance(int64_t a, int64_t b) {
  return static_cast<uint64_t>(b) - static_cast<uint64_t>(a);
}

uint64_t Saturated(absl::uint128 value) {
  return absl::Uint128High64(value) != 0 ? ~uint64_t{0} : absl::Uint128Low64(value);
}

absl::Status CheckItem(const Picture& picture, size_t i) {
  const PictureItem& item = picture.items[i];
  const auto fault = [&](const auto&... cause) {
    return absl::InvalidArgumentError(
        absl::StrCat("items[", i, "] (", CleanText(item.name).substr(0, 60), ") ", cause...));
  };
  if (item.arena >= picture.arenas.size()) {
    return fault("is in arena ", item.arena, "; there are ", picture.arenas.size());
  }
  if (item.first >= item.last) {
    return fault("lives in [", item.first, ", ", item.last, "): it must end after it begins");
  }
  const uint64_t height = picture.arenas[item.arena].height;
  if (item.offset > height || item.size > height - item.offset) {
    return fault("has ", item.size, " bytes at ", item.offset, ", beyond the ", height,
                 " bytes of arena ", item.arena);
  }
  return absl::OkStatus();
}

void FindLive(const Picture& picture, Layout* layout) {
  struct Event {
    uint64_t time;
    uint64_t bytes;
    bool begins;
  };
  std::vector<std::vector<Event>> events(picture.arenas.size());
  for (const PictureItem& item : picture.items) {
    ++layout->arenas[item.arena].items;
    if (item.size == 0) continue;
    events[item.arena].push_back({Distance(layout->begin, item.first), item.size, true});
    events[item.arena].push_back({Distance(layout->begin, item.last), item.size, false});
  }
  for (size_t a = 0; a < picture.arenas.size(); ++a) {
    ArenaFacts& facts = layout->arenas[a];
    std::sort(events[a].begin(), events[a].end(),
              [](const Event& x, const Event& y) { return x.time < y.time; });
    absl::uint128 live = 0;  // items may overlap in a picture, so the sum may have any value
    double area = 0;
    for (size_t e = 0; e < events[a].size();) {
      const uint64_t time = events[a][e].time;
      absl::uint128 ends = 0;
      for (; e < events[a].size() && events[a][e].time == time; ++e) {
        (events[a][e].begins ? live : ends) += events[a][e].bytes;
      }
      live -= ends;
      const uint64_t bytes = Saturated(live);
      if (facts.live.empty() || facts.live.back().bytes != bytes)
        facts.live.push_back({time, bytes});
      if (bytes > facts.peak_bytes) {
        facts.peak_bytes = bytes;
        facts.peak_time = time;
      }
    }
    for (size_t s = 0; s + 1 < facts.live.size(); ++s) {
      area += static_cast<double>(facts.live[s].bytes) *
              static_cast<double>(facts.live[s + 1].time - facts.live[s].time);
    }
    const uint64_t height = picture.arenas[a].height;
    facts.lower_bound = picture.arenas[a].lower_bound.value_or(facts.peak_bytes);
    facts.wasted_bytes = height > facts.lower_bound ? height - facts.lower_bound : 0;
    if (height > 0) {
      facts.mean_use = area / static_cast<double>(height) / static_cast<double>(layout->duration);
    }
  }
}

void ColourByGroup(const Picture& picture, Layout* layout) {
  std::map<std::string, ColourKey> groups;
  for (const PictureItem& item : picture.items) {
    ColourKey& key = groups[item.group];
    key.weight +=
        static_cast<double>(item.size) * static_cast<double>(Distance(item.first, item.last));
    key.bytes = Saturated(absl::uint128(key.bytes) + item.size);
    ++key.items;
  }
  std::vector<std::pair<std::string, ColourKey>> order(groups.begin(), groups.end());
  std::stable_sort(order.begin(), order.end(),
                   [](const auto& a, const auto& b) { return a.second.weight > b.second.weight; });
  std::map<std::string, uint32_t> index;
  ColourKey other;
  uint32_t others = 0;
  for (size_t g = 0; g < order.size(); ++g) {
    auto& [name, key] = order[g];
    // A tenth group would take the colour of the rest.
    if (g < kGroupColours && !name.empty()) {
      key.label = CleanText(name);
      key.colour = static_cast<int>(g);
      index[name] = static_cast<uint32_t>(layout->keys.size());
      layout->keys.push_back(key);
    } else {
      other.weight += key.weight;
      other.items += key.items;
      other.bytes = Saturated(absl::uint128(other.bytes) + key.bytes);
      ++others;
    }
  }
  if (others > 0) {
    other.label = others == 1 ? "other" : absl::StrCat(others, " others");
    other.colour = kOtherColour;
    layout->keys.push_back(other);
  }
  for (const PictureItem& item : picture.items) {
    const auto found = index.find(item.group);
    layout->item_keys.push_back(
        found != index.end() ? found->second : static_cast<uint32_t>(layout->keys.size() - 1));
  }
}

void ColourBySize(const Picture& picture, Layout* layout) {
  layout->coloured_by_size = true;
  int least = 64, most = 0;
  const auto bits = [](uint64_t size) { return size == 0 ? 0 : 64 - __builtin_clzll(size); };
  for (const PictureItem& item : picture.items) {
    least = std::min(least, bits(item.size));
    most = std::max(most, bits(item.size));
  }
  if (picture.items.empty()) return;
  const int range = most - least + 1;
  const int per_key = (range + kSizeColours - 1) / kSizeColours;
  const int count = (range + per_key - 1) / per_key;
  for (int k = 0; k < count; ++k) {
    ColourKey key;
    const int low = least + k * per_key, high = std::min(low + per_key, most + 1);
    const uint64_t from = low == 0 ? 0 : uint64_t{1} << (low - 1);
    key.label = high > 64
                    ? absl::StrCat(HumanBytes(from), " and more")
                    : absl::StrCat(HumanBytes(from), " to ", HumanBytes(uint64_t{1} << (high - 1)));
    key.colour =
        kFirstSizeColour + (count == 1 ? kSizeColours / 2 : k * (kSizeColours - 1) / (count - 1));
    layout->keys.push_back(key);
  }
  for (const PictureItem& item : picture.items) {
    const int k = (bits(item.size) - least) / per_key;
    ColourKey& key = layout->keys[static_cast<size_t>(k)];
    ++key.items;
    key.bytes = Saturated(absl::uint128(key.bytes) + item.size);
    layout->item_keys.push_back(static_cast<uint32_t>(k));
  }
}

}  // namespace

absl::StatusOr<Layout> LayOut(const Picture& picture) {
  Layout layout;
  layout.arenas.resize(picture.arenas.size());
  bool grouped = false;
  for (size_t i = 0; i < picture.items.size(); ++i) {
    TENURE_RETURN_IF_ERROR(CheckItem(picture, i));
    const PictureItem& item = picture.items[i];
    grouped = grouped || !item.group.empty();
    layout.begin = i == 0 ? item.first : std::min(layout.begin, item.first);
  }
  // A schedule is shown as a whole, not only the part that has buffers.
  if (!picture.moments.empty()) layout.begin = std::min<int64_t>(layout.begin, 0);
  const int64_t moments = static_cast<int64_t>(picture.moments.size());
  layout.duration =
      moments > layout.begin ? std::max<uint64_t>(1, Distance(layout.begin, moments)) : 1;
  for (const PictureItem& item : picture.items) {
    layout.duration = std::max(layout.duration, Distance(layout.begin, item.last));
  }
  FindLive(picture, &layout);
  if (grouped) {
    ColourByGroup(picture, &layout);
  } else {
    ColourBySize(picture, &layout);
  }
  return layout;
}

std::string CleanText(std::string_view text) {
  std::string clean;
  for (size_t i = 0; i < text.size();) {
    const auto at = [&](size_t k) { return static_cast<unsigned char>(text[k]); };
    const unsigned char lead = at(i);
    size_t length = lead < 0x80                   ? 1
                    : lead >= 0xf0 && lead < 0xf5 ? 4
                    : lead >= 0xe0                ? 3
                    : lead >= 0xc2                ? 2
                                                  : 0;
    if (lead >= 0xf5 || i + length > text.size()) length = 0;
    for (size_t k = 1; k < length; ++k) {
      if ((at(i + k) & 0xc0) != 0x80) length = 0;
    }
    uint32_t point = lead;
    if (length > 1) {
      point = lead & (0xffu >> (length + 1));
      for (size_t k = 1; k < length; ++k) point = point << 6 | (at(i + k) & 0x3fu);
    }
    const bool overlong = (length == 3 && point < 0x800) || (length == 4 && point < 0x10000);
    // Replaces controls, surrogates and all characters that XML does not allow.
    const bool control = point < 0x20 || (point >= 0x7f && point < 0xa0);
    const bool barred =
        (point >= 0xd800 && point < 0xe000) || (point & 0xfffe) == 0xfffe || point > 0x10ffff;
    if (length == 0 || overlong || barred) {
      clean += "\xef\xbf\xbd";  // U+FFFD
    } else if (control) {
      clean += ' ';
    } else {
      clean.append(text.substr(i, length));
    }
    i += std::max<size_t>(length, 1);
  }
  return clean;
}

std::string XmlText(std::string_view text) {
  std::string escaped;
  for (const char c : CleanText(text)) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

std::string_view MomentName(const Picture& picture, int64_t time) {
  if (time < 0 || static_cast<uint64_t>(time) >= picture.moments.size()) return "";
  return picture.moments[static_cast<size_t>(time)];
}

std::string Grouped(uint64_t number) {
  const std::string digits = absl::StrCat(number);
  std::string grouped;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) grouped += ',';
    grouped += digits[i];
  }
  return grouped;
}

std::string Percent(double share) {
  char text[32];
  std::snprintf(text, sizeof(text), share < 0.0995 ? "%.2f %%" : "%.1f %%", share * 100);
  return text;
}

std::string Summary(const Picture& picture, const Layout& layout, size_t arena) {
  const ArenaFacts& facts = layout.arenas[arena];
  const uint64_t height = picture.arenas[arena].height;
  std::string text = HumanBytes(height);
  if (facts.lower_bound > 0) {
    char ratio[32];
    std::snprintf(ratio, sizeof(ratio), " = %.3f \xc3\x97 ",
                  static_cast<double>(height) / static_cast<double>(facts.lower_bound));
    absl::StrAppend(&text, ratio, "lower bound ", HumanBytes(facts.lower_bound));
  }
  absl::StrAppend(&text, "  \xc2\xb7  wasted ", HumanBytes(facts.wasted_bytes));
  if (facts.wasted_bytes > 0) {
    absl::StrAppend(&text, " (",
                    Percent(static_cast<double>(facts.wasted_bytes) / static_cast<double>(height)),
                    ")");
  }
  absl::StrAppend(&text, "  \xc2\xb7  ", Percent(facts.mean_use), " in use on average  \xc2\xb7  ",
                  Grouped(facts.items), facts.items == 1 ? " buffer" : " buffers");
  return text;
}

}  // namespace internal_render
}  // namespace tenure
