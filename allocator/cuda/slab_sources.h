// The slab sources of the pools of CUDA's spaces.
//
//   VirtualMemorySource   device memory, mapped page by page into reserved addresses: slabs join
//   DeviceSource          device memory by cuMemAlloc, if the former is not supported
//   ManagedSource         cuMemAllocManaged, at most the device memory that nobody else uses
//   PinnedSource          host memory in huge pages, touched by several threads and then
//                         page-locked; at most the available memory, because the system would
//                         kill processes beyond that
//
// Thread safety, ownership and errors: see slab_source.h. ResourceExhausted carries the driver's
// text.

#ifndef TENURE_ALLOCATOR_CUDA_SLAB_SOURCES_H_
#define TENURE_ALLOCATOR_CUDA_SLAB_SOURCES_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "tenure/allocator/cuda/allocators.h"
#include "tenure/allocator/cuda/device.h"
#include "tenure/allocator/pool/slab_source.h"
#include "tenure/base/system_memory.h"

namespace tenure::cuda {

// The properties that cuMemCreate needs to make memory of this device, with `exportable` for export
// as a file descriptor.
CUmemAllocationProp PhysicalMemory(const Device& device, bool exportable);
// Makes mapped bytes accessible to this device and, with `peers` and if possible, to the other
// devices of the machine.
absl::Status GrantAccess(const Device& device, CUdeviceptr address, uint64_t size_bytes,
                         bool peers = true);

class VirtualMemorySource final : public SlabSource {
 public:
  static absl::StatusOr<std::unique_ptr<VirtualMemorySource>> Make(
      std::shared_ptr<Device> device, PeerAccess peer_access = PeerAccess::kAtOnce);
  ~VirtualMemorySource() override;
  uint64_t granularity_bytes() const override { return granularity_; }
  uint64_t tail() const override { return tail_; }
  absl::StatusOr<Slab> Acquire(uint64_t size_bytes) override ABSL_LOCKS_EXCLUDED(mutex_);
  void Release(const Slab& slab) override ABSL_LOCKS_EXCLUDED(mutex_);
  uint64_t lost_bytes() const override { return lost_bytes_; }
  // Makes all slabs, also later ones, accessible to the other devices. Thread-safe.
  absl::Status MapForPeers() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  // A range of reserved addresses, as large as the device's memory, or smaller where addresses are
  // scarce. They are used once, from the beginning to the end; then the next range is reserved.
  struct Region {
    uint64_t size = 0;
    uint64_t slabs = 0;
  };
  VirtualMemorySource(std::shared_ptr<Device> device, uint64_t granularity, bool for_peers)
      : device_(std::move(device)), granularity_(granularity), for_peers_(for_peers) {}
  // Reserves the next range, of at least `least_bytes`.
  absl::Status Reserve(uint64_t least_bytes);
  void DropUnused();

  const std::shared_ptr<Device> device_;
  const uint64_t granularity_;
  std::map<uint64_t, Region> regions_;  // by address
  uint64_t tail_ = 0;                   // in the newest region, or 0
  uint64_t end_ = 0;                    // of that region
  uint64_t lost_bytes_ = 0;
  absl::Mutex mutex_;
  std::atomic<bool> for_peers_;                                 // written under mutex_
  std::map<uint64_t, uint64_t> slabs_ ABSL_GUARDED_BY(mutex_);  // sizes by address
};

class DeviceSource final : public SlabSource {
 public:
  explicit DeviceSource(std::shared_ptr<Device> device) : device_(std::move(device)) {}
  uint64_t granularity_bytes() const override { return uint64_t{2} << 20; }
  absl::StatusOr<Slab> Acquire(uint64_t size_bytes) override;
  void Release(const Slab& slab) override;
  uint64_t lost_bytes() const override { return lost_bytes_; }

 private:
  const std::shared_ptr<Device> device_;
  uint64_t lost_bytes_ = 0;
};

class ManagedSource final : public SlabSource {
 public:
  explicit ManagedSource(std::shared_ptr<Device> device) : device_(std::move(device)) {}
  uint64_t granularity_bytes() const override { return uint64_t{2} << 20; }
  absl::StatusOr<Slab> Acquire(uint64_t size_bytes) override;
  void Release(const Slab& slab) override;
  uint64_t lost_bytes() const override { return lost_bytes_; }

 private:
  const std::shared_ptr<Device> device_;
  uint64_t lost_bytes_ = 0;
};

class PinnedSource final : public SlabSource {
 public:
  using AskSystem = std::function<host::SystemMemory()>;
  explicit PinnedSource(
      std::shared_ptr<Device> device, AskSystem ask = [] { return host::ReadSystemMemory(); })
      : device_(std::move(device)), ask_(std::move(ask)) {}
  uint64_t granularity_bytes() const override { return uint64_t{2} << 20; }
  absl::StatusOr<Slab> Acquire(uint64_t size_bytes) override;
  void Release(const Slab& slab) override;
  uint64_t lost_bytes() const override { return lost_bytes_; }

 private:
  const std::shared_ptr<Device> device_;
  const AskSystem ask_;
  uint64_t lost_bytes_ = 0;
};

}  // namespace tenure::cuda

#endif  // TENURE_ALLOCATOR_CUDA_SLAB_SOURCES_H_
