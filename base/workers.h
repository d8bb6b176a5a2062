// RunChunks: does numbered pieces of work on the caller's thread and on helpers that stay for the
// next time.
//
// Why: large copies are bound by how many cache misses one core can have under way; a second core
// moves more. Threads made for each copy would cost more than they save, so the helpers are
// those of the library's pool (thread_pool.h), of which never more work on pieces than the process
// has CPUs. Pieces are claimed one at a time: a helper that the system does not run costs nothing,
// because the caller does what nobody has claimed.
//
//   caller   claim 0, 3, 4, 6 ...  | waits only for pieces under way elsewhere
//   helper     claim 1, 2, 5 ...   |
//
// Example:
//   RunChunks(chunks, /*max_threads=*/4, [&](uint64_t i) { CopyPiece(i); });
//
// Cost: waking a helper takes some microseconds; not for work below a millisecond.
// Thread safety: thread-safe; calls from several threads share the helpers; `work` may itself call
// RunChunks. A forked child starts with helpers of its own (not if `work` itself forks).
// Ownership: the pool's. Errors: none; where no thread can be made, the caller does everything.

#ifndef TENURE_BASE_WORKERS_H_
#define TENURE_BASE_WORKERS_H_

#include <cstdint>

#include "absl/functional/function_ref.h"
#include "tenure/base/cpus.h"  // IWYU pragma: export

namespace tenure::host {

// Calls work(0) ... work(chunks - 1), each once, in any order, on at most
// `max_threads` threads (the caller's included; less than 2: only the
// caller's), and returns when all are done.
void RunChunks(uint64_t chunks, int max_threads, absl::FunctionRef<void(uint64_t)> work);

}  // namespace tenure::host

#endif  // TENURE_BASE_WORKERS_H_
