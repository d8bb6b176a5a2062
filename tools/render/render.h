// Draws a packing over time, with addresses going up, time to the right and one rectangle for each
// buffer, to show why an arena is as high as it is.
//
// Why there are two formats: a `.svg` is for a README or a report and needs no program. A `.html`
// is for exploring, with zoom, search and a list of the buffers that live at any moment. Both are
// one file without outside resources, and readable on light and dark backgrounds.
//
//   address ^  ---------------- arena 12.0 MiB ------------
//           |  +------+ ////////////////////////////////
//           |  |  a   | //+--------------+//////////////    /// unused at that moment
//           |  +------+---+      c       +-------+
//           |  |        b        |       d       |
//           +--+-----------------+---------------+----> op
//   live    |  ___/------\____/-----\___              and below it the live bytes, with their peak
//
//   Picture picture;
//   picture.title = "resnet50";
//   picture.arenas.push_back({.name = "cpu arena 0", .height = 4096, .lower_bound = 4096});
//   picture.items.push_back({.name = "t1", .group = "conv", .first = 0, .last = 2, .size = 4096});
//   absl::StatusOr<std::string> svg = RenderSvg(picture);
//
// Cost: O(n log n) in items. An SVG of 30,000 items has 2 to 3 MB; if there are more than
// kMaxTooltips items, only the largest are elements of their own. The HTML has 40 bytes per item
// plus its name, and draws only the visible part.
//
// Thread safety: free functions without state. Ownership: a Picture owns all its data; results
// belong to the caller. Errors: InvalidArgument names the item that ends before it begins, exceeds
// its arena, or has no arena.

#ifndef TENURE_TOOLS_RENDER_RENDER_H_
#define TENURE_TOOLS_RENDER_RENDER_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace tenure {

// One buffer at its place.
struct PictureItem {
  std::string name;
  std::string group;   // shown by its colour, such as the kind of op that writes it; if all
                       // are empty, colours show sizes
  std::string detail;  // more for the tooltip, such as dtype and shape; may be empty
  int64_t first = 0;   // it lives during [first, last)
  int64_t last = 0;
  uint64_t size = 0;    // bytes; an item of 0 bytes is counted, but not drawn
  uint64_t offset = 0;  // in its arena
  uint32_t arena = 0;   // index in Picture::arenas
};

struct PictureArena {
  std::string name;     // may be empty
  uint64_t height = 0;  // bytes that it takes
  // A lower bound for every packing of these items. Without it, the peak of the live bytes is used.
  std::optional<uint64_t> lower_bound = std::nullopt;
};

struct Picture {
  std::string title;
  std::string subtitle;              // one more line, may be empty
  std::string time_label = "op";     // what one moment is called
  std::vector<std::string> moments;  // name of moment t at index t; may be empty or short
  std::vector<PictureArena> arenas;
  std::vector<PictureItem> items;
};

enum class PictureTheme { kAuto, kLight, kDark };  // kAuto: as the viewer prefers

struct RenderOptions {
  PictureTheme theme = PictureTheme::kAuto;
  int width = 1200;      // pixels; at least 400 is used
  int map_height = 480;  // of all arenas' maps together; each gets at least 120
};

// The number of items in an SVG that get a tooltip of their own.
inline constexpr size_t kMaxTooltips = 6000;

absl::StatusOr<std::string> RenderSvg(const Picture& picture, const RenderOptions& options = {});

absl::StatusOr<std::string> RenderHtml(const Picture& picture, const RenderOptions& options = {});

// "73.5 MiB": three digits and a binary unit; exact below 1 KiB.
std::string HumanBytes(uint64_t bytes);

}  // namespace tenure

#endif  // TENURE_TOOLS_RENDER_RENDER_H_
