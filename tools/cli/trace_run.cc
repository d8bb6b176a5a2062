#include "tenure/tools/cli/trace_run.h"

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "tenure/tools/trace/reference_kernel.h"

namespace tenure::cli {
namespace {

absl::Status Annotate(const absl::Status& status, std::string_view where) {
  return status.ok() ? status
                     : absl::Status(status.code(), absl::StrCat(where, ": ", status.message()));
}

absl::StatusOr<absl::Span<const uint8_t>> ReadSpan(const Buffer& buffer) {
  absl::StatusOr<const void*> pointer = buffer.HostPointer();
  if (!pointer.ok()) return pointer.status();
  return absl::MakeConstSpan(static_cast<const uint8_t*>(*pointer), buffer.size());
}

absl::StatusOr<absl::Span<uint8_t>> WriteSpan(const Buffer& buffer) {
  absl::StatusOr<void*> pointer = buffer.MutableHostPointer();
  if (!pointer.ok()) return pointer.status();
  return absl::MakeSpan(static_cast<uint8_t*>(*pointer), buffer.size());
}

// One op, on the bytes where they lie. Fills `chain` with the value after each read.
absl::Status RunOp(const Trace& trace, uint32_t op_number, const Step& step, int threads,
                   std::vector<uint64_t>& chain) {
  const TraceOp& op = trace.ops[op_number];
  std::vector<absl::Span<const uint8_t>> reads;
  std::vector<KernelWrite> writes;
  for (size_t i = 0; i < step.reads.size(); ++i) {
    absl::StatusOr<absl::Span<const uint8_t>> span = ReadSpan(step.reads[i]);
    if (!span.ok()) return Annotate(span.status(), DescribeTraceBuffer(trace, op.reads[i]));
    reads.push_back(*span);
  }
  for (size_t i = 0; i < step.writes.size(); ++i) {
    absl::StatusOr<absl::Span<uint8_t>> span = WriteSpan(step.writes[i]);
    if (!span.ok()) return Annotate(span.status(), DescribeTraceBuffer(trace, op.writes[i]));
    const TraceBuffer& b = trace.buffers[op.writes[i]];
    KernelWrite write;
    write.bytes = *span;
    if (b.strides.has_value()) {
      write.strided = true;
      write.shape = b.shape;
      write.strides = *b.strides;
    }
    writes.push_back(write);
  }
  return RunReferenceOp(op_number, reads, writes, threads, &chain);
}

class Copied final : public WeightSource {
 public:
  Copied(const Trace& trace, int threads) : trace_(trace), threads_(threads) {}

  absl::StatusOr<std::map<uint32_t, Buffer>> Given() override {
    return std::map<uint32_t, Buffer>();
  }

  absl::Status Load(uint32_t base, const Buffer& to) override {
    const uint64_t size = trace_.buffers[base].bytes;
    if (size == 0) return to.EnsureAllocated();
    for (uint64_t at = 0; at < size; at += kChunk) {
      const uint64_t bytes = std::min(kChunk, size - at);
      staging_.resize(std::max<size_t>(staging_.size(), bytes));
      FillStart(absl::MakeSpan(staging_.data(), bytes), base, threads_, at / 8);
      if (absl::Status status = to.CopyInAt(at, staging_.data(), bytes, {.max_threads = threads_});
          !status.ok()) {
        return status;
      }
    }
    return absl::OkStatus();
  }

 private:
  static constexpr uint64_t kChunk = 16 << 20;
  const Trace& trace_;
  const int threads_;
  std::vector<uint8_t> staging_;
};

}  // namespace

std::unique_ptr<WeightSource> CopiedWeights(const Trace& trace, int threads) {
  return std::make_unique<Copied>(trace, threads);
}

absl::Status CheckHostCanRun(const Allocator& allocator) {
  const SpaceTraits& traits = allocator.traits();
  if (traits.has_bytes && traits.host_readable && traits.host_writable) return absl::OkStatus();
  const std::string space = allocator.space().ToString();
  const std::string_view why = !traits.has_bytes       ? "has no bytes"
                               : !traits.host_writable ? "can't be written by the host"
                                                       : "can't be read by the host";
  return absl::UnimplementedError(absl::StrCat(
      "ops run on the host, and the space ", space, " ", why,
      "; run with --space=cpu, or look at the plan alone with 'tenure plan --space=", space, "'"));
}

absl::StatusOr<RunResult> RunTrace(const Trace& trace, Allocator& allocator, WeightSource& weights,
                                   const RunOptions& options) {
  if (absl::Status status = CheckHostCanRun(allocator); !status.ok()) return status;
  absl::StatusOr<std::map<uint32_t, Buffer>> given = weights.Given();
  if (!given.ok()) return given.status();
  absl::StatusOr<TraceJob> job = MakeTraceJob(trace, allocator, *given);
  if (!job.ok()) return job.status();
  for (const auto& [base, buffer] : job->persistent) {
    if (trace.buffers[base].kind == TraceKind::kOutput || given->contains(base)) continue;
    if (absl::Status status = weights.Load(base, buffer); !status.ok()) {
      return Annotate(status, DescribeTraceBuffer(trace, base));
    }
  }
  given->clear();

  RunResult result;
  PlacedPlan placed;
  if (options.plan != nullptr) {
    absl::StatusOr<PlacedPlan> p = options.check_plan
                                       ? PlacePlan(*options.plan, job->schedule)
                                       : internal::PlaceUnchecked(*options.plan, job->schedule);
    if (!p.ok()) return p.status();
    placed = *std::move(p);
  }
  std::vector<Step> steps = job->schedule.TakeSteps();
  result.read_chain.resize(trace.ops.size());
  size_t fill = 0;
  const absl::Time start = absl::Now();
  for (uint32_t number = 0; number < trace.ops.size(); ++number) {
    const std::string where = absl::StrCat("op ", number, " ('", trace.ops[number].name, "')");
    for (; fill < placed.fills.size() && placed.fills[fill].step == number; ++fill) {
      const std::byte zero{0};
      if (absl::Status status = placed.fills[fill].storage.Fill({&zero, 1}); !status.ok())
        return Annotate(status, where);
    }
    if (absl::Status status =
            RunOp(trace, number, steps[number], options.threads, result.read_chain[number]);
        !status.ok()) {
      return Annotate(status, where);
    }
    // A storage that is not placed goes with the last step that holds it.
    steps[number] = Step();
    if (options.progress) options.progress(number + 1, trace.ops.size());
  }
  result.seconds = absl::ToDoubleSeconds(absl::Now() - start);
  for (uint32_t base : job->Results()) {
    const Buffer& buffer = job->persistent.at(base);
    std::vector<uint8_t>& bytes = result.bytes[base];
    bytes.resize(buffer.size());
    if (absl::Status status =
            buffer.CopyOut(bytes.data(), bytes.size(), {.max_threads = options.threads});
        !status.ok()) {
      return Annotate(status, DescribeTraceBuffer(trace, base));
    }
    result.digests[base] = Digest(bytes, options.threads);
  }
  return result;
}

absl::Status CompareRuns(const Trace& trace, const RunResult& reference, const RunResult& run) {
  for (uint32_t op = 0; op < trace.ops.size(); ++op) {
    for (size_t k = 0; k < trace.ops[op].reads.size(); ++k) {
      if (reference.read_chain[op][k] == run.read_chain[op][k]) continue;
      return absl::DataLossError(absl::StrCat("op ", op, " ('", trace.ops[op].name,
                                              "') read other bytes than in the unplanned run from ",
                                              DescribeTraceBuffer(trace, trace.ops[op].reads[k])));
    }
  }
  for (const auto& [base, bytes] : reference.bytes) {
    const std::vector<uint8_t>& other = run.bytes.at(base);
    if (bytes == other) continue;
    size_t at = 0;
    while (at < bytes.size() && bytes[at] == other[at]) ++at;
    return absl::DataLossError(
        absl::StrCat(DescribeTraceBuffer(trace, base),
                     " came out differently than in the unplanned run, from byte ", at,
                     " on; its last writer is before the end of the schedule"));
  }
  return absl::OkStatus();
}

}  // namespace tenure::cli
