// A program in a workspace of its own that depends on tenure: what its headers are called, that the
// types of Abseil it shares with tenure are the standard's, and that the process keeps its own
// malloc.

#include <malloc.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <type_traits>
#include <vector>

#include "absl/strings/string_view.h"
#include "tenure/planner/packing/problem.h"

namespace {

static_assert(std::is_same_v<absl::string_view, std::string_view>);

int failures = 0;

void Check(bool ok, const char* what) {
  std::printf("%s: %s\n", ok ? "ok" : "FAILED", what);
  failures += ok ? 0 : 1;
}

void PackingProblemsAreValues() {
  std::vector<tenure::packing::Item> items(2);
  items[0] = {.first = 0, .last = 2, .size = 64, .alignment = 64};
  items[1] = {.first = 1, .last = 3, .size = 128, .fixed = 64};
  const std::vector<tenure::packing::Item> copy = items;
  Check(copy[0].fixed == tenure::packing::kNoOffset && copy[1].fixed == 64, "items are copied");
}

void MallocIsLibcs() {
  const uint64_t before = mallinfo2().uordblks;
  std::vector<void*> blocks;
  for (int i = 0; i < 1000; ++i) blocks.push_back(std::malloc(1000));
  Check(mallinfo2().uordblks - before >= 1000 * 1000, "malloc is libc's");
  for (void* block : blocks) std::free(block);
}

}  // namespace

int main() {
  PackingProblemsAreValues();
  MallocIsLibcs();
  return failures == 0 ? 0 : 1;
}
