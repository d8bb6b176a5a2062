#include "tenure/base/cpus.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/numbers.h"

namespace tenure::host {

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

}  // namespace tenure::host
