// How many CPUs there are for this process to use.
//
// Thread safety: thread-safe. Errors: none; where the system does not tell, the answer is cautious.

#ifndef TENURE_BASE_CPUS_H_
#define TENURE_BASE_CPUS_H_

#include <string_view>

namespace tenure::host {

// CPUs that this process may use; at least 1.
int UsableCpus();

// CPUs of the machine that nothing runs on at this moment, so far as the system tells
// (/proc/loadavg; 10 us): all but the caller's own where it does not. 0 or more.
int IdleCpus();

namespace internal {
// How many threads run or want to, by the text of /proc/loadavg; 1 (the caller) if it does not say.
int RunningThreads(std::string_view loadavg);
}  // namespace internal

}  // namespace tenure::host

#endif  // TENURE_BASE_CPUS_H_
