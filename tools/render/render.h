// Draws a packing over time: address up, time to the right, one rectangle per buffer, so that one
// sees why an arena is as high as it is.
//
// Why two formats: a `.svg` goes into a README or a report and needs nothing; a `.html` is for
// looking into it, with zoom, search and what lives at any moment. Both are one file without
// outside resources, readable on light and dark.
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
// Cost: O(n log n) in items. An SVG of 30,000 items has 2 to 3 MB: beyond kMaxTooltips only the
// largest are elements of their own. The HTML has 40 bytes per item and its name, and draws what is
// in view.
//
// Thread safety: free functions without state. Ownership: a Picture owns all it holds; results are
// the caller's. Errors: InvalidArgument names the item that ends before it begins, stands outside
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

// One buffer in its place.
struct PictureItem {
  std::string name;
  std::string group;   // what its colour says, such as the kind of op that makes it; all empty:
                       // colours say sizes
  std::string detail;  // more for the tooltip, such as dtype and shape; may be empty
  int64_t first = 0;   // it lives in [first, last)
  int64_t last = 0;
  uint64_t size = 0;    // bytes; 0: counted, not drawn
  uint64_t offset = 0;  // in its arena
  uint32_t arena = 0;   // index in Picture::arenas
};

struct PictureArena {
  std::string name;     // may be empty
  uint64_t height = 0;  // bytes that it takes
  // What no packing of these items can go below; none: the peak of the live bytes.
  std::optional<uint64_t> lower_bound = std::nullopt;
};

struct Picture {
  std::string title;
  std::string subtitle;              // one more line, may be empty
  std::string time_label = "op";     // what a moment is
  std::vector<std::string> moments;  // name of moment t at index t; may be empty or short
  std::vector<PictureArena> arenas;
  std::vector<PictureItem> items;
};

enum class PictureTheme { kAuto, kLight, kDark };  // kAuto: what the viewer prefers

struct RenderOptions {
  PictureTheme theme = PictureTheme::kAuto;
  int width = 1200;      // pixels; at least 400 is used
  int map_height = 480;  // of all arenas' maps together; each gets at least 120
};

// Items of an SVG with a tooltip of their own.
inline constexpr size_t kMaxTooltips = 6000;

absl::StatusOr<std::string> RenderSvg(const Picture& picture, const RenderOptions& options = {});

absl::StatusOr<std::string> RenderHtml(const Picture& picture, const RenderOptions& options = {});

// "73.5 MiB": three digits and a binary unit; exact below 1 KiB.
std::string HumanBytes(uint64_t bytes);

}  // namespace tenure

#endif  // TENURE_TOOLS_RENDER_RENDER_H_
