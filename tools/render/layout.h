// Computes what both formats need before they draw a picture: extents, live bytes, colours and
// clean text.
//
// Thread safety: free functions without state. Ownership: results hold no references to the
// picture.

#ifndef TENURE_TOOLS_RENDER_LAYOUT_H_
#define TENURE_TOOLS_RENDER_LAYOUT_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "tenure/tools/render/render.h"

namespace tenure::internal_render {

// The number of live bytes from `time` on, which counts from the picture's begin.
struct LiveStep {
  uint64_t time = 0;
  uint64_t bytes = 0;
};

struct ArenaFacts {
  std::vector<LiveStep> live;  // by time; the last step has 0 bytes
  uint64_t peak_bytes = 0;
  uint64_t peak_time = 0;  // the first moment of the peak, after the picture's begin
  uint64_t lower_bound = 0;
  uint64_t wasted_bytes = 0;  // height - lower_bound, or 0
  double mean_use = 0;        // share of the arena that is live, on average over time
  size_t items = 0;
};

struct ColourKey {
  std::string label;
  int colour = 0;  // index in kPalette
  double weight = 0;
  uint64_t items = 0;
  uint64_t bytes = 0;
};

struct Layout {
  int64_t begin = 0;      // the first moment that is drawn
  uint64_t duration = 1;  // moments drawn; at least 1
  std::vector<ArenaFacts> arenas;
  std::vector<ColourKey> keys;      // in the order of the legend
  std::vector<uint32_t> item_keys;  // per item: index in keys
  bool coloured_by_size = false;
};

// The categorical colours come first; they are readable on white and on black. Then come those for
// sizes, from small to large.
inline constexpr int kGroupColours = 9;
inline constexpr int kOtherColour = kGroupColours;
inline constexpr int kFirstSizeColour = kOtherColour + 1;
inline constexpr int kSizeColours = 8;
inline constexpr const char* kPalette[kFirstSizeColour + kSizeColours] = {
    "#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#b07aa1", "#76b7b2",
    "#edc948", "#ff9da7", "#9c755f", "#9aa0a6", "#fcd27a", "#f8a65f",
    "#f0775c", "#dc5168", "#b83c7b", "#8d3389", "#623190", "#3b2f8f"};

// Checks the picture and computes its layout.
absl::StatusOr<Layout> LayOut(const Picture& picture);

// Returns valid UTF-8 without control characters (and newlines) for any input.
std::string CleanText(std::string_view text);

// Like CleanText, and escapes the characters that have a meaning in XML.
std::string XmlText(std::string_view text);

// Returns the name of moment `time` (counted as in items), or "".
std::string_view MomentName(const Picture& picture, int64_t time);

// 12,345,678
std::string Grouped(uint64_t number);

// "1.23 %"
std::string Percent(double share);

// Returns one line with height, bound, waste and use.
std::string Summary(const Picture& picture, const Layout& layout, size_t arena);

}  // namespace tenure::internal_render

#endif  // TENURE_TOOLS_RENDER_LAYOUT_H_
