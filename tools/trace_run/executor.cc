#include "tenure/tools/trace_run/executor.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "tenure/allocator/copy/host_queue.h"
#include "tenure/allocator/cuda/spaces.h"
#include "tenure/allocator/vulkan/spaces.h"
#include "tenure/base/annotate.h"
#include "tenure/base/status_macros.h"
#include "tenure/tools/trace/reference_kernel.h"
#include "tenure/tools/trace_run/trace_job.h"

namespace tenure::cli {
namespace {

absl::StatusOr<absl::Span<const uint8_t>> ReadSpan(const Buffer& buffer) {
  TENURE_ASSIGN_OR_RETURN(const void* pointer, buffer.HostPointer());
  return absl::MakeConstSpan(static_cast<const uint8_t*>(pointer), buffer.size());
}

absl::StatusOr<absl::Span<uint8_t>> WriteSpan(const Buffer& buffer) {
  TENURE_ASSIGN_OR_RETURN(void* pointer, buffer.MutableHostPointer());
  return absl::MakeSpan(static_cast<uint8_t*>(pointer), buffer.size());
}

// Runs ops directly on the bytes of the buffers, on a thread of its own.
class HostExecutor final : public Executor {
 public:
  HostExecutor(const Trace& trace, int threads, std::shared_ptr<HostQueue> queue)
      : trace_(trace), threads_(threads), chain_(trace.ops.size()), queue_(std::move(queue)) {}

  ~HostExecutor() override { queue_->Synchronize().IgnoreError(); }

  std::string_view name() const override { return "host"; }
  bool ReadsMappedFiles() const override { return true; }
  std::shared_ptr<Queue> queue() const override { return queue_; }
  // An op uses all threads, so running ahead brings nothing, and memory is released sooner without
  // it.
  uint32_t max_steps_ahead() const override { return 0; }

  absl::Status Launch(const StepContext& step) override {
    const TraceOp& op = trace_.ops[step.number];
    std::vector<absl::Span<const uint8_t>> reads;
    std::vector<KernelWrite> writes;
    for (size_t i = 0; i < op.reads.size(); ++i) {
      absl::StatusOr<absl::Span<const uint8_t>> span = ReadSpan(step.step.reads[i]);
      if (!span.ok()) return Annotate(span.status(), DescribeTraceBuffer(trace_, op.reads[i]));
      reads.push_back(*span);
    }
    for (size_t i = 0; i < op.writes.size(); ++i) {
      absl::StatusOr<absl::Span<uint8_t>> span = WriteSpan(step.step.writes[i]);
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
    return queue_->Enqueue(
        [this, number = step.number, reads = std::move(reads), writes = std::move(writes)] {
          return RunReferenceOp(number, reads, writes, threads_, &chain_[number]);
        });
  }

  absl::StatusOr<ReadChain> Finish() override {
    TENURE_RETURN_IF_ERROR(queue_->Synchronize());
    return std::move(chain_);
  }

 private:
  const Trace& trace_;
  const int threads_;
  ReadChain chain_;
  const std::shared_ptr<HostQueue> queue_;
};

// The drivers whose devices run ops. Ops in other spaces run on the host.
struct DeviceDriver {
  std::string_view name;
  absl::StatusOr<std::unique_ptr<Executor>> (*make)(const Trace& trace, Allocator& allocator);
};
constexpr DeviceDriver kDeviceDrivers[] = {
    {cuda::kDriverName, &MakeCudaExecutor},
    {vulkan::kDriverName, &MakeVulkanExecutor},
};

const DeviceDriver* DeviceDriverOf(const Allocator& allocator) {
  for (const DeviceDriver& driver : kDeviceDrivers) {
    if (allocator.space().kind().driver() == driver.name) return &driver;
  }
  return nullptr;
}

}  // namespace

absl::Status CheckCanRun(const Allocator& allocator) {
  const SpaceTraits& traits = allocator.traits();
  if (DeviceDriverOf(allocator) != nullptr ||
      (traits.has_bytes && traits.host_readable && traits.host_writable)) {
    return absl::OkStatus();
  }
  const std::string space = allocator.space().ToString();
  const std::string_view why = !traits.has_bytes       ? "has no bytes"
                               : !traits.host_writable ? "can't be written by the host"
                                                       : "can't be read by the host";
  return absl::UnimplementedError(absl::StrCat(
      "ops run on the host or on a device of CUDA or Vulkan, and the space ", space, " ", why,
      "; run with --space=cpu, or look at the plan alone with 'tenure plan --space=", space, "'"));
}

absl::StatusOr<std::unique_ptr<Executor>> MakeExecutor(const Trace& trace, Allocator& allocator,
                                                       int threads) {
  TENURE_RETURN_IF_ERROR(CheckCanRun(allocator));
  if (const DeviceDriver* driver = DeviceDriverOf(allocator)) return driver->make(trace, allocator);
  TENURE_ASSIGN_OR_RETURN(std::shared_ptr<HostQueue> queue, HostQueue::Create());
  return std::make_unique<HostExecutor>(trace, threads, std::move(queue));
}

}  // namespace tenure::cli
