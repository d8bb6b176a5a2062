#include "tenure/tools/render/render.h"

#include <cmath>
#include <cstdlib>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gtest/gtest.h"
#include "tenure/tools/render/layout.h"
#include "tenure/tools/render/trace_picture.h"
#include "tenure/tools/trace/trace.h"

namespace tenure {
namespace {

using internal_render::Layout;
using internal_render::LayOut;

// a and b live together, then c alone; c stands above a hole, so that 1024 of 4096 bytes are
// wasted.
Picture Small() {
  Picture picture;
  picture.title = "small";
  picture.moments = {"conv", "relu", "mm", "out"};
  picture.arenas.push_back({.name = "cpu", .height = 4096, .lower_bound = {}});
  const auto add = [&](std::string name, int64_t first, int64_t last, uint64_t offset,
                       uint64_t size) {
    PictureItem item;
    item.name = name;
    item.group = name + "_op";
    item.first = first;
    item.last = last;
    item.size = size;
    item.offset = offset;
    picture.items.push_back(item);
  };
  add("a", 0, 2, 0, 1024);
  add("b", 1, 3, 1024, 2048);
  add("c", 3, 4, 2048, 2048);
  return picture;
}

// Balanced tags, quoted attributes, only the five entities, no bytes that XML bars: what a browser
// stops at.
std::string XmlFault(std::string_view xml) {
  std::vector<std::string> open;
  for (size_t i = 0; i < xml.size();) {
    if (static_cast<unsigned char>(xml[i]) < 0x20 && xml[i] != '\n') return "control character";
    if (xml[i] == '&') {
      const std::string_view entity = xml.substr(i, xml.find(';', i) - i + 1);
      if (entity != "&amp;" && entity != "&lt;" && entity != "&gt;" && entity != "&quot;") {
        return absl::StrCat("entity ", entity.substr(0, 20));
      }
    }
    if (xml[i] == '>') return "stray >";
    if (xml[i] != '<') {
      ++i;
      continue;
    }
    size_t end = i + 1;
    for (bool quoted = false; end < xml.size() && (quoted || xml[end] != '>'); ++end) {
      if (xml[end] == '"') quoted = !quoted;
      if (xml[end] == '<') return "< inside of a tag";
    }
    if (end == xml.size()) return "tag without an end";
    std::string_view tag = xml.substr(i + 1, end - i - 1);
    i = end + 1;
    if (tag.front() == '/') {
      if (open.empty() || open.back() != tag.substr(1))
        return absl::StrCat("</", tag.substr(1), "> closes nothing");
      open.pop_back();
    } else if (tag.back() != '/') {
      open.emplace_back(tag.substr(0, tag.find(' ')));
    }
  }
  return open.empty() ? "" : absl::StrCat("<", open.back(), "> is left open");
}

size_t Count(std::string_view text, std::string_view part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string_view::npos; at = text.find(part, at + 1))
    ++count;
  return count;
}

// Numbers of the item's rectangle: x, y, width, height.
std::map<std::string, double> Rectangle(const std::string& svg, const std::string& name) {
  std::map<std::string, double> numbers;
  const size_t title = svg.find("<title>" + name + "\n");
  EXPECT_NE(title, std::string::npos) << name;
  if (title == std::string::npos) return numbers;
  const size_t begin = svg.rfind("<rect", title);
  for (const char* key : {"x", "y", "width", "height"}) {
    const size_t at = svg.find(absl::StrCat(" ", key, "=\""), begin);
    numbers[key] = std::strtod(svg.c_str() + svg.find('"', at) + 1, nullptr);
  }
  return numbers;
}

nlohmann::json Data(const std::string& html) {
  const std::string_view begin = "<script type=\"application/json\" id=\"data\">";
  const size_t from = html.find(begin) + begin.size();
  return nlohmann::json::parse(html.substr(from, html.find("</script>", from) - from), nullptr,
                               false);
}

TEST(RenderTest, HumanBytes) {
  EXPECT_EQ(HumanBytes(0), "0 B");
  EXPECT_EQ(HumanBytes(1023), "1023 B");
  EXPECT_EQ(HumanBytes(1024), "1 KiB");
  EXPECT_EQ(HumanBytes(1536), "1.5 KiB");
  EXPECT_EQ(HumanBytes(77070336), "73.5 MiB");
  EXPECT_EQ(HumanBytes(uint64_t{150} << 20), "150 MiB");
  EXPECT_EQ(HumanBytes((uint64_t{1} << 20) - 1), "1 MiB");  // and not 1024 KiB
  EXPECT_EQ(HumanBytes(~uint64_t{0}), "16 EiB");
}

TEST(RenderTest, LayoutKnowsLiveBytesAndWaste) {
  const absl::StatusOr<Layout> layout = LayOut(Small());
  ASSERT_TRUE(layout.ok()) << layout.status();
  EXPECT_EQ(layout->begin, 0);
  EXPECT_EQ(layout->duration, 4u);
  const internal_render::ArenaFacts& facts = layout->arenas[0];
  std::vector<std::pair<uint64_t, uint64_t>> live;
  for (const internal_render::LiveStep& step : facts.live) live.emplace_back(step.time, step.bytes);
  // From 2 on b and from 3 on c: the same number of bytes, one step.
  EXPECT_EQ(live,
            (std::vector<std::pair<uint64_t, uint64_t>>{{0, 1024}, {1, 3072}, {2, 2048}, {4, 0}}));
  EXPECT_EQ(facts.peak_bytes, 3072u);
  EXPECT_EQ(facts.peak_time, 1u);
  EXPECT_EQ(facts.lower_bound, 3072u);
  EXPECT_EQ(facts.wasted_bytes, 1024u);
  EXPECT_DOUBLE_EQ(facts.mean_use, (1024 + 3072 + 2 * 2048) / (4 * 4096.0));
  EXPECT_EQ(facts.items, 3u);
}

TEST(RenderTest, GivenLowerBoundIsUsed) {
  Picture picture = Small();
  picture.arenas[0].lower_bound = 4096;
  EXPECT_EQ(LayOut(picture)->arenas[0].wasted_bytes, 0u);
  EXPECT_TRUE(absl::StrContains(*RenderSvg(picture), "arena 4 KiB = lower bound"));
  picture.arenas[0].lower_bound = 5000;
  EXPECT_EQ(LayOut(picture)->arenas[0].wasted_bytes, 0u);
  EXPECT_TRUE(absl::StrContains(*RenderSvg(picture), "below the given lower bound"));
}

TEST(RenderTest, SvgSaysWhatMatters) {
  const absl::StatusOr<std::string> svg = RenderSvg(Small());
  ASSERT_TRUE(svg.ok()) << svg.status();
  EXPECT_EQ(XmlFault(*svg), "");
  for (const char* text :
       {"arena 4 KiB, wasted 1 KiB above the lower bound 3 KiB",
        "= 1.333 \xc3\x97 lower bound 3 KiB", "(25.0 %)",
        "<title>b\n2 KiB (2,048 bytes) at 1,024\nfrom op 1 relu\nto op 2 mm</title>",
        "peak 3 KiB at op 1 relu", "free at that moment", "wasted: above the lower bound",
        "a_op (1)", "live bytes", ">cpu  4 KiB"}) {
    EXPECT_TRUE(absl::StrContains(*svg, text)) << text;
  }
  EXPECT_EQ(Count(*svg, "http"), 1u);  // the namespace; nothing is fetched
}

TEST(RenderTest, RectanglesAreInProportion) {
  const std::string svg = *RenderSvg(Small());
  auto a = Rectangle(svg, "a"), b = Rectangle(svg, "b"), c = Rectangle(svg, "c");
  EXPECT_NEAR(b["height"], 2 * a["height"], 0.2);
  EXPECT_NEAR(a["width"], 2 * c["width"], 0.2);
  EXPECT_NEAR(b["x"] - a["x"], a["width"] / 2, 0.2);
  EXPECT_NEAR(b["y"] + b["height"], a["y"], 0.2);                // b stands on a
  EXPECT_NEAR(c["y"] + c["height"], a["y"] - a["height"], 0.2);  // c above the hole
  EXPECT_NEAR(c["x"], b["x"] + b["width"], 0.2);
}

TEST(RenderTest, Themes) {
  RenderOptions options;
  EXPECT_EQ(Count(*RenderSvg(Small(), options), "prefers-color-scheme:dark"), 1u);
  options.theme = PictureTheme::kDark;
  const std::string dark = *RenderSvg(Small(), options);
  EXPECT_EQ(Count(dark, "prefers-color-scheme"), 0u);
  EXPECT_TRUE(absl::StrContains(dark, ".bg{fill:#0d1117}"));
  EXPECT_TRUE(absl::StrContains(*RenderHtml(Small(), options), "data-theme=\"dark\""));
  options.theme = PictureTheme::kLight;
  EXPECT_FALSE(absl::StrContains(*RenderSvg(Small(), options), "#0d1117"));
}

TEST(RenderTest, HtmlCarriesItsData) {
  const absl::StatusOr<std::string> html = RenderHtml(Small());
  ASSERT_TRUE(html.ok()) << html.status();
  EXPECT_EQ(Count(*html, "@DATA@") + Count(*html, "@TITLE@") + Count(*html, "@THEME@"), 0u);
  EXPECT_EQ(Count(*html, "http"), 0u);
  EXPECT_EQ(Count(*html, "<script src"), 0u);
  EXPECT_TRUE(absl::StrContains(*html, "<title>small</title>"));
  const nlohmann::json data = Data(*html);
  ASSERT_TRUE(data.is_object());
  EXPECT_EQ(data["moments"], nlohmann::json({"conv", "relu", "mm", "out"}));
  ASSERT_EQ(data["arenas"].size(), 1u);
  const nlohmann::json& arena = data["arenas"][0];
  EXPECT_EQ(arena["height"], 4096);
  EXPECT_EQ(arena["bound"], 3072);
  EXPECT_EQ(arena["live"], nlohmann::json({0, 1024, 1, 3072, 2, 2048, 4, 0}));
  ASSERT_EQ(arena["items"].size(), 3u);
  EXPECT_EQ(arena["items"][1][0], "b");
  EXPECT_EQ(arena["items"][1][3], 1);
  EXPECT_EQ(arena["items"][1][4], 3);
  EXPECT_EQ(arena["items"][1][5], 2048);
  EXPECT_EQ(arena["items"][1][6], 1024);
  EXPECT_EQ(data["keys"].size(), 3u);
}

TEST(RenderTest, HostileTextStaysText) {
  Picture picture = Small();
  const std::string hostile =
      "</script></title><script>alert(1)</script>&\"'\x01\x1f\n\xff\xc3(\xed\xa0\x80 @DATA@ \\";
  picture.title = picture.subtitle = picture.time_label = picture.arenas[0].name = hostile;
  picture.moments[1] = hostile;
  for (PictureItem& item : picture.items) item.name = item.group = item.detail = hostile;
  const std::string svg = *RenderSvg(picture);
  EXPECT_EQ(XmlFault(svg), "");
  EXPECT_EQ(Count(svg, "<script"), 0u);
  const std::string html = *RenderHtml(picture);
  EXPECT_EQ(Count(html, "<script"), Count(*RenderHtml(Small()), "<script"));
  EXPECT_EQ(Count(html, "</script"), Count(*RenderHtml(Small()), "</script"));
  const nlohmann::json data = Data(html);
  ASSERT_TRUE(data.is_object());
  const std::string name = data["arenas"][0]["items"][0][0];
  EXPECT_TRUE(absl::StartsWith(name, "</script></title><script>alert(1)</script>&\"'   ")) << name;
  EXPECT_TRUE(absl::EndsWith(name, "@DATA@ \\")) << name;
  // UTF-8 that is right passes.
  EXPECT_EQ(internal_render::CleanText("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"),
            "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
  EXPECT_EQ(internal_render::CleanText("\xf0\x9f\x98"), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
}

TEST(RenderTest, WrongPicturesAreRefused) {
  const auto refused = [](const Picture& picture, const std::string& cause) {
    for (const absl::Status& status : {RenderSvg(picture).status(), RenderHtml(picture).status()}) {
      EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
      EXPECT_TRUE(absl::StrContains(status.message(), cause)) << status;
    }
  };
  Picture picture = Small();
  picture.items[1].last = 1;
  refused(picture, "items[1] (b) lives in [1, 1)");
  picture = Small();
  picture.items[2].offset = 2049;
  refused(picture, "items[2] (c) has 2048 bytes at 2049, beyond the 4096 bytes of arena 0");
  picture.items[2].offset = ~uint64_t{0};
  refused(picture, "items[2] (c)");
  picture = Small();
  picture.items[0].arena = 1;
  refused(picture, "items[0] (a) is in arena 1; there are 1");
}

TEST(RenderTest, OddPictures) {
  std::vector<Picture> pictures(6);
  pictures[1].arenas.resize(1);  // an arena of no bytes
  pictures[2] = Small();         // one that nothing is in, and an item without bytes
  pictures[2].arenas.push_back({.name = "spare", .height = 100, .lower_bound = {}});
  pictures[2].items[0].size = 0;
  pictures[3] = Small();  // no moments, no groups, negative times
  pictures[3].moments.clear();
  for (PictureItem& item : pictures[3].items) {
    item.group.clear();
    item.first -= 1000;
    item.last -= 1000;
  }
  pictures[4] = Small();  // the largest numbers there are
  pictures[4].moments.clear();
  pictures[4].arenas[0].height = ~uint64_t{0};
  pictures[4].items[0].first = std::numeric_limits<int64_t>::min();
  pictures[4].items[0].last = std::numeric_limits<int64_t>::max();
  pictures[4].items[0].size = ~uint64_t{0};
  pictures[4].items[1].size = ~uint64_t{0} - 1024;  // on top of the first: wrong, but drawn
  pictures[5].arenas.resize(20);                    // many arenas, one item
  pictures[5].arenas[19].height = 1;
  pictures[5].items.resize(1);
  pictures[5].items[0] = {.name = "x",
                          .group = "",
                          .detail = "",
                          .first = 5,
                          .last = 6,
                          .size = 1,
                          .offset = 0,
                          .arena = 19};
  for (size_t p = 0; p < pictures.size(); ++p) {
    const absl::StatusOr<std::string> svg = RenderSvg(pictures[p]);
    ASSERT_TRUE(svg.ok()) << p << svg.status();
    EXPECT_EQ(XmlFault(*svg), "") << p;
    EXPECT_FALSE(absl::StrContains(*svg, "nan")) << p;
    EXPECT_FALSE(absl::StrContains(*svg, "inf")) << p;
    EXPECT_LT(svg->size(), 100000u) << p;
    const absl::StatusOr<std::string> html = RenderHtml(pictures[p]);
    ASSERT_TRUE(html.ok()) << p << html.status();
    EXPECT_TRUE(Data(*html).is_object()) << p;
  }
  EXPECT_TRUE(absl::StrContains(*RenderSvg(pictures[0]), "nothing was placed"));
  EXPECT_TRUE(absl::StrContains(*RenderSvg(pictures[3]), ">-1,000<"));
  EXPECT_TRUE(absl::StrContains(*RenderSvg(pictures[3]), "1 KiB to 2 KiB (1)"));
}

TEST(RenderTest, ThirtyThousandItemsStaySmall) {
  Picture picture;
  picture.title = "many";
  constexpr uint64_t kItems = 30000;
  picture.arenas.push_back({.name = "", .height = kItems * 64, .lower_bound = {}});
  for (uint64_t i = 0; i < kItems; ++i) {
    PictureItem item;
    item.name = absl::StrCat("a buffer with a name of some length ", i);
    item.group = absl::StrCat("op", i % 40);
    item.first = static_cast<int64_t>(i);
    item.last = static_cast<int64_t>(i + 5 + i % 100);
    item.size = 64;
    item.offset = 64 * i;
    picture.items.push_back(item);
  }
  const std::string svg = *RenderSvg(picture);
  EXPECT_EQ(XmlFault(svg), "");
  EXPECT_LT(svg.size(), size_t{4} << 20);
  EXPECT_EQ(Count(svg, "</title></rect>"), kMaxTooltips);
  const size_t shapes = Count(svg, "</title></rect>") + Count(svg, "z\"/>") + Count(svg, "zM");
  EXPECT_GE(shapes, kItems);  // the others are still drawn
  EXPECT_TRUE(absl::StrContains(svg, "31 others"));
  const std::string html = *RenderHtml(picture);
  EXPECT_LT(html.size(), size_t{4} << 20);
  EXPECT_EQ(Data(html)["arenas"][0]["items"].size(), kItems);
}

TEST(RenderTest, SameTwice) {
  EXPECT_EQ(*RenderSvg(Small()), *RenderSvg(Small()));
  EXPECT_EQ(*RenderHtml(Small()), *RenderHtml(Small()));
}

TEST(TracePictureTest, ItemsSayWhatTheyAre) {
  const absl::StatusOr<Trace> trace = ReadTrace("tools/demo_schedules/tiny_transformer.json.gz");
  ASSERT_TRUE(trace.ok()) << trace.status();
  const std::vector<TraceUse> uses = FindUses(*trace);
  std::vector<TracePlacement> placed;
  uint64_t height = 0;
  for (const TraceBuffer& b : trace->buffers) {
    if (b.alias_of.has_value() || b.kind != TraceKind::kIntermediate) continue;
    placed.push_back({.base = b.id, .arena = 0, .offset = height, .size = b.bytes});
    height += b.bytes;
  }
  const Picture picture =
      PictureOfTrace(*trace, {{.name = "cpu", .height = height, .lower_bound = {}}}, placed);
  ASSERT_EQ(picture.items.size(), placed.size());
  EXPECT_EQ(picture.title, "tiny_transformer");
  EXPECT_EQ(picture.moments.size(), trace->ops.size());
  for (size_t i = 0; i < placed.size(); ++i) {
    EXPECT_EQ(picture.items[i].first, int64_t{uses[placed[i].base].first_op});
    EXPECT_EQ(picture.items[i].last, int64_t{uses[placed[i].base].last_op} + 1);
  }
  EXPECT_EQ(picture.items[0].group, "arange");
  EXPECT_EQ(picture.items[0].detail, "int64 [96], intermediate");
  EXPECT_TRUE(RenderSvg(picture).ok());
  EXPECT_EQ(ShortOpName("aten.native_layer_norm.default"), "native_layer_norm");
  EXPECT_EQ(ShortOpName("aten.add_"), "add_");
  EXPECT_EQ(ShortOpName("matmul"), "matmul");
  EXPECT_EQ(ShortOpName("ends."), "ends.");
}

}  // namespace
}  // namespace tenure
