// HostSlabs: slabs of host memory for a PooledAllocator under test; HostPool: a
// pool over them.
//
// Slabs that stand alone are mapped one by one; joining ones into addresses that
// are reserved beforehand. Either way what was given back can't be touched any
// more: a block that lives on is a fault. What the source was asked for is
// counted, and it can be told to fail.
//
// Thread safety: HostSlabs as SlabSource; its Control thread-safe. Ownership: a
// source shares its Control with the test.

#ifndef TENURE_TESTS_ALLOCATOR_POOL_HOST_SLABS_H_
#define TENURE_TESTS_ALLOCATOR_POOL_HOST_SLABS_H_

#include <sys/mman.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "tenure/allocator/capabilities.h"
#include "tenure/allocator/pool/pooled_allocator.h"
#include "tenure/base/host_memory.h"

namespace tenure {

class HostSlabs final : public SlabSource {
 public:
  struct Control {
    bool joins = false;
    uint64_t granularity_bytes = uint64_t{64} << 10;
    uint64_t reserve_bytes = uint64_t{1} << 36;  // addresses, where slabs join
    std::atomic<uint64_t> capacity_bytes{~uint64_t{0}};
    std::atomic<int> fail_take{-1};      // the call of Take that fails, counted from 0; -1: none
    std::atomic<bool> fail_hard{false};  // that one with Unavailable
    std::atomic<int> takes{0};
    std::atomic<int> gives{0};
    std::atomic<uint64_t> taken_bytes{0};  // less what was given back
    std::function<void()> while_working;   // called by Take and Give
    std::function<void(Slab&)> spoil;      // changes what Take is about to return
  };

  explicit HostSlabs(std::shared_ptr<Control> control) : control_(std::move(control)) {
    if (control_->joins) {
      base_ = Map(control_->reserve_bytes, PROT_NONE);
      next_ = Address(base_);
    }
  }
  // What was not given back stays: something may still point there.
  ~HostSlabs() override {
    if (control_->joins && slabs_.empty()) munmap(base_, control_->reserve_bytes);
  }

  uint64_t granularity_bytes() const override { return control_->granularity_bytes; }
  uint64_t tail() const override { return control_->joins ? next_ : 0; }

  absl::StatusOr<Slab> Acquire(uint64_t size_bytes) override {
    if (control_->while_working) control_->while_working();
    if (const int call = control_->takes++; call == control_->fail_take) {
      if (control_->fail_hard) return absl::UnavailableError("the device fell off the bus");
      return absl::ResourceExhaustedError("told to fail");
    }
    const uint64_t taken = control_->taken_bytes;
    if (size_bytes >
        control_->capacity_bytes - std::min<uint64_t>(taken, control_->capacity_bytes)) {
      return absl::ResourceExhaustedError(absl::StrCat("HOST_OUT_OF_MEMORY: ", size_bytes));
    }
    Slab slab;
    if (control_->joins) {
      if (size_bytes > Address(base_) + control_->reserve_bytes - next_) {
        return absl::ResourceExhaustedError("no addresses left");
      }
      slab.host = reinterpret_cast<void*>(next_);
      if (mprotect(slab.host, size_bytes, PROT_READ | PROT_WRITE) != 0) std::abort();
      next_ += size_bytes;
    } else {
      // Aligned to the granularity, as promised.
      const uint64_t span = size_bytes + control_->granularity_bytes;
      void* mapped = span < size_bytes ? MAP_FAILED : Map(span, PROT_READ | PROT_WRITE);
      if (mapped == MAP_FAILED) return absl::ResourceExhaustedError("mmap failed");
      slab.token = Address(mapped);
      slab.host = reinterpret_cast<void*>((Address(mapped) + control_->granularity_bytes - 1) &
                                          ~(control_->granularity_bytes - 1));
    }
    slab.address = Address(slab.host);
    slab.size_bytes = size_bytes;
    slab.joins = control_->joins;
    slab.native_handle = ++handles_;
    slab.native_offset = 16;
    slab.native_size = size_bytes + 16;
    slabs_[slab.address] = slab;
    control_->taken_bytes += size_bytes;
    if (control_->spoil) control_->spoil(slab);
    return slab;
  }

  void Release(const Slab& given) override {
    if (control_->while_working) control_->while_working();
    const auto it = slabs_.find(Address(given.host));
    if (it == slabs_.end() || it->second.native_handle != given.native_handle) {
      std::fprintf(stderr, "a slab was given back that was not taken, or twice\n");
      std::abort();
    }
    const Slab slab = it->second;
    slabs_.erase(it);
    ++control_->gives;
    control_->taken_bytes -= slab.size_bytes;
    if (!control_->joins) {
      munmap(reinterpret_cast<void*>(slab.token), slab.size_bytes + control_->granularity_bytes);
      return;
    }
    // Fresh pages, which nobody may touch.
    if (mmap(slab.host, slab.size_bytes, PROT_NONE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED) {
      std::abort();
    }
    next_ = slabs_.empty()
                ? Address(base_)
                : std::prev(slabs_.end())->first + std::prev(slabs_.end())->second.size_bytes;
  }

 private:
  static uint64_t Address(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer); }
  static void* Map(uint64_t bytes, int protection) {
    return mmap(nullptr, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  }

  const std::shared_ptr<Control> control_;
  void* base_ = nullptr;
  uint64_t next_ = 0;
  uint64_t handles_ = 0;
  std::map<uint64_t, Slab> slabs_;
};

class HostPool : public PooledAllocator, public ForeignMemoryCapability {
 public:
  HostPool(std::shared_ptr<HostSlabs::Control> control, const Options& options)
      : PooledAllocator(MemorySpace::Cpu(), SpaceTraits(),
                        std::make_unique<HostSlabs>(std::move(control)), options) {}
  ~HostPool() override { ClosePool(); }

  absl::StatusOr<Fence> CopyIn(const SubRegion& to, const void* from, const CopyOptions&) override {
    if (to.allocation->read_only) return absl::FailedPreconditionError("read-only memory");
    host::MoveBytes(to.host(), from, to.size_bytes, 1);
    return Fence();
  }
  absl::StatusOr<Fence> CopyOut(void* to, const SubRegion& from, const CopyOptions&) override {
    host::MoveBytes(to, from.host(), from.size_bytes, 1);
    return Fence();
  }
  absl::StatusOr<Fence> CopyWithin(const SubRegion& to, const SubRegion& from,
                                   const CopyOptions&) override {
    host::MoveBytes(to.host(), from.host(), to.size_bytes, 1);
    return Fence();
  }
  absl::StatusOr<Fence> Fill(const SubRegion& to, const FillPattern& pattern,
                             const CopyOptions&) override {
    if (absl::Status valid = host::CheckPattern(pattern); !valid.ok()) return valid;
    if (to.allocation->read_only) return absl::FailedPreconditionError("read-only memory");
    host::FillBytes(to.host(), to.size_bytes, pattern, 1);
    return Fence();
  }

  using PooledAllocator::TryReserveDedicated;
  using PooledAllocator::UnreserveDedicated;

  std::atomic<bool> fail_zero{false};
  std::atomic<bool> own_slabs{false};     // for requests called "own"
  std::atomic<uint64_t> kept_outside{0};  // what ReleaseKeptDedicated has to give

 protected:
  void* FindCapability(std::string_view name) override {
    return name == ForeignMemoryCapability::kName ? static_cast<ForeignMemoryCapability*>(this)
                                                  : nullptr;
  }
  absl::Status Zero(const Allocation& allocation) override {
    if (fail_zero) return absl::UnavailableError("no engine to write zeroes with");
    host::FillBytes(allocation.host, allocation.size_bytes, FillPattern(), 1);
    return absl::OkStatus();
  }
  uint64_t ReleaseKeptDedicated() override {
    const uint64_t kept = kept_outside.exchange(0);
    UnreserveDedicated(kept);
    return kept;
  }
  bool NeedsDedicatedSlab(const AllocationRequest& request) const override {
    return own_slabs && request.name == "own";
  }
  absl::StatusOr<Allocation> MakeImport(const AllocationRequest& request) override {
    Allocation made;
    made.host = request.foreign->data;
    made.read_only = request.foreign->read_only;
    made.token = reinterpret_cast<uint64_t>(new std::function<void()>(request.foreign->release));
    return made;
  }
  void ReleaseImport(const Allocation& allocation) override {
    auto* release = reinterpret_cast<std::function<void()>*>(allocation.token);
    if (*release) (*release)();
    delete release;
  }
};

}  // namespace tenure

#endif  // TENURE_TESTS_ALLOCATOR_POOL_HOST_SLABS_H_
