// Ops as kernels on a CUDA stream. Nothing comes back to the host before the end: digests are added
// up on the device, and what an op has read seeds its writes there.
//
//   op 3, two reads, one write      sums  | ... | s | s | ...      AddDigest, AddDigest
//                                   chain | ... | c | c | ...      Chain
//                                                     `------- Fill

#include <deque>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tenure/allocator/cuda/cuda_allocator.h"
#include "tenure/allocator/cuda/stream.h"
#include "tenure/tools/trace/cuda_kernels.h"
#include "tenure/tools/trace_run/executor.h"
#include "tenure/tools/trace_run/trace_job.h"

namespace tenure::cli {
namespace {

using cuda::Device;
using cuda::DeviceStream;

// How far the host may be ahead: enough that the device never waits, and little enough that what
// steps have dropped does not pile up.
constexpr size_t kOpsAhead = 128;

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
  CudaExecutor(const Trace& trace, Allocator& allocator, std::shared_ptr<Device> device,
               std::shared_ptr<DeviceStream> stream, std::unique_ptr<CudaKernels> kernels)
      : trace_(trace),
        allocator_(allocator),
        device_(std::move(device)),
        stream_(std::move(stream)),
        kernels_(std::move(kernels)),
        log_(device_) {}

  ~CudaExecutor() override {
    // Kernels may be using buffers of others, the log, and the code itself.
    stream_->Synchronize().IgnoreError();
  }

  // Room for the digests and the chain of all ops.
  absl::Status Start() {
    for (const TraceOp& op : trace_.ops) reads_ += op.reads.size();
    absl::Status status = log_.Allocate(2 * reads_);
    if (status.ok()) status = kernels_->Zero(stream_->handle(), log_.address(), 8 * 2 * reads_);
    return status;
  }

  std::string_view name() const override { return device_->info().name; }
  bool ReadsMappedFiles() const override { return false; }

  absl::Status Zero(const Buffer& storage) override {
    absl::StatusOr<uint64_t> address = storage.MutableDeviceAddress();
    if (!address.ok()) return address.status();
    absl::Status status = Order(storage, Access::kWrite);
    if (!status.ok()) return status;
    status = kernels_->Zero(stream_->handle(), *address, storage.size());
    if (!status.ok()) return status;
    absl::StatusOr<Fence> done = Record();
    // Without a record somebody might free what is still to be written.
    if (!done.ok()) return Drained(done.status());
    return storage.RecordUse(Access::kWrite, *done);
  }

  absl::Status RunOp(uint32_t number, const Step& step) override {
    absl::StatusOr<Addresses> at = Locate(number, step);
    if (absl::IsResourceExhausted(at.status()) && !ahead_.empty()) {
      // The host is ahead: what earlier ops have dropped is free when they are done.
      absl::Status status = stream_->Synchronize();
      if (!status.ok()) return status;
      allocator_.Poll();
      at = Locate(number, step);
    }
    if (!at.ok()) return at.status();
    for (const auto& [buffers, access] :
         {std::pair(&step.reads, Access::kRead), std::pair(&step.writes, Access::kWrite)}) {
      for (const Buffer& buffer : *buffers) {
        if (absl::Status status = Order(buffer, access); !status.ok()) return status;
      }
    }
    absl::Status status = Queue(number, step, *at);
    if (status.ok()) status = RecordUses(step);
    if (!status.ok()) return Drained(status);
    if (ahead_.size() <= kOpsAhead) return absl::OkStatus();
    status = ahead_.front().Wait();
    ahead_.pop_front();
    return status;
  }

  absl::StatusOr<ReadChain> Finish() override {
    std::vector<uint64_t> words(reads_);
    absl::Status status = stream_->Synchronize();
    if (status.ok() && reads_ != 0) {
      Device::Scope scope(*device_);
      status = scope.status();
      if (status.ok()) {
        status = TENURE_CU(device_->driver(), MemcpyDtoHAsync, words.data(), log_.at(reads_),
                           8 * reads_, reinterpret_cast<CUstream>(stream_->handle()));
      }
      if (status.ok()) status = stream_->Synchronize();
    }
    if (!status.ok()) {
      return absl::Status(status.code(), absl::StrCat("an op failed on ", device_->info().name,
                                                      ": ", status.message()));
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
  // Of an op's windows on the device.
  struct Addresses {
    std::vector<uint64_t> reads, writes;
  };

  absl::Status Annotate(const absl::Status& status, uint32_t id) const {
    return absl::Status(status.code(),
                        absl::StrCat(DescribeTraceBuffer(trace_, id), ": ", status.message()));
  }

  // Allocates what has no bytes yet.
  absl::StatusOr<Addresses> Locate(uint32_t number, const Step& step) const {
    const TraceOp& op = trace_.ops[number];
    Addresses at;
    for (size_t i = 0; i < step.reads.size(); ++i) {
      absl::StatusOr<uint64_t> address = step.reads[i].DeviceAddress();
      if (!address.ok()) return Annotate(address.status(), op.reads[i]);
      at.reads.push_back(*address);
    }
    for (size_t i = 0; i < step.writes.size(); ++i) {
      absl::StatusOr<uint64_t> address = step.writes[i].MutableDeviceAddress();
      if (!address.ok()) return Annotate(address.status(), op.writes[i]);
      at.writes.push_back(*address);
    }
    return at;
  }

  // The stream goes on behind the uses of others that an access has to wait for: copies, for
  // example. Its own are in order as it is.
  absl::Status Order(const Buffer& buffer, Access access) {
    for (const Fence& fence : buffer.PendingUses(access)) {
      if (fence.timeline() == own_timeline_) continue;
      absl::Status status = stream_->CanWaitFor(fence) ? stream_->WaitFor(fence) : fence.Wait();
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

  absl::Status Queue(uint32_t number, const Step& step, const Addresses& at) {
    const TraceOp& op = trace_.ops[number];
    const uint64_t stream = stream_->handle();
    const uint64_t reads = step.reads.size();
    const uint64_t sums = log_.at(next_read_);
    const uint64_t chain = log_.at(reads_ + next_read_);
    next_read_ += reads;
    for (size_t r = 0; r < reads; ++r) {
      absl::Status status =
          kernels_->AddDigest(stream, at.reads[r], step.reads[r].size(), sums + 8 * r);
      if (!status.ok()) return Annotate(status, op.reads[r]);
    }
    if (absl::Status status = kernels_->Chain(stream, number, sums, reads, chain); !status.ok()) {
      return status;
    }
    for (size_t k = 0; k < step.writes.size(); ++k) {
      const TraceBuffer& b = trace_.buffers[op.writes[k]];
      const CudaKernels::Seed seed = CudaKernels::AfterReads(number, k, reads, chain);
      const uint64_t size = step.writes[k].size();
      absl::Status status = b.strides.has_value()
                                ? kernels_->FillStrided(stream, at.writes[k], size, seed, b.shape,
                                                        *b.strides, b.strided_item_bytes())
                                : kernels_->Fill(stream, at.writes[k], size, seed);
      if (!status.ok()) return Annotate(status, op.writes[k]);
    }
    return absl::OkStatus();
  }

  absl::Status RecordUses(const Step& step) {
    absl::StatusOr<Fence> done = Record();
    if (!done.ok()) return done.status();
    ahead_.push_back(*done);
    absl::Status status;
    for (const Buffer& buffer : step.reads) status.Update(buffer.RecordUse(Access::kRead, *done));
    for (const Buffer& buffer : step.writes) status.Update(buffer.RecordUse(Access::kWrite, *done));
    return status;
  }

  absl::StatusOr<Fence> Record() {
    absl::StatusOr<Fence> done = stream_->Record();
    if (done.ok()) own_timeline_ = done->timeline();
    return done;
  }

  // The error, after what is queued is done: its uses are not on record.
  absl::Status Drained(absl::Status status) {
    stream_->Synchronize().IgnoreError();
    return status;
  }

  const Trace& trace_;
  Allocator& allocator_;
  const std::shared_ptr<Device> device_;
  const std::shared_ptr<DeviceStream> stream_;
  const std::unique_ptr<CudaKernels> kernels_;
  DeviceWords log_;  // a sum for each read of the trace, then a word of the chain for each
  uint64_t reads_ = 0;
  uint64_t next_read_ = 0;
  std::shared_ptr<Timeline> own_timeline_;
  std::deque<Fence> ahead_;  // of the last ops
};

}  // namespace

absl::StatusOr<std::unique_ptr<Executor>> MakeCudaExecutor(const Trace& trace,
                                                           Allocator& allocator) {
  auto* engine = allocator.Capability<cuda::EngineCapability>();
  if (engine == nullptr) {
    return absl::UnimplementedError(
        absl::StrCat("the allocator of ", allocator.space().ToString(),
                     " is none of CUDA's, so there is no device to run ops on"));
  }
  std::shared_ptr<Device> device = engine->engine().device();
  absl::StatusOr<std::unique_ptr<CudaKernels>> kernels = CudaKernels::Load(device);
  if (!kernels.ok()) return kernels.status();
  absl::StatusOr<std::shared_ptr<DeviceStream>> stream = DeviceStream::Create(device);
  if (!stream.ok()) return stream.status();
  auto executor = std::make_unique<CudaExecutor>(trace, allocator, std::move(device),
                                                 *std::move(stream), *std::move(kernels));
  if (absl::Status status = executor->Start(); !status.ok()) return status;
  return executor;
}

}  // namespace tenure::cli
