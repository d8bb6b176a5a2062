#include "tenure/allocator/support/staging_ring.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <utility>

#include "absl/time/time.h"
#include "tenure/allocator/timeline/fence_state.h"
#include "tenure/base/cpus.h"
#include "tenure/base/guarded.h"
#include "tenure/base/thread_pool.h"

namespace tenure {
namespace {

constexpr uint64_t kSlotBytes = StagingLane::kSlotBytes;
constexpr uint64_t kHugePage = uint64_t{2} << 20;
// Copies are cut so that each thread has several pieces: the bus begins sooner and ends evenly.
constexpr uint64_t kPiecesEach = 4;
constexpr uint64_t kSmallestPiece = uint64_t{256} << 10;
// How long the worker that watches the fences sleeps between two looks: short at first, as most
// waits are.
constexpr absl::Duration kShortestPause = absl::Microseconds(5);
constexpr absl::Duration kLongestPause = absl::Microseconds(200);

bool AreOver(const std::vector<Fence>& fences) {
  return std::all_of(fences.begin(), fences.end(), IsOver);
}

// Memory that is written for the first time comes in pages; large ones cost a tenth of the faults.
void AskForHugePages(void* begin, uint64_t size) {
  const auto address = reinterpret_cast<uintptr_t>(begin);
  const uintptr_t first = (address + kHugePage - 1) & ~(kHugePage - 1);
  const uintptr_t last = (address + size) & ~(kHugePage - 1);
  // Advice: where the system does not take it, small pages do as well.
  if (first < last) (void)madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
}

}  // namespace

struct StagingRing::Job {
  // One worker's part: pieces until none are left.
  absl::Status WorkOn(StagingLane& lane);

  DevicePlace device;
  std::byte* host = nullptr;  // of a copy to the host
  Reader read;                // of a copy to the device
  uint64_t size_bytes = 0;
  uint64_t piece_bytes = kSlotBytes;
  uint64_t pieces = 0;
  std::vector<Fence> after;
  std::shared_ptr<Completion> completion;
  std::atomic<uint64_t> next{0};
  std::atomic<bool> failed{false};
  // Guarded by the ring's mutex.
  int wanted = 0;   // more workers that may join
  int working = 0;  // workers that have joined and not finished
  absl::Status result;

 private:
  struct Piece {
    uint64_t offset = 0;
    uint64_t size = 0;  // 0: none
  };
  // The next piece that nobody has claimed. None if there are no more, or if some worker failed.
  Piece Claim();
  DevicePlace At(uint64_t offset) const { return {device.object, device.offset + offset}; }
  absl::Status SendPieces(StagingLane& lane);
  absl::Status ReceivePieces(StagingLane& lane);
};

StagingRing::Job::Piece StagingRing::Job::Claim() {
  if (failed.load(std::memory_order_relaxed)) return {};
  const uint64_t number = next.fetch_add(1, std::memory_order_relaxed);
  if (number >= pieces) return {};
  const uint64_t offset = number * piece_bytes;
  return {offset, std::min(piece_bytes, size_bytes - offset)};
}

absl::Status StagingRing::Job::WorkOn(StagingLane& lane) {
  absl::Status status = lane.Begin();
  if (!status.ok()) {
    failed.store(true, std::memory_order_relaxed);
    return status;
  }
  // They are over, one way or the other.
  for (const Fence& fence : after) {
    if (status.ok()) status = fence.WaitUntil(absl::InfinitePast());
  }
  if (status.ok()) {
    status =
        host::Guarded([&] { return host == nullptr ? SendPieces(lane) : ReceivePieces(lane); });
  }
  if (!status.ok()) failed.store(true, std::memory_order_relaxed);
  // Whatever happened: nothing is under way when the job ends.
  absl::Status finished = lane.Finish();
  return status.ok() ? finished : status;
}

absl::Status StagingRing::Job::SendPieces(StagingLane& lane) {
  for (uint64_t turn = 0;; ++turn) {
    const Piece piece = Claim();
    if (piece.size == 0) return absl::OkStatus();
    const int slot = static_cast<int>(turn & 1);
    absl::Status status;
    // What this slot held before is on the device.
    if (turn >= 2) status = lane.WaitFor(slot);
    if (status.ok()) status = read(piece.offset, lane.slot(slot), piece.size);
    if (status.ok()) status = lane.Send(slot, At(piece.offset), piece.size);
    if (!status.ok()) return status;
  }
}

absl::Status StagingRing::Job::ReceivePieces(StagingLane& lane) {
  Piece arriving;  // on its way into the slot that is not `slot`
  for (int slot = 0;; slot ^= 1) {
    const Piece piece = Claim();
    absl::Status status;
    if (piece.size != 0) status = lane.Receive(slot, At(piece.offset), piece.size);
    // The piece before this one goes out while this one comes in.
    if (status.ok() && arriving.size != 0) {
      status = lane.WaitFor(slot ^ 1);
      if (status.ok()) {
        std::memcpy(host + arriving.offset, lane.slot(slot ^ 1), arriving.size);
      }
    }
    if (!status.ok() || piece.size == 0) return status;
    arriving = piece;
  }
}

StagingRing::~StagingRing() {
  absl::MutexLock lock(&mutex_);
  closing_ = true;
  mutex_.Await(absl::Condition(
      +[](int* workers) { return *workers == 0; }, &workers_));
}

absl::StatusOr<Fence> StagingRing::ToDevice(DevicePlace to, uint64_t size_bytes, Reader read,
                                            std::vector<Fence> after, int max_threads) {
  auto job = std::make_shared<Job>();
  job->device = to;
  job->read = std::move(read);
  job->size_bytes = size_bytes;
  job->after = std::move(after);
  return Submit(std::move(job), max_threads);
}

absl::StatusOr<Fence> StagingRing::ToHost(void* to, DevicePlace from, uint64_t size_bytes,
                                          std::vector<Fence> after, int max_threads) {
  AskForHugePages(to, size_bytes);
  auto job = std::make_shared<Job>();
  job->device = from;
  job->host = static_cast<std::byte*>(to);
  job->size_bytes = size_bytes;
  job->after = std::move(after);
  return Submit(std::move(job), max_threads);
}

bool StagingRing::StartWorker() {
  if (!host::ThreadPool::Default().Start([this] { Serve(); })) return false;
  ++workers_;
  ++serving_;
  return true;
}

absl::StatusOr<Fence> StagingRing::Submit(std::shared_ptr<Job> job, int max_threads) {
  if (job->size_bytes == 0) return Fence();
  job->completion = std::make_shared<Completion>();
  const Fence done(job->completion, 1);
  const int usual = std::min(options_.usual_threads, host::UsableCpus());
  const int most = max_threads > 0 ? std::min(max_threads, kMostThreads) : usual;
  const uint64_t share = job->size_bytes / (static_cast<uint64_t>(most) * kPiecesEach);
  job->piece_bytes =
      std::clamp(share / kSmallestPiece * kSmallestPiece, kSmallestPiece, kSlotBytes);
  job->pieces = (job->size_bytes - 1) / job->piece_bytes + 1;
  job->wanted = static_cast<int>(std::min<uint64_t>(static_cast<uint64_t>(most), job->pieces));
  const bool due = AreOver(job->after);
  absl::MutexLock lock(&mutex_);
  while (workers_ < job->wanted && StartWorker()) {
  }
  if (workers_ == 0) return absl::ResourceExhaustedError(options_.no_thread);
  if (due) {
    jobs_.push_back(std::move(job));
  } else {
    waiting_.push_back(std::move(job));
  }
  // After the last call that may throw: Drain waits until all that were counted are over.
  ++unfinished_;
  ++submitted_;
  return done;
}

void StagingRing::Drain() {
  absl::MutexLock lock(&mutex_);
  mutex_.Await(absl::Condition(
      +[](int* unfinished) { return *unfinished == 0; }, &unfinished_));
}

std::shared_ptr<StagingRing::Job> StagingRing::Next(std::unique_ptr<StagingLane>& lane,
                                                    absl::Status* able) {
  absl::Duration pause = kShortestPause;
  bool looked = false;
  bool watching = false;
  while (true) {
    std::vector<std::shared_ptr<Job>> waiting;
    {
      absl::MutexLock lock(&mutex_);
      if (jobs_.empty()) *able = absl::OkStatus();  // or tries again, for the next one
      const auto has_job = +[](StagingRing* ring) ABSL_EXCLUSIVE_LOCKS_REQUIRED(ring->mutex_) {
        return !ring->jobs_.empty();
      };
      const auto has_anything = +[](StagingRing* ring) ABSL_EXCLUSIVE_LOCKS_REQUIRED(ring->mutex_) {
        return !ring->jobs_.empty() || (!ring->waiting_.empty() && !ring->watched_) ||
               (ring->closing_ && ring->waiting_.empty());
      };
      if (looked && jobs_.empty() && !waiting_.empty() && (watching || !watched_)) {
        watched_ = watching = true;
        mutex_.AwaitWithTimeout(absl::Condition(has_job, this), pause);
        pause = std::min(2 * pause, kLongestPause);
      } else {
        // Not asleep as the one that watches: nobody would see what comes to wait meanwhile.
        if (watching) watched_ = watching = false;
        mutex_.Await(absl::Condition(has_anything, this));
      }
      if (watching && (!jobs_.empty() || waiting_.empty())) watched_ = watching = false;
      if (jobs_.empty() && waiting_.empty()) {
        if (closing_) return nullptr;
        continue;
      }
      // What waits gets a look before others go on, lest it wait for them all.
      const bool take = !jobs_.empty() && (looked || waiting_.empty());
      if (take && (lane != nullptr || !able->ok())) {
        std::shared_ptr<Job> job = jobs_.front();
        ++job->working;
        if (--job->wanted == 0) jobs_.pop_front();
        return job;
      }
      if (!take) waiting = waiting_;
    }
    if (!waiting.empty()) {
      Release(waiting);
      looked = true;
      continue;
    }
    // Before it takes a job: another worker may do better.
    absl::StatusOr<std::unique_ptr<StagingLane>> made = options_.make_lane();
    *able = made.status();
    if (made.ok()) {
      lane = *std::move(made);
    } else if (LeaveToOthers()) {
      *able = absl::OkStatus();
    }
  }
}

void StagingRing::Release(const std::vector<std::shared_ptr<Job>>& waiting) {
  for (const std::shared_ptr<Job>& job : waiting) {
    if (!AreOver(job->after)) continue;
    absl::MutexLock lock(&mutex_);
    auto it = std::find(waiting_.begin(), waiting_.end(), job);
    if (it == waiting_.end()) continue;  // another worker has seen it too
    waiting_.erase(it);
    jobs_.push_back(job);
  }
}

bool StagingRing::LeaveToOthers() {
  absl::MutexLock lock(&mutex_);
  if (unable_ + 1 >= serving_) return false;
  ++unable_;
  const uint64_t seen = submitted_;
  auto changed = [this, seen]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return submitted_ != seen || (closing_ && unfinished_ == 0);
  };
  mutex_.Await(absl::Condition(&changed));
  --unable_;
  return true;
}

void StagingRing::EndPart(Job& job, absl::Status status) {
  {
    absl::MutexLock lock(&mutex_);
    if (!status.ok() && job.result.ok()) job.result = std::move(status);
    // Nothing is left: others need not join.
    if (job.wanted > 0) {
      job.wanted = 0;
      jobs_.erase(std::find_if(jobs_.begin(), jobs_.end(),
                               [&](const auto& other) { return other.get() == &job; }));
    }
    if (--job.working > 0) return;
  }
  job.read = nullptr;
  job.completion->Finish(job.result);
  absl::MutexLock lock(&mutex_);
  --unfinished_;
}

void StagingRing::Serve() {
  std::unique_ptr<StagingLane> lane;
  while (true) {
    absl::Status status;
    const std::shared_ptr<Job> job = Next(lane, &status);
    if (job == nullptr) break;
    if (status.ok()) {
      status = job->WorkOn(*lane);
    } else {
      job->failed.store(true, std::memory_order_relaxed);
    }
    EndPart(*job, std::move(status));
  }
  {
    absl::MutexLock lock(&mutex_);
    --serving_;
  }
  lane.reset();
  // The last that this worker does with the ring, which may be gone then.
  absl::MutexLock lock(&mutex_);
  --workers_;
}

}  // namespace tenure
