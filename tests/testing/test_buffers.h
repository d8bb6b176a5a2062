// Buffers of bytes, for tests that make many and look at what is in them.
//
// Thread safety: free functions. Ownership: the buffers are the caller's. Errors: of the test.

#ifndef TENURE_TESTS_TESTING_TEST_BUFFERS_H_
#define TENURE_TESTS_TESTING_TEST_BUFFERS_H_

#include <cstdint>
#include <vector>

#include "gtest/gtest.h"
#include "tenure/runtime/buffer.h"
#include "tenure/tests/testing/status_matchers.h"

namespace tenure {

inline constexpr uint64_t kMiB = uint64_t{1} << 20;

inline Buffer Make(Allocator& allocator, uint64_t size,
                   const BufferOptions& options = {.immediate = true}) {
  absl::StatusOr<Buffer> made =
      Buffer::Create(allocator, DType::kUInt8, Shape::Vector(size), options);
  EXPECT_OK(made);
  return made.ok() ? *made : Buffer();
}

inline Buffer Filled(Allocator& allocator, const std::vector<uint8_t>& bytes) {
  Buffer buffer = Make(allocator, bytes.size());
  EXPECT_OK(buffer.CopyIn(bytes.data(), bytes.size()));
  return buffer;
}

inline std::vector<uint8_t> BytesOf(const Buffer& buffer) {
  std::vector<uint8_t> bytes(buffer.size());
  EXPECT_OK(buffer.CopyOut(bytes.data(), bytes.size()));
  return bytes;
}

// 0, if it has none.
inline uint64_t AddressOf(const Buffer& buffer) {
  absl::StatusOr<uint64_t> address = buffer.MutableDeviceAddress();
  EXPECT_OK(address);
  return address.ok() ? *address : 0;
}

// Whether every byte of it is this one.
inline bool AllAre(const Buffer& buffer, uint8_t value) {
  return BytesOf(buffer) == std::vector<uint8_t>(buffer.size(), value);
}

// Numbers that differ from place to place.
inline std::vector<uint8_t> Pattern(uint64_t size, uint64_t seed = 1) {
  std::vector<uint8_t> bytes(size);
  for (uint64_t i = 0; i < size; ++i) bytes[i] = static_cast<uint8_t>(i * 31 + i / 251 + seed);
  return bytes;
}

}  // namespace tenure

#endif  // TENURE_TESTS_TESTING_TEST_BUFFERS_H_
