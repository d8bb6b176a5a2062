// Makes a picture from a trace and the places of its storages.
//
//   std::vector<TracePlacement> placed = {
//       {.base = 316, .arena = 0, .offset = 0, .size = 25690112}, ...};
//   Picture picture = PictureOfTrace(trace, {{.name = "cpu", .height = 77070336}}, placed);
//
// An item has the name of its storage, or its id, with dtype and shape, and is coloured by the op that writes it first. It lives
// from the first to the last op that touches the storage or a window of it. Storages that no op
// touches are left out.
//
// Thread safety: a free function without state. Ownership: everything is copied. Errors: none here.
// A wrong base or an offset beyond the arena is reported when the picture is rendered.

#ifndef TENURE_TOOLS_RENDER_TRACE_PICTURE_H_
#define TENURE_TOOLS_RENDER_TRACE_PICTURE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/types/span.h"
#include "tenure/tools/render/render.h"
#include "tenure/tools/trace/trace.h"

namespace tenure {

struct TracePlacement {
  uint32_t base = 0;  // id of a base of the trace
  uint32_t arena = 0;
  uint64_t offset = 0;
  uint64_t size = 0;  // as placed, padding included
};

Picture PictureOfTrace(const Trace& trace, std::vector<PictureArena> arenas,
                       absl::Span<const TracePlacement> placements);

// "aten.native_layer_norm.default" -> "native_layer_norm": the part of an op's name that matters to
// a reader.
std::string ShortOpName(std::string_view name);

}  // namespace tenure

#endif  // TENURE_TOOLS_RENDER_TRACE_PICTURE_H_
