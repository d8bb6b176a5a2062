#include "tenure/base/system_memory.h"

#include <algorithm>
#include <fstream>
#include <string_view>

#include "absl/strings/str_cat.h"

namespace tenure::host {
namespace {

// Reads the number after `key` from a file of lines "key number". With key "", reads a file that
// contains only a number.
bool ReadNumber(const std::string& file, std::string_view key, uint64_t* number) {
  std::ifstream in(file);
  if (key.empty()) return static_cast<bool>(in >> *number);  // fails for "max"
  for (std::string word; in >> word;) {
    if (word == key) return static_cast<bool>(in >> *number);
  }
  return false;
}

void Bound(uint64_t limit, uint64_t used, uint64_t reclaimable, SystemMemory& memory) {
  used -= std::min(used, reclaimable);
  memory.total_bytes = std::min(memory.total_bytes, limit);
  memory.available_bytes = std::min(memory.available_bytes, limit - std::min(limit, used));
}

// The group's page cache does not count as used, because the system reclaims it before it kills a
// process.
void BoundByGroup(const std::string& directory, const char* limit_file, const char* used_file,
                  const char* prefix, SystemMemory& memory) {
  uint64_t limit = 0, used = 0, active = 0, inactive = 0;
  if (!ReadNumber(directory + limit_file, "", &limit)) return;
  if (!ReadNumber(directory + used_file, "", &used)) return;
  const std::string stat = directory + "/memory.stat";
  if (!ReadNumber(stat, std::string(prefix) + "active_file", &active)) active = 0;
  if (!ReadNumber(stat, std::string(prefix) + "inactive_file", &inactive)) inactive = 0;
  Bound(limit, used, active + inactive, memory);
}

}  // namespace

SystemMemory ReadSystemMemory(const std::string& root) {
  SystemMemory memory;
  uint64_t kib = 0;
  const std::string meminfo = root + "/proc/meminfo";
  if (ReadNumber(meminfo, "MemTotal:", &kib)) memory.total_bytes = kib * 1024;
  if (ReadNumber(meminfo, "MemAvailable:", &kib)) memory.available_bytes = kib * 1024;
  // The lines are "id:controllers:/path", and "0::/path" for version 2. In a container the path may
  // belong to another view of the tree and not exist; the top, which containers see, is checked in
  // any case.
  std::ifstream groups(root + "/proc/self/cgroup");
  std::string two = "/", one = "/";
  for (std::string line; std::getline(groups, line);) {
    const size_t path = line.find(":/");
    if (path == std::string::npos) continue;
    if (line.rfind("0::", 0) == 0) two = line.substr(path + 1);
    if (line.find(":memory:") != std::string::npos) one = line.substr(path + 1);
  }
  auto up = [](std::string& path) { path.erase(std::min(path.size(), path.rfind('/'))); };
  for (std::string path = two == "/" ? "" : two;; up(path)) {
    BoundByGroup(absl::StrCat(root, "/sys/fs/cgroup", path), "/memory.max", "/memory.current", "",
                 memory);
    if (path.empty()) break;
  }
  for (std::string path = one == "/" ? "" : one;; up(path)) {
    BoundByGroup(absl::StrCat(root, "/sys/fs/cgroup/memory", path), "/memory.limit_in_bytes",
                 "/memory.usage_in_bytes", "total_", memory);
    if (path.empty()) break;
  }
  return memory;
}

}  // namespace tenure::host
