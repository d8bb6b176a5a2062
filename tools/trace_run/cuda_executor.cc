// Runs ops as kernels on a CUDA stream. Nothing comes back to the host before the end: digests are
// added up on the device, and the bytes that an op has read seed its writes there.
//
//   op 3, two reads, one write      sums  | ... | s | s | ...      AddDigest, AddDigest
//                                   chain | ... | c | c | ...      Chain
//                                                     `------- Fill

#include <memory>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tenure/allocator/cuda/cuda_allocator.h"
#include "tenure/allocator/cuda/stream.h"
#include "tenure/base/annotate.h"
#include "tenure/base/status_macros.h"
#include "tenure/tools/trace/cuda_kernels.h"
#include "tenure/tools/trace_run/executor.h"
#include "tenure/tools/trace_run/trace_job.h"

namespace tenure::cli {
namespace {

using cuda::Device;
using cuda::DeviceStream;

// Words of device memory.
class DeviceWords {
 public:
  explicit DeviceWords(std::shared_ptr<Device> device) : device_(std::move(device)) {}
  ~DeviceWords() {
    Device::Scope scope(*device_);
    if (address_ != 0 && scope.status().ok()) (void)device_->driver()->MemFree(address_);
  }
  DeviceWords(const DeviceWords&) = delete;
  DeviceWords& operator=(const DeviceWords&) = delete;

  absl::Status Allocate(uint64_t count) {
    Device::Scope scope(*device_);
    if (!scope.status().ok() || count == 0) return scope.status();
    return TENURE_CU(device_->driver(), MemAlloc, &address_, 8 * count);
  }
  uint64_t at(uint64_t index) const { return address_ + 8 * index; }
  uint64_t address() const { return address_; }

 private:
  const std::shared_ptr<Device> device_;
  CUdeviceptr address_ = 0;
};

class CudaExecutor final : public Executor {
 public:
  CudaExecutor(const Trace& trace, std::shared_ptr<Device> device, std::shared_ptr<Queue> stream,
               std::unique_ptr<CudaKernels> kernels)
      : trace_(trace),
        device_(std::move(device)),
        stream_(std::move(stream)),
        kernels_(std::move(kernels)),
        log_(device_) {}

  ~CudaExecutor() override {
    // Kernels may still use buffers of others, the log, and the code itself.
    stream_->Synchronize().IgnoreError();
  }

  // Allocates room for the digests and the chain of all ops.
  absl::Status Start() {
    for (const TraceOp& op : trace_.ops) reads_ += op.reads.size();
    absl::Status status = log_.Allocate(2 * reads_);
    if (status.ok())
      status = kernels_->Zero(stream_->native_handle(), log_.address(), 8 * 2 * reads_);
    return status;
  }

  std::string_view name() const override { return device_->info().name; }
  bool ReadsMappedFiles() const override { return false; }

  std::shared_ptr<Queue> queue() const override { return stream_; }
  // Enough steps that the device never waits, and few enough that released memory does not
  // accumulate.
  uint32_t max_steps_ahead() const override { return 128; }

  absl::Status Launch(const StepContext& step) override {
    const uint32_t number = step.number;
    const TraceOp& op = trace_.ops[number];
    const uint64_t stream = stream_->native_handle();
    const uint64_t reads = op.reads.size();
    const uint64_t sums = log_.at(next_read_);
    const uint64_t chain = log_.at(reads_ + next_read_);
    next_read_ += reads;
    for (size_t r = 0; r < reads; ++r) {
      const Buffer& buffer = step.step.reads[r];
      absl::StatusOr<uint64_t> address = buffer.DeviceAddress();
      if (!address.ok())
        return Annotate(address.status(), DescribeTraceBuffer(trace_, op.reads[r]));
      absl::Status status = kernels_->AddDigest(stream, *address, buffer.size(), sums + 8 * r);
      if (!status.ok()) return Annotate(status, DescribeTraceBuffer(trace_, op.reads[r]));
    }
    TENURE_RETURN_IF_ERROR(kernels_->Chain(stream, number, sums, reads, chain));
    for (size_t k = 0; k < op.writes.size(); ++k) {
      const TraceBuffer& b = trace_.buffers[op.writes[k]];
      const CudaKernels::Seed seed = CudaKernels::AfterReads(number, k, reads, chain);
      const uint64_t size = step.step.writes[k].size();
      absl::StatusOr<uint64_t> address = step.step.writes[k].MutableDeviceAddress();
      if (!address.ok())
        return Annotate(address.status(), DescribeTraceBuffer(trace_, op.writes[k]));
      absl::Status status = b.strides.has_value()
                                ? kernels_->FillStrided(stream, *address, size, seed, b.shape,
                                                        *b.strides, b.strided_item_bytes())
                                : kernels_->Fill(stream, *address, size, seed);
      if (!status.ok()) return Annotate(status, DescribeTraceBuffer(trace_, op.writes[k]));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<ReadChain> Finish() override {
    std::vector<uint64_t> words(reads_);
    absl::Status status = stream_->Synchronize();
    if (status.ok() && reads_ != 0) {
      Device::Scope scope(*device_);
      status = scope.status();
      if (status.ok()) {
        status = TENURE_CU(device_->driver(), MemcpyDtoHAsync, words.data(), log_.at(reads_),
                           8 * reads_, reinterpret_cast<CUstream>(stream_->native_handle()));
      }
      if (status.ok()) status = stream_->Synchronize();
    }
    if (!status.ok()) {
      return Annotate(status, absl::StrCat("an op failed on ", device_->info().name));
    }
    ReadChain chain;
    auto next = words.begin();
    for (const TraceOp& op : trace_.ops) {
      chain.emplace_back(next, next + static_cast<ptrdiff_t>(op.reads.size()));
      next += static_cast<ptrdiff_t>(op.reads.size());
    }
    return chain;
  }

 private:
  const Trace& trace_;
  const std::shared_ptr<Device> device_;
  const std::shared_ptr<Queue> stream_;
  const std::unique_ptr<CudaKernels> kernels_;
  DeviceWords log_;  // a sum for each read of the trace, then a word of the chain for each
  uint64_t reads_ = 0;
  uint64_t next_read_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Executor>> MakeCudaExecutor(const Trace& trace,
                                                           Allocator& allocator) {
  auto* engine = allocator.Capability<cuda::EngineCapability>();
  if (engine == nullptr) {
    return absl::UnimplementedError(
        absl::StrCat("the allocator of ", allocator.space().ToString(),
                     " is not a CUDA space, so there is no device to run ops on"));
  }
  std::shared_ptr<Device> device = engine->engine().device();
  TENURE_ASSIGN_OR_RETURN(std::unique_ptr<CudaKernels> kernels, CudaKernels::Load(device));
  TENURE_ASSIGN_OR_RETURN(std::shared_ptr<DeviceStream> stream, DeviceStream::Create(device));
  auto executor = std::make_unique<CudaExecutor>(trace, std::move(device), std::move(stream),
                                                 std::move(kernels));
  TENURE_RETURN_IF_ERROR(executor->Start());
  return executor;
}

}  // namespace tenure::cli
