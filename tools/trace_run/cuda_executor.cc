// What a DeviceExecutor needs of CUDA: a stream, the kernels, and words of device memory.

#include <memory>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tenure/allocator/cuda/cuda_allocator.h"
#include "tenure/allocator/cuda/stream.h"
#include "tenure/base/status_macros.h"
#include "tenure/tools/trace/cuda_kernels.h"
#include "tenure/tools/trace_run/device_executor.h"
#include "tenure/tools/trace_run/executor.h"

namespace tenure::cli {
namespace {

using cuda::Device;
using cuda::DeviceStream;

class CudaWork final : public DeviceWork {
 public:
  CudaWork(std::shared_ptr<Device> device, std::shared_ptr<DeviceStream> stream,
           std::unique_ptr<CudaKernels> kernels)
      : device_(std::move(device)), stream_(std::move(stream)), kernels_(std::move(kernels)) {}

  ~CudaWork() override {
    // Kernels may still use buffers of others, the words, and the code itself.
    stream_->Synchronize().IgnoreError();
    Device::Scope scope(*device_);
    if (words_ != 0 && scope.status().ok()) (void)device_->driver()->MemFree(words_);
  }

  std::string_view device_name() const override { return device_->info().name; }
  std::shared_ptr<Queue> queue() const override { return stream_; }
  const OpKernels& kernels() const override { return *kernels_; }

  absl::StatusOr<uint64_t> AllocateZeros(uint64_t words) override {
    {
      Device::Scope scope(*device_);
      if (!scope.status().ok()) return scope.status();
      TENURE_RETURN_IF_ERROR(TENURE_CU(device_->driver(), MemAlloc, &words_, 8 * words));
    }
    TENURE_RETURN_IF_ERROR(kernels_->Zero(stream_->native_handle(), words_, 8 * words));
    return words_;
  }

  absl::Status Submit(absl::FunctionRef<absl::Status(uint64_t work)> give) override {
    return give(stream_->native_handle());
  }

  absl::StatusOr<std::vector<uint64_t>> Read(uint64_t address, uint64_t words) override {
    TENURE_RETURN_IF_ERROR(stream_->Synchronize());
    std::vector<uint64_t> read(words);
    if (words == 0) return read;
    Device::Scope scope(*device_);
    TENURE_RETURN_IF_ERROR(scope.status());
    TENURE_RETURN_IF_ERROR(TENURE_CU(device_->driver(), MemcpyDtoHAsync, read.data(), address,
                                     8 * words,
                                     reinterpret_cast<CUstream>(stream_->native_handle())));
    TENURE_RETURN_IF_ERROR(stream_->Synchronize());
    return read;
  }

 private:
  const std::shared_ptr<Device> device_;
  const std::shared_ptr<DeviceStream> stream_;
  const std::unique_ptr<CudaKernels> kernels_;
  CUdeviceptr words_ = 0;
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
  return MakeDeviceExecutor(
      trace, std::make_unique<CudaWork>(std::move(device), std::move(stream), std::move(kernels)));
}

}  // namespace tenure::cli
