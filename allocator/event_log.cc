#include "tenure/allocator/event_log.h"

#include <algorithm>
#include <new>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "tenure/allocator/errors.h"

namespace tenure {

EventLog::EventLog(const Options& options) : options_(options), shards_(new Shard[kShards]) {
  if (options_.stream != nullptr) *options_.stream << EventCsvHeader() << '\n';
}

EventLog::~EventLog() {
  if (options_.stream != nullptr) options_.stream->flush();
}

EventLog::NameStats& EventLog::Named(const std::string& name) {
  auto it = names_.find(name);
  if (it != names_.end()) return it->second;
  const std::string key = names_.size() < options_.max_names ? name : "(other)";
  NameStats fresh;
  fresh.name = key;
  return names_.emplace(key, std::move(fresh)).first->second;
}

void EventLog::AddAllocation(const Event& event) {
  Shard& shard = ShardOf(event.allocation);
  // After an exception, so that the parts of the log agree.
  absl::Cleanup forget = [&] {
    absl::MutexLock lock(&shard.mutex);
    shard.live.erase(event.allocation);
  };
  if (event.ok()) {
    absl::MutexLock lock(&shard.mutex);
    shard.live[event.allocation] = event;
  }
  absl::MutexLock lock(&names_mutex_);
  NameStats& stats = Named(event.name);
  std::move(forget).Cancel();
  if (!event.ok()) {
    ++stats.failures;
    return;
  }
  ++stats.allocations;
  ++stats.live_count;
  stats.live_bytes += event.size_bytes;
  stats.total_bytes += event.size_bytes;
  stats.peak_bytes = std::max(stats.peak_bytes, stats.live_bytes);
}

bool EventLog::AddFree(Event& event) {
  {
    Shard& shard = ShardOf(event.allocation);
    absl::MutexLock lock(&shard.mutex);
    auto it = shard.live.find(event.allocation);
    if (it == shard.live.end()) return false;
    Event freed = std::move(it->second);
    shard.live.erase(it);
    freed.kind = Event::Kind::kFree;
    freed.time_ns = event.time_ns;
    freed.thread = event.thread;
    freed.zeroed = false;
    event = std::move(freed);
  }
  absl::MutexLock lock(&names_mutex_);
  NameStats& stats = Named(event.name);
  --stats.live_count;
  stats.live_bytes -= event.size_bytes;
  return true;
}

bool EventLog::Add(Event event) {
  Stamp(event);
  if (event.kind == Event::Kind::kAllocate) AddAllocation(event);
  if (event.kind == Event::Kind::kFree && !AddFree(event)) return false;
  if (options_.log_events > 0 || options_.stream != nullptr) Append(std::move(event));
  return true;
}

void EventLog::Append(Event event) {
  absl::MutexLock lock(&log_mutex_);
  event.time_ns = last_time_ns_ = std::max(last_time_ns_, event.time_ns);
  try {
    if (options_.stream != nullptr) *options_.stream << ToCsv(event) << '\n';
    if (options_.log_events == 0) return;
    log_.push_back(std::move(event));
  } catch (const std::bad_alloc&) {  // what is logged may be the free of a handle that is dropped
    ++dropped_;
    return;
  }
  if (log_.size() > options_.log_events) {
    log_.pop_front();
    ++dropped_;
  }
}

std::vector<Event> EventLog::Latest() const {
  absl::MutexLock lock(&log_mutex_);
  return {log_.begin(), log_.end()};
}

uint64_t EventLog::dropped_events() const {
  absl::MutexLock lock(&log_mutex_);
  return dropped_;
}

std::vector<EventLog::NameStats> EventLog::StatsByName() const {
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

std::vector<Event> EventLog::Live() const {
  std::vector<Event> all;
  for (int i = 0; i < kShards; ++i) {
    absl::MutexLock lock(&shards_[i].mutex);
    for (const auto& [id, made] : shards_[i].live) all.push_back(made);
  }
  std::sort(all.begin(), all.end(),
            [](const Event& a, const Event& b) { return a.allocation < b.allocation; });
  return all;
}

void EventLog::ReportLeaks() const {
  const std::vector<Event> leaked = Live();
  if (leaked.empty()) return;
  uint64_t bytes = 0;
  for (const Event& made : leaked) bytes += made.size_bytes;
  Report(absl::StrCat(leaked.size(), " allocations of ", bytes, " bytes were never given back:"));
  for (const Event& made : leaked) {
    Report(absl::StrCat("  allocation ", made.allocation.value(), " '", made.name, "' of ",
                        made.size_bytes, " bytes", made.space ? " in " : "",
                        made.space ? made.space->ToString() : "", ", storage ",
                        made.storage.value(), made.imported ? ", imported" : ""));
  }
}

void EventLog::Report(std::string_view line) const {
  if (options_.report) {
    options_.report(line);
  } else {
    ReportToStderr(line);
  }
}

}  // namespace tenure
