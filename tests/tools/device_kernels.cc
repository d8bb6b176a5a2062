#include "tenure/tests/tools/device_kernels.h"

#include <algorithm>
#include <utility>

namespace tenure {

using cuda::Device;

absl::StatusOr<std::unique_ptr<DeviceKernels>> DeviceKernels::Make(
    std::shared_ptr<cuda::Device> device, const EmbeddedImage& image) {
  auto made = std::unique_ptr<DeviceKernels>(new DeviceKernels());
  made->device_ = device;
  auto stream = cuda::DeviceStream::Create(device);
  if (!stream.ok()) return stream.status();
  made->stream_ = *std::move(stream);
  auto kernels = CudaKernels::Load(std::move(device), image);
  if (!kernels.ok()) return kernels.status();
  made->kernels_ = *std::move(kernels);
  return made;
}

DeviceKernels::~DeviceKernels() {
  if (stream_ != nullptr) Synchronize().IgnoreError();
  while (!owned_.empty()) Free(owned_.back());
}

absl::StatusOr<uint64_t> DeviceKernels::Allocate(uint64_t size) {
  Device::Scope scope(*device_);
  if (!scope.status().ok()) return scope.status();
  CUdeviceptr address = 0;
  absl::Status status = TENURE_CU(device_->driver(), MemAlloc, &address, size);
  if (!status.ok()) return status;
  owned_.push_back(address);
  return address;
}

void DeviceKernels::Free(uint64_t address) {
  Device::Scope scope(*device_);
  (void)device_->driver()->MemFree(address);
  owned_.erase(std::remove(owned_.begin(), owned_.end(), address), owned_.end());
}

absl::Status DeviceKernels::CopyIn(uint64_t to, const void* from, uint64_t size) {
  if (size == 0) return absl::OkStatus();
  Device::Scope scope(*device_);
  if (!scope.status().ok()) return scope.status();
  absl::Status status = TENURE_CU(device_->driver(), MemcpyHtoDAsync, to, from, size,
                                  reinterpret_cast<CUstream>(stream()));
  if (status.ok()) status = Synchronize();
  return status;
}

absl::Status DeviceKernels::CopyOut(void* to, uint64_t from, uint64_t size) {
  if (size == 0) return absl::OkStatus();
  Device::Scope scope(*device_);
  if (!scope.status().ok()) return scope.status();
  absl::Status status = TENURE_CU(device_->driver(), MemcpyDtoHAsync, to, from, size,
                                  reinterpret_cast<CUstream>(stream()));
  if (status.ok()) status = Synchronize();
  return status;
}

absl::Status DeviceKernels::CopyOnDevice(uint64_t to, uint64_t from, uint64_t size) {
  Device::Scope scope(*device_);
  if (!scope.status().ok()) return scope.status();
  return TENURE_CU(device_->driver(), MemcpyDtoDAsync, to, from, size,
                   reinterpret_cast<CUstream>(stream()));
}

absl::Status DeviceKernels::On(const Memory& memory, uint64_t size,
                               const std::function<absl::Status(uint64_t)>& work, Memory* back) {
  absl::StatusOr<uint64_t> address = Allocate(std::max<uint64_t>(1, size));
  if (!address.ok()) return address.status();
  absl::Status status = CopyIn(*address, memory.data(), size);
  if (status.ok()) status = work(*address);
  if (status.ok() && back != nullptr) status = CopyOut(back->data(), *address, size);
  if (status.ok()) status = Synchronize();
  Free(*address);
  return status;
}

absl::Status DeviceKernels::AddDigest(const Memory& memory, uint64_t offset, uint64_t size,
                                      uint64_t& sum) {
  absl::StatusOr<uint64_t> word = Allocate(8);
  if (!word.ok()) return word.status();
  absl::Status status = CopyIn(*word, &sum, 8);
  if (status.ok()) {
    status = On(
        memory, offset + size,
        [&](uint64_t at) { return kernels_->AddDigest(stream(), at + offset, size, *word); },
        nullptr);
  }
  if (status.ok()) status = CopyOut(&sum, *word, 8);
  Free(*word);
  return status;
}

// A part of each seed is read from the device when the kernel runs.
absl::Status DeviceKernels::Fill(Memory& memory, uint64_t offset, uint64_t size, uint64_t seed) {
  const uint64_t part = 77;
  absl::StatusOr<uint64_t> word = Allocate(8);
  if (!word.ok()) return word.status();
  absl::Status status = CopyIn(*word, &part, 8);
  if (status.ok()) {
    status = On(
        memory, offset + size,
        [&](uint64_t at) {
          return kernels_->Fill(stream(), at + offset, size, {*word, seed - part});
        },
        &memory);
  }
  Free(*word);
  return status;
}

absl::Status DeviceKernels::FillStrided(Memory& memory, uint64_t offset, uint64_t size,
                                        uint64_t seed, const std::vector<uint64_t>& shape,
                                        const std::vector<uint64_t>& strides, uint64_t item_bytes) {
  return On(
      memory, offset + size,
      [&](uint64_t at) {
        return kernels_->FillStrided(stream(), at + offset, size, {0, seed}, shape, strides,
                                     item_bytes);
      },
      &memory);
}

}  // namespace tenure
