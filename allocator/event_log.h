// EventLog: what comes of events: what is alive, statistics by name, the log, the leak report.
//
// Each record is bounded, or as large as what is alive:
//  - what is alive: the leak report names each of it;
//  - statistics by name: how often, how much now, at most and in all;
//  - the log: the latest events, for WriteCsv; or every event, streamed as CSV.
//
// For one allocator, use a RecordingAllocator: it has an EventLog.
//
// Example of a log of the whole process:
//   std::ofstream file("log.csv");
//   EventLog log({.stream = &file});
//   ScopedObserver watch(&log);
//   Work();  // then run it again: tenure replay --log=log.csv --space=cpu
//
// To replay a log, stream all of it, and begin before the first allocation: copies into
// allocations that the log does not know cannot be run. A process-wide log of several threads may
// show a copy before its allocation (observer.h); the log of a RecordingAllocator never does.
//
// Cost: some hundred nanoseconds an event, and a lock that all threads share while events are
// logged. Thread safety: thread-safe. Ownership: borrows Options::stream, which must outlive it.
// Errors: none.

#ifndef TENURE_ALLOCATOR_EVENT_LOG_H_
#define TENURE_ALLOCATOR_EVENT_LOG_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "tenure/allocator/event.h"
#include "tenure/allocator/observer.h"
#include "tenure/base/ids.h"

namespace tenure {

class EventLog final : public Observer {
 public:
  struct Options {
    uint64_t log_events = 65536;     // how many of the latest are kept; 0: none
    std::ostream* stream = nullptr;  // gets every event, as CSV; null: nothing
    uint64_t max_names = 4096;       // names beyond are counted together as "(other)"
    // Gets reports line by line. Empty: stderr.
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

  explicit EventLog(const Options& options);
  ~EventLog() override;

  // Takes an event in, and stamps it if it has no time yet. False, and nothing is done, for a free
  // of what is not alive. A free needs its `allocation` only: the log knows the rest.
  bool Add(Event event);
  void OnEvent(const Event& event) override { Add(event); }

  // The latest events, oldest first. Times never go back.
  std::vector<Event> Latest() const ABSL_LOCKS_EXCLUDED(log_mutex_);
  // How many older ones are no longer kept.
  uint64_t dropped_events() const ABSL_LOCKS_EXCLUDED(log_mutex_);
  // The largest peak first.
  std::vector<NameStats> StatsByName() const ABSL_LOCKS_EXCLUDED(names_mutex_);
  // The allocations that are out now, the oldest first.
  std::vector<Event> Live() const;
  // Names each of them in a line of its own; says nothing if there are none.
  void ReportLeaks() const;
  // Says a line to Options::report.
  void Report(std::string_view line) const;

 private:
  static constexpr int kShards = 16;
  // The maps are not absl's: those are broken if they find no memory to grow.
  struct alignas(64) Shard {
    mutable absl::Mutex mutex;
    std::unordered_map<AllocationId, Event> live ABSL_GUARDED_BY(mutex);
  };

  Shard& ShardOf(AllocationId id) const { return shards_[id.value() % kShards]; }
  NameStats& Named(const std::string& name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(names_mutex_);
  void AddAllocation(const Event& event);
  bool AddFree(Event& event);
  void Append(Event event) ABSL_LOCKS_EXCLUDED(log_mutex_);

  const Options options_;
  const std::unique_ptr<Shard[]> shards_;
  mutable absl::Mutex names_mutex_;
  std::unordered_map<std::string, NameStats> names_ ABSL_GUARDED_BY(names_mutex_);
  mutable absl::Mutex log_mutex_;
  std::deque<Event> log_ ABSL_GUARDED_BY(log_mutex_);
  uint64_t dropped_ ABSL_GUARDED_BY(log_mutex_) = 0;
  uint64_t last_time_ns_ ABSL_GUARDED_BY(log_mutex_) = 0;
};

}  // namespace tenure

#endif  // TENURE_ALLOCATOR_EVENT_LOG_H_
