// Handles of streams that the driver gives again, and addresses that run out. On fake devices.

#include <cstdint>
#include <memory>
#include <vector>

#include "tenure/tests/allocator/cuda/fake/fake_cuda.h"

namespace tenure::cuda {
namespace {

class CudaHandles : public FakeCuda {
 protected:
  CudaHandles() : FakeCuda({.reuse_stream_handles = true}) {}

  CUstream NewRawStream() {
    Device::Scope scope(*device_);
    CUstream stream = nullptr;
    EXPECT_EQ(device_->driver()->StreamCreate(&stream, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
    return stream;
  }
  void Destroy(CUstream stream) {
    Device::Scope scope(*device_);
    EXPECT_EQ(device_->driver()->StreamDestroy(stream), CUDA_SUCCESS);
  }
};

// The work of a destroyed stream goes on. It is waited for, whoever has the handle meanwhile.
TEST_F(CudaHandles, AStreamDoesNotHideTheWorkOfTheOneThatHadItsHandle) {
  const std::vector<uint8_t> bytes = Pattern(5000);
  Allocator& space = Space(kDeviceSpace);
  const Buffer source = Filled(space, bytes);
  const Buffer late = Make(Space(kPinnedSpace), bytes.size());
  const Buffer early = Make(Space(kPinnedSpace), bytes.size());

  const CUstream handle = NewRawStream();
  absl::StatusOr<std::shared_ptr<DeviceStream>> old = DeviceStream::Wrap(device_, handle);
  ASSERT_OK(old);
  fake_.Hold(handle);
  absl::StatusOr<Fence> read = late.CopyFromAsync(source, {.queue = old->get()});
  ASSERT_OK(read);
  Destroy(handle);
  ASSERT_EQ(NewRawStream(), handle);
  absl::StatusOr<std::shared_ptr<DeviceStream>> young = DeviceStream::Wrap(device_, handle);
  ASSERT_OK(young);

  // A later read of the new stream is over at once, and says nothing about the old one.
  ASSERT_OK(early.CopyFrom(source, {.queue = young->get()}));
  EXPECT_FALSE(read->IsReached());
  const std::byte nine{9};
  absl::StatusOr<Fence> filled = source.FillAsync({&nine, 1}, {.queue = young->get()});
  absl::StatusOr<Fence> filled_again = source.FillAsync({&nine, 1});
  ASSERT_OK(filled);
  ASSERT_OK(filled_again);
  EXPECT_FALSE(filled->IsReached());
  EXPECT_FALSE(filled_again->IsReached());
  EXPECT_FALSE(read->IsReached());
  fake_.ReleaseAll();
  EXPECT_OK(read->Wait());
  EXPECT_OK(filled_again->Wait());
  EXPECT_EQ(BytesOf(late), bytes);
  EXPECT_EQ(BytesOf(early), bytes);
  EXPECT_EQ(BytesOf(source), std::vector<uint8_t>(bytes.size(), 9));
  EXPECT_OK((*young)->Synchronize());
  Destroy(handle);
}

TEST_F(CudaHandles, FreedBytesAreNotReusedBeforeTheWorkOfADestroyedStream) {
  std::unique_ptr<Allocator> space =
      *MakeAllocatorOn(device_, kDeviceSpace, {.max_reserved_bytes = 4 * kMiB});
  const CUstream handle = NewRawStream();
  absl::StatusOr<std::shared_ptr<DeviceStream>> old = DeviceStream::Wrap(device_, handle);
  ASSERT_OK(old);
  fake_.Hold(handle);
  {
    const Buffer used = Make(*space, 4 * kMiB);
    fake_.LaunchWrite(handle, *used.MutableDeviceAddress(), used.size(), 1);
    absl::StatusOr<Fence> done = (*old)->Record();
    ASSERT_OK(done);
    ASSERT_OK(used.RecordUse(Access::kWrite, *done));
  }
  Destroy(handle);
  ASSERT_EQ(NewRawStream(), handle);
  absl::StatusOr<std::shared_ptr<DeviceStream>> young = DeviceStream::Wrap(device_, handle);
  ASSERT_OK(young);
  const uint64_t waits = fake_.Calls("StreamWaitEvent");
  Buffer next = Make(*space, 4 * kMiB, {.immediate = true, .hints = {.queue = *young}});
  EXPECT_EQ(fake_.Calls("StreamWaitEvent"), waits + 1);
  fake_.LaunchWrite(handle, *next.MutableDeviceAddress(), next.size(), 2);
  absl::StatusOr<Fence> written = (*young)->Record();
  ASSERT_OK(written);
  ASSERT_OK(next.RecordUse(Access::kWrite, *written));
  EXPECT_FALSE(written->IsReached());
  fake_.ReleaseAll();
  EXPECT_EQ(BytesOf(next), std::vector<uint8_t>(next.size(), 2));
  next = Buffer();
  space.reset();
  Destroy(handle);
}

// Of a device with a hundredth of an H200's memory, in a hundredth of a process's addresses: sanitizers
// have no room for more.
class CudaAddresses : public FakeCuda {
 protected:
  explicit CudaAddresses(uint64_t limit = (uint64_t{128} << 40) / 100)
      : FakeCuda({.devices = {FakeDevice{.memory_bytes = (uint64_t{140} << 30) / 100}},
                  .address_limit_bytes = limit}) {}
};

TEST_F(CudaAddresses, AreEnoughForManyAllocators) {
  std::vector<std::unique_ptr<Allocator>> all;
  for (int i = 0; i < 100; ++i) {
    all.push_back(*MakeAllocatorOn(device_, kDeviceSpace, {}));
    absl::StatusOr<Allocation> made = all.back()->Allocate({.size_bytes = 1000});
    ASSERT_OK(made);
    all.back()->Deallocate(*made);
  }
}

class CudaFewAddresses : public CudaAddresses {
 protected:
  CudaFewAddresses() : CudaAddresses(100 * kMiB) {}
};

TEST_F(CudaFewAddresses, AreUsedUpBeforeARequestFails) {
  std::unique_ptr<Allocator> space = *MakeAllocatorOn(device_, kDeviceSpace, {});
  std::vector<Allocation> all;
  absl::Status refused;
  while (refused.ok()) {
    absl::StatusOr<Allocation> made = space->Allocate({.size_bytes = 4 * kMiB});
    refused = made.status();
    if (made.ok()) all.push_back(*made);
  }
  EXPECT_CODE(ResourceExhausted, refused);
  EXPECT_GE(all.size(), 23u);
  for (const Allocation& made : all) space->Deallocate(made);
  // Also in one piece, when the addresses are given back.
  absl::StatusOr<Allocation> large = space->Allocate({.size_bytes = 90 * kMiB});
  EXPECT_OK(large);
  if (large.ok()) space->Deallocate(*large);
}

TEST_F(CudaFewAddresses, ARequestThatIsTooLargeLeavesTheRestToOthers) {
  std::unique_ptr<Allocator> space = *MakeAllocatorOn(device_, kDeviceSpace, {});
  const absl::StatusOr<Allocation> first = space->Allocate({.size_bytes = 40 * kMiB});
  ASSERT_OK(first);
  EXPECT_CODE(ResourceExhausted, space->Allocate({.size_bytes = 80 * kMiB}).status());
  const absl::StatusOr<Allocation> second = space->Allocate({.size_bytes = 40 * kMiB});
  ASSERT_OK(second);
  space->Deallocate(*first);
  space->Deallocate(*second);
}

}  // namespace
}  // namespace tenure::cuda
