#include "tenure/allocator/decorators/recording.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tenure/allocator/errors.h"

namespace tenure {
namespace {

constexpr std::string_view kOther = "(other)";

Event::Kind KindOf(TransferKind kind) {
  switch (kind) {
    case TransferKind::kIn:
      return Event::Kind::kCopyIn;
    case TransferKind::kOut:
      return Event::Kind::kCopyOut;
    case TransferKind::kWithin:
      return Event::Kind::kCopy;
    case TransferKind::kFill:
      return Event::Kind::kFill;
  }
  return Event::Kind::kCopy;
}

uint32_t ThreadNumber() {
  static std::atomic<uint32_t> threads{0};
  thread_local const uint32_t mine = threads.fetch_add(1, std::memory_order_relaxed) + 1;
  return mine;
}

}  // namespace

RecordingAllocator::RecordingAllocator(std::unique_ptr<Allocator> upstream, const Options& options)
    : Decorator(std::move(upstream)),
      options_(options),
      start_(std::chrono::steady_clock::now()),
      shards_(new Shard[kShards]) {
  if (options_.stream != nullptr) *options_.stream << RecordingCsvHeader() << '\n';
}

RecordingAllocator::~RecordingAllocator() {
  const std::vector<Live> leaked = LiveAllocations();
  if (!leaked.empty()) {
    uint64_t bytes = 0;
    for (const Live& live : leaked) bytes += live.size_bytes;
    Report(absl::StrCat(leaked.size(), " allocations of ", bytes,
                        " bytes were never given back to ", space().ToString(), ":"));
    for (const Live& live : leaked) {
      Report(absl::StrCat("  allocation ", live.allocation.value(), " '", live.name, "' of ",
                          live.size_bytes, " bytes, storage ", live.storage.value(),
                          live.imported ? ", imported" : ""));
    }
  }
  if (options_.stream != nullptr) options_.stream->flush();
}

void RecordingAllocator::Report(std::string_view line) const {
  if (options_.report) {
    options_.report(line);
  } else {
    ReportToStderr(line);
  }
}

RecordingAllocator::NameStats& RecordingAllocator::Named(std::string_view name) {
  auto it = names_.find(name);
  if (it != names_.end()) return it->second;
  const std::string key(names_.size() < options_.max_names ? name : kOther);
  NameStats& stats = names_[key];
  stats.name = key;
  return stats;
}

void RecordingAllocator::Append(RecordedEvent event) {
  event.thread = ThreadNumber();
  absl::MutexLock lock(&log_mutex_);
  // Under the lock: times in the log never go back.
  event.time_ns = static_cast<uint64_t>((std::chrono::steady_clock::now() - start_).count());
  if (options_.stream != nullptr) *options_.stream << ToCsv(event) << '\n';
  if (options_.log_events == 0) return;
  if (log_.size() == options_.log_events) {
    log_.pop_front();
    ++dropped_;
  }
  log_.push_back(std::move(event));
}

absl::StatusOr<Allocation> RecordingAllocator::Allocate(const AllocationRequest& request) {
  absl::StatusOr<Allocation> made = up().Allocate(request);
  {
    absl::MutexLock lock(&names_mutex_);
    NameStats& stats = Named(request.name);
    if (made.ok()) {
      ++stats.allocations;
      ++stats.live_count;
      stats.live_bytes += request.size_bytes;
      stats.total_bytes += request.size_bytes;
      stats.peak_bytes = std::max(stats.peak_bytes, stats.live_bytes);
    } else {
      ++stats.failures;
    }
  }
  if (made.ok()) {
    Shard& shard = ShardOf(made->id);
    absl::MutexLock lock(&shard.mutex);
    shard.live[made->id] = {made->id,           request.storage,
                            request.size_bytes, made->alignment_bytes,
                            made->imported,     std::string(request.name)};
  }
  if (logs()) {
    Append({.kind = made.ok() ? Event::Kind::kAllocate : Event::Kind::kAllocateFailed,
            .allocation = made.ok() ? made->id : AllocationId(),
            .storage = request.storage,
            .size_bytes = request.size_bytes,
            .alignment_bytes = request.alignment_bytes,
            .zeroed = request.zeroed,
            .imported = request.imports(),
            .name = std::string(request.name)});
  }
  return made;
}

void RecordingAllocator::Deallocate(const Allocation& allocation, absl::Span<const Fence> users) {
  if (!allocation) return;
  Live live;
  {
    Shard& shard = ShardOf(allocation.id);
    absl::MutexLock lock(&shard.mutex);
    auto it = shard.live.find(allocation.id);
    if (it != shard.live.end()) {
      live = std::move(it->second);
      shard.live.erase(it);
    }
  }
  if (!live.allocation) {
    Report(absl::StrCat("allocation ", allocation.id.value(), " of ", allocation.size_bytes,
                        " bytes was given back to ", space().ToString(),
                        " twice, or is not of this allocator; nothing was done"));
    return;
  }
  {
    absl::MutexLock lock(&names_mutex_);
    NameStats& stats = Named(live.name);
    --stats.live_count;
    stats.live_bytes -= live.size_bytes;
  }
  if (logs()) {
    Append({.kind = Event::Kind::kFree,
            .allocation = live.allocation,
            .storage = live.storage,
            .size_bytes = live.size_bytes,
            .alignment_bytes = live.alignment_bytes,
            .imported = live.imported,
            .name = std::move(live.name)});
  }
  up().Deallocate(allocation, users);
}

void RecordingAllocator::AfterTransfer(TransferKind kind, const SubRegion& region,
                                       const absl::Status& status) {
  if (!logs() || !status.ok()) return;
  Append({.kind = KindOf(kind),
          .allocation = region.allocation->id,
          .size_bytes = region.size_bytes,
          .offset_bytes = region.offset_bytes,
          .imported = region.allocation->imported});
}

std::vector<RecordedEvent> RecordingAllocator::Log() const {
  absl::MutexLock lock(&log_mutex_);
  return {log_.begin(), log_.end()};
}

uint64_t RecordingAllocator::dropped_events() const {
  absl::MutexLock lock(&log_mutex_);
  return dropped_;
}

std::vector<RecordingAllocator::NameStats> RecordingAllocator::StatsByName() const {
  std::vector<NameStats> all;
  {
    absl::MutexLock lock(&names_mutex_);
    all.reserve(names_.size());
    for (const auto& [name, stats] : names_) all.push_back(stats);
  }
  std::sort(all.begin(), all.end(), [](const NameStats& a, const NameStats& b) {
    return a.peak_bytes != b.peak_bytes ? a.peak_bytes > b.peak_bytes : a.name < b.name;
  });
  return all;
}

std::vector<RecordingAllocator::Live> RecordingAllocator::LiveAllocations() const {
  std::vector<Live> all;
  for (int i = 0; i < kShards; ++i) {
    absl::MutexLock lock(&shards_[i].mutex);
    for (const auto& [id, live] : shards_[i].live) all.push_back(live);
  }
  std::sort(all.begin(), all.end(),
            [](const Live& a, const Live& b) { return a.allocation < b.allocation; });
  return all;
}

}  // namespace tenure
