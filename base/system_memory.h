// How much memory the machine, or the container that this runs in, has and has left.
//
// Why: Linux hands out pages until it kills somebody. Who is about to take gigabytes that can't be
// taken away again (page-locked memory) asks here first, and says no in time.
//
// Cost: some files of /proc and /sys, 0.1 ms. Thread safety: thread-safe; a moment later it may be
// otherwise. Errors: what can't be read counts as no limit.

#ifndef TENURE_BASE_SYSTEM_MEMORY_H_
#define TENURE_BASE_SYSTEM_MEMORY_H_

#include <cstdint>
#include <string>

namespace tenure::host {

struct SystemMemory {
  uint64_t total_bytes = ~uint64_t{0};
  uint64_t available_bytes = ~uint64_t{0};  // without swapping or killing anybody
};

// By the system (MemAvailable) and by every control group that this process is in. `root`: before
// the files' names, for tests.
SystemMemory ReadSystemMemory(const std::string& root = "");

}  // namespace tenure::host

#endif  // TENURE_BASE_SYSTEM_MEMORY_H_
