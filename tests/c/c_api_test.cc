// The C library, through its header.

#include <cstdint>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "tenure/runtime/dtype.h"
#include "tenure/runtime/interop/dlpack_abi.h"
#include "tenure/tenure.h"

namespace tenure {
namespace {

// --- Errors and numbers

TEST(CApiTest, NumbersAreThoseOfTheLibrary) {
  for (int i = 0; i < kDTypeCount; ++i) {
    const auto dtype = static_cast<tenure_dtype>(i);
    EXPECT_EQ(std::string(tenure_dtype_name(dtype)), Name(static_cast<DType>(i)));
    EXPECT_EQ(tenure_dtype_bits(dtype), BitWidth(static_cast<DType>(i)));
  }
  EXPECT_EQ(tenure_dtype_name(tenure_dtype{kDTypeCount}), nullptr);
  EXPECT_EQ(tenure_dtype_bits(tenure_dtype{-1}), 0u);
  EXPECT_EQ(std::string(tenure_dtype_name(TENURE_COMPLEX128)), "complex128");
  tenure_dtype parsed = TENURE_BOOL;
  ASSERT_EQ(tenure_dtype_parse("bf16", &parsed), TENURE_OK);
  EXPECT_EQ(parsed, TENURE_BFLOAT16);
  EXPECT_EQ(TENURE_DATA_LOSS, static_cast<int>(absl::StatusCode::kDataLoss));
  EXPECT_EQ(TENURE_UNIMPLEMENTED, static_cast<int>(absl::StatusCode::kUnimplemented));
}

TEST(CApiTest, EachThreadHasItsOwnError) {
  tenure_buffer* buffer = nullptr;
  ASSERT_EQ(tenure_buffer_create("attic", TENURE_INT8, 0, nullptr, nullptr, &buffer),
            TENURE_INVALID_ARGUMENT);
  EXPECT_NE(std::string(tenure_error()).find("attic"), std::string::npos);
  std::thread([] {
    EXPECT_EQ(std::string(tenure_error()), "");
    EXPECT_EQ(tenure_dtype_parse("nothing", nullptr), TENURE_INVALID_ARGUMENT);
    EXPECT_NE(std::string(tenure_error()).find("dtype"), std::string::npos);
  }).join();
  EXPECT_NE(std::string(tenure_error()).find("attic"), std::string::npos);
  EXPECT_EQ(buffer, nullptr);
}

// --- Packing

TEST(CApiTest, PacksAtTheBound) {
  const int64_t first[] = {0, 2, 1};
  const int64_t last[] = {2, 4, 3};
  const uint64_t size[] = {4, 4, 3};
  uint64_t offsets[3] = {77, 77, 77};
  tenure_pack_result result = TENURE_PACK_RESULT_INIT;
  ASSERT_EQ(tenure_pack(3, first, last, size, nullptr, nullptr, nullptr, offsets, &result),
            TENURE_OK)
      << tenure_error();
  EXPECT_EQ(result.outcome, TENURE_OUTCOME_OPTIMAL);
  EXPECT_EQ(result.height, 7u);
  EXPECT_EQ(offsets[0], offsets[1]);

  tenure_pack_options options = TENURE_PACK_OPTIONS_INIT;
  options.capacity = 6;
  options.effort = TENURE_EFFORT_OPTIMAL;
  uint64_t untouched[3] = {77, 77, 77};
  ASSERT_EQ(tenure_pack(3, first, last, size, nullptr, nullptr, &options, untouched, &result),
            TENURE_OK);
  EXPECT_EQ(result.outcome, TENURE_OUTCOME_INFEASIBLE);
  EXPECT_EQ(untouched[0], 77u);

  const uint64_t fixed[] = {TENURE_NO_OFFSET, 16, TENURE_NO_OFFSET};
  const uint64_t alignment[] = {8, 8, 8};
  ASSERT_EQ(tenure_pack(3, first, last, size, alignment, fixed, nullptr, offsets, &result),
            TENURE_OK);
  EXPECT_EQ(offsets[1], 16u);
  EXPECT_EQ(offsets[2] % 8, 0u);
}

TEST(CApiTest, PackingRefusesWhatIsWrong) {
  const int64_t first[] = {3}, last[] = {3};
  const uint64_t size[] = {4};
  uint64_t offsets[1];
  tenure_pack_result result = TENURE_PACK_RESULT_INIT;
  EXPECT_EQ(tenure_pack(1, first, last, size, nullptr, nullptr, nullptr, offsets, &result),
            TENURE_INVALID_ARGUMENT);
  EXPECT_EQ(tenure_pack(1, first, nullptr, size, nullptr, nullptr, nullptr, offsets, &result),
            TENURE_INVALID_ARGUMENT);
  EXPECT_EQ(tenure_pack(0, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, &result),
            TENURE_OK);
  tenure_pack_options options = TENURE_PACK_OPTIONS_INIT;
  options.effort = 3;
  EXPECT_EQ(tenure_pack(0, nullptr, nullptr, nullptr, nullptr, nullptr, &options, nullptr, &result),
            TENURE_INVALID_ARGUMENT);
  options = {};
  EXPECT_EQ(tenure_pack(0, nullptr, nullptr, nullptr, nullptr, nullptr, &options, nullptr, &result),
            TENURE_INVALID_ARGUMENT);
  EXPECT_NE(std::string(tenure_error()).find("struct_size"), std::string::npos);
}

// A program that was built when the structs were shorter, and one that was built when they were longer.
TEST(CApiTest, StructsOfOtherVersions) {
  const int64_t first[] = {0}, last[] = {1};
  const uint64_t size[] = {4};
  uint64_t offsets[1];
  struct Longer {
    tenure_pack_result known;
    uint64_t later;
  } longer = {TENURE_PACK_RESULT_INIT, 42};
  longer.known.struct_size = sizeof(Longer);
  tenure_pack_options shorter;
  std::memset(&shorter, 0xff, sizeof(shorter));
  shorter.struct_size = offsetof(tenure_pack_options, max_threads);
  shorter.effort = TENURE_EFFORT_FAST;
  ASSERT_EQ(tenure_pack(1, first, last, size, nullptr, nullptr, &shorter, offsets, &longer.known),
            TENURE_OK)
      << tenure_error();
  EXPECT_EQ(longer.known.height, 4u);
  EXPECT_EQ(longer.later, 42u);
  tenure_pack_result little;
  std::memset(&little, 0x55, sizeof(little));
  little.struct_size = offsetof(tenure_pack_result, height);
  ASSERT_EQ(tenure_pack(1, first, last, size, nullptr, nullptr, nullptr, offsets, &little),
            TENURE_OK);
  EXPECT_EQ(little.outcome, TENURE_OUTCOME_OPTIMAL);
  EXPECT_EQ(little.height, 0x5555555555555555u);
}

// --- Buffers

struct Owned {
  tenure_buffer* buffer = nullptr;
  Owned() = default;
  Owned(const Owned&) = delete;
  ~Owned() { tenure_buffer_release(buffer); }
  operator tenure_buffer*() const { return buffer; }  // NOLINT(google-explicit-constructor)
  tenure_buffer** out() { return &buffer; }
};

tenure_buffer_info InfoOf(const tenure_buffer* buffer) {
  tenure_buffer_info info = TENURE_BUFFER_INFO_INIT;
  EXPECT_EQ(tenure_buffer_get_info(buffer, &info), TENURE_OK) << tenure_error();
  return info;
}

uint64_t InUse() {
  tenure_stats stats = TENURE_STATS_INIT;
  EXPECT_EQ(tenure_space_stats("cpu", &stats), TENURE_OK);
  return stats.in_use_count;
}

TEST(CApiTest, BuffersAreLazyHandlesOnSharedStorage) {
  const uint64_t before = InUse();
  {
    const int64_t shape[] = {2, 3};
    Owned buffer, row, bytes;
    tenure_buffer_options options = TENURE_BUFFER_OPTIONS_INIT;
    options.name = "weights";
    options.alignment = 256;
    ASSERT_EQ(tenure_buffer_create("cpu", TENURE_FLOAT32, 2, shape, &options, buffer.out()),
              TENURE_OK);
    tenure_buffer_info info = InfoOf(buffer);
    EXPECT_EQ(info.allocated, 0);
    EXPECT_EQ(info.size, 24u);
    EXPECT_EQ(info.rank, 2);
    EXPECT_EQ(info.shape[1], 3);
    EXPECT_EQ(std::string(info.space), "cpu");
    EXPECT_EQ(std::string(info.name), "weights");
    ASSERT_EQ(tenure_buffer_slice(buffer, 1, 2, row.out()), TENURE_OK);
    const float values[] = {0, 1, 2, 3, 4, 5};
    ASSERT_EQ(tenure_buffer_copy_in(buffer, 0, values, sizeof(values)), TENURE_OK);
    EXPECT_EQ(InUse(), before + 1);
    float copied[3];
    ASSERT_EQ(tenure_buffer_copy_out(row, 0, copied, sizeof(copied)), TENURE_OK);
    EXPECT_EQ(copied[0], 3);
    EXPECT_EQ(InfoOf(row).storage_id, info.storage_id);
    EXPECT_NE(InfoOf(row).id, info.id);
    EXPECT_EQ(InfoOf(row).offset, 12u);
    const int64_t twelve = 12;
    ASSERT_EQ(tenure_buffer_view(buffer, 12, TENURE_UINT8, 1, &twelve, bytes.out()), TENURE_OK);
    const void* data = nullptr;
    ASSERT_EQ(tenure_buffer_host_pointer(bytes, &data), TENURE_OK);
    EXPECT_EQ(static_cast<const float*>(data)[1], 4);
    EXPECT_EQ(tenure_buffer_view(buffer, 16, TENURE_UINT8, 1, &twelve, bytes.out()),
              TENURE_OUT_OF_RANGE);

    tenure_buffer_retain(buffer);
    tenure_buffer_release(buffer);
    const float half = 0.5;
    ASSERT_EQ(tenure_buffer_fill(row, &half, sizeof(half)), TENURE_OK);
    ASSERT_EQ(tenure_buffer_copy(buffer, 0, row, 0, 12), TENURE_OK);
    ASSERT_EQ(tenure_buffer_wait(buffer, 1, 0), TENURE_OK);
    ASSERT_EQ(tenure_buffer_copy_out(buffer, 0, copied, 12), TENURE_OK);
    EXPECT_EQ(copied[2], half);
    ASSERT_EQ(tenure_buffer_seal(buffer), TENURE_OK);
    void* writable = nullptr;
    EXPECT_EQ(tenure_buffer_mutable_host_pointer(row, &writable), TENURE_FAILED_PRECONDITION);
    EXPECT_EQ(InfoOf(row).read_only, 1);
  }
  EXPECT_EQ(InUse(), before);
}

TEST(CApiTest, NullsAreRefusedAndReleaseAllowsThem) {
  tenure_buffer_release(nullptr);
  tenure_free(nullptr);
  tenure_schedule_destroy(nullptr);
  tenure_plan_destroy(nullptr);
  tenure_placed_destroy(nullptr);
  EXPECT_EQ(tenure_buffer_seal(nullptr), TENURE_INVALID_ARGUMENT);
  EXPECT_EQ(tenure_buffer_get_info(nullptr, nullptr), TENURE_INVALID_ARGUMENT);
  EXPECT_EQ(tenure_unplace(nullptr), TENURE_INVALID_ARGUMENT);
  Owned buffer;
  EXPECT_EQ(tenure_buffer_create(nullptr, TENURE_INT8, 0, nullptr, nullptr, buffer.out()),
            TENURE_INVALID_ARGUMENT);
  EXPECT_EQ(tenure_buffer_create("cpu", TENURE_INT8, 1, nullptr, nullptr, buffer.out()),
            TENURE_INVALID_ARGUMENT);
  const int64_t shape[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
  EXPECT_EQ(tenure_buffer_create("cpu", TENURE_INT8, 9, shape, nullptr, buffer.out()),
            TENURE_INVALID_ARGUMENT);
  EXPECT_EQ(tenure_buffer_create("cpu", tenure_dtype{99}, 1, shape, nullptr, buffer.out()),
            TENURE_INVALID_ARGUMENT);
}

TEST(CApiTest, WrappedMemoryIsReleasedOnce) {
  int released = 0;
  const auto release = [](void* count) { ++*static_cast<int*>(count); };
  float memory[4] = {1, 2, 3, 4};
  const int64_t shape[] = {4};
  {
    Owned buffer, view;
    ASSERT_EQ(tenure_buffer_wrap("cpu", TENURE_FLOAT32, 1, shape, memory, 1, release, &released,
                                 nullptr, buffer.out()),
              TENURE_OK);
    EXPECT_EQ(InfoOf(buffer).read_only, 1);
    ASSERT_EQ(tenure_buffer_slice(buffer, 1, 2, view.out()), TENURE_OK);
    EXPECT_EQ(tenure_buffer_copy_in(view, 0, memory, 4), TENURE_FAILED_PRECONDITION);
    EXPECT_EQ(released, 0);
  }
  EXPECT_EQ(released, 1);
  Owned none;
  for (const char* space : {"cpu", "attic", "null"}) {
    released = 0;
    void* const data = std::string(space) == "cpu" ? nullptr : memory;
    EXPECT_NE(tenure_buffer_wrap(space, TENURE_FLOAT32, 1, shape, data, 0, release, &released,
                                 nullptr, none.out()),
              TENURE_OK);
    EXPECT_EQ(released, 1) << space;
  }
}

TEST(CApiTest, WindowsOfFiles) {
  const std::string path = testing::TempDir() + "/c_api_test_weights";
  std::ofstream(path) << "abcdefgh";
  Owned buffer;
  const int64_t shape[] = {3};
  ASSERT_EQ(tenure_buffer_map_file(path.c_str(), 2, TENURE_UINT8, 1, shape, nullptr, buffer.out()),
            TENURE_OK)
      << tenure_error();
  char out[3];
  ASSERT_EQ(tenure_buffer_copy_out(buffer, 0, out, 3), TENURE_OK);
  EXPECT_EQ(std::string(out, 3), "cde");
  EXPECT_EQ(
      tenure_buffer_map_file("/no/such/file", 0, TENURE_UINT8, 1, shape, nullptr, buffer.out()),
      TENURE_NOT_FOUND);
}

TEST(CApiTest, TypesOfDLPack) {
  tenure_dtype dtype = TENURE_BOOL;
  ASSERT_EQ(tenure_dtype_from_dlpack(dlpack::kBFloat, 16, 1, &dtype), TENURE_OK);
  EXPECT_EQ(dtype, TENURE_BFLOAT16);
  ASSERT_EQ(tenure_dtype_from_dlpack(dlpack::kInt, 4, 1, &dtype), TENURE_OK);
  EXPECT_EQ(dtype, TENURE_INT4);
  EXPECT_EQ(tenure_dtype_from_dlpack(dlpack::kFloat, 32, 4, &dtype), TENURE_UNIMPLEMENTED);
  EXPECT_EQ(tenure_dtype_from_dlpack(200, 32, 1, &dtype), TENURE_UNIMPLEMENTED);
  EXPECT_EQ(dtype, TENURE_INT4);
}

TEST(CApiTest, TensorsOutAndIn) {
  Owned buffer, back;
  const int64_t shape[] = {4};
  ASSERT_EQ(tenure_buffer_create("cpu", TENURE_INT32, 1, shape, nullptr, buffer.out()), TENURE_OK);
  int32_t type = 0, number = -1;
  ASSERT_EQ(tenure_buffer_dlpack_device(buffer, &type, &number), TENURE_OK);
  EXPECT_EQ(type, dlpack::kHost);
  EXPECT_EQ(number, 0);
  DLManagedTensorVersioned* tensor = nullptr;
  ASSERT_EQ(tenure_buffer_to_dlpack(buffer, nullptr, &tensor), TENURE_OK);
  ASSERT_EQ(tenure_buffer_from_dlpack(tensor, "back", back.out()), TENURE_OK);
  const void *ours = nullptr, *theirs = nullptr;
  tenure_buffer_host_pointer(buffer, &ours);
  tenure_buffer_host_pointer(back, &theirs);
  EXPECT_EQ(ours, theirs);
  EXPECT_EQ(std::string(InfoOf(back).name), "back");

  DLManagedTensor* old = nullptr;
  ASSERT_EQ(tenure_buffer_to_unversioned_dlpack(buffer, nullptr, &old), TENURE_OK);
  Owned read_only;
  ASSERT_EQ(tenure_buffer_from_unversioned_dlpack(old, 0, nullptr, read_only.out()), TENURE_OK);
  EXPECT_EQ(InfoOf(read_only).read_only, 1);

  tenure_to_dlpack_options options = TENURE_TO_DLPACK_OPTIONS_INIT;
  options.read_only = TENURE_READ_ONLY_REFUSED;
  EXPECT_EQ(tenure_buffer_to_dlpack(read_only, &options, &tensor), TENURE_FAILED_PRECONDITION);
  options.read_only = TENURE_READ_ONLY_COPIED;
  ASSERT_EQ(tenure_buffer_to_dlpack(read_only, &options, &tensor), TENURE_OK);
  // A tensor is owned from the call on, also where its buffer has nowhere to go.
  EXPECT_EQ(tenure_buffer_from_dlpack(tensor, nullptr, nullptr), TENURE_INVALID_ARGUMENT);
  Owned nothing;
  ASSERT_EQ(tenure_buffer_create("null", TENURE_INT32, 1, shape, nullptr, nothing.out()),
            TENURE_OK);
  EXPECT_EQ(tenure_buffer_dlpack_device(nothing, &type, &number), TENURE_UNIMPLEMENTED);
  // Whose stream?
  EXPECT_EQ(tenure_buffer_record_cuda_use(buffer, -1, 0, 1), TENURE_INVALID_ARGUMENT);
  EXPECT_EQ(tenure_buffer_to_dlpack(nothing, nullptr, &tensor), TENURE_UNIMPLEMENTED);
}

}  // namespace
}  // namespace tenure
