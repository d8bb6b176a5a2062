#include "tenure/allocator/registry.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tenure/allocator/copy/copy_table.h"

namespace tenure {

namespace {

// Whether the allocator maps a file that its path no longer names.
bool IsReplaced(Allocator& allocator) {
  auto* file = allocator.Capability<FileCapability>();
  return file != nullptr && file->IsReplaced();
}

}  // namespace

Registry::Registry(CopyTable* shared)
    : own_copy_table_(shared == nullptr ? std::make_unique<CopyTable>() : nullptr),
      copy_table_(shared == nullptr ? own_copy_table_.get() : shared) {}

Registry::~Registry() = default;

std::unique_ptr<Registry> Registry::MakeEmpty(CopyTable* shared) {
  return std::unique_ptr<Registry>(new Registry(shared));
}

absl::Status Registry::AddDriver(SpaceDriver driver) {
  if (driver.factory == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("the driver '", driver.name, "' has no factory; give it one"));
  }
  for (const SpaceKind kind : driver.spaces) {
    if (kind.driver() != driver.name) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the space '", kind.Pattern(), "' is declared as one of the driver '", kind.driver(),
          "', not of '", driver.name, "'; give the driver the name that its spaces have"));
    }
    if (absl::Status status = SpaceKind::Declare(kind.declaration()).status(); !status.ok()) {
      return status;
    }
  }
  const auto routes = driver.routes;
  {
    absl::MutexLock lock(&mutex_);
    for (const SpaceDriver& other : drivers_) {
      if (other.name != driver.name) continue;
      return absl::AlreadyExistsError(
          absl::StrCat("this registry has the driver '", driver.name,
                       "' already; use SetFactory to make its allocators in another way"));
    }
    for (const SpaceKind kind : driver.spaces) {
      // What SetFactory was given before stays.
      if (factories_.try_emplace(kind, driver.factory).second) kinds_.push_back(kind);
    }
    drivers_.push_back(std::move(driver));
  }
  if (routes != nullptr) routes(*copy_table_);
  return absl::OkStatus();
}

absl::Status Registry::NotBuilt(const MemorySpace& space) const {
  const auto pattern = [](std::string* out, SpaceKind kind) { out->append(kind.Pattern()); };
  const std::vector<SpaceKind> kinds = Kinds();
  return absl::UnimplementedError(
      absl::StrCat("there is no allocator for ", space.ToString(), " in this registry; it has ",
                   kinds.empty() ? "no spaces" : absl::StrJoin(kinds, ", ", pattern),
                   ", and Registry::AddDriver, SetFactory or Register adds others"));
}

void Registry::Bind(Allocator& allocator) {
  const CopyTable* known = allocator.copy_table();
  if (known == copy_table_) return;
  // An allocator that was made without a registry brings the routes of its driver.
  if (known != nullptr) copy_table_->AddMissing(*known);
  allocator.BindCopyTable(copy_table_);
}

absl::StatusOr<Allocator*> Registry::Get(const MemorySpace& space) {
  std::shared_ptr<Allocator> old;
  {
    absl::MutexLock lock(&mutex_);
    while (entries_[space].being_made) made_.Wait(&mutex_);
    const Entry& entry = entries_[space];
    if (entry.allocator != nullptr && !entry.by_factory) return entry.allocator.get();
    old = entry.allocator;
  }
  // Without the lock, because it may ask the system.
  if (old != nullptr && !IsReplaced(*old)) return old.get();
  {
    absl::MutexLock lock(&mutex_);
    while (entries_[space].being_made) made_.Wait(&mutex_);
    Entry& entry = entries_[space];
    if (entry.allocator != nullptr && entry.allocator != old) return entry.allocator.get();
    entry.being_made = true;
  }
  // Also after an exception of the factory's: other threads wait for the entry.
  absl::Cleanup give_up = [&] {
    absl::MutexLock lock(&mutex_);
    Entry& entry = entries_[space];
    entry.being_made = false;
    if (entry.allocator == nullptr) entries_.erase(space);
    made_.SignalAll();
  };
  absl::StatusOr<std::unique_ptr<Allocator>> made = Make(space);
  if (!made.ok()) return made.status();
  std::shared_ptr<Allocator> fresh = *std::move(made);
  absl::MutexLock lock(&mutex_);
  Entry& entry = entries_[space];
  if (entry.allocator != nullptr) replaced_.push_back(entry.allocator);
  std::move(give_up).Cancel();
  made_.SignalAll();
  entry.being_made = false;
  entry.by_factory = true;
  entry.allocator = std::move(fresh);
  return entry.allocator.get();
}

absl::Status Registry::Drop(const MemorySpace& space) {
  std::vector<std::shared_ptr<Allocator>> all;
  {
    absl::MutexLock lock(&mutex_);
    const auto entry = entries_.find(space);
    if (entry != entries_.end() && entry->second.allocator != nullptr) {
      all.push_back(entry->second.allocator);
    }
    for (const auto& allocator : replaced_) {
      if (allocator->space() == space) all.push_back(allocator);
    }
  }
  if (all.empty()) {
    return absl::NotFoundError(
        absl::StrCat("this registry has no allocator of ", space.ToString(), " to drop"));
  }
  uint64_t used_bytes = 0;
  std::vector<std::shared_ptr<Allocator>> unused;
  for (std::shared_ptr<Allocator>& allocator : all) {
    allocator->Poll();
    const AllocatorStats stats = allocator->Stats();
    const bool used =
        stats.in_use_count > 0 || stats.deferred_bytes > 0 || stats.quarantined_bytes > 0;
    if (!used) unused.push_back(std::move(allocator));
    if (used) used_bytes += stats.in_use_bytes + stats.deferred_bytes + stats.quarantined_bytes;
  }
  {
    absl::MutexLock lock(&mutex_);
    for (const std::shared_ptr<Allocator>& allocator : unused) {
      const auto entry = entries_.find(space);
      if (entry != entries_.end() && entry->second.allocator == allocator) entries_.erase(entry);
      replaced_.erase(std::remove(replaced_.begin(), replaced_.end(), allocator), replaced_.end());
    }
  }
  if (unused.size() == all.size()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("can't drop ", space.ToString(), ": ", used_bytes,
                   " bytes of it are in use or wait for a fence; drop their buffers first"));
}

absl::StatusOr<std::unique_ptr<Allocator>> Registry::Make(const MemorySpace& space) {
  Factory factory;
  {
    absl::MutexLock lock(&mutex_);
    const auto found = factories_.find(space.kind());
    if (found != factories_.end()) factory = found->second;
  }
  if (factory == nullptr) return NotBuilt(space);
  // Without the lock: a factory may take long, or ask this registry for the allocators of other
  // spaces.
  absl::StatusOr<std::unique_ptr<Allocator>> made = factory(space);
  if (made.ok() && *made == nullptr) {
    return absl::InternalError(
        absl::StrCat("the factory of ", space.ToString(), " returned null without an error"));
  }
  if (made.ok()) Bind(**made);
  return made;
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
  Bind(*allocator);
  entry.allocator = std::move(allocator);
  return entry.allocator.get();
}

void Registry::SetFactory(SpaceKind kind, Factory factory) {
  absl::MutexLock lock(&mutex_);
  const auto known = std::find(kinds_.begin(), kinds_.end(), kind);
  if (factory == nullptr) {
    factories_.erase(kind);
    if (known != kinds_.end()) kinds_.erase(known);
    return;
  }
  factories_[kind] = std::move(factory);
  if (known == kinds_.end()) kinds_.push_back(kind);
}

std::vector<Allocator*> Registry::Allocators() const {
  std::vector<Allocator*> all;
  absl::MutexLock lock(&mutex_);
  for (const auto& [space, entry] : entries_) {
    if (entry.allocator != nullptr) all.push_back(entry.allocator.get());
  }
  for (const auto& allocator : replaced_) all.push_back(allocator.get());
  return all;
}

std::vector<SpaceKind> Registry::Kinds() const {
  absl::MutexLock lock(&mutex_);
  return kinds_;
}

absl::StatusOr<std::vector<SpaceDevice>> Registry::Devices(std::string_view driver) const {
  SpaceDriver found;
  {
    absl::MutexLock lock(&mutex_);
    for (const SpaceDriver& known : drivers_) {
      if (known.name == driver) found = known;
    }
  }
  if (found.name.empty()) {
    return absl::NotFoundError(
        absl::StrCat("this registry has no driver '", driver, "'; Registry::AddDriver adds one"));
  }
  if (found.devices == nullptr) return std::vector<SpaceDevice>();
  return found.devices();
}

}  // namespace tenure
