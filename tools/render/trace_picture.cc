#include "tenure/tools/render/trace_picture.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace tenure {

std::string ShortOpName(std::string_view name) {
  const size_t dot = name.find('.');
  if (dot == std::string_view::npos || dot + 1 == name.size()) return std::string(name);
  // namespace.name.overload; a name of another form stays whole.
  const std::string_view rest = name.substr(dot + 1);
  return std::string(rest.substr(0, rest.find('.')));
}

Picture PictureOfTrace(const Trace& trace, std::vector<PictureArena> arenas,
                       absl::Span<const TracePlacement> placements) {
  Picture picture;
  picture.title = trace.name;
  picture.subtitle = trace.note;
  picture.arenas = std::move(arenas);
  for (const TraceOp& op : trace.ops) picture.moments.push_back(op.name);
  const std::vector<TraceUse> uses = FindUses(trace);
  std::vector<uint32_t> writer(trace.buffers.size(), TraceUse::kNever);
  for (uint32_t j = 0; j < trace.ops.size(); ++j) {
    for (const uint32_t id : trace.ops[j].writes) {
      uint32_t& first = writer[trace.Base(id)];
      if (first == TraceUse::kNever) first = j;
    }
  }
  for (const TracePlacement& placed : placements) {
    if (placed.base >= trace.buffers.size()) continue;
    const TraceBuffer& buffer = trace.buffers[placed.base];
    const TraceUse& use = uses[placed.base];
    if (use.first_op == TraceUse::kNever) continue;
    PictureItem item;
    const uint32_t by = writer[placed.base];
    item.group = by == TraceUse::kNever ? "never written" : ShortOpName(trace.ops[by].name);
    item.name = buffer.name.empty() ? absl::StrCat("t", placed.base, " ", item.group) : buffer.name;
    item.detail = absl::StrCat(buffer.dtype, " [", absl::StrJoin(buffer.shape, ", "), "], ",
                               TraceKindName(buffer.kind));
    item.first = use.first_op;
    item.last = int64_t{use.last_op} + 1;
    item.size = placed.size;
    item.offset = placed.offset;
    item.arena = placed.arena;
    picture.items.push_back(std::move(item));
  }
  return picture;
}

}  // namespace tenure
