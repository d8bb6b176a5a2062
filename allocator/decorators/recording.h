// RecordingAllocator: remembers what was allocated, copied and freed, under
// which names, and says at the end what is missing.
//
// Three records are kept, each bounded or as large as what is alive:
//  - what is alive: the leak report at destruction names each of it;
//  - statistics by name: how often, how much now, at most and in all;
//  - the log of events: the latest, for WriteLog; or every one, streamed as CSV.
//
// It also notices allocations given back twice (or to the wrong allocator): it
// reports and drops them, so that the upstream is not harmed.
//
// Example:
//   RecordingAllocator recording(std::make_unique<CpuAllocator>(), {});
//   Work(recording);
//   WriteCsv(recording.Log(), file);  // recording_format.h; the replay reads it
//
// Cost: some hundred nanoseconds an allocation, and a lock that all threads
// share while events are logged. Thread safety: thread-safe. Ownership: owns its
// upstream; borrows Options::stream (must outlive it). Errors: its upstream's.

#ifndef TENURE_ALLOCATOR_DECORATORS_RECORDING_H_
#define TENURE_ALLOCATOR_DECORATORS_RECORDING_H_

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "tenure/allocator/decorators/decorator.h"
#include "tenure/allocator/decorators/recording_format.h"
#include "tenure/base/ids.h"

namespace tenure {

class RecordingAllocator final : public Decorator {
 public:
  struct Options {
    uint64_t log_events = 65536;     // how many of the latest are kept; 0: none
    std::ostream* stream = nullptr;  // gets every event, as CSV; null: nothing
    uint64_t max_names = 4096;       // names beyond are counted together as "(other)"
    // Gets the leak report line by line, and what was given back wrongly. Empty: stderr.
    std::function<void(std::string_view line)> report = {};
  };
  struct NameStats {
    std::string name;
    uint64_t allocations = 0;
    uint64_t failures = 0;
    uint64_t live_count = 0;
    uint64_t live_bytes = 0;
    uint64_t peak_bytes = 0;
    uint64_t total_bytes = 0;
  };
  struct Live {
    AllocationId allocation;
    StorageId storage;
    uint64_t size_bytes = 0;
    uint64_t alignment_bytes = 0;
    bool imported = false;
    std::string name;
  };

  RecordingAllocator(std::unique_ptr<Allocator> upstream, const Options& options);
  // Reports what is still out.
  ~RecordingAllocator() override;

  absl::StatusOr<Allocation> Allocate(const AllocationRequest& request) override;
  using Allocator::Deallocate;
  void Deallocate(const Allocation& allocation, absl::Span<const Fence> users) override;

  // The latest events, oldest first.
  std::vector<RecordedEvent> Log() const ABSL_LOCKS_EXCLUDED(log_mutex_);
  // How many older ones are no longer kept.
  uint64_t dropped_events() const ABSL_LOCKS_EXCLUDED(log_mutex_);
  // The largest peak first.
  std::vector<NameStats> StatsByName() const ABSL_LOCKS_EXCLUDED(names_mutex_);
  // What is out now, the oldest first.
  std::vector<Live> LiveAllocations() const;

 protected:
  void AfterTransfer(TransferKind kind, const SubRegion& region,
                     const absl::Status& status) override;

 private:
  static constexpr int kShards = 16;
  struct alignas(64) Shard {
    mutable absl::Mutex mutex;
    absl::flat_hash_map<AllocationId, Live> live ABSL_GUARDED_BY(mutex);
  };

  Shard& ShardOf(AllocationId id) const { return shards_[id.value() % kShards]; }
  NameStats& Named(std::string_view name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(names_mutex_);
  bool logs() const { return options_.log_events > 0 || options_.stream != nullptr; }
  void Append(RecordedEvent event) ABSL_LOCKS_EXCLUDED(log_mutex_);
  void Report(std::string_view line) const;

  const Options options_;
  const std::chrono::steady_clock::time_point start_;
  const std::unique_ptr<Shard[]> shards_;
  mutable absl::Mutex names_mutex_;
  absl::flat_hash_map<std::string, NameStats> names_ ABSL_GUARDED_BY(names_mutex_);
  mutable absl::Mutex log_mutex_;
  std::deque<RecordedEvent> log_ ABSL_GUARDED_BY(log_mutex_);
  uint64_t dropped_ ABSL_GUARDED_BY(log_mutex_) = 0;
};

}  // namespace tenure

#endif  // TENURE_ALLOCATOR_DECORATORS_RECORDING_H_
