#include "tenure/allocator/support/coherent_access.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"

namespace tenure {
namespace {

// The region with all of its first and last atom. An allocation begins at an atom, and no other
// allocation has bytes of its last one.
SubRegion WholeAtoms(const SubRegion& region, uint64_t atom_bytes) {
  const uint64_t begin = region.offset_bytes - region.offset_bytes % atom_bytes;
  const uint64_t end = region.offset_bytes + region.size_bytes;
  const uint64_t missing = (atom_bytes - end % atom_bytes) % atom_bytes;
  const uint64_t rest = region.allocation->size_bytes - end;
  return {region.allocation, begin, end + std::min(missing, rest) - begin};
}

}  // namespace

// Which atoms of one allocation the host is writing to.
class CoherentAccess::Writers {
 public:
  // Those of the allocation of this region, which is of `root`. Nobody's list outlives its accesses.
  static std::shared_ptr<Writers> Of(const Allocator& root, const SubRegion& region);

  // `wanted` is where these atoms are in the root's allocation.
  absl::Status Begin(CoherenceCapability& driver, const SubRegion& atoms, const Range& wanted,
                     Kind kind) ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    for (const Range& stale : NotWritten(wanted)) {
      const uint64_t skipped = stale.begin - wanted.begin;
      absl::Status status = driver.InvalidateForHostReads(
          {atoms.allocation, atoms.offset_bytes + skipped,
           std::min(stale.end - stale.begin, atoms.size_bytes - skipped)});
      if (!status.ok()) return status;
    }
    if (kind == Kind::kWrite) ranges_.push_back(wanted);
    return absl::OkStatus();
  }

  absl::Status Flush(CoherenceCapability& driver, const SubRegion& atoms)
      ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    return driver.FlushHostWrites(atoms);
  }

  absl::Status End(CoherenceCapability& driver, const SubRegion& atoms, const Range& written)
      ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    absl::Status status = driver.FlushHostWrites(atoms);
    ranges_.erase(std::find_if(ranges_.begin(), ranges_.end(), [&](const Range& range) {
      return range.begin == written.begin && range.end == written.end;
    }));
    return status;
  }

 private:
  // The parts of `wanted` that nobody is writing to.
  std::vector<Range> NotWritten(const Range& wanted) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    std::vector<Range> parts = {wanted};
    for (const Range& writer : ranges_) {
      std::vector<Range> left;
      for (const Range& part : parts) {
        const Range before{part.begin, std::min(part.end, writer.begin)};
        const Range behind{std::max(part.begin, writer.end), part.end};
        if (before.begin < before.end) left.push_back(before);
        if (behind.begin < behind.end) left.push_back(behind);
      }
      parts = std::move(left);
    }
    return parts;
  }

  absl::Mutex mutex_;
  std::vector<Range> ranges_ ABSL_GUARDED_BY(mutex_);
};

std::shared_ptr<CoherentAccess::Writers> CoherentAccess::Writers::Of(const Allocator& root,
                                                                     const SubRegion& region) {
  struct All {
    absl::Mutex mutex;
    absl::flat_hash_map<std::pair<const Allocator*, uint64_t>, std::weak_ptr<Writers>> lists
        ABSL_GUARDED_BY(mutex);
    size_t sweep_at ABSL_GUARDED_BY(mutex) = 64;
  };
  static auto* const all = new All;
  absl::MutexLock lock(&all->mutex);
  std::weak_ptr<Writers>& slot = all->lists[{&root, region.allocation->id.value()}];
  if (std::shared_ptr<Writers> known = slot.lock()) return known;
  auto made = std::make_shared<Writers>();
  slot = made;
  // Now and then those that nobody uses go, so that each costs a constant number of looks.
  if (all->lists.size() >= all->sweep_at) {
    absl::erase_if(all->lists, [](const auto& entry) { return entry.second.expired(); });
    all->sweep_at = std::max<size_t>(64, 2 * all->lists.size());
  }
  return made;
}

absl::StatusOr<CoherentAccess> CoherentAccess::Begin(Allocator& allocator, const SubRegion& region,
                                                     Kind kind) {
  CoherentAccess access;
  const uint64_t atom_bytes = allocator.traits().coherence_atom_bytes;
  if (atom_bytes <= 1 || region.size_bytes == 0) return access;
  auto* driver = allocator.Capability<CoherenceCapability>();
  if (driver == nullptr) {
    return absl::UnimplementedError(absl::StrCat(
        "memory of '", allocator.space().ToString(),
        "' is not coherent, and its allocator can't flush it (CoherenceCapability); use CopyIn and "
        "CopyOut"));
  }
  const SubRegion atoms = WholeAtoms(region, atom_bytes);
  const SubRegion root = allocator.RootRegion(atoms);
  std::shared_ptr<Writers> writers = Writers::Of(allocator.root(), root);
  // A decorator's allocation may end within an atom whose rest is the decorator's own.
  const uint64_t missing = (atom_bytes - atoms.size_bytes % atom_bytes) % atom_bytes;
  const Range range{root.offset_bytes, root.offset_bytes + atoms.size_bytes + missing};
  absl::Status status = writers->Begin(*driver, atoms, range, kind);
  if (!status.ok()) return status;
  if (kind == Kind::kWrite) {
    access.writers_ = std::move(writers);
    access.driver_ = driver;
    access.atoms_ = atoms;
    access.range_ = range;
  }
  return access;
}

CoherentAccess& CoherentAccess::operator=(CoherentAccess&& other) noexcept {
  if (this == &other) return *this;
  End().IgnoreError();
  writers_ = std::move(other.writers_);
  driver_ = other.driver_;
  atoms_ = other.atoms_;
  range_ = other.range_;
  return *this;
}

absl::Status CoherentAccess::Flush() {
  return writers_ == nullptr ? absl::OkStatus() : writers_->Flush(*driver_, atoms_);
}

absl::Status CoherentAccess::End() {
  if (writers_ == nullptr) return absl::OkStatus();
  const std::shared_ptr<Writers> writers = std::exchange(writers_, nullptr);
  return writers->End(*driver_, atoms_, range_);
}

}  // namespace tenure
