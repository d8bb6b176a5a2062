#include "tenure/bench/cuda_bench_support.h"

#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <type_traits>

namespace tenure::cuda {

using bench::Check;

const DriverCalls& DriverCalls::Get() {
  static const DriverCalls calls = [] {
    void* library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    auto find = [&](const char* name, auto& entry) {
      entry = reinterpret_cast<std::decay_t<decltype(entry)>>(dlsym(library, name));
      if (entry == nullptr) std::abort();
    };
    DriverCalls found;
    find("cuMemcpyHtoD_v2", found.HtoD);
    find("cuMemcpyDtoH_v2", found.DtoH);
    find("cuStreamQuery", found.Query);
    find("cuDeviceGetDefaultMemPool", found.Pool);
    find("cuMemPoolSetAttribute", found.SetAttribute);
    return found;
  }();
  return calls;
}

const Torch& Torch::Get() {
  static const Torch torch = [] {
    Torch found;
    const char* path = std::getenv("TENURE_TORCH_RIVAL");
    if (path == nullptr) return found;
    void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
      std::fprintf(stderr, "no PyTorch: %s\n", dlerror());
      return found;
    }
    found.alloc = reinterpret_cast<decltype(found.alloc)>(dlsym(library, "torch_rival_alloc"));
    found.free = reinterpret_cast<decltype(found.free)>(dlsym(library, "torch_rival_free"));
    found.reserved =
        reinterpret_cast<decltype(found.reserved)>(dlsym(library, "torch_rival_reserved"));
    found.empty = reinterpret_cast<decltype(found.empty)>(dlsym(library, "torch_rival_empty"));
    return found;
  }();
  return torch;
}

const std::shared_ptr<Device>& Gpu() {
  static const auto* const gpu =
      new std::shared_ptr<Device>(Must(Device::Open(*Must(Driver::Default()), 0)));
  return *gpu;
}

const Driver& Cu() { return Gpu()->driver(); }

Allocator& Space(SpaceKind kind) {
  static auto* const all = new std::map<SpaceKind, std::unique_ptr<Allocator>>;
  std::unique_ptr<Allocator>& slot = (*all)[kind];
  if (slot == nullptr) slot = Must(MakeAllocatorOn(Gpu(), kind, {}));
  return *slot;
}

Buffer MakeBuffer(Allocator& allocator, uint64_t size) {
  return Must(Buffer::Create(allocator, DType::kUInt8, Shape::Vector(size), {.immediate = true}));
}

CUstream RivalStream() {
  static CUstream const stream = [] {
    Device::Scope scope(*Gpu());
    CUstream made = nullptr;
    Check(TENURE_CU(Cu(), StreamCreate, &made, CU_STREAM_NON_BLOCKING));
    return made;
  }();
  return stream;
}

}  // namespace tenure::cuda
