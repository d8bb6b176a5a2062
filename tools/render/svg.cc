#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <string>
#include <string_view>
#include <vector>

#include "absl/numeric/int128.h"
#include "absl/strings/str_cat.h"
#include "tenure/base/status_macros.h"
#include "tenure/tools/render/layout.h"
#include "tenure/tools/render/render.h"

namespace tenure {
namespace {

using internal_render::ArenaFacts;
using internal_render::CleanText;
using internal_render::ColourKey;
using internal_render::Grouped;
using internal_render::kPalette;
using internal_render::Layout;
using internal_render::MomentName;
using internal_render::XmlText;

constexpr double kLeft = 84, kRight = 22;
constexpr double kLiveHeight = 64;
constexpr double kHeadroom = 20;  // above an arena's top, for its label
constexpr int kTints = 3;
constexpr size_t kMaxLabels = 600;

// Returns a coordinate with at most one decimal.
std::string Px(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.1f", value);
  std::string s = text;
  if (s.size() > 2 && s.compare(s.size() - 2, 2, ".0") == 0) s.resize(s.size() - 2);
  return s;
}

std::string Hex(int r, int g, int b) {
  char text[8];
  std::snprintf(text, sizeof(text), "#%02x%02x%02x", r & 255, g & 255, b & 255);
  return text;
}

struct Rgb {
  int r, g, b;
};

Rgb Parse(const char* colour) {
  const int64_t value = std::strtol(colour + 1, nullptr, 16);
  return {static_cast<int>(value >> 16 & 255), static_cast<int>(value >> 8 & 255),
          static_cast<int>(value & 255)};
}

// Three shades of a group's colour distinguish neighbours of the same group.
Rgb Tint(const char* colour, int tint) {
  const Rgb c = Parse(colour);
  const auto mix = [tint](int v) {
    return tint == 0 ? v : tint == 1 ? v + (255 - v) * 16 / 100 : v * 88 / 100;
  };
  return {mix(c.r), mix(c.g), mix(c.b)};
}

bool WantsDarkText(const char* colour) {
  const Rgb c = Parse(colour);
  return 299 * c.r + 587 * c.g + 114 * c.b > 140 * 1000;
}

// Returns at most `limit` characters, in whole UTF-8 sequences. If text was cut, the last one is an
// ellipsis.
std::string Shortened(std::string_view text, size_t limit) {
  std::string clean = CleanText(text);
  size_t characters = 0, cut = clean.size();
  for (size_t i = 0; i < clean.size(); ++i) {
    if ((static_cast<unsigned char>(clean[i]) & 0xc0) == 0x80) continue;
    if (characters + 1 == limit) cut = i;
    if (++characters > limit) return clean.substr(0, cut) + "\xe2\x80\xa6";
  }
  return clean;
}

// Returns the part of an item's name that fits into its rectangle: all of it, its first word, or a
// beginning.
std::string Label(std::string_view name, size_t limit) {
  std::string clean = CleanText(name);
  if (clean.size() <= limit) return clean;
  const size_t word = clean.find(' ');
  if (word != std::string::npos && word > 0 && word <= limit && word + 5 > limit)
    return clean.substr(0, word);
  return Shortened(clean, limit);
}

class SvgWriter {
 public:
  SvgWriter(const Picture& picture, const Layout& layout, const RenderOptions& options)
      : picture_(picture),
        layout_(layout),
        options_(options),
        width_(std::max(400, options.width)) {
    plot_ = width_ - kLeft - kRight;
  }

  std::string Write();

 private:
  struct Map {
    size_t arena;
    double top, height;  // of the map
    double live_top;
    double Y(uint64_t address, uint64_t of) const {
      const double share = of == 0 ? 0 : static_cast<double>(address) / static_cast<double>(of);
      return top + height - share * (height - kHeadroom);
    }
  };

  double X(uint64_t time) const {
    return kLeft + plot_ * static_cast<double>(time) / static_cast<double>(layout_.duration);
  }
  uint64_t Time(int64_t moment) const {
    return static_cast<uint64_t>(moment) - static_cast<uint64_t>(layout_.begin);
  }

  template <typename... Parts>
  void Add(const Parts&... parts) {
    absl::StrAppend(&out_, parts...);
  }
  void AddText(double x, double y, std::string_view css, std::string_view text,
               std::string_view more = "") {
    Add("<text class=\"", css, "\" x=\"", Px(x), "\" y=\"", Px(y), "\"", more, ">", XmlText(text),
        "</text>\n");
  }
  void AddRect(double x, double y, double w, double h, std::string_view attributes) {
    Add("<rect x=\"", Px(x), "\" y=\"", Px(y), "\" width=\"", Px(std::max(0.0, w)), "\" height=\"",
        Px(std::max(0.0, h)), "\" ", attributes, "/>\n");
  }

  void AddStyle();
  void AddMap(const Map& map);
  void AddAddressAxis(const Map& map);
  void AddLines(const Map& map);
  void AddItems(const Map& map);
  void AddItem(uint32_t item, const Map& map, size_t* labels);
  void AddLive(const Map& map);
  void AddTimeAxis(double top, double bottom);
  double AddLegend(double top);
  std::string Tooltip(const PictureItem& item) const;

  const Picture& picture_;
  const Layout& layout_;
  const RenderOptions& options_;
  double width_ = 0, plot_ = 0;
  std::string out_;
};

void SvgWriter::AddStyle() {
  const std::string light =
      ".bg{fill:#fff}.pn{fill:#f6f8fa}.tx{fill:#1f2328}.mu{fill:#59636e}.gr{stroke:#d1d9e0}"
      ".ha{stroke:#c3ccd5}.wa{stroke:#e5534b}.wb{fill:#ffebe9}.pk{stroke:#1f2328}.lb{stroke:#"
      "1a7f37}.tl{fill:#1a7f37}"
      ".lv{fill:#8fb4dd;stroke:#35609a}.i{stroke:#fff}.i:hover{stroke:#000}.ha2{fill:#fff}\n";
  const std::string dark =
      ".bg{fill:#0d1117}.pn{fill:#151b23}.tx{fill:#f0f6fc}.mu{fill:#9198a1}.gr{stroke:#30363d}"
      ".ha{stroke:#3a424c}.wa{stroke:#f85149}.wb{fill:#2c1618}.pk{stroke:#f0f6fc}.lb{stroke:#"
      "3fb950}.tl{fill:#3fb950}"
      ".lv{fill:#31517a;stroke:#79b0f0}.i{stroke:#0d1117}.i:hover{stroke:#fff}.ha2{fill:#0d1117}\n";
  Add("<style>\ntext{font-family:-apple-system,'Segoe "
      "UI',Helvetica,Arial,sans-serif;font-size:11px}\n"
      ".h1{font-size:19px;font-weight:600}.h2{font-size:12.5px}.b{font-weight:600}\n"
      ".n{font-size:10px;pointer-events:none}.nd{fill:#1f2328}.nl{fill:#fff}\n"
      ".i{stroke-width:.7}.i:hover{stroke-width:2}.t{stroke-width:0}.gr{stroke-width:1}.lv{stroke-"
      "width:1.2}\n"
      ".pk{stroke-width:1.3;stroke-dasharray:7 4;fill:none}.lb{stroke-width:1.3;stroke-dasharray:2 "
      "3;fill:none}\n"
      ".ha,.wa{stroke-width:1}.r{text-anchor:end}.m{text-anchor:middle}\n");
  for (const ColourKey& key : layout_.keys) {
    for (int tint = 0; tint < kTints; ++tint) {
      const Rgb c = Tint(kPalette[key.colour], tint);
      Add(".c", key.colour, "_", tint, "{fill:", Hex(c.r, c.g, c.b), "}");
    }
  }
  Add("\n", options_.theme == PictureTheme::kDark ? dark : light);
  if (options_.theme == PictureTheme::kAuto) Add("@media(prefers-color-scheme:dark){", dark, "}\n");
  Add("</style>\n<defs>\n"
      "<pattern id=\"free\" width=\"7\" height=\"7\" patternUnits=\"userSpaceOnUse\" "
      "patternTransform=\"rotate(45)\">"
      "<path class=\"ha\" d=\"M0 0v7\"/></pattern>\n"
      "<pattern id=\"waste\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" "
      "patternTransform=\"rotate(45)\">"
      "<rect class=\"wb\" width=\"6\" height=\"6\"/><path class=\"wa\" d=\"M0 "
      "0v6\"/></pattern>\n</defs>\n");
}

std::string SvgWriter::Tooltip(const PictureItem& item) const {
  std::string text = Shortened(item.name, 120);
  const auto line = [&](std::string_view label, std::string_view value) {
    absl::StrAppend(&text, "\n", label, value);
  };
  if (!item.detail.empty()) line("", Shortened(item.detail, 200));
  line("", absl::StrCat(HumanBytes(item.size), " (", Grouped(item.size), " bytes) at ",
                        Grouped(item.offset)));
  const auto moment = [&](int64_t time) {
    const std::string_view name = MomentName(picture_, time);
    return absl::StrCat(picture_.time_label, " ", time, name.empty() ? "" : " ",
                        Shortened(name, 60));
  };
  line("from ", moment(item.first));
  line("to ", moment(item.last - 1));
  // XmlText removes newlines, which are wanted here.
  std::string escaped;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    absl::StrAppend(&escaped, at == 0 ? "" : "\n",
                    XmlText(std::string_view(text).substr(at, end - at)));
    at = end + 1;
  }
  return escaped;
}

void SvgWriter::AddItem(uint32_t index, const Map& map, size_t* labels) {
  const PictureItem& item = picture_.items[index];
  const uint64_t height = picture_.arenas[map.arena].height;
  const double x = X(Time(item.first)), w = std::max(0.3, X(Time(item.last)) - x);
  const double bottom = map.Y(item.offset, height), y = map.Y(item.offset + item.size, height);
  const double h = std::max(0.3, bottom - y);
  const ColourKey& key = layout_.keys[layout_.item_keys[index]];
  Add("<rect class=\"i", w < 2.5 || h < 2.5 ? " t" : "", " c", key.colour, "_", index % kTints,
      "\" x=\"", Px(x), "\" y=\"", Px(y), "\" width=\"", Px(w), "\" height=\"", Px(h), "\"><title>",
      Tooltip(item), "</title></rect>\n");
  constexpr double kCharacter = 5.9;
  const std::string_view css = WantsDarkText(kPalette[key.colour]) ? "n nd" : "n nl";
  if (*labels >= kMaxLabels) return;
  // The text is upright if there is room for little more than the first word.
  const double word =
      static_cast<double>(std::min(item.name.find(' '), item.name.size())) * kCharacter;
  const bool upright = w >= 12 && h >= 48 && (w < 34 || word > w - 8);
  if (w >= 34 && h >= 13 && !upright) {
    ++*labels;
    const size_t room = static_cast<size_t>((w - 8) / kCharacter);
    const std::string size = HumanBytes(item.size);
    const bool two = h >= 28 && size.size() <= room;
    AddText(x + 4, y + h / 2 + (two ? -2.5 : 3.5), css, Label(item.name, room));
    if (two) AddText(x + 4, y + h / 2 + 10, css, size, " opacity=\".8\"");
  } else if (upright) {
    ++*labels;
    const double cx = x + w / 2 + 3.5, cy = y + h - 4;
    AddText(cx, cy, css, Label(item.name, static_cast<size_t>((h - 8) / kCharacter)),
            absl::StrCat(" transform=\"rotate(-90 ", Px(cx), " ", Px(cy), ")\""));
  }
}

void SvgWriter::AddItems(const Map& map) {
  std::vector<uint32_t> order;
  for (uint32_t i = 0; i < picture_.items.size(); ++i) {
    if (picture_.items[i].arena == map.arena && picture_.items[i].size > 0) order.push_back(i);
  }
  const auto weight = [&](uint32_t i) {
    const PictureItem& item = picture_.items[i];
    return static_cast<double>(item.size) * static_cast<double>(Time(item.last) - Time(item.first));
  };
  std::stable_sort(order.begin(), order.end(),
                   [&](uint32_t a, uint32_t b) { return weight(a) > weight(b); });
  // The arenas share the number of elements in proportion to their number of items.
  const size_t single = picture_.items.size() <= kMaxTooltips
                            ? order.size()
                            : kMaxTooltips * order.size() / picture_.items.size();
  size_t labels = 0;
  // Items that are too small to point at go into one path per colour, which takes a tenth of the
  // text.
  const uint64_t height = picture_.arenas[map.arena].height;
  std::vector<std::string> paths(layout_.keys.size());
  for (size_t k = single; k < order.size(); ++k) {
    const PictureItem& item = picture_.items[order[k]];
    const double x = X(Time(item.first)), w = std::max(0.2, X(Time(item.last)) - x);
    const double bottom = map.Y(item.offset, height);
    const double h = std::max(0.2, bottom - map.Y(item.offset + item.size, height));
    absl::StrAppend(&paths[layout_.item_keys[order[k]]], "M", Px(x), " ", Px(bottom - h), "h",
                    Px(w), "v", Px(h), "h-", Px(w), "z");
  }
  for (size_t k = 0; k < paths.size(); ++k) {
    if (!paths[k].empty())
      Add("<path class=\"c", layout_.keys[k].colour, "_0\" d=\"", paths[k], "\"/>\n");
  }
  for (size_t k = 0; k < single; ++k) AddItem(order[k], map, &labels);
}

void SvgWriter::AddAddressAxis(const Map& map) {
  const uint64_t height = picture_.arenas[map.arena].height;
  uint64_t step = 1;
  while (height / step > 8 && step < uint64_t{1} << 62) step *= 2;
  for (uint64_t at = 0; at <= height;) {
    const double y = map.Y(at, height);
    Add("<path class=\"gr\" d=\"M", Px(kLeft - 5), " ", Px(y), "H", Px(kLeft + plot_), "\"/>\n");
    AddText(kLeft - 9, y + 4, "mu r", HumanBytes(at));
    if (__builtin_add_overflow(at, step, &at)) break;
  }
}

void SvgWriter::AddLines(const Map& map) {
  const uint64_t height = picture_.arenas[map.arena].height;
  const ArenaFacts& facts = layout_.arenas[map.arena];
  if (height == 0) return;
  const double top = map.Y(height, height);
  const auto line = [&](std::string_view css, double y) {
    Add("<path class=\"", css, "\" d=\"M", Px(kLeft), " ", Px(y), "h", Px(plot_), "\"/>\n");
  };
  const double bound = map.Y(std::min(facts.lower_bound, height), height);
  line("pk", top);
  const std::string at_top = absl::StrCat("arena ", HumanBytes(height));
  if (facts.wasted_bytes == 0) {
    AddText(kLeft + plot_, top - 6, "tx r b",
            facts.lower_bound == height ? at_top + " = lower bound"
                                        : at_top + ", below the given lower bound");
    return;
  }
  line("lb", bound);
  AddText(kLeft + plot_, top - 6, "tx r b",
          absl::StrCat(at_top, ", wasted ", HumanBytes(facts.wasted_bytes),
                       " above the lower bound ", HumanBytes(facts.lower_bound)));
}

void SvgWriter::AddMap(const Map& map) {
  const uint64_t height = picture_.arenas[map.arena].height;
  const ArenaFacts& facts = layout_.arenas[map.arena];
  const double top = map.Y(height, height), bottom = map.top + map.height;
  AddRect(kLeft, map.top, plot_, map.height, "class=\"pn\"");
  const double bound = map.Y(std::min(facts.lower_bound, height), height);
  AddRect(kLeft, bound, plot_, bottom - bound, "fill=\"url(#free)\"");
  if (facts.wasted_bytes > 0) AddRect(kLeft, top, plot_, bound - top, "fill=\"url(#waste)\"");
  AddAddressAxis(map);
  AddItems(map);
  AddLines(map);
}

void SvgWriter::AddLive(const Map& map) {
  const ArenaFacts& facts = layout_.arenas[map.arena];
  const uint64_t height = picture_.arenas[map.arena].height;
  const uint64_t full = std::max<uint64_t>(1, std::max(height, facts.peak_bytes));
  const double bottom = map.live_top + kLiveHeight;
  const auto y = [&](uint64_t bytes) {
    return bottom - static_cast<double>(bytes) / static_cast<double>(full) * (kLiveHeight - 4);
  };
  AddRect(kLeft, map.live_top, plot_, kLiveHeight, "class=\"pn\"");
  AddRect(kLeft, y(height), plot_, bottom - y(height), "fill=\"url(#free)\"");
  // If there are more steps than half pixels, only the maximum of each half pixel is drawn.
  const size_t buckets = static_cast<size_t>(plot_ * 2);
  std::vector<internal_render::LiveStep> steps = facts.live;
  if (steps.size() > buckets) {
    std::vector<uint64_t> most(buckets, 0);
    for (size_t s = 0; s + 1 < facts.live.size(); ++s) {
      const auto bucket = [&](uint64_t time) {
        const double share = static_cast<double>(time) / static_cast<double>(layout_.duration);
        return std::min(buckets - 1, static_cast<size_t>(share * static_cast<double>(buckets)));
      };
      for (size_t b = bucket(facts.live[s].time); b <= bucket(facts.live[s + 1].time); ++b) {
        most[b] = std::max(most[b], facts.live[s].bytes);
      }
    }
    steps.clear();
    for (size_t b = 0; b < buckets; ++b) {
      const double share = static_cast<double>(b) / static_cast<double>(buckets);
      steps.push_back(
          {static_cast<uint64_t>(share * static_cast<double>(layout_.duration)), most[b]});
    }
  }
  if (!steps.empty()) {
    Add("<path class=\"lv\" d=\"M", Px(X(steps.front().time)), " ", Px(bottom));
    for (const internal_render::LiveStep& step : steps)
      Add("H", Px(X(step.time)), "V", Px(y(step.bytes)));
    Add("V", Px(bottom), "z\"/>\n");
  }
  if (facts.peak_bytes > 0) {
    const double x = X(facts.peak_time), peak = y(facts.peak_bytes);
    const int64_t moment =
        static_cast<int64_t>(facts.peak_time + static_cast<uint64_t>(layout_.begin));
    Add("<circle class=\"tx\" cx=\"", Px(x), "\" cy=\"", Px(peak), "\" r=\"3\"/>\n");
    const bool right = x > kLeft + plot_ * 0.6;
    const std::string_view name = MomentName(picture_, moment);
    const std::string label =
        absl::StrCat("peak ", HumanBytes(facts.peak_bytes), " at ", picture_.time_label, " ",
                     moment, name.empty() ? "" : " ", Shortened(name, 40));
    // The label has its own background, because the curve may be anywhere.
    const double wide = static_cast<double>(label.size()) * 5.7 + 8;
    const double at = right ? x - 7 : x + 7;
    AddRect(right ? at - wide + 3 : at - 4, map.live_top + 4, wide, 15,
            "class=\"ha2\" opacity=\".75\" rx=\"3\"");
    AddText(at, map.live_top + 15, right ? "tx r" : "tx", label);
  }
  AddText(kLeft - 9, map.live_top + kLiveHeight / 2 + 4, "mu r", "live bytes");
}

void SvgWriter::AddTimeAxis(double top, double bottom) {
  absl::uint128 step = 1;
  while (absl::uint128(layout_.duration) / step > 10) {
    // 1, 2, 5, 10, ...
    absl::uint128 power = 1;
    while (power * 10 <= step) power *= 10;
    step = step == power ? power * 2 : step == power * 2 ? power * 5 : power * 10;
  }
  const absl::int128 begin = layout_.begin, by = static_cast<absl::int128>(step);
  absl::int128 tick = begin / by * by;
  if (tick < begin) tick += by;
  for (; tick <= begin + absl::int128(layout_.duration); tick += by) {
    const double x = X(static_cast<uint64_t>(tick - begin));
    Add("<path class=\"gr\" d=\"M", Px(x), " ", Px(top), "V", Px(bottom + 5),
        "\" opacity=\".6\"/>\n");
    const std::string digits = Grouped(static_cast<uint64_t>(tick < 0 ? -tick : tick));
    AddText(x, bottom + 18, "mu m", absl::StrCat(tick < 0 ? "-" : "", digits));
  }
  AddText(kLeft - 9, bottom + 18, "mu r", picture_.time_label);
}

double SvgWriter::AddLegend(double top) {
  double x = kLeft, y = top;
  const auto entry = [&](std::string_view swatch, std::string_view label) {
    const double wide = 18 + static_cast<double>(label.size()) * 6 + 16;
    if (x + wide > kLeft + plot_ && x > kLeft) {
      x = kLeft;
      y += 20;
    }
    AddRect(x, y - 10, 12, 12, swatch);
    AddText(x + 17, y, "tx", label);
    x += wide;
  };
  for (const ColourKey& key : layout_.keys) {
    entry(absl::StrCat("rx=\"2\" class=\"c", key.colour, "_0\""),
          absl::StrCat(Shortened(key.label, 32), " (", Grouped(key.items), ")"));
  }
  bool wasted = false;
  for (const ArenaFacts& facts : layout_.arenas) wasted = wasted || facts.wasted_bytes > 0;
  entry("rx=\"2\" fill=\"url(#free)\" class=\"pn\" style=\"fill:url(#free)\"",
        "free at that moment");
  if (wasted) entry("rx=\"2\" fill=\"url(#waste)\"", "wasted: above the lower bound");
  return y;
}

std::string SvgWriter::Write() {
  // The heights are computed first, because the picture's own height stands in its first line.
  const size_t arenas = picture_.arenas.size();
  double total = 0;
  for (const PictureArena& arena : picture_.arenas) total += static_cast<double>(arena.height);
  std::vector<Map> maps;
  double at = picture_.subtitle.empty() ? 42 : 60;
  for (size_t a = 0; a < arenas; ++a) {
    const double share = total > 0 ? static_cast<double>(picture_.arenas[a].height) / total : 1;
    const double height = std::max(120.0, options_.map_height * share);
    at += 22;
    maps.push_back({a, at, height, at + height + 8});
    at += height + 8 + kLiveHeight + 34;
  }
  // The legend's height depends on its text, so it is written into a scratch copy to be measured.
  const double legend_top = at + 6;
  const double legend_bottom = AddLegend(legend_top);
  out_.clear();
  const double height = legend_bottom + 20;
  Add("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"", Px(width_), "\" height=\"", Px(height),
      "\" viewBox=\"0 0 ", Px(width_), " ", Px(height), "\">\n<title>", XmlText(picture_.title),
      "</title>\n");
  AddStyle();
  Add("<rect class=\"bg\" width=\"100%\" height=\"100%\" rx=\"6\"/>\n");
  AddText(kLeft, 32, "tx h1", Shortened(picture_.title, 90));
  if (!picture_.subtitle.empty()) AddText(kLeft, 52, "mu h2", Shortened(picture_.subtitle, 170));
  for (const Map& map : maps) {
    const std::string& name = picture_.arenas[map.arena].name;
    AddText(kLeft, map.top - 8, "tx h2",
            absl::StrCat(Shortened(name, 40), name.empty() ? "" : "  ",
                         internal_render::Summary(picture_, layout_, map.arena)));
    AddMap(map);
    AddLive(map);
    AddTimeAxis(map.live_top, map.live_top + kLiveHeight);
  }
  if (maps.empty()) AddText(kLeft, at, "mu h2", "There is no arena to show: nothing was placed.");
  AddLegend(legend_top);
  Add("</svg>\n");
  return std::move(out_);
}

}  // namespace

absl::StatusOr<std::string> RenderSvg(const Picture& picture, const RenderOptions& options) {
  TENURE_ASSIGN_OR_RETURN(Layout layout, internal_render::LayOut(picture));
  return SvgWriter(picture, layout, options).Write();
}

}  // namespace tenure
