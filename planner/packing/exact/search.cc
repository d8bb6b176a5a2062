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
#include "tenure/planner/packing/exact/branching.h"
#include "tenure/planner/packing/exact/model.h"
#include "tenure/planner/packing/exact/tree.h"

namespace tenure::packing::exact {
namespace {

// Runs of the order that has come furthest are this many times longer than the shortest of the
// others. The value was found by trial.
constexpr uint64_t kBestScale = 4;

// The sequence of runs: the purpose of each and its node limit.
class Schedule {
 public:
  Schedule(const Model& model, const SearchOptions& options)
      : restarts_(options.rules.restarts),
        learning_(options.rules.learning && restarts_),
        first_run_(options.first_run),
        limit_(model.items() + model.items() / 4 + 64),
        left_(options.node_limit) {}

  // Returns the turn of a run of this search, which may cover only a part of the sequence.
  Turn TurnOfRun(uint64_t number) const {
    return restarts_ ? TurnOf(first_run_ + number, learning_) : Turn{};
  }
  bool Learns(const Turn& turn) const { return learning_ && UsesExperience(turn); }

  // Returns the limit of the next run, 0 if the node limit is used up.
  uint64_t NextLimit(const Turn& turn) {
    if (!restarts_) return std::exchange(left_, 0);
    uint64_t scale = kBestScale;
    if (turn.aim == Aim::kBroad) {
      // 1, 2, 1, 4, 1, 2, 1, 8, ...: each scale gets the same share of the work, since the right
      // one is not known in advance.
      const uint64_t round = turn.round();
      scale = round == 0 ? 1 : round & (~round + 1);
    }
    const uint64_t limit = std::min(limit_ * scale, left_);
    if (left_ != UINT64_MAX) left_ -= limit;
    return limit;
  }

 private:
  const bool restarts_;
  const bool learning_;
  const uint64_t first_run_;
  const uint64_t limit_;
  uint64_t left_;
};

struct Run {
  bool ended = false;
  Verdict verdict = Verdict::kStopped;
  uint64_t order = 0;
  std::vector<Units> offsets;
  Failures failures;  // cleared once they have been learned from
  uint64_t nodes = 0;
  uint64_t backtracks = 0;
};

// Threads take runs in sequence until one of them has decided the question.
class Race {
 public:
  Race(const Model& model, Units capacity, const SearchOptions& options)
      : model_(model), capacity_(capacity), options_(options), schedule_(model, options) {
    if (options.experience != nullptr) experience_ = *options.experience;
    experience_.resize(Orders());
    while (plans_.size() < kLearningLag) PlanNext();
  }

  void Work() {
    for (;;) {
      uint64_t number = 0;
      uint64_t limit = 0;
      Turn turn;
      RunPlan plan;
      {
        absl::MutexLock lock(&mutex_);
        number = runs_.size();
        if (IsOver(number)) return;
        turn = schedule_.TurnOfRun(number);
        limit = schedule_.NextLimit(turn);
        if (limit == 0) return;
        runs_.emplace_back();
        if (schedule_.Learns(turn)) {
          const auto ready = [this, number]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
            return plans_.size() > number || IsOver(number);
          };
          mutex_.Await(absl::Condition(&ready));
          if (IsOver(number)) return;
          plan = std::move(plans_[number]);
        } else {
          plan = PlanRun(turn, {});
        }
      }
      Tree tree(model_, plan.strategy, options_.rules, capacity_, options_.stop, plan.lead,
                plan.weights);
      Run run;
      run.ended = true;
      run.order = plan.order;
      run.verdict = tree.Run(limit, &decided_, number);
      run.nodes = tree.nodes();
      run.backtracks = tree.backtracks();
      if (run.verdict == Verdict::kFound) run.offsets = tree.Offsets();
      if (options_.rules.learning && run.verdict == Verdict::kLimit) {
        run.failures = tree.FailuresSoFar();
      }
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
    if (options_.experience != nullptr) *options_.experience = std::move(experience_);
    return result;
  }

 private:
  // Returns whether the result of that run is no longer needed.
  bool IsOver(uint64_t number) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return stopped_ || number > decided_.load(std::memory_order_relaxed);
  }
  // Plans the next run with the experience so far, so that the plan does not depend on which thread
  // finished first. Runs that do not use experience are planned when they start, so they wait for
  // no other run.
  void PlanNext() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const Turn turn = schedule_.TurnOfRun(plans_.size());
    plans_.push_back(schedule_.Learns(turn) ? PlanRun(turn, experience_) : RunPlan{});
  }
  // Learns from runs in their order, even if they ended in another, and from no run after the
  // deciding one.
  void LearnInSequence() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    while (learned_ < runs_.size() && runs_[learned_].ended &&
           learned_ < decided_.load(std::memory_order_relaxed)) {
      Run& run = runs_[learned_];
      const Failures failures = std::move(run.failures);
      Learn(schedule_.TurnOfRun(learned_), failures, experience_[run.order]);
      ++learned_;
      PlanNext();
    }
  }

  const Model& model_;
  const Units capacity_;
  const SearchOptions& options_;
  std::atomic<uint64_t> decided_{UINT64_MAX};  // the first run that has an answer
  absl::Mutex mutex_;
  Schedule schedule_ ABSL_GUARDED_BY(mutex_);
  std::vector<Run> runs_ ABSL_GUARDED_BY(mutex_);
  std::vector<RunPlan> plans_ ABSL_GUARDED_BY(mutex_);  // of the runs that use experience
  Experience experience_ ABSL_GUARDED_BY(mutex_);
  uint64_t learned_ ABSL_GUARDED_BY(mutex_) = 0;  // the number of runs that have been learned from
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
};

// More threads than processors bring nothing but overhead; a few are allowed on every machine.
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
      // No more threads can be started. The search goes on with those that run.
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
