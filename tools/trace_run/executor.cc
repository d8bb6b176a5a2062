#include "tenure/tools/trace_run/executor.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "tenure/allocator/cuda/spaces.h"
#include "tenure/tools/trace/reference_kernel.h"
#include "tenure/tools/trace_run/trace_job.h"

namespace tenure::cli {
namespace {

absl::Status Annotate(const absl::Status& status, std::string_view where) {
  return absl::Status(status.code(), absl::StrCat(where, ": ", status.message()));
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

// Ops on the bytes where they lie.
class HostExecutor final : public Executor {
 public:
  HostExecutor(const Trace& trace, int threads)
      : trace_(trace), threads_(threads), chain_(trace.ops.size()) {}

  std::string_view name() const override { return "host"; }
  bool ReadsMappedFiles() const override { return true; }

  absl::Status Zero(const Buffer& storage) override {
    const std::byte zero{0};
    return storage.Fill({&zero, 1});
  }

  absl::Status RunOp(uint32_t number, const Step& step) override {
    const TraceOp& op = trace_.ops[number];
    std::vector<absl::Span<const uint8_t>> reads;
    std::vector<KernelWrite> writes;
    for (size_t i = 0; i < step.reads.size(); ++i) {
      absl::StatusOr<absl::Span<const uint8_t>> span = ReadSpan(step.reads[i]);
      if (!span.ok()) return Annotate(span.status(), DescribeTraceBuffer(trace_, op.reads[i]));
      reads.push_back(*span);
    }
    for (size_t i = 0; i < step.writes.size(); ++i) {
      absl::StatusOr<absl::Span<uint8_t>> span = WriteSpan(step.writes[i]);
      if (!span.ok()) return Annotate(span.status(), DescribeTraceBuffer(trace_, op.writes[i]));
      const TraceBuffer& b = trace_.buffers[op.writes[i]];
      KernelWrite write;
      write.bytes = *span;
      if (b.strides.has_value()) {
        write.strided = true;
        write.shape = b.shape;
        write.strides = *b.strides;
      }
      writes.push_back(write);
    }
    return RunReferenceOp(number, reads, writes, threads_, &chain_[number]);
  }

  absl::StatusOr<ReadChain> Finish() override { return std::move(chain_); }

 private:
  const Trace& trace_;
  const int threads_;
  ReadChain chain_;
};

bool IsCuda(const Allocator& allocator) {
  return allocator.space().kind().driver() == cuda::kDriverName;
}

}  // namespace

absl::Status CheckCanRun(const Allocator& allocator) {
  const SpaceTraits& traits = allocator.traits();
  if (IsCuda(allocator) || (traits.has_bytes && traits.host_readable && traits.host_writable)) {
    return absl::OkStatus();
  }
  const std::string space = allocator.space().ToString();
  const std::string_view why = !traits.has_bytes       ? "has no bytes"
                               : !traits.host_writable ? "can't be written by the host"
                                                       : "can't be read by the host";
  return absl::UnimplementedError(absl::StrCat(
      "ops run on the host or on a CUDA device, and the space ", space, " ", why,
      "; run with --space=cpu, or look at the plan alone with 'tenure plan --space=", space, "'"));
}

absl::StatusOr<std::unique_ptr<Executor>> MakeExecutor(const Trace& trace, Allocator& allocator,
                                                       int threads) {
  if (absl::Status status = CheckCanRun(allocator); !status.ok()) return status;
  if (IsCuda(allocator)) return MakeCudaExecutor(trace, allocator);
  return std::make_unique<HostExecutor>(trace, threads);
}

}  // namespace tenure::cli
