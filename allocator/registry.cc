#include "tenure/allocator/registry.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "tenure/allocator/cpu/cpu_allocator.h"
#include "tenure/allocator/cuda/allocators.h"
#include "tenure/allocator/mmap/mmap_allocator.h"
#include "tenure/allocator/null/null_allocator.h"

namespace tenure {
namespace {

absl::Status NotBuilt(const MemorySpace& space) {
  return absl::UnimplementedError(absl::StrCat(
      "there is no allocator for ", space.ToString(),
      " in this registry; built in are cpu, disk:/path, null, cuda:N, cuda-unified:N and "
      "cuda-pinned:N, and Registry::Register or "
      "SetFactory adds others"));
}

}  // namespace

Registry::Registry() {
  absl::MutexLock lock(&mutex_);
  auto factory = [this](SpaceKind kind) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) -> Factory& {
    return factories_[static_cast<int>(kind)];
  };
  factory(SpaceKind::kCpu) = [](const MemorySpace&) { return std::make_unique<CpuAllocator>(); };
  factory(SpaceKind::kDisk) =
      [](const MemorySpace& space) -> absl::StatusOr<std::unique_ptr<Allocator>> {
    return MmapAllocator::Open(space.path());
  };
  for (const SpaceKind kind : {SpaceKind::kCuda, SpaceKind::kCudaUnified, SpaceKind::kCudaPinned}) {
    factory(kind) = [](const MemorySpace& space) { return cuda::MakeAllocator(space); };
  }
  factory(SpaceKind::kNull) = [](const MemorySpace&) { return std::make_unique<NullAllocator>(); };
}

Registry::~Registry() = default;

std::unique_ptr<Registry> Registry::MakeEmpty() {
  return std::unique_ptr<Registry>(new Registry(Empty{}));
}

Registry& Registry::Default() {
  static Registry* const registry = new Registry;
  return *registry;
}

absl::StatusOr<Allocator*> Registry::Get(const MemorySpace& space) {
  Factory factory;
  {
    absl::MutexLock lock(&mutex_);
    while (true) {
      Entry& entry = entries_[space];
      if (entry.allocator != nullptr) return entry.allocator.get();
      if (!entry.being_made) break;
      made_.Wait(&mutex_);
    }
    factory = factories_[static_cast<int>(space.kind())];
    if (factory == nullptr) {
      entries_.erase(space);
      return NotBuilt(space);
    }
    entries_[space].being_made = true;
  }
  // Without the lock: a factory may take long, or ask this registry for the
  // allocators of other spaces.
  absl::StatusOr<std::unique_ptr<Allocator>> made = factory(space);
  if (made.ok() && *made == nullptr) {
    made = absl::InternalError(
        absl::StrCat("the factory of ", space.ToString(), " returned null without an error"));
  }
  absl::MutexLock lock(&mutex_);
  made_.SignalAll();
  if (!made.ok()) {
    entries_.erase(space);
    return made.status();
  }
  Entry& entry = entries_[space];
  entry.being_made = false;
  entry.allocator = *std::move(made);
  return entry.allocator.get();
}

absl::StatusOr<Allocator*> Registry::Register(std::unique_ptr<Allocator> allocator) {
  if (allocator == nullptr) {
    return absl::InvalidArgumentError("no allocator was given to Registry::Register");
  }
  const MemorySpace& space = allocator->space();
  absl::MutexLock lock(&mutex_);
  Entry& entry = entries_[space];
  if (entry.allocator != nullptr || entry.being_made) {
    return absl::AlreadyExistsError(
        absl::StrCat(space.ToString(),
                     " has its allocator already; register before its first use, or use a "
                     "registry of your own"));
  }
  entry.allocator = std::move(allocator);
  return entry.allocator.get();
}

void Registry::SetFactory(SpaceKind kind, Factory factory) {
  absl::MutexLock lock(&mutex_);
  factories_[static_cast<int>(kind)] = std::move(factory);
}

std::vector<Allocator*> Registry::Allocators() const {
  std::vector<Allocator*> all;
  absl::MutexLock lock(&mutex_);
  for (const auto& [space, entry] : entries_) {
    if (entry.allocator != nullptr) all.push_back(entry.allocator.get());
  }
  return all;
}

}  // namespace tenure
