// ThreadPool: the threads of this library. What runs on them is either a task, which has its thread
// to itself until it returns, or pieces of work that RunChunks (workers.h) hands out.
//
// Threads are made when first needed and kept: they sleep in between. Both kinds of work use
// the same threads, and differ in what bounds them:
//
//   tasks    get a thread always: a sleeping one, or a new one. They may block for as long as they
//            like (on a device's fence, say) and count against nothing.
//   chunks   get helpers: never more threads at a time than the process has CPUs less one, however
//            many tasks block meanwhile. The caller works too, and does what no helper has claimed.
//
// Example:
//   const bool started = ThreadPool::Default().Start([=] { Serve(); });
//
// Cost: waking a thread takes some microseconds, making one some tens.
// Thread safety: thread-safe; tasks and chunks may themselves start tasks and chunks. A forked child
// starts with a pool of its own (unless a task itself forks); its parent's tasks do not go on there.
// Signals of the embedding process are blocked on these threads.
// Ownership: the threads are never joined and a pool is never destroyed, so a library that contains
// this must not be unloaded. Whoever starts a task sees to it that the task ends, or that all it
// uses lives on.
// Errors: Start tells that no thread can be made; RunChunks then leaves everything to the caller.

#ifndef TENURE_BASE_THREAD_POOL_H_
#define TENURE_BASE_THREAD_POOL_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/synchronization/mutex.h"
#include "tenure/base/cpus.h"

namespace tenure::host {

class ThreadPool {
 public:
  // The process's own.
  static ThreadPool& Default();

  ThreadPool() = default;
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  // Runs `task` on a thread of the pool. False: there is no thread for it, and it will not run.
  bool Start(std::function<void()> task) ABSL_LOCKS_EXCLUDED(mutex_);

  // Calls work(0) ... work(chunks - 1), each once, on the caller's thread and on at most `helpers`
  // others. Returns when all are done.
  void RunChunks(uint64_t chunks, int helpers, absl::FunctionRef<void(uint64_t)> work)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // Threads that were made so far.
  int thread_count() const ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    return threads_;
  }

 private:
  struct Chunks;

  bool StartThread() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  [[noreturn]] void Serve() ABSL_LOCKS_EXCLUDED(mutex_);
  void RunTask() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void HelpWithChunks() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Sleeping threads that are not about to take a task.
  int FreeThreads() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return idle_ - static_cast<int>(tasks_.size());
  }

  const int most_helpers_ = UsableCpus() - 1;
  mutable absl::Mutex mutex_;
  absl::CondVar wake_;
  absl::CondVar done_;
  std::deque<std::function<void()>> tasks_ ABSL_GUARDED_BY(mutex_);  // never more than idle_
  std::deque<Chunks*> chunks_ ABSL_GUARDED_BY(mutex_);               // that want more helpers
  int threads_ ABSL_GUARDED_BY(mutex_) = 0;
  int idle_ ABSL_GUARDED_BY(mutex_) = 0;     // threads that have nothing, or are about to begin
  int helping_ ABSL_GUARDED_BY(mutex_) = 0;  // threads that work on chunks
};

}  // namespace tenure::host

#endif  // TENURE_BASE_THREAD_POOL_H_
