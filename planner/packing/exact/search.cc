#include "tenure/planner/packing/exact/search.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "tenure/planner/packing/exact/model.h"
#include "tenure/planner/packing/exact/strategy.h"
#include "tenure/planner/packing/exact/tree.h"

namespace tenure::packing::exact {
namespace {

// The sequence of runs: which strategy, with how many nodes.
class Schedule {
 public:
  Schedule(const Model& model, const SearchOptions& options)
      : restarts_(options.rules.restarts),
        left_(options.node_limit),
        limit_(model.items() + model.items() / 4 + 64),
        run_(options.first_run) {}

  // The limit of the next run; 0: the node limit is spent.
  uint64_t Next() {
    if (!restarts_) return std::exchange(left_, 0);
    const uint64_t round = run_++ / RoundLength();
    // 1, 2, 1, 4, 1, 2, 1, 8, ...: each scale gets the same share of the work, as nobody knows
    // which is the right one.
    const uint64_t scale = round == 0 ? 1 : round & (~round + 1);
    const uint64_t limit = std::min(limit_ * scale, left_);
    if (left_ != UINT64_MAX) left_ -= limit;
    return limit;
  }

 private:
  bool restarts_;
  uint64_t left_;
  uint64_t limit_;
  uint64_t run_;
};

struct Run {
  bool ended = false;
  Verdict verdict = Verdict::kStopped;
  std::vector<Units> offsets;
  std::vector<double> failures;  // until learned from
  uint64_t nodes = 0;
  uint64_t backtracks = 0;
};

// Threads take runs in sequence until one has decided.
class Race {
 public:
  Race(const Model& model, Units capacity, const SearchOptions& options)
      : model_(model), capacity_(capacity), options_(options), schedule_(model, options) {
    if (options.leads != nullptr) leads_ = *options.leads;
    leads_.resize(RoundLength());
  }

  void Work() {
    for (;;) {
      uint64_t number = 0;
      uint64_t limit = 0;
      Lead lead;
      {
        absl::MutexLock lock(&mutex_);
        number = runs_.size();
        if (IsOver(number)) return;
        limit = schedule_.Next();
        if (limit == 0) return;
        runs_.emplace_back();
        if (Learns() && UsesLead(Place(number))) {
          const auto ready = [this, number]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
            return learned_ + RoundLength() > number || IsOver(number);
          };
          mutex_.Await(absl::Condition(&ready));
          if (IsOver(number)) return;
          lead = leads_[Place(number) % RoundLength()];
        }
      }
      Tree tree(model_, RaceStrategy(options_.rules.restarts ? Place(number) : 0), options_.rules,
                capacity_, options_.stop, lead);
      Run run;
      run.ended = true;
      run.verdict = tree.Run(limit, &decided_, number);
      run.nodes = tree.nodes();
      run.backtracks = tree.backtracks();
      if (run.verdict == Verdict::kFound) run.offsets = tree.Offsets();
      if (Learns() && run.verdict == Verdict::kLimit) run.failures = tree.Failures();
      absl::MutexLock lock(&mutex_);
      if (run.verdict == Verdict::kFound || run.verdict == Verdict::kInfeasible) {
        if (number < decided_.load(std::memory_order_relaxed)) {
          decided_.store(number, std::memory_order_relaxed);
        }
      } else if (run.verdict == Verdict::kStopped &&
                 number < decided_.load(std::memory_order_relaxed)) {
        stopped_ = true;
      }
      runs_[number] = std::move(run);
      LearnInSequence();
    }
  }

  SearchResult Result() {
    absl::MutexLock lock(&mutex_);
    SearchResult result;
    const uint64_t decided = decided_.load(std::memory_order_relaxed);
    const bool any = decided < runs_.size();
    result.runs = any ? decided + 1 : runs_.size();
    for (uint64_t k = 0; k < result.runs; ++k) {
      result.nodes += runs_[k].nodes;
      result.backtracks += runs_[k].backtracks;
    }
    if (any) {
      result.verdict = runs_[decided].verdict;
      result.offsets = std::move(runs_[decided].offsets);
    } else {
      result.verdict = stopped_ ? Verdict::kStopped : Verdict::kLimit;
    }
    if (options_.leads != nullptr) *options_.leads = std::move(leads_);
    return result;
  }

 private:
  bool Learns() const { return options_.rules.learning && options_.rules.restarts; }
  // In the whole sequence, of which this search makes a part.
  uint64_t Place(uint64_t number) const { return options_.first_run + number; }
  // Whether what that run finds is of no use any more.
  bool IsOver(uint64_t number) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return stopped_ || number > decided_.load(std::memory_order_relaxed);
  }
  // From runs in their order, whoever ended first, and from none behind the one that decides.
  void LearnInSequence() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    while (learned_ < runs_.size() && runs_[learned_].ended &&
           learned_ < decided_.load(std::memory_order_relaxed)) {
      const std::vector<double> failures = std::move(runs_[learned_].failures);
      Learn(failures, leads_[Place(learned_) % RoundLength()]);
      ++learned_;
    }
  }

  const Model& model_;
  const Units capacity_;
  const SearchOptions& options_;
  std::atomic<uint64_t> decided_{UINT64_MAX};  // the first run that has an answer
  absl::Mutex mutex_;
  Schedule schedule_ ABSL_GUARDED_BY(mutex_);
  std::vector<Run> runs_ ABSL_GUARDED_BY(mutex_);
  std::vector<Lead> leads_ ABSL_GUARDED_BY(mutex_);  // of each order
  uint64_t learned_ ABSL_GUARDED_BY(mutex_) = 0;     // from so many runs
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
};

// More threads than processors only take memory; a few are allowed anywhere.
int UsefulThreads(int most) {
  return std::min(most, std::max(4, static_cast<int>(std::thread::hardware_concurrency())));
}

}  // namespace

SearchResult Search(const Model& model, Units capacity, const SearchOptions& options) {
  SearchResult result;
  if (model.bound > capacity) {
    result.verdict = Verdict::kInfeasible;
    return result;
  }
  Race race(model, capacity, options);
  std::vector<std::thread> helpers;
  if (options.rules.restarts) {
    const int threads = UsefulThreads(options.max_threads);
    helpers.reserve(static_cast<size_t>(std::max(threads, 1)));
    try {
      for (int k = 1; k < threads; ++k) helpers.emplace_back([&race] { race.Work(); });
    } catch (const std::system_error&) {
      // No more are to be had: these will do.
    }
  }
  race.Work();
  for (std::thread& helper : helpers) helper.join();
  return race.Result();
}

Units Height(const Model& model, const std::vector<Units>& offsets) {
  Units height = model.idle_height;
  for (size_t i = 0; i < offsets.size(); ++i) height = std::max(height, offsets[i] + model.size[i]);
  return height;
}

}  // namespace tenure::packing::exact
