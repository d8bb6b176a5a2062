#include "tenure/base/thread_pool.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "tenure/base/per_process.h"

namespace tenure::host {

struct ThreadPool::Chunks {
  absl::FunctionRef<void(uint64_t)> work;
  const uint64_t count;
  std::atomic<uint64_t> next{0};
  int wanted;      // helpers that may yet join; guarded by the pool's mutex
  int inside = 0;  // helpers at work; guarded by the pool's mutex

  void Run() {
    for (uint64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < count;) work(i);
  }
};

ThreadPool& ThreadPool::Default() { return PerProcess<ThreadPool>::Get(); }

bool ThreadPool::StartThread() {
  pthread_attr_t attributes;
  if (pthread_attr_init(&attributes) != 0) return false;
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  // Signals of the embedding process are for its own threads.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_t thread;
  auto start = [](void* pool) -> void* { static_cast<ThreadPool*>(pool)->Serve(); };
  const int error = pthread_create(&thread, &attributes, start, this);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_attr_destroy(&attributes);
  if (error != 0) return false;
  ++threads_;
  ++idle_;
  return true;
}

bool ThreadPool::Start(std::function<void()> task) {
  absl::MutexLock lock(&mutex_);
  if (FreeThreads() == 0 && !StartThread()) return false;
  tasks_.push_back(std::move(task));
  wake_.Signal();
  return true;
}

void ThreadPool::RunChunks(uint64_t chunks, int helpers, absl::FunctionRef<void(uint64_t)> work) {
  Chunks mine{work, chunks, {}, helpers};
  {
    absl::MutexLock lock(&mutex_);
    const int wanted = std::min(helpers, most_helpers_ - helping_);
    while (FreeThreads() < wanted && StartThread()) {
    }
    if (helpers > 0) chunks_.push_back(&mine);
    for (int i = std::min(wanted, FreeThreads()); i > 0; --i) wake_.Signal();
  }
  // Also after an exception of the work: the helpers use `mine`.
  const absl::Cleanup leave = [&] {
    absl::MutexLock lock(&mutex_);
    auto it = std::find(chunks_.begin(), chunks_.end(), &mine);
    if (it != chunks_.end()) chunks_.erase(it);
    while (mine.inside > 0) done_.Wait(&mutex_);
  };
  mine.Run();
}

void ThreadPool::RunTask() {
  {
    std::function<void()> task = std::move(tasks_.front());
    tasks_.pop_front();
    mutex_.Unlock();
    task();
  }  // What the task holds goes before the pool is locked.
  mutex_.Lock();
}

void ThreadPool::HelpWithChunks() {
  Chunks* chunks = chunks_.front();
  if (--chunks->wanted == 0) chunks_.pop_front();
  ++chunks->inside;
  ++helping_;
  mutex_.Unlock();
  chunks->Run();
  mutex_.Lock();
  --helping_;
  if (--chunks->inside == 0) done_.SignalAll();  // `chunks` may be gone from here on
}

void ThreadPool::Serve() {
  mutex_.Lock();
  while (true) {
    // Tasks come first: each counts on a thread that was free when it came.
    if (!tasks_.empty()) {
      --idle_;
      RunTask();
      ++idle_;
    } else if (!chunks_.empty() && helping_ < most_helpers_) {
      --idle_;
      HelpWithChunks();
      ++idle_;
    } else {
      wake_.Wait(&mutex_);
    }
  }
}

}  // namespace tenure::host
