#include "tenure/base/workers.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <deque>

#include "absl/base/call_once.h"
#include "absl/base/thread_annotations.h"
#include "absl/strings/numbers.h"
#include "absl/synchronization/mutex.h"

namespace tenure::host {
namespace {

struct Job {
  absl::FunctionRef<void(uint64_t)> work;
  const uint64_t chunks;
  std::atomic<uint64_t> next{0};
  int wanted;      // helpers that may yet join; guarded by the pool's mutex
  int inside = 0;  // helpers at work; guarded by the pool's mutex

  void Run() {
    for (uint64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < chunks;) work(i);
  }
};

class Pool {
 public:
  explicit Pool(Pool* abandoned) : abandoned_(abandoned) {}

  static Pool& Get();

  void Run(Job& job) ABSL_LOCKS_EXCLUDED(mutex_) {
    {
      absl::MutexLock lock(&mutex_);
      while (helpers_ < job.wanted && helpers_ < most_helpers_ && StartHelper()) ++helpers_;
      jobs_.push_back(&job);
      for (int i = std::min(job.wanted, helpers_); i > 0; --i) work_.Signal();
    }
    job.Run();
    absl::MutexLock lock(&mutex_);
    auto it = std::find(jobs_.begin(), jobs_.end(), &job);
    if (it != jobs_.end()) jobs_.erase(it);
    while (job.inside > 0) done_.Wait(&mutex_);
  }

 private:
  [[noreturn]] void Help() ABSL_LOCKS_EXCLUDED(mutex_) {
    mutex_.Lock();
    while (true) {
      while (jobs_.empty()) work_.Wait(&mutex_);
      Job* job = jobs_.front();
      if (--job->wanted == 0) jobs_.pop_front();
      ++job->inside;
      mutex_.Unlock();
      job->Run();
      mutex_.Lock();
      if (--job->inside == 0) done_.SignalAll();  // `job` may be gone from here on
    }
  }

  bool StartHelper() {
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0) return false;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    // Signals of the embedding process are for its own threads.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t thread;
    auto start = [](void* pool) -> void* { static_cast<Pool*>(pool)->Help(); };
    const int error = pthread_create(&thread, &attributes, start, this);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    pthread_attr_destroy(&attributes);
    return error == 0;
  }

  [[maybe_unused]] Pool* const
      abandoned_;  // the parent process's, kept reachable for leak checkers
  const int most_helpers_ = UsableCpus() - 1;
  absl::Mutex mutex_;
  absl::CondVar work_;
  absl::CondVar done_;
  std::deque<Job*> jobs_ ABSL_GUARDED_BY(mutex_);
  int helpers_ ABSL_GUARDED_BY(mutex_) = 0;
};

// A forked child has a copy of the pool, maybe locked, but none of its threads.
std::atomic<Pool*> current_pool{nullptr};
std::atomic<Pool*> parents_pool{nullptr};

Pool& Pool::Get() {
  Pool* pool = current_pool.load(std::memory_order_acquire);
  if (pool != nullptr) return *pool;
  static absl::once_flag once;
  absl::call_once(once, [] {
    pthread_atfork(nullptr, nullptr, [] {
      Pool* of_parent = current_pool.exchange(nullptr);
      if (of_parent != nullptr) parents_pool.store(of_parent);
    });
  });
  Pool* fresh = new Pool(parents_pool.load());
  if (current_pool.compare_exchange_strong(pool, fresh)) return *fresh;
  delete fresh;
  return *pool;
}

}  // namespace

int UsableCpus() {
  static const int cpus = [] {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(1, CPU_COUNT(&set));
    return std::max(1, static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN)));
  }();
  return cpus;
}

int internal::RunningThreads(std::string_view loadavg) {
  // "0.20 0.18 0.12 1/80 11206": the fourth begins with it.
  for (int i = 0; i < 3; ++i)
    loadavg.remove_prefix(std::min(loadavg.size(), loadavg.find(' ') + 1));
  int running;
  if (!absl::SimpleAtoi(loadavg.substr(0, loadavg.find('/')), &running)) return 1;
  return std::max(1, running);
}

int IdleCpus() {
  static const int online = std::max(1, static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN)));
  char text[128];
  ssize_t length = 0;
  const int file = open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
  if (file >= 0) {
    length = std::max<ssize_t>(0, read(file, text, sizeof(text)));
    close(file);
  }
  const int running = internal::RunningThreads({text, static_cast<size_t>(length)});
  return std::max(0, online - running);
}

void RunChunks(uint64_t chunks, int max_threads, absl::FunctionRef<void(uint64_t)> work) {
  const int helpers = static_cast<int>(
      std::min<uint64_t>(chunks, static_cast<uint64_t>(std::clamp(max_threads, 1, UsableCpus()))) -
      (chunks > 0 ? 1 : 0));
  if (helpers <= 0) {
    for (uint64_t i = 0; i < chunks; ++i) work(i);
    return;
  }
  Job job{work, chunks, {}, helpers};
  Pool::Get().Run(job);
}

}  // namespace tenure::host
