#include "tenure/tools/trace/trace.h"

#include <algorithm>
#include <cstdint>
#include <tuple>
#include <utility>
#include <vector>

#include "tenure/tools/trace/strided_span.h"

namespace tenure {

using internal_trace::Span;

std::string_view TraceKindName(TraceKind kind) {
  switch (kind) {
    case TraceKind::kWeight:
      return "weight";
    case TraceKind::kInput:
      return "input";
    case TraceKind::kIntermediate:
      return "intermediate";
    case TraceKind::kOutput:
      return "output";
  }
  return "unknown";
}

uint64_t TraceBuffer::strided_item_bytes() const {
  if (!strides.has_value()) return 0;
  const uint64_t span = Span(shape, *strides).value_or(0);
  return span == 0 ? 0 : bytes / span;
}

bool CoversWindow(const TraceBuffer& buffer) {
  if (!buffer.strides.has_value() || buffer.bytes == 0) return true;
  const uint64_t item_bytes = buffer.strided_item_bytes();
  // From the smallest stride up, each dimension must begin where the smaller ones end.
  std::vector<std::pair<uint64_t, uint64_t>> dimensions;  // stride, extent
  for (size_t d = 0; d < buffer.shape.size(); ++d) {
    if (buffer.shape[d] != 1) dimensions.emplace_back((*buffer.strides)[d], buffer.shape[d]);
  }
  std::sort(dimensions.begin(), dimensions.end());
  uint64_t dense = 1;
  for (const auto& [stride, extent] : dimensions) {
    if (stride != 0 && stride != dense) return false;
    if (stride != 0) dense *= extent;
  }
  // At most bytes / item_bytes elements are spanned, so this can't wrap.
  return item_bytes != 0 && dense * item_bytes == buffer.bytes;
}

namespace {

// A window that an op writes wholly.
struct WrittenWindow {
  uint32_t base;
  uint64_t begin, end;
};

// Clears needs_zeros of the bases that the windows cover, of those that need zeros only for want of
// that. `windows` is sorted by base and begin.
void ClearCovered(const Trace& trace, const std::vector<WrittenWindow>& windows,
                  std::vector<TraceUse>& uses) {
  for (size_t w = 0; w < windows.size();) {
    const uint32_t base = windows[w].base;
    uint64_t covered = 0;
    for (; w < windows.size() && windows[w].base == base; ++w) {
      if (windows[w].begin <= covered) covered = std::max(covered, windows[w].end);
    }
    if (covered >= trace.buffers[base].bytes) uses[base].needs_zeros = false;
  }
}

}  // namespace

std::vector<TraceUse> FindUses(const Trace& trace) {
  std::vector<TraceUse> uses(trace.buffers.size());
  std::vector<bool> read_first(trace.buffers.size(), false);
  std::vector<WrittenWindow> windows;
  const auto touch = [&](uint32_t op, uint32_t id) -> TraceUse& {
    TraceUse& use = uses[trace.Base(id)];
    if (use.first_op == TraceUse::kNever) use.first_op = op;
    use.last_op = op;
    return use;
  };
  for (uint32_t j = 0; j < trace.ops.size(); ++j) {
    const TraceOp& op = trace.ops[j];
    for (const uint32_t id : op.reads) {
      TraceUse& use = touch(j, id);
      if (use.first_op != j) continue;
      use.needs_zeros = true;
      read_first[trace.Base(id)] = true;
    }
    // This op's windows of a base may cover it together.
    windows.clear();
    for (const uint32_t id : op.writes) {
      TraceUse& use = touch(j, id);
      use.written = true;
      const uint32_t base = trace.Base(id);
      if (use.first_op != j || read_first[base]) continue;
      const TraceBuffer& buffer = trace.buffers[id];
      use.needs_zeros = trace.buffers[base].bytes > 0;
      if (!CoversWindow(buffer)) continue;
      windows.push_back({base, buffer.offset_bytes, buffer.offset_bytes + buffer.bytes});
    }
    std::sort(windows.begin(), windows.end(), [](const WrittenWindow& a, const WrittenWindow& b) {
      return std::tie(a.base, a.begin, a.end) < std::tie(b.base, b.begin, b.end);
    });
    ClearCovered(trace, windows, uses);
  }
  return uses;
}

}  // namespace tenure
