#include "tenure/tools/trace/cuda_kernels.h"

#include <algorithm>
#include <initializer_list>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tenure/allocator/cuda/device.h"
#include "tenure/base/annotate.h"
#include "tenure/base/status_macros.h"
#include "tenure/tools/trace/reference_kernel.h"
#include "tenure/tools/trace/reference_kernel_image.h"
#include "tenure/tools/trace/reference_kernel_params.h"
#include "tenure/tools/trace/strided_walk.h"

namespace tenure {
namespace {

using cuda::Device;
using tenure_kernel::ApartWindow;
using tenure_kernel::kBlocksPerMultiprocessor;
using tenure_kernel::kThreads;
using tenure_kernel::OrderedWindow;

constexpr uint64_t kPairBytes = 16;  // the bytes that a thread handles at a time

absl::Status Launch(const Device& device, CUfunction function, unsigned blocks, unsigned threads,
                    uint64_t stream, std::initializer_list<const void*> parameters) {
  Device::Scope scope(device);
  if (!scope.status().ok()) return scope.status();
  void* pointers[8] = {};
  size_t count = 0;
  // The driver only reads the parameters.
  for (const void* parameter : parameters) pointers[count++] = const_cast<void*>(parameter);
  return TENURE_CU(device.driver(), LaunchKernel, function, blocks, 1, 1, threads, 1, 1, 0,
                   reinterpret_cast<CUstream>(stream), pointers, nullptr);
}

}  // namespace

struct CudaKernels::Functions {
  CUmodule module = nullptr;
  CUfunction digest = nullptr;
  CUfunction chain = nullptr;
  CUfunction fill = nullptr;
  CUfunction fill_apart = nullptr;
  CUfunction fill_ordered = nullptr;
};

CudaKernels::CudaKernels(std::shared_ptr<cuda::Device> device, std::unique_ptr<Functions> functions)
    : device_(std::move(device)), functions_(std::move(functions)) {}

absl::StatusOr<std::unique_ptr<CudaKernels>> CudaKernels::Load(
    std::shared_ptr<cuda::Device> device) {
  return Load(std::move(device), ReferenceKernelImage());
}

absl::StatusOr<std::unique_ptr<CudaKernels>> CudaKernels::Load(std::shared_ptr<cuda::Device> device,
                                                               const EmbeddedImage& image) {
  if (image.size == 0) {
    return absl::UnimplementedError(
        absl::StrCat("this program was built without kernels for CUDA: ", image.why_missing,
                     "; build it where the CUDA Toolkit's nvcc is, or use --space=cpu"));
  }
  const cuda::Driver& driver = device->driver();
  Device::Scope scope(*device);
  if (!scope.status().ok()) return scope.status();
  // Owns the module from here on, also if a later call fails.
  auto kernels = std::unique_ptr<CudaKernels>(
      new CudaKernels(std::move(device), std::make_unique<Functions>()));
  Functions& functions = *kernels->functions_;
  absl::Status status = TENURE_CU(driver, ModuleLoadData, &functions.module, image.bytes);
  if (!status.ok()) {
    return Annotate(status, absl::StrCat("the reference kernel does not load on ",
                                         kernels->device_->info().name));
  }
  const std::pair<const char*, CUfunction*> names[] = {
      {"tenure_digest", &functions.digest},
      {"tenure_chain", &functions.chain},
      {"tenure_fill", &functions.fill},
      {"tenure_fill_apart", &functions.fill_apart},
      {"tenure_fill_ordered", &functions.fill_ordered},
  };
  for (const auto& [name, function] : names) {
    status = TENURE_CU(driver, ModuleGetFunction, function, functions.module, name);
    if (!status.ok()) return Annotate(status, name);
  }
  return kernels;
}

CudaKernels::~CudaKernels() {
  if (functions_->module == nullptr) return;
  // If the device is lost, there is nothing left to unload.
  Device::Scope scope(*device_);
  if (scope.status().ok()) device_->driver()->ModuleUnload(functions_->module);
}

unsigned CudaKernels::BlocksFor(uint64_t threads) const {
  const uint64_t room = kBlocksPerMultiprocessor *
                        static_cast<uint64_t>(std::max(1, device_->info().multiprocessors));
  const uint64_t wanted = threads / kThreads + (threads % kThreads != 0 ? 1 : 0);
  return static_cast<unsigned>(std::clamp<uint64_t>(wanted, 1, room));
}

absl::Status CudaKernels::AddDigest(uint64_t work, uint64_t window, uint64_t size_bytes,
                                    uint64_t sum) const {
  if (size_bytes == 0) return absl::OkStatus();
  return Launch(*device_, functions_->digest, BlocksFor(size_bytes / kPairBytes), kThreads, work,
                {&window, &size_bytes, &sum});
}

absl::Status CudaKernels::Chain(uint64_t work, uint64_t op_index, uint64_t digests, uint64_t reads,
                                uint64_t chain) const {
  if (reads == 0) return absl::OkStatus();
  const uint64_t start = Mix(op_index + 1);
  return Launch(*device_, functions_->chain, 1, 1, work, {&start, &digests, &reads, &chain});
}

absl::Status CudaKernels::Fill(uint64_t work, uint64_t window, uint64_t size_bytes,
                               DeviceSeed seed) const {
  if (size_bytes == 0) return absl::OkStatus();
  return Launch(*device_, functions_->fill, BlocksFor(size_bytes / kPairBytes), kThreads, work,
                {&window, &size_bytes, &seed.address, &seed.plus});
}

absl::Status CudaKernels::FillStrided(uint64_t work, uint64_t window, uint64_t size_bytes,
                                      DeviceSeed seed, absl::Span<const uint64_t> shape,
                                      absl::Span<const uint64_t> strides,
                                      uint64_t item_bytes) const {
  TENURE_ASSIGN_OR_RETURN(StridedWalk walk,
                          PlanStridedWalk(size_bytes, shape, strides, item_bytes));
  seed.plus += walk.seed_plus;
  if (const auto* apart = std::get_if<ApartWindow>(&walk.window)) {
    return Launch(*device_, functions_->fill_apart, BlocksFor(apart->elements), kThreads, work,
                  {&window, &seed.address, &seed.plus, apart});
  }
  if (const auto* ordered = std::get_if<OrderedWindow>(&walk.window)) {
    const unsigned blocks = BlocksFor(std::min(ordered->outer, ~uint64_t{0} / kThreads) * kThreads);
    const auto threads = static_cast<unsigned>(std::min<uint64_t>(ordered->inner, kThreads));
    return Launch(*device_, functions_->fill_ordered, blocks, threads, work,
                  {&window, &seed.address, &seed.plus, ordered});
  }
  return absl::OkStatus();
}

absl::Status CudaKernels::Zero(uint64_t work, uint64_t window, uint64_t size_bytes) const {
  if (size_bytes == 0) return absl::OkStatus();
  Device::Scope scope(*device_);
  if (!scope.status().ok()) return scope.status();
  return TENURE_CU(device_->driver(), MemsetD8Async, window, 0, size_bytes,
                   reinterpret_cast<CUstream>(work));
}

}  // namespace tenure
