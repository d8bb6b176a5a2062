#include "tenure/tools/trace_run/device_executor.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "tenure/base/annotate.h"
#include "tenure/base/status_macros.h"
#include "tenure/tools/trace_run/trace_job.h"

namespace tenure::cli {
namespace {

class DeviceExecutor final : public Executor {
 public:
  DeviceExecutor(const Trace& trace, std::unique_ptr<DeviceWork> work)
      : trace_(trace), work_(std::move(work)) {}

  // Allocates room for the digests and the chain of all ops.
  absl::Status Start() {
    for (const TraceOp& op : trace_.ops) reads_ += op.reads.size();
    if (reads_ == 0) return absl::OkStatus();
    TENURE_ASSIGN_OR_RETURN(log_, work_->AllocateZeros(2 * reads_));
    return absl::OkStatus();
  }

  std::string_view name() const override { return work_->device_name(); }
  bool ReadsMappedFiles() const override { return false; }
  std::shared_ptr<Queue> queue() const override { return work_->queue(); }
  // Enough steps that the device never waits, and few enough that released memory does not
  // accumulate.
  uint32_t max_steps_ahead() const override { return 128; }

  absl::Status Launch(const StepContext& step) override {
    return work_->Submit([&](uint64_t work) { return Give(step, work); });
  }

  absl::StatusOr<ReadChain> Finish() override {
    absl::StatusOr<std::vector<uint64_t>> words = work_->Read(log_ + 8 * reads_, reads_);
    if (!words.ok()) return Annotate(words.status(), absl::StrCat("an op failed on ", name()));
    ReadChain chain;
    auto next = words->begin();
    for (const TraceOp& op : trace_.ops) {
      chain.emplace_back(next, next + static_cast<ptrdiff_t>(op.reads.size()));
      next += static_cast<ptrdiff_t>(op.reads.size());
    }
    return chain;
  }

 private:
  // Gives the operations of one op to the kernels.
  absl::Status Give(const StepContext& step, uint64_t work) {
    const OpKernels& kernels = work_->kernels();
    const uint32_t number = step.number;
    const TraceOp& op = trace_.ops[number];
    const uint64_t reads = op.reads.size();
    const uint64_t sums = log_ + 8 * next_read_;
    const uint64_t chain = log_ + 8 * (reads_ + next_read_);
    next_read_ += reads;
    for (size_t r = 0; r < reads; ++r) {
      const Buffer& buffer = step.step.reads[r];
      absl::StatusOr<uint64_t> address = buffer.DeviceAddress();
      absl::Status status = address.status();
      if (status.ok()) status = kernels.AddDigest(work, *address, buffer.size(), sums + 8 * r);
      if (!status.ok()) return Annotate(status, DescribeTraceBuffer(trace_, op.reads[r]));
    }
    TENURE_RETURN_IF_ERROR(kernels.Chain(work, number, sums, reads, chain));
    for (size_t k = 0; k < op.writes.size(); ++k) {
      const TraceBuffer& b = trace_.buffers[op.writes[k]];
      const DeviceSeed seed = SeedAfterReads(number, k, reads, chain);
      const uint64_t size = step.step.writes[k].size();
      absl::StatusOr<uint64_t> address = step.step.writes[k].MutableDeviceAddress();
      absl::Status status = address.status();
      if (status.ok()) {
        status = b.strides.has_value() ? kernels.FillStrided(work, *address, size, seed, b.shape,
                                                             *b.strides, b.strided_item_bytes())
                                       : kernels.Fill(work, *address, size, seed);
      }
      if (!status.ok()) return Annotate(status, DescribeTraceBuffer(trace_, op.writes[k]));
    }
    return absl::OkStatus();
  }

  const Trace& trace_;
  const std::unique_ptr<DeviceWork> work_;
  uint64_t log_ = 0;  // a sum for each read of the trace, then a word of the chain for each
  uint64_t reads_ = 0;
  uint64_t next_read_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Executor>> MakeDeviceExecutor(const Trace& trace,
                                                             std::unique_ptr<DeviceWork> work) {
  auto executor = std::make_unique<DeviceExecutor>(trace, std::move(work));
  TENURE_RETURN_IF_ERROR(executor->Start());
  return executor;
}

}  // namespace tenure::cli
