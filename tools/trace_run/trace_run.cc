#include "tenure/tools/trace_run/trace_run.h"

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "tenure/base/annotate.h"
#include "tenure/base/status_macros.h"
#include "tenure/tools/trace/reference_kernel.h"

namespace tenure::cli {
namespace {

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
      TENURE_RETURN_IF_ERROR(to.CopyInAt(at, staging_.data(), bytes, {.max_threads = threads_}));
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

absl::StatusOr<RunResult> RunTrace(const Trace& trace, Allocator& allocator, WeightSource& weights,
                                   const RunOptions& options) {
  TENURE_ASSIGN_OR_RETURN(std::unique_ptr<Executor> executor,
                          MakeExecutor(trace, allocator, options.threads));
  std::map<uint32_t, Buffer> given;
  if (executor->ReadsMappedFiles()) {
    TENURE_ASSIGN_OR_RETURN(given, weights.Given());
  }
  TENURE_ASSIGN_OR_RETURN(TraceJob job, MakeTraceJob(trace, allocator, given));
  for (const auto& [base, buffer] : job.persistent) {
    if (trace.buffers[base].kind == TraceKind::kOutput || given.contains(base)) continue;
    if (absl::Status status = weights.Load(base, buffer); !status.ok()) {
      return Annotate(status, DescribeTraceBuffer(trace, base));
    }
  }
  given.clear();

  RunResult result;
  PlacedPlan placed;
  if (options.plan != nullptr) {
    TENURE_ASSIGN_OR_RETURN(placed, options.check_plan
                                        ? PlacePlan(*options.plan, job.schedule)
                                        : internal::PlaceUnchecked(*options.plan, job.schedule));
  }
  // A storage that is not placed is freed with the last step that holds it.
  TENURE_ASSIGN_OR_RETURN(
      Execution execution,
      Execution::Create(std::move(job.schedule), placed, {executor->queue()},
                        {.max_steps_ahead = executor->max_steps_ahead(), .release_steps = true}));
  result.executor = executor->name();
  const absl::Time start = absl::Now();
  const size_t ops = trace.ops.size();
  absl::Status ran = execution.Run([&](const StepContext& op) {
    if (options.progress) options.progress(op.number, ops);
    return executor->Launch(op);
  });
  if (ran.ok()) ran = execution.Wait();
  if (!ran.ok()) return ran;
  if (options.progress) options.progress(ops, ops);
  TENURE_ASSIGN_OR_RETURN(result.read_chain, executor->Finish());
  result.seconds = absl::ToDoubleSeconds(absl::Now() - start);
  for (uint32_t base : job.Results()) {
    const Buffer& buffer = job.persistent.at(base);
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
    return absl::DataLossError(absl::StrCat(
        DescribeTraceBuffer(trace, base), " differs from the unplanned run, from byte ", at,
        " on; its last writer is before the end of the schedule"));
  }
  return absl::OkStatus();
}

}  // namespace tenure::cli
