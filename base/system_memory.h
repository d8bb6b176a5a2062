// Reports how much memory the machine, or the container of this process, has in total and
// available.
//
// Why: Linux hands out pages until it must kill a process. Code that takes gigabytes which the
// system cannot reclaim (page-locked memory) checks here first, and refuses in time.
//
// Cost: reads some files of /proc and /sys, 0.1 ms. Thread safety: thread-safe; the numbers may
// change at once. Errors: a file that can't be read counts as no limit.

#ifndef TENURE_BASE_SYSTEM_MEMORY_H_
#define TENURE_BASE_SYSTEM_MEMORY_H_

#include <cstdint>
#include <string>

namespace tenure::host {

struct SystemMemory {
  uint64_t total_bytes = ~uint64_t{0};
  uint64_t available_bytes = ~uint64_t{0};  // without swapping or killing anybody
};

// Combines the system's numbers (MemAvailable) with the limits of every control group of this
// process. `root`: a prefix for the names of the files, for tests.
SystemMemory ReadSystemMemory(const std::string& root = "");

}  // namespace tenure::host

#endif  // TENURE_BASE_SYSTEM_MEMORY_H_
