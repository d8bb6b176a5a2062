// Entry points for memory and semaphores of other APIs. A descriptor of memory is a file, in which the
// bytes are; FakeOptions says what descriptors of semaphores stand for.

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tenure/tests/allocator/cuda/fake/fake_driver_state.h"

namespace tenure::cuda::fake {
namespace {

constexpr absl::Duration kLook = absl::Microseconds(50);

uint64_t FileBytes(int fd) {
  struct stat info = {};
  return fstat(fd, &info) == 0 ? static_cast<uint64_t>(info.st_size) : 0;
}

CUresult ImportExternalMemory(CUexternalMemory* out,
                              const CUDA_EXTERNAL_MEMORY_HANDLE_DESC* description) {
  TENURE_FAKE_CALL("cuImportExternalMemory", kContext);
  if (out == nullptr || description == nullptr || description->size == 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (description->type != CU_EXTERNAL_MEMORY_HANDLE_TYPE_OPAQUE_FD) {
    return CUDA_ERROR_NOT_SUPPORTED;
  }
  ExternalObject made;
  made.fd = description->handle.fd;
  made.size_bytes = description->size;
  made.device = s.CurrentDevice();
  made.offset = s.options.external_memory_offset;
  const uint64_t file = FileBytes(made.fd);
  if (file < made.offset || file - made.offset < made.size_bytes) return CUDA_ERROR_INVALID_VALUE;
  *out = s.NewHandle<CUexternalMemory>();
  s.external_memories[*out] = made;
  return CUDA_SUCCESS;
}

CUresult ExternalMemoryGetMappedBuffer(CUdeviceptr* out, CUexternalMemory handle,
                                       const CUDA_EXTERNAL_MEMORY_BUFFER_DESC* range) {
  TENURE_FAKE_CALL("cuExternalMemoryGetMappedBuffer", kContext);
  auto found = s.external_memories.find(handle);
  if (found == s.external_memories.end()) {
    return s.Violate(
        absl::StrCat("cuExternalMemoryGetMappedBuffer: the memory is ", s.WhyNot(handle)),
        CUDA_ERROR_INVALID_HANDLE);
  }
  const ExternalObject& object = found->second;
  if (range == nullptr || range->flags != 0 || range->size == 0 ||
      range->offset > object.size_bytes || range->size > object.size_bytes - range->offset) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  auto region = std::make_shared<Region>();
  region->kind = Region::kExternal;
  region->size_bytes = range->size;
  region->device = object.device;
  region->file_offset = object.offset + range->offset;
  region->mapped_bytes = region->file_offset + range->size;
  void* bytes =
      mmap(nullptr, region->mapped_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, object.fd, 0);
  if (bytes == MAP_FAILED) return CUDA_ERROR_OUT_OF_MEMORY;
  region->bytes = static_cast<std::byte*>(bytes) + region->file_offset;
  region->base = (s.next_address + kGranularity - 1) / kGranularity * kGranularity;
  s.next_address = region->base + range->size + kGranularity;
  region->id = s.next_id++;
  s.regions[region->base] = region;
  *out = region->base;
  return CUDA_SUCCESS;
}

CUresult DestroyExternalMemory(CUexternalMemory handle) {
  TENURE_FAKE_CALL("cuDestroyExternalMemory", kContext);
  auto found = s.external_memories.find(handle);
  if (found == s.external_memories.end()) {
    return s.Violate(absl::StrCat("cuDestroyExternalMemory: the memory is ", s.WhyNot(handle)),
                     CUDA_ERROR_INVALID_HANDLE);
  }
  close(found->second.fd);
  s.external_memories.erase(found);
  return CUDA_SUCCESS;
}

// A counter at the beginning of a file.
FakeSemaphore CounterIn(int fd) {
  void* mapped = mmap(nullptr, sizeof(uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (mapped == MAP_FAILED) return {};
  std::shared_ptr<std::atomic<uint64_t>> counter(
      static_cast<std::atomic<uint64_t>*>(mapped),
      [](std::atomic<uint64_t>* c) { munmap(c, sizeof(uint64_t)); });
  return {.value = [counter] { return counter->load(); },
          .raise = [counter](uint64_t value) { counter->store(value); }};
}

CUresult ImportExternalSemaphore(CUexternalSemaphore* out,
                                 const CUDA_EXTERNAL_SEMAPHORE_HANDLE_DESC* description) {
  TENURE_FAKE_CALL("cuImportExternalSemaphore", kContext);
  if (out == nullptr || description == nullptr) return CUDA_ERROR_INVALID_VALUE;
  if (description->type != CU_EXTERNAL_SEMAPHORE_HANDLE_TYPE_TIMELINE_SEMAPHORE_FD) {
    return CUDA_ERROR_NOT_SUPPORTED;
  }
  const int fd = description->handle.fd;
  FakeSemaphore semaphore;
  if (s.options.external_semaphore) {
    semaphore = s.options.external_semaphore(fd);
  } else if (FileBytes(fd) >= sizeof(uint64_t)) {
    semaphore = CounterIn(fd);
  }
  if (!semaphore.value) return CUDA_ERROR_INVALID_VALUE;
  close(fd);
  *out = s.NewHandle<CUexternalSemaphore>();
  s.external_semaphores[*out] = std::move(semaphore);
  return CUDA_SUCCESS;
}

// Queues work with a semaphore.
CUresult UseSemaphore(State& s, const char* call, CUexternalSemaphore handle,
                      CUstream stream_handle,
                      const std::function<std::function<void()>(const FakeSemaphore&)>& work)
    ABSL_EXCLUSIVE_LOCKS_REQUIRED(s.mutex) {
  CUresult result;
  Stream* stream = s.FindStream(call, stream_handle, &result);
  if (stream == nullptr) return result;
  auto found = s.external_semaphores.find(handle);
  if (found == s.external_semaphores.end()) {
    return s.Violate(absl::StrCat(call, ": the semaphore is ", s.WhyNot(handle)),
                     CUDA_ERROR_INVALID_HANDLE);
  }
  auto op = std::make_shared<Op>();
  op->call = call;
  op->node = {.call = call, .dst = reinterpret_cast<CUdeviceptr>(handle)};
  op->run = work(found->second);
  return s.Submit(stream, op);
}

CUresult SignalExternalSemaphoresAsync(const CUexternalSemaphore* semaphores,
                                       const CUDA_EXTERNAL_SEMAPHORE_SIGNAL_PARAMS* params,
                                       unsigned count, CUstream stream) {
  TENURE_FAKE_CALL("cuSignalExternalSemaphoresAsync", kContext);
  if (semaphores == nullptr || params == nullptr || count != 1) return CUDA_ERROR_INVALID_VALUE;
  const uint64_t value = params->params.fence.value;
  return UseSemaphore(s, kCall, *semaphores, stream, [value](const FakeSemaphore& semaphore) {
    return [semaphore, value] {
      if (semaphore.value() < value) semaphore.raise(value);
    };
  });
}

CUresult WaitExternalSemaphoresAsync(const CUexternalSemaphore* semaphores,
                                     const CUDA_EXTERNAL_SEMAPHORE_WAIT_PARAMS* params,
                                     unsigned count, CUstream stream) {
  TENURE_FAKE_CALL("cuWaitExternalSemaphoresAsync", kContext);
  if (semaphores == nullptr || params == nullptr || count != 1) return CUDA_ERROR_INVALID_VALUE;
  const uint64_t value = params->params.fence.value;
  const absl::Duration most = s.options.hang_after;
  return UseSemaphore(s, kCall, *semaphores, stream, [=](const FakeSemaphore& semaphore) {
    return [semaphore, value, most] {
      const absl::Time deadline = absl::Now() + most;
      while (semaphore.value() < value && absl::Now() < deadline) absl::SleepFor(kLook);
    };
  });
}

CUresult DestroyExternalSemaphore(CUexternalSemaphore handle) {
  TENURE_FAKE_CALL("cuDestroyExternalSemaphore", kContext);
  if (s.external_semaphores.erase(handle) == 0) {
    return s.Violate(
        absl::StrCat("cuDestroyExternalSemaphore: the semaphore is ", s.WhyNot(handle)),
        CUDA_ERROR_INVALID_HANDLE);
  }
  for (const Stream* stream : s.AllStreams(-1)) {
    for (const std::shared_ptr<Op>& op : stream->queue) {
      if (op->node.dst != reinterpret_cast<CUdeviceptr>(handle)) continue;
      s.Violate(absl::StrCat("cuDestroyExternalSemaphore: ", op->call, " queued on ",
                             StreamName(*stream), " will use it"),
                CUDA_SUCCESS);
    }
  }
  return CUDA_SUCCESS;
}

}  // namespace

void FillExternal(DriverTable* table) {
  table->ImportExternalMemory = ImportExternalMemory;
  table->ExternalMemoryGetMappedBuffer = ExternalMemoryGetMappedBuffer;
  table->DestroyExternalMemory = DestroyExternalMemory;
  table->ImportExternalSemaphore = ImportExternalSemaphore;
  table->SignalExternalSemaphoresAsync = SignalExternalSemaphoresAsync;
  table->WaitExternalSemaphoresAsync = WaitExternalSemaphoresAsync;
  table->DestroyExternalSemaphore = DestroyExternalSemaphore;
}

}  // namespace tenure::cuda::fake
