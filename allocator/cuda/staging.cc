#include "tenure/allocator/cuda/staging.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <system_error>
#include <utility>

#include "absl/time/time.h"
#include "tenure/allocator/cuda/stream.h"
#include "tenure/base/workers.h"

namespace tenure::cuda {
namespace {

// Half of them where the machine has many CPUs: more do not make the bus faster.
constexpr int kUsualThreads = 8;
constexpr uint64_t kHugePage = uint64_t{2} << 20;
// Copies are cut so that each thread has several pieces: the bus begins sooner and ends evenly.
constexpr uint64_t kPiecesEach = 4;
constexpr uint64_t kSmallestPiece = uint64_t{256} << 10;
// How long whoever watches the fences sleeps between two looks: short at first, as most waits are.
constexpr absl::Duration kShortestPause = absl::Microseconds(5);
constexpr absl::Duration kLongestPause = absl::Microseconds(200);

bool IsOver(const Fence& fence) { return fence.IsReached() || fence.IsFailed(); }
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
  bool in = true;
  CUdeviceptr device = 0;
  std::byte* host = nullptr;  // of a copy out
  Reader read;                // of a copy in
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
  absl::Status status;
};

struct StagingRing::Worker {
  std::thread thread;
  bool ready = false;
  CUstream stream = nullptr;
  std::byte* slots[2] = {};
  CUevent events[2] = {};
};

StagingRing::StagingRing(std::shared_ptr<Device> device) : device_(std::move(device)) {}

StagingRing::~StagingRing() {
  std::vector<std::unique_ptr<Worker>> workers;
  {
    absl::MutexLock lock(&mutex_);
    closing_ = true;
    workers.swap(workers_);
  }
  for (auto& worker : workers) worker->thread.join();
}

absl::Status StagingRing::Prepare(Worker& worker) {
  Device::Scope scope(*device_);
  const Driver& driver = device_->driver();
  absl::Status status = scope.status();
  if (worker.stream == nullptr) {
    status = TENURE_CU(driver, StreamCreate, &worker.stream, CU_STREAM_NON_BLOCKING);
  }
  for (CUevent& event : worker.events) {
    if (status.ok() && event == nullptr) {
      status = TENURE_CU(driver, EventCreate, &event, CU_EVENT_DISABLE_TIMING);
    }
  }
  if (status.ok()) {
    void* memory = nullptr;
    status = TENURE_CU(driver, MemHostAlloc, &memory, 2 * kSlotBytes, CU_MEMHOSTALLOC_PORTABLE);
    if (status.ok()) {
      worker.slots[0] = static_cast<std::byte*>(memory);
      worker.slots[1] = worker.slots[0] + kSlotBytes;
    }
  }
  worker.ready = status.ok();
  return status;
}

absl::StatusOr<Fence> StagingRing::ToDevice(CUdeviceptr to, uint64_t size_bytes, Reader read,
                                            std::vector<Fence> after, int max_threads) {
  auto job = std::make_shared<Job>();
  job->device = to;
  job->read = std::move(read);
  job->size_bytes = size_bytes;
  job->after = std::move(after);
  return Submit(std::move(job), max_threads);
}

absl::StatusOr<Fence> StagingRing::ToHost(void* to, CUdeviceptr from, uint64_t size_bytes,
                                          std::vector<Fence> after, int max_threads) {
  AskForHugePages(to, size_bytes);
  auto job = std::make_shared<Job>();
  job->in = false;
  job->device = from;
  job->host = static_cast<std::byte*>(to);
  job->size_bytes = size_bytes;
  job->after = std::move(after);
  return Submit(std::move(job), max_threads);
}

absl::StatusOr<Fence> StagingRing::Submit(std::shared_ptr<Job> job, int max_threads) {
  job->completion = std::make_shared<Completion>();
  const Fence done(job->completion, 1);
  const int usual = std::min(kUsualThreads, host::UsableCpus());
  const int most = max_threads > 0 ? std::min(max_threads, kMostThreads) : usual;
  const uint64_t share = job->size_bytes / (static_cast<uint64_t>(most) * kPiecesEach);
  job->piece_bytes =
      std::clamp(share / kSmallestPiece * kSmallestPiece, kSmallestPiece, kSlotBytes);
  job->pieces = (job->size_bytes + job->piece_bytes - 1) / job->piece_bytes;
  job->wanted = static_cast<int>(std::min<uint64_t>(static_cast<uint64_t>(most), job->pieces));
  const bool due = AreOver(job->after);
  absl::MutexLock lock(&mutex_);
  while (static_cast<int>(workers_.size()) < job->wanted) {
    auto worker = std::make_unique<Worker>();
    // Signals of the embedding process are for its own threads.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool made = true;
    try {
      worker->thread = std::thread([this, w = worker.get()] { Serve(*w); });
    } catch (const std::system_error&) {
      made = false;
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (!made) break;
    workers_.push_back(std::move(worker));
    ++serving_;
  }
  if (workers_.empty()) {
    return absl::ResourceExhaustedError(
        "no thread can be made to copy through page-locked memory; end some threads, or copy from "
        "a buffer of 'cuda-pinned'");
  }
  ++unfinished_;
  ++submitted_;
  if (due) {
    jobs_.push_back(std::move(job));
  } else {
    waiting_.push_back(std::move(job));
  }
  return done;
}

void StagingRing::Drain() {
  absl::MutexLock lock(&mutex_);
  mutex_.Await(absl::Condition(
      +[](int* unfinished) { return *unfinished == 0; }, &unfinished_));
}

std::shared_ptr<StagingRing::Job> StagingRing::Next(Worker& worker, absl::Status* able) {
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
      // Who waits gets a look before others go on, lest it wait for them all.
      const bool take = !jobs_.empty() && (looked || waiting_.empty());
      if (take && (worker.ready || !able->ok())) {
        std::shared_ptr<Job> job = jobs_.front();
        ++job->working;
        if (--job->wanted == 0) jobs_.pop_front();
        return job;
      }
      if (!take) waiting = waiting_;
    }
    if (!waiting.empty()) {
      LetGo(waiting);
      looked = true;
      continue;
    }
    // Before it takes a job: another worker may do better.
    *able = Prepare(worker);
    if (!able->ok() && LeaveToOthers()) *able = absl::OkStatus();
  }
}

void StagingRing::LetGo(const std::vector<std::shared_ptr<Job>>& waiting) {
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

void StagingRing::Serve(Worker& worker) {
  while (true) {
    absl::Status status;
    const std::shared_ptr<Job> job = Next(worker, &status);
    if (job == nullptr) break;
    if (status.ok()) {
      status = Work(worker, *job);
    } else {
      job->failed.store(true, std::memory_order_relaxed);
    }
    bool last = false;
    {
      absl::MutexLock lock(&mutex_);
      if (!status.ok() && job->status.ok()) job->status = std::move(status);
      // Nothing is left: others need not join.
      if (job->wanted > 0) {
        job->wanted = 0;
        jobs_.erase(std::find(jobs_.begin(), jobs_.end(), job));
      }
      last = --job->working == 0;
    }
    if (last) {
      job->read = nullptr;
      job->completion->Finish(job->status);
      absl::MutexLock lock(&mutex_);
      --unfinished_;
    }
  }
  {
    absl::MutexLock lock(&mutex_);
    --serving_;
  }
  Device::Scope scope(*device_);
  if (!scope.status().ok()) return;  // lost
  const Driver& driver = device_->driver();
  for (CUevent event : worker.events) {
    if (event != nullptr) (void)driver->EventDestroy(event);
  }
  if (worker.stream != nullptr) (void)driver->StreamDestroy(worker.stream);
  if (worker.slots[0] != nullptr) (void)driver->MemFreeHost(worker.slots[0]);
}

absl::Status StagingRing::Work(Worker& worker, Job& job) {
  Device::Scope scope(*device_);
  absl::Status status = scope.status();
  if (!status.ok()) {
    job.failed.store(true, std::memory_order_relaxed);
    return status;
  }
  // They are over, one way or the other.
  for (const Fence& fence : job.after) {
    if (status.ok()) status = fence.WaitUntil(absl::InfinitePast());
  }
  if (status.ok()) status = job.in ? WorkIn(worker, job) : WorkOut(worker, job);
  if (!status.ok()) job.failed.store(true, std::memory_order_relaxed);
  // Whatever happened: nothing is under way when the job ends.
  absl::Status ended = EndWork(*device_, worker.stream);
  return status.ok() ? ended : status;
}

absl::Status StagingRing::WorkIn(Worker& worker, Job& job) {
  const Driver& driver = device_->driver();
  for (uint64_t turn = 0; !job.failed.load(std::memory_order_relaxed); ++turn) {
    const uint64_t piece = job.next.fetch_add(1, std::memory_order_relaxed);
    if (piece >= job.pieces) break;
    const uint64_t offset = piece * job.piece_bytes;
    const uint64_t size = std::min(job.piece_bytes, job.size_bytes - offset);
    const size_t slot = turn & 1;
    absl::Status status;
    // What this slot held before is on the device.
    if (turn >= 2) status = TENURE_CU(driver, EventSynchronize, worker.events[slot]);
    if (status.ok()) status = job.read(offset, worker.slots[slot], size);
    if (status.ok()) {
      status = TENURE_CU(driver, MemcpyHtoDAsync, job.device + offset, worker.slots[slot], size,
                         worker.stream);
    }
    if (status.ok()) status = TENURE_CU(driver, EventRecord, worker.events[slot], worker.stream);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status StagingRing::WorkOut(Worker& worker, Job& job) {
  const Driver& driver = device_->driver();
  struct Piece {
    uint64_t offset = 0;
    uint64_t size = 0;
    size_t slot = 0;
  };
  Piece arriving;  // on its way into its slot; none if of size 0
  auto take = [&](const Piece& piece) -> absl::Status {
    absl::Status status = TENURE_CU(driver, EventSynchronize, worker.events[piece.slot]);
    if (status.ok()) std::memcpy(job.host + piece.offset, worker.slots[piece.slot], piece.size);
    return status;
  };
  for (size_t slot = 0; !job.failed.load(std::memory_order_relaxed); slot ^= 1) {
    const uint64_t number = job.next.fetch_add(1, std::memory_order_relaxed);
    if (number >= job.pieces) break;
    const uint64_t offset = number * job.piece_bytes;
    const Piece piece{offset, std::min(job.piece_bytes, job.size_bytes - offset), slot};
    absl::Status status = TENURE_CU(driver, MemcpyDtoHAsync, worker.slots[slot],
                                    job.device + offset, piece.size, worker.stream);
    if (status.ok()) status = TENURE_CU(driver, EventRecord, worker.events[slot], worker.stream);
    // The piece before this one goes out while this one comes in.
    if (status.ok() && arriving.size != 0) status = take(arriving);
    if (!status.ok()) return status;
    arriving = piece;
  }
  return arriving.size == 0 ? absl::OkStatus() : take(arriving);
}

}  // namespace tenure::cuda
