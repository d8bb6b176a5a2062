#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tenure/base/status_macros.h"
#include "tenure/tools/render/layout.h"
#include "tenure/tools/render/render.h"

namespace tenure {
namespace {

using internal_render::ArenaFacts;
using internal_render::CleanText;
using internal_render::ColourKey;
using internal_render::kPalette;
using internal_render::Layout;

// The page, with three places to fill in: @THEME@, @TITLE@ and @DATA@.
constexpr std::string_view kPage =
#include "tools/render/viewer_page.inc"
    ;

// Returns a JSON string that is safe inside a script element. CleanText has removed the characters
// that JSON forbids.
std::string Quoted(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : CleanText(text)) {
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if (c == '<' || c == '>' || c == '&') {
      char escape[8];
      std::snprintf(escape, sizeof(escape), "\\u%04x", static_cast<unsigned>(c));
      quoted += escape;
    } else {
      quoted += c;
    }
  }
  quoted += '"';
  return quoted;
}

std::string Cut(std::string_view text, size_t limit) {
  // CleanText repairs a sequence that is cut in two.
  return std::string(text.substr(0, limit));
}

void AddArena(const Picture& picture, const Layout& layout, size_t arena, std::string* out) {
  const ArenaFacts& facts = layout.arenas[arena];
  absl::StrAppend(out, "{\"name\":", Quoted(picture.arenas[arena].name),
                  ",\"height\":", picture.arenas[arena].height, ",\"bound\":", facts.lower_bound,
                  ",\"peak\":", facts.peak_bytes, ",\"peakTime\":", facts.peak_time,
                  ",\"summary\":", Quoted(internal_render::Summary(picture, layout, arena)),
                  ",\"live\":[");
  for (size_t s = 0; s < facts.live.size(); ++s) {
    absl::StrAppend(out, s == 0 ? "" : ",", facts.live[s].time, ",", facts.live[s].bytes);
  }
  absl::StrAppend(out, "],\"items\":[");
  const char* separator = "";
  for (size_t i = 0; i < picture.items.size(); ++i) {
    const PictureItem& item = picture.items[i];
    if (item.arena != arena || item.size == 0) continue;
    const uint64_t begin = static_cast<uint64_t>(layout.begin);
    absl::StrAppend(out, separator, "[", Quoted(Cut(item.name, 200)), ",",
                    Quoted(Cut(item.detail, 300)), ",");
    absl::StrAppend(out, layout.item_keys[i], ",", static_cast<uint64_t>(item.first) - begin, ",",
                    static_cast<uint64_t>(item.last) - begin, ",", item.size, ",", item.offset,
                    "]");
    separator = ",\n";
  }
  absl::StrAppend(out, "]}");
}

std::string Data(const Picture& picture, const Layout& layout) {
  std::string out =
      absl::StrCat("{\"title\":", Quoted(picture.title), ",\"subtitle\":", Quoted(picture.subtitle),
                   ",\"timeLabel\":", Quoted(picture.time_label), ",\"begin\":\"", layout.begin,
                   "\",\"duration\":", layout.duration, ",\n\"moments\":[");
  for (size_t m = 0; m < picture.moments.size(); ++m) {
    absl::StrAppend(&out, m == 0 ? "" : ",", Quoted(Cut(picture.moments[m], 120)));
  }
  absl::StrAppend(&out, "],\n\"keys\":[");
  for (size_t k = 0; k < layout.keys.size(); ++k) {
    const ColourKey& key = layout.keys[k];
    absl::StrAppend(&out, k == 0 ? "" : ",", "{\"label\":", Quoted(Cut(key.label, 80)),
                    ",\"colour\":\"", kPalette[key.colour], "\",\"items\":", key.items, "}");
  }
  absl::StrAppend(&out, "],\n\"arenas\":[");
  for (size_t a = 0; a < picture.arenas.size(); ++a) {
    if (a > 0) absl::StrAppend(&out, ",\n");
    AddArena(picture, layout, a, &out);
  }
  absl::StrAppend(&out, "]}");
  return out;
}

}  // namespace

absl::StatusOr<std::string> RenderHtml(const Picture& picture, const RenderOptions& options) {
  TENURE_ASSIGN_OR_RETURN(const Layout layout, internal_render::LayOut(picture));
  const char* theme = "auto";
  if (options.theme == PictureTheme::kLight) theme = "light";
  if (options.theme == PictureTheme::kDark) theme = "dark";
  std::string out;
  // The page is filled in one pass from left to right, so inserted text is never scanned again.
  for (std::string_view rest = kPage; !rest.empty();) {
    const size_t at = rest.find('@');
    absl::StrAppend(&out, rest.substr(0, at));
    if (at == std::string_view::npos) break;
    rest.remove_prefix(at);
    const size_t end = rest.find('@', 1);
    const std::string_view place = rest.substr(0, end == std::string_view::npos ? 1 : end + 1);
    if (place == "@THEME@") {
      absl::StrAppend(&out, theme);
    } else if (place == "@TITLE@") {
      absl::StrAppend(&out, internal_render::XmlText(picture.title));
    } else if (place == "@DATA@") {
      absl::StrAppend(&out, Data(picture, layout));
    } else {
      out += '@';
      rest.remove_prefix(1);
      continue;
    }
    rest.remove_prefix(place.size());
  }
  return out;
}

}  // namespace tenure
