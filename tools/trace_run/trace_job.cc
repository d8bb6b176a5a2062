#include "tenure/tools/trace_run/trace_job.h"

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tenure/base/status_macros.h"

namespace tenure::cli {
namespace {

bool Persistent(TraceKind kind) { return kind != TraceKind::kIntermediate; }

absl::StatusOr<Shape> ShapeOf(const TraceBuffer& buffer) {
  return Shape::Of(std::vector<int64_t>(buffer.shape.begin(), buffer.shape.end()));
}

// Returns the window of `base` that a trace id names. It has the id's dtype and shape if these
// determine its bytes, and is plain bytes otherwise (strides, storages larger than their tensor,
// more than 8 dimensions).
absl::StatusOr<Buffer> Window(const Buffer& base, const TraceBuffer& buffer) {
  const absl::StatusOr<DType> dtype = ParseDType(buffer.dtype);
  const absl::StatusOr<Shape> shape = ShapeOf(buffer);
  if (dtype.ok() && shape.ok() && !buffer.strides.has_value()) {
    const absl::StatusOr<uint64_t> size = ByteSize(*dtype, shape->elements());
    if (size.ok() && *size == buffer.bytes) return base.View(buffer.offset_bytes, *dtype, *shape);
  }
  return base.View(buffer.offset_bytes, buffer.bytes);
}

// Finds the earlier steps that a step must come after: those that wrote bytes it touches, or
// touched bytes it writes.
class Hazards {
 public:
  explicit Hazards(size_t storages) : uses_(storages) {}

  void Read(uint32_t step, uint32_t storage, const Buffer& window) {
    const Use use{step, window.offset(), window.offset() + window.size()};
    Follow(uses_[storage].writes, use);
    uses_[storage].reads.push_back(use);
  }
  void Write(uint32_t step, uint32_t storage, const Buffer& window) {
    const Use use{step, window.offset(), window.offset() + window.size()};
    auto& [reads, writes] = uses_[storage];
    for (std::vector<Use>* side : {&reads, &writes}) {
      Follow(*side, use);
      // Steps after this one are also after those, so they need not be kept.
      std::erase_if(*side, [&use](const Use& old) {
        return old.step != use.step && old.begin >= use.begin && old.end <= use.end;
      });
    }
    writes.push_back(use);
  }
  std::vector<uint32_t> Take() {
    std::sort(after_.begin(), after_.end());
    after_.erase(std::unique(after_.begin(), after_.end()), after_.end());
    return std::exchange(after_, {});
  }

 private:
  struct Use {
    uint32_t step;
    uint64_t begin, end;
  };
  struct Uses {
    std::vector<Use> reads, writes;
  };
  void Follow(const std::vector<Use>& before, const Use& use) {
    for (const Use& old : before) {
      if (old.step != use.step && old.begin < use.end && use.begin < old.end) {
        after_.push_back(old.step);
      }
    }
  }

  std::vector<Uses> uses_;  // of each storage
  std::vector<uint32_t> after_;
};

}  // namespace

std::string DescribeTraceBuffer(const Trace& trace, uint32_t id) {
  const TraceBuffer& b = trace.buffers[id];
  std::string text = absl::StrCat("buffer ", id, " (", b.dtype, "[", absl::StrJoin(b.shape, ","),
                                  "], ", TraceKindName(trace.buffers[trace.Base(id)].kind));
  if (b.alias_of.has_value()) absl::StrAppend(&text, ", a window of ", *b.alias_of);
  return text + ")";
}

bool TraceJob::IsResult(uint32_t base) const {
  const TraceBuffer& b = trace->buffers[base];
  if (b.alias_of.has_value() || b.kind == TraceKind::kIntermediate) return false;
  return b.kind == TraceKind::kOutput || uses[base].written;
}

std::vector<uint32_t> TraceJob::Results() const {
  std::vector<uint32_t> results;
  for (const TraceBuffer& b : trace->buffers) {
    if (IsResult(b.id)) results.push_back(b.id);
  }
  return results;
}

absl::StatusOr<TraceJob> MakeTraceJob(const Trace& trace, Allocator& allocator,
                                      const std::map<uint32_t, Buffer>& given, OrderKind order,
                                      OutputPlacement outputs) {
  TraceJob job{.trace = &trace, .schedule = Schedule(trace.name, order), .uses = FindUses(trace)};
  const size_t n = trace.buffers.size();
  std::vector<Buffer> bases(n), windows(n);
  for (const TraceBuffer& b : trace.buffers) {
    if (b.alias_of.has_value()) continue;
    const TraceUse& use = job.uses[b.id];
    const bool touched = use.first_op != TraceUse::kNever;
    if (!touched && !Persistent(b.kind)) continue;
    if (auto it = given.find(b.id); it != given.end()) {
      bases[b.id] = it->second;
    } else {
      if (b.bytes > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
        return absl::InvalidArgumentError(absl::StrCat(DescribeTraceBuffer(trace, b.id), " of ",
                                                       b.bytes,
                                                       " bytes is larger than any storage"));
      }
      // Weights and inputs are written before the first op. Other storages start as zeros if it
      // makes a difference.
      const bool starts = b.kind == TraceKind::kWeight || b.kind == TraceKind::kInput;
      TENURE_ASSIGN_OR_RETURN(
          bases[b.id], Buffer::Create(allocator, DType::kUInt8, Shape::Vector(b.bytes),
                                      {.name = b.name.empty() ? absl::StrCat("b", b.id) : b.name,
                                       .zeroed = !starts && (use.needs_zeros || !touched)}));
    }
    ++job.storages;
    if (b.kind == TraceKind::kOutput) job.schedule.MarkOutput(bases[b.id], outputs);
    if (b.kind == TraceKind::kWeight || b.kind == TraceKind::kInput)
      job.schedule.MarkInput(bases[b.id]);
  }
  for (const TraceBuffer& b : trace.buffers) {
    const Buffer& base = bases[trace.Base(b.id)];
    if (base.is_null()) continue;
    absl::StatusOr<Buffer> window = Window(base, b);
    if (!window.ok()) {
      return absl::Status(window.status().code(), absl::StrCat(DescribeTraceBuffer(trace, b.id),
                                                               ": ", window.status().message()));
    }
    windows[b.id] = *std::move(window);
  }
  Hazards hazards(order == OrderKind::kDependencies ? n : 0);
  for (const TraceOp& op : trace.ops) {
    Step step;
    step.name = op.name;
    step.reads.reserve(op.reads.size());
    step.writes.reserve(op.writes.size());
    for (uint32_t id : op.reads) step.reads.push_back(windows[id]);
    for (uint32_t id : op.writes) step.writes.push_back(windows[id]);
    for (const TraceInPlace& pair : op.in_place) step.in_place.push_back({pair.read, pair.write});
    if (order == OrderKind::kDependencies) {
      const auto number = static_cast<uint32_t>(job.schedule.steps().size());
      for (uint32_t id : op.reads) hazards.Read(number, trace.Base(id), windows[id]);
      for (uint32_t id : op.writes) hazards.Write(number, trace.Base(id), windows[id]);
      step.after = hazards.Take();
    }
    if (absl::StatusOr<uint32_t> added = job.schedule.AddStep(std::move(step)); !added.ok())
      return added.status();
  }
  for (const TraceBuffer& b : trace.buffers) {
    if (!b.alias_of.has_value() && Persistent(b.kind)) job.persistent[b.id] = bases[b.id];
  }
  return job;
}

}  // namespace tenure::cli
