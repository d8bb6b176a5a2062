// The entry points of PyTorch's pluggable CUDA allocator: an unchanged program allocates from tenure's
// pools.
//
//   allocator = torch.cuda.memory.CUDAPluggableAllocator(
//       "libtenure_torch.so", "tenure_torch_alloc", "tenure_torch_free")
//   torch.cuda.memory.change_current_allocator(allocator)   # before the first tensor
//
// A request that can't be met throws std::runtime_error with the library's text, which PyTorch turns
// into a Python exception. Two things are not supported. CUDA graphs: PyTorch gives its own pools to them.
// Streams of others (torch.cuda.ExternalStream) that are destroyed while the process goes on: the
// driver may give the handle again, and the new stream would pass for the old one.
//
// Thread safety: thread-safe.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "tenure/allocator/cuda/cuda.h"
#include "tenure/allocator/cuda/spaces.h"
#include "tenure/allocator/memory_space.h"
#include "tenure/allocator/registry.h"
#include "tenure/base/status_macros.h"
#include "tenure/tools/torch/stream_allocator.h"

namespace tenure {
namespace {

// The devices that are in use. Never destroyed: PyTorch frees tensors while the process ends.
class Devices {
 public:
  static Devices& Get() {
    static auto* const devices = new Devices;
    return *devices;
  }

  absl::StatusOr<StreamAllocator*> MemoryOf(int device) ABSL_LOCKS_EXCLUDED(mutex_) {
    {
      absl::MutexLock lock(&mutex_);
      if (const auto found = memory_.find(device); found != memory_.end()) {
        return found->second.get();
      }
    }
    TENURE_ASSIGN_OR_RETURN(Allocator* const allocator,
                            Registry::Default().Get(MemorySpace::Device(
                                cuda::kDeviceSpace, static_cast<uint32_t>(device))));
    absl::MutexLock lock(&mutex_);
    std::unique_ptr<StreamAllocator>& made = memory_[device];
    if (made == nullptr) made = std::make_unique<StreamAllocator>(*allocator);
    return made.get();
  }

  // The device whose memory has the address, and its memory; null if none has.
  std::pair<int, StreamAllocator*> OwnerOf(const void* data) ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    for (const auto& [device, memory] : memory_) {
      if (memory->Has(data)) return {device, memory.get()};
    }
    return {0, nullptr};
  }

  // PyTorch's own streams live as long as the process, so a handle is always the same stream.
  absl::StatusOr<std::shared_ptr<Queue>> StreamOf(int device, const void* handle)
      ABSL_LOCKS_EXCLUDED(mutex_) {
    const std::pair<int, const void*> key(device, handle);
    {
      absl::MutexLock lock(&mutex_);
      if (const auto found = streams_.find(key); found != streams_.end()) return found->second;
    }
    TENURE_ASSIGN_OR_RETURN(
        std::shared_ptr<cuda::Stream> stream,
        cuda::Stream::Wrap(static_cast<uint32_t>(device), reinterpret_cast<uint64_t>(handle)));
    absl::MutexLock lock(&mutex_);
    return streams_.try_emplace(key, std::move(stream)).first->second;
  }

 private:
  absl::Mutex mutex_;
  absl::flat_hash_map<int, std::unique_ptr<StreamAllocator>> memory_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<std::pair<int, const void*>, std::shared_ptr<Queue>> streams_
      ABSL_GUARDED_BY(mutex_);
};

absl::StatusOr<void*> Allocate(size_t size, int device, const void* stream) {
  TENURE_ASSIGN_OR_RETURN(StreamAllocator* const memory, Devices::Get().MemoryOf(device));
  TENURE_ASSIGN_OR_RETURN(const std::shared_ptr<Queue> queue,
                          Devices::Get().StreamOf(device, stream));
  return memory->Allocate(size, queue);
}

// PyTorch calls these from destructors, so an error is said, and no exception leaves them.
template <typename Function>
void SayErrorOf(const Function& function) noexcept {
  try {
    const absl::Status status = function();
    if (!status.ok()) {
      std::fprintf(stderr, "tenure_torch: %s\n", std::string(status.message()).c_str());
    }
  } catch (const std::exception& thrown) {
    std::fprintf(stderr, "tenure_torch: %s\n", thrown.what());
  }
}

}  // namespace
}  // namespace tenure

#define TENURE_TORCH_API extern "C" __attribute__((visibility("default")))

TENURE_TORCH_API void* tenure_torch_alloc(size_t size, int device, void* stream) {
  absl::StatusOr<void*> made = tenure::Allocate(size, device, stream);
  if (!made.ok()) throw std::runtime_error(std::string(made.status().message()));
  return *made;
}

TENURE_TORCH_API void tenure_torch_free(void* data, size_t /*size*/, int device, void* /*stream*/) {
  tenure::SayErrorOf([&]() -> absl::Status {
    TENURE_ASSIGN_OR_RETURN(tenure::StreamAllocator* const memory,
                            tenure::Devices::Get().MemoryOf(device));
    return memory->Free(data);
  });
}

// For set_record_stream_fn of the allocator, so that Tensor.record_stream has its effect. PyTorch does
// not name the device.
TENURE_TORCH_API void tenure_torch_record_stream(void* data, void* stream) {
  tenure::SayErrorOf([&]() -> absl::Status {
    const auto [device, memory] = tenure::Devices::Get().OwnerOf(data);
    if (memory == nullptr) return absl::OkStatus();  // PyTorch asks for memory of others too
    TENURE_ASSIGN_OR_RETURN(const std::shared_ptr<tenure::Queue> queue,
                            tenure::Devices::Get().StreamOf(device, stream));
    return memory->RecordStream(data, queue);
  });
}

// Bytes that the pool of a device has taken from the driver; 0 before the first allocation.
TENURE_TORCH_API uint64_t tenure_torch_reserved_bytes(int device) {
  absl::StatusOr<tenure::StreamAllocator*> memory = tenure::Devices::Get().MemoryOf(device);
  return memory.ok() ? (*memory)->allocator().Stats().reserved_bytes : 0;
}
