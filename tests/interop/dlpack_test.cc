// Buffers as tensors of other libraries, and back.

#include "tenure/runtime/interop/dlpack.h"

#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tenure/allocator/copy/host_queue.h"
#include "tenure/allocator/registry.h"
#include "tenure/allocator/timeline/timeline.h"
#include "tenure/planner/planner.h"
#include "tenure/runtime/interop/dlpack_abi.h"
#include "tenure/tests/testing/status_matchers.h"

namespace tenure {
namespace {

using dlpack::Managed;
using dlpack::ManagedVersioned;

Allocator& Cpu() { return **Registry::Default().Get(MemorySpace::Cpu()); }

absl::StatusOr<Allocator*> FromRegistry(const MemorySpace& space) {
  return Registry::Default().Get(space);
}

ManagedVersioned& Inside(DLManagedTensorVersioned* tensor) {
  return *reinterpret_cast<ManagedVersioned*>(tensor);
}
void Delete(DLManagedTensorVersioned* tensor) { Inside(tensor).deleter(&Inside(tensor)); }

// A tensor of another library: a 2 by 3 matrix of float32.
struct Foreign {
  std::vector<float> data = {1, 2, 3, 4, 5, 6};
  std::vector<int64_t> shape = {2, 3};
  std::vector<int64_t> strides = {3, 1};
  int deleted = 0;
  ManagedVersioned managed;
  Managed unversioned;

  Foreign() {
    const dlpack::Tensor tensor = {.data = data.data(),
                                   .device = {dlpack::kHost, 0},
                                   .ndim = 2,
                                   .dtype = {dlpack::kFloat, 32, 1},
                                   .shape = shape.data(),
                                   .strides = strides.data(),
                                   .byte_offset = 0};
    managed = {{1, 0}, this, [](ManagedVersioned* self) { Count(self->context); }, 0, tensor};
    unversioned = {tensor, this, [](Managed* self) { Count(self->context); }};
  }
  static void Count(void* self) { ++static_cast<Foreign*>(self)->deleted; }
  absl::StatusOr<Buffer> Import(const FromDLPackOptions& options = {}) {
    return FromDLPack(reinterpret_cast<DLManagedTensorVersioned*>(&managed), FromRegistry, options);
  }
  absl::StatusOr<Buffer> ImportUnversioned(const FromDLPackOptions& options = {}) {
    return FromUnversionedDLPack(reinterpret_cast<DLManagedTensor*>(&unversioned), FromRegistry,
                                 options);
  }
};

TEST(DLPackTest, EveryTypeGoesOutAndComesBackAtTheSameAddress) {
  for (int i = 0; i < kDTypeCount; ++i) {
    const auto dtype = static_cast<DType>(i);
    SCOPED_TRACE(Name(dtype));
    const Buffer buffer = *Buffer::Create(Cpu(), dtype, {2, 3, 8});
    absl::StatusOr<DLManagedTensorVersioned*> tensor = ToDLPack(buffer);
    ASSERT_OK(tensor);
    const dlpack::Tensor& inside = Inside(*tensor).tensor;
    EXPECT_EQ(inside.dtype.bits, BitWidth(dtype));
    EXPECT_EQ(inside.dtype.lanes, 1);
    ASSERT_EQ(inside.ndim, 3);
    EXPECT_EQ(std::vector<int64_t>(inside.shape, inside.shape + 3),
              (std::vector<int64_t>{2, 3, 8}));
    EXPECT_EQ(std::vector<int64_t>(inside.strides, inside.strides + 3),
              (std::vector<int64_t>{24, 8, 1}));
    absl::StatusOr<Buffer> back = FromDLPack(*tensor, FromRegistry);
    ASSERT_OK(back);
    EXPECT_EQ(back->dtype(), dtype);
    EXPECT_EQ(back->shape(), buffer.shape());
    EXPECT_EQ(*back->HostPointer(), *buffer.HostPointer());
  }
}

TEST(DLPackTest, ATensorIsOfTheWindowAndKeepsItsBytes) {
  Buffer buffer = *Buffer::FromSpan<int32_t>(Cpu(), {0, 1, 2, 3, 4, 5}, *Shape::Of({3, 2}));
  DLManagedTensorVersioned* const tensor = *ToDLPack(*buffer.Slice(1, 3));
  const auto before = Cpu().Stats().in_use_count;
  buffer = Buffer();
  EXPECT_EQ(Cpu().Stats().in_use_count, before);
  const dlpack::Tensor& inside = Inside(tensor).tensor;
  EXPECT_EQ(inside.shape[0], 2);
  EXPECT_EQ(static_cast<const int32_t*>(inside.data)[0], 2);
  EXPECT_EQ(Inside(tensor).flags, 0u);
  EXPECT_EQ(Inside(tensor).version.major, 1u);
  std::thread([tensor] { Delete(tensor); }).join();
  EXPECT_EQ(Cpu().Stats().in_use_count, before - 1);
}

TEST(DLPackTest, ScalarsAndTensorsWithoutElements) {
  const Buffer scalar = *Buffer::Create(Cpu(), DType::kFloat32, Shape());
  DLManagedTensorVersioned* tensor = *ToDLPack(scalar);
  EXPECT_EQ(Inside(tensor).tensor.ndim, 0);
  EXPECT_NE(Inside(tensor).tensor.data, nullptr);
  EXPECT_EQ(FromDLPack(tensor, FromRegistry)->shape(), Shape());

  const Buffer empty = *Buffer::Create(Cpu(), DType::kFloat32, {3, 0, 5});
  tensor = *ToDLPack(empty);
  EXPECT_EQ(Inside(tensor).tensor.data, nullptr);
  absl::StatusOr<Buffer> back = FromDLPack(tensor, FromRegistry);
  ASSERT_OK(back);
  EXPECT_EQ(back->shape(), *Shape::Of({3, 0, 5}));
}

TEST(DLPackTest, SealedBuffersAreMarkedCopiedOrRefused) {
  const Buffer buffer = *Buffer::FromSpan<float>(Cpu(), {1, 2, 3}, *Shape::Of({3}));
  ASSERT_OK(buffer.Seal());
  DLManagedTensorVersioned* tensor = *ToDLPack(buffer);
  EXPECT_EQ(Inside(tensor).flags, dlpack::kReadOnly);
  EXPECT_EQ(Inside(tensor).tensor.data, *buffer.HostPointer());
  Buffer back = *FromDLPack(tensor, FromRegistry);
  EXPECT_FALSE(back.MutableHostPointer().ok());

  tensor = *ToDLPack(buffer, {.read_only = ReadOnlyTensor::kCopied});
  EXPECT_EQ(Inside(tensor).flags, dlpack::kCopied);
  EXPECT_NE(Inside(tensor).tensor.data, *buffer.HostPointer());
  EXPECT_EQ(std::memcmp(Inside(tensor).tensor.data, *buffer.HostPointer(), 12), 0);
  Delete(tensor);

  EXPECT_EQ(ToDLPack(buffer, {.read_only = ReadOnlyTensor::kRefused}).status().code(),
            absl::StatusCode::kFailedPrecondition);
  // Without a mark there is no tensor of the bytes themselves.
  EXPECT_EQ(ToUnversionedDLPack(buffer).status().code(), absl::StatusCode::kFailedPrecondition);
  auto* unversioned = reinterpret_cast<Managed*>(
      *ToUnversionedDLPack(buffer, {.read_only = ReadOnlyTensor::kCopied}));
  EXPECT_NE(unversioned->tensor.data, *buffer.HostPointer());
  unversioned->deleter(unversioned);
}

TEST(DLPackTest, NoSealWhileATensorMayBeWrittenTo) {
  const Buffer buffer = *Buffer::Create(Cpu(), DType::kFloat32, {4});
  DLManagedTensorVersioned* const tensor = *ToDLPack(buffer);
  EXPECT_EQ(buffer.Seal().code(), absl::StatusCode::kFailedPrecondition);
  Delete(tensor);
  EXPECT_OK(buffer.Seal());
}

TEST(DLPackTest, ACopyIsACopy) {
  const Buffer buffer = *Buffer::FromSpan<float>(Cpu(), {1, 2}, *Shape::Of({2}));
  DLManagedTensorVersioned* const tensor = *ToDLPack(buffer, {.copy = true});
  EXPECT_EQ(Inside(tensor).flags, dlpack::kCopied);
  static_cast<float*>(Inside(tensor).tensor.data)[0] = 7;
  EXPECT_EQ(*buffer.Get<float>({0}), 1);
  EXPECT_OK(buffer.Seal());  // the copy holds nothing of the original
  Delete(tensor);
}

TEST(DLPackTest, WritesUnderWayAreWaitedFor) {
  const Buffer buffer = *Buffer::FromSpan<float>(Cpu(), {1, 2}, *Shape::Of({2}));
  auto timeline = std::make_shared<HostTimeline>();
  ASSERT_OK(buffer.RecordUse(Access::kWrite, Fence(timeline, 1)));
  EXPECT_EQ(ToDLPack(buffer, {.timeout = absl::Milliseconds(1)}).status().code(),
            absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(ToDLPack(buffer, {.copy = true, .timeout = absl::Milliseconds(1)}).status().code(),
            absl::StatusCode::kDeadlineExceeded);
  EXPECT_OK(buffer.PendingUses(Access::kWrite).empty() ? absl::InternalError("forgotten")
                                                       : absl::OkStatus());
  timeline->Signal(1);
  absl::StatusOr<DLManagedTensorVersioned*> tensor = ToDLPack(buffer);
  ASSERT_OK(tensor);
  Delete(*tensor);
}

// On the host and on the consumer's queue.
TEST(DLPackTest, TheErrorOfAFailedWriteIsTold) {
  const std::shared_ptr<HostQueue> queue = *HostQueue::Create();
  for (Queue* const consumer : {static_cast<Queue*>(nullptr), static_cast<Queue*>(queue.get())}) {
    const Buffer buffer = *Buffer::FromSpan<float>(Cpu(), {1, 2}, *Shape::Of({2}));
    auto work = std::make_shared<Completion>();
    ASSERT_OK(buffer.RecordUse(Access::kWrite, Fence(work, 1)));
    work->Finish(absl::AbortedError("the kernel failed"));
    EXPECT_EQ(ToDLPack(buffer, {.queue = consumer}).status().code(), absl::StatusCode::kAborted);
    absl::StatusOr<DLManagedTensorVersioned*> tensor = ToDLPack(buffer, {.queue = consumer});
    ASSERT_OK(tensor);
    Delete(*tensor);
  }
}

// A reader does not disturb a tensor that is only read.
TEST(DLPackTest, OnlySealedBuffersAreGivenAwayWhileTheyAreRead) {
  const Buffer buffer = *Buffer::FromSpan<float>(Cpu(), {1, 2}, *Shape::Of({2}));
  auto timeline = std::make_shared<HostTimeline>();
  ASSERT_OK(buffer.RecordUse(Access::kRead, Fence(timeline, 1)));
  EXPECT_EQ(ToDLPack(buffer, {.timeout = absl::Milliseconds(1)}).status().code(),
            absl::StatusCode::kDeadlineExceeded);
  ASSERT_OK(buffer.Seal());
  absl::StatusOr<DLManagedTensorVersioned*> tensor =
      ToDLPack(buffer, {.timeout = absl::Milliseconds(1)});
  ASSERT_OK(tensor);
  Delete(*tensor);
  timeline->Signal(1);
}

TEST(DLPackTest, ATensorKeepsTheArena) {
  const Buffer input = *Buffer::FromSpan<float>(Cpu(), {1, 2}, *Shape::Of({2}));
  const Buffer output = *Buffer::Create(Cpu(), DType::kFloat32, {2});
  Buffer inside = *Buffer::Create(Cpu(), DType::kFloat32, {2});
  Schedule schedule;
  schedule.MarkInput(input);
  schedule.MarkOutput(output);
  schedule.MarkIntermediate(inside);
  ASSERT_OK(schedule.AddStep({.reads = {input}, .writes = {inside}}));
  ASSERT_OK(schedule.AddStep({.reads = {inside}, .writes = {output}}));
  const Plan plan = *MakePlan(schedule);
  absl::StatusOr<PlacedPlan> placed = PlacePlan(plan, schedule);
  ASSERT_OK(placed);
  DLManagedTensorVersioned* const tensor = *ToDLPack(inside);
  EXPECT_FALSE(UnplacePlan(*std::move(placed)).ok());  // the bytes stay where they are
  schedule = Schedule();
  inside = Buffer();
  static_cast<float*>(Inside(tensor).tensor.data)[1] = 5;  // AddressSanitizer watches
  Delete(tensor);
}

TEST(DLPackTest, MappedFilesAreReadOnlyHostMemory) {
  const std::string path = testing::TempDir() + "/dlpack_test_weights";
  std::ofstream(path) << "abcdefgh";
  Allocator& disk = **Registry::Default().Get(MemorySpace::Disk(path));
  const Buffer buffer = *Buffer::FromFile(disk, DType::kUInt8, Shape::Vector(4), 2);
  DLManagedTensorVersioned* tensor = *ToDLPack(buffer);
  EXPECT_EQ(Inside(tensor).flags, dlpack::kReadOnly);
  EXPECT_EQ(Inside(tensor).tensor.device.type, dlpack::kHost);
  EXPECT_EQ(std::memcmp(Inside(tensor).tensor.data, "cdef", 4), 0);
  Delete(tensor);
  tensor = *ToDLPack(buffer, {.read_only = ReadOnlyTensor::kCopied, .copy_to = &Cpu()});
  static_cast<char*>(Inside(tensor).tensor.data)[0] = 'x';
  Delete(tensor);
  EXPECT_EQ(*buffer.Get<uint8_t>({0}), 'c');
}

TEST(DLPackTest, SpacesThatOthersDoNotKnow) {
  const Buffer nothing = *Buffer::Create(**Registry::Default().Get(MemorySpace::Null()),
                                         DType::kUInt8, Shape::Vector(4));
  EXPECT_EQ(ToDLPack(nothing).status().code(), absl::StatusCode::kUnimplemented);
  EXPECT_EQ(ToDLPack(Buffer()).status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST(DLPackTest, AnImportIsTheMemoryItselfUntilTheLastHandle) {
  Foreign foreign;
  {
    Buffer view;
    {
      const Buffer buffer = *foreign.Import({.name = "theirs"});
      EXPECT_EQ(*buffer.HostPointer(), foreign.data.data());
      EXPECT_EQ(buffer.name(), "theirs");
      ASSERT_OK(buffer.Set<float>({1, 2}, 60));
      view = *buffer.Slice(1, 2);
    }
    EXPECT_EQ(foreign.deleted, 0);
    EXPECT_EQ(*view.Get<float>({0, 2}), 60);
  }
  EXPECT_EQ(foreign.data[5], 60);
  EXPECT_EQ(foreign.deleted, 1);
}

TEST(DLPackTest, ReadOnlyTensorsStaySo) {
  Foreign marked, unversioned, writable;
  marked.managed.flags = dlpack::kReadOnly;
  EXPECT_FALSE(marked.Import()->Set<float>({0, 0}, 1).ok());
  EXPECT_FALSE(unversioned.ImportUnversioned()->Set<float>({0, 0}, 1).ok());
  EXPECT_OK(writable.ImportUnversioned({.unversioned_is_writable = true})->Set<float>({0, 0}, 1));
  EXPECT_EQ(marked.deleted, 1);
  EXPECT_EQ(unversioned.deleted, 1);
  EXPECT_EQ(writable.deleted, 1);
}

TEST(DLPackTest, OffsetsAndStridesThatChangeNothing) {
  Foreign offset;
  offset.managed.tensor.byte_offset = 12;
  offset.shape = {1, 3};
  offset.strides = {-100, 1};  // of one row, it does not matter
  EXPECT_EQ(*offset.Import()->Get<float>({0, 0}), 4);
  Foreign dense;
  dense.managed.tensor.strides = nullptr;
  EXPECT_EQ(*dense.Import()->Get<float>({1, 0}), 4);
  Foreign empty;
  empty.shape = {0, 3};
  empty.managed.tensor.data = nullptr;
  EXPECT_EQ(empty.Import()->size(), 0u);
  EXPECT_EQ(empty.deleted, 1);
}

struct Refusal {
  std::string what;
  void (*spoil)(Foreign&);
  absl::StatusCode code;
};

TEST(DLPackTest, WhatIsRefusedIsReleasedOnce) {
  constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
  constexpr auto kMissing = absl::StatusCode::kUnimplemented;
  const std::vector<Refusal> refusals = {
      {"major version", [](Foreign& f) { f.managed.version.major = 2; }, kMissing},
      {"padded",
       [](Foreign& f) {
         f.managed.flags = 4, f.managed.tensor.dtype = {0, 4, 1};
       },
       kMissing},
      {"transposed",
       [](Foreign& f) {
         f.strides = {1, 2};
       },
       kMissing},
      {"backwards",
       [](Foreign& f) {
         f.strides = {-3, 1};
       },
       kMissing},
      {"lanes", [](Foreign& f) { f.managed.tensor.dtype.lanes = 4; }, kMissing},
      {"type",
       [](Foreign& f) {
         f.managed.tensor.dtype = {3, 64, 1};
       },
       kMissing},
      {"device", [](Foreign& f) { f.managed.tensor.device.type = 8; }, kMissing},
      {"device number",
       [](Foreign& f) {
         f.managed.tensor.device = {2, -1};
       },
       kMissing},
      {"rank", [](Foreign& f) { f.managed.tensor.ndim = 9; }, kMissing},
      {"no shape", [](Foreign& f) { f.managed.tensor.shape = nullptr; }, kInvalid},
      {"negative", [](Foreign& f) { f.shape[0] = -2; }, kInvalid},
      {"no data", [](Foreign& f) { f.managed.tensor.data = nullptr; }, kInvalid},
      {"offset", [](Foreign& f) { f.managed.tensor.byte_offset = ~uint64_t{0} - 8; }, kInvalid},
  };
  for (const Refusal& refusal : refusals) {
    SCOPED_TRACE(refusal.what);
    Foreign foreign;
    refusal.spoil(foreign);
    const absl::Status status = foreign.Import().status();
    EXPECT_EQ(status.code(), refusal.code) << status;
    EXPECT_EQ(foreign.deleted, 1);
  }
  Foreign huge;
  huge.shape = {int64_t{1} << 62, 16};
  huge.managed.tensor.strides = nullptr;
  EXPECT_FALSE(huge.Import().ok());
  EXPECT_EQ(huge.deleted, 1);
}

}  // namespace
}  // namespace tenure
