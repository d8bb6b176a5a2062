#include "tenure/tools/trace/trace.h"

#include <algorithm>
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

std::vector<TraceUse> FindUses(const Trace& trace) {
  std::vector<TraceUse> uses(trace.buffers.size());
  std::vector<std::pair<uint64_t, uint64_t>> windows;
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
      if (use.first_op == j) use.needs_zeros = true;
    }
    for (const uint32_t id : op.writes) {
      TraceUse& use = touch(j, id);
      use.written = true;
      if (use.first_op != j || use.needs_zeros) continue;
      // This op's windows of the base may cover it together.
      const uint32_t base = trace.Base(id);
      windows.clear();
      for (const uint32_t other : op.writes) {
        const TraceBuffer& buffer = trace.buffers[other];
        if (trace.Base(other) == base && CoversWindow(buffer)) {
          windows.emplace_back(buffer.offset_bytes, buffer.offset_bytes + buffer.bytes);
        }
      }
      std::sort(windows.begin(), windows.end());
      uint64_t covered = 0;
      for (const auto& [begin, end] : windows) {
        if (begin > covered) break;
        covered = std::max(covered, end);
      }
      use.needs_zeros = covered < trace.buffers[base].bytes;
    }
  }
  return uses;
}

}  // namespace tenure
