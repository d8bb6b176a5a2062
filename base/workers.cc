#include "tenure/base/workers.h"

#include <algorithm>

#include "tenure/base/thread_pool.h"

namespace tenure::host {

void RunChunks(uint64_t chunks, int max_threads, absl::FunctionRef<void(uint64_t)> work) {
  const int helpers = static_cast<int>(
      std::min<uint64_t>(chunks, static_cast<uint64_t>(std::clamp(max_threads, 1, UsableCpus()))) -
      (chunks > 0 ? 1 : 0));
  if (helpers <= 0) {
    for (uint64_t i = 0; i < chunks; ++i) work(i);
    return;
  }
  ThreadPool::Default().RunChunks(chunks, helpers, work);
}

}  // namespace tenure::host
