// FillPattern: the bytes that a fill repeats.
//
// Thread safety: thread-compatible value.

#ifndef TENURE_BASE_FILL_PATTERN_H_
#define TENURE_BASE_FILL_PATTERN_H_

#include <cstddef>
#include <cstdint>

namespace tenure {

// A pattern of 1, 2, 4, 8 or 16 bytes.
struct FillPattern {
  std::byte bytes[16] = {};
  uint32_t size_bytes = 1;
};

}  // namespace tenure

#endif  // TENURE_BASE_FILL_PATTERN_H_
