// One suite for every allocator: what allocator.h promises, tried out.
//
// Link //tests/allocator:conformance and name what is to be tested; the tests
// are registered with GoogleTest when the program starts:
//
//   const bool registered = tenure::RegisterConformanceTests({{
//       .name = "Mine",
//       .make = [] { return std::make_unique<MyAllocator>(); },
//   }});
//
// A test that an allocator's traits and capabilities rule out (copying bytes
// where there are none) is not registered, and a line on stdout says so: skipped
// tests count as failures here.

#ifndef TENURE_TESTS_ALLOCATOR_CONFORMANCE_H_
#define TENURE_TESTS_ALLOCATOR_CONFORMANCE_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tenure/allocator/allocator.h"

namespace tenure {

struct ConformanceSubject {
  std::string name;  // a C identifier
  // A fresh one, ready for use.
  std::function<std::unique_ptr<Allocator>()> make;
  // A file space has at least this many bytes in its file, each equal to the
  // low byte of its offset times 7.
  uint64_t file_bytes = 0;
  // Every alignment up to this is kept.
  uint64_t largest_alignment_bytes = uint64_t{1} << 22;
  // Memory of somebody else's of the kind that the space can wrap. Empty: the host's.
  std::function<std::shared_ptr<void>(uint64_t size_bytes)> foreign = {};
};

// Registers the tests that apply to each subject. True, so that it can
// initialise a constant.
bool RegisterConformanceTests(const std::vector<ConformanceSubject>& subjects);

}  // namespace tenure

#endif  // TENURE_TESTS_ALLOCATOR_CONFORMANCE_H_
