// The allocators of CUDA's spaces, their copies, streams and routes: on a fake device and, where
// there is one, on the real one.

#include <unistd.h>

#include <array>
#include <bit>
#include <cstring>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tenure/allocator/cpu/cpu_allocator.h"
#include "tenure/allocator/cuda/cuda.h"
#include "tenure/allocator/mmap/mmap_allocator.h"
#include "tenure/runtime/copy_many.h"
#include "tenure/runtime/mapping.h"
#include "tenure/tests/allocator/cuda/gpu_test.h"

namespace tenure::cuda {
namespace {

std::vector<uint8_t> Noise(uint64_t size, uint32_t seed) {
  std::vector<uint8_t> bytes(size);
  std::mt19937_64 random(seed);
  for (uint64_t i = 0; i < size; i += 8) {
    const uint64_t word = random();
    std::memcpy(bytes.data() + i, &word, std::min<uint64_t>(8, size - i));
  }
  return bytes;
}

class CudaTest : public GpuTest {};
TENURE_ON_ALL_GPUS(CudaTest);

TEST_P(CudaTest, DevicesAreDescribed) {
  const DeviceInfo& info = gpu_->device()->info();
  EXPECT_FALSE(info.name.empty());
  EXPECT_EQ(info.uuid.size(), 40u);
  EXPECT_EQ(info.uuid.substr(0, 4), "GPU-");
  EXPECT_GE(info.compute_major, 7);
  EXPECT_GT(info.memory_total_bytes, 0u);
  EXPECT_GT(info.multiprocessors, 0);
  absl::StatusOr<std::vector<DeviceInfo>> all = DescribeDevices(gpu_->device()->driver());
  ASSERT_OK(all);
  ASSERT_FALSE(all->empty());
  EXPECT_EQ((*all)[0].uuid, info.uuid);
  EXPECT_GT((*all)[0].memory_free_bytes, 0u);
  EXPECT_LE((*all)[0].memory_free_bytes, info.memory_total_bytes);
}

// Every size class of the copy engine, from pageable memory that begins anywhere.
TEST_P(CudaTest, CopiesInAndOutAreExact) {
  std::vector<uint64_t> sizes = {1, 4095, 64 << 10, (64 << 10) + 1, kMiB, kMiB + 1, 5 * kMiB + 3};
  if (gpu_->real()) sizes.insert(sizes.end(), {64 * kMiB + 7, 300 * kMiB});
  for (const SpaceKind kind : kSpaces) {
    for (const uint64_t size : sizes) {
      const std::vector<uint8_t> bytes = Noise(size + 64, static_cast<uint32_t>(size));
      Buffer buffer = Make(Space(kind), size + 32);
      for (const uint64_t at : {0, 3}) {
        ASSERT_OK(buffer.CopyInAt(at + 1, bytes.data() + at, size));
        std::vector<uint8_t> back(size + 64, 0xee);
        ASSERT_OK(buffer.CopyOutAt(at + 1, back.data() + 5, size));
        ASSERT_EQ(std::memcmp(back.data() + 5, bytes.data() + at, size), 0) << kind.name() << size;
        ASSERT_EQ(back[4], 0xee);
        ASSERT_EQ(back[size + 5], 0xee);
      }
    }
  }
}

TEST_P(CudaTest, AsynchronousCopiesAreExactWhenTheirFenceIsReached) {
  for (const SpaceKind kind : kSpaces) {
    for (const uint64_t size : {uint64_t{100}, 70000 + kMiB, 9 * kMiB + 1}) {
      const std::vector<uint8_t> bytes = Noise(size, static_cast<uint32_t>(size));
      Buffer buffer = Make(Space(kind), size);
      absl::StatusOr<Fence> in = buffer.CopyInAsync(bytes.data(), size);
      ASSERT_OK(in);
      std::vector<uint8_t> back(size);
      absl::StatusOr<Fence> out = buffer.CopyOutAsync(back.data(), size);
      ASSERT_OK(out);
      ASSERT_OK(out->Wait());
      EXPECT_TRUE(in->IsReached());
      EXPECT_EQ(back, bytes);
    }
  }
}

TEST_P(CudaTest, BytesMoveBetweenAnyTwoSpaces) {
  CpuAllocator cpu;
  const std::string path = testing::TempDir() + "/cuda_test_" + std::to_string(getpid());
  const uint64_t size = 7 * kMiB + 13;
  const std::vector<uint8_t> bytes = Noise(size, 1);
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(size));
  absl::StatusOr<std::unique_ptr<MmapAllocator>> file = MmapAllocator::Open(path);
  ASSERT_OK(file);
  {
    std::vector<Buffer> sources = {Filled(cpu, bytes)};
    absl::StatusOr<Buffer> mapped = Buffer::FromFile(**file, DType::kUInt8, Shape::Vector(size), 0);
    ASSERT_OK(mapped);
    sources.push_back(*mapped);
    for (const SpaceKind kind : kSpaces) sources.push_back(Filled(Space(kind), bytes));
    for (const Buffer& source : sources) {
      for (Allocator* to : {static_cast<Allocator*>(&cpu), &Space(kDeviceSpace),
                            &Space(kUnifiedSpace), &Space(kPinnedSpace)}) {
        Buffer target = Make(*to, size);
        ASSERT_OK(target.CopyFrom(source));
        EXPECT_EQ(BytesOf(target), bytes) << source.allocator().space() << to->space();
        Buffer part = Make(*to, size);
        ASSERT_OK(part.FillWith<uint8_t>(0x11));
        ASSERT_OK(part.CopyRegionFrom(source, 1001, 77, 3 * kMiB));
        const std::vector<uint8_t> got = BytesOf(part);
        EXPECT_EQ(std::memcmp(got.data() + 77, bytes.data() + 1001, 3 * kMiB), 0);
        EXPECT_EQ(got[76], 0x11);
        EXPECT_EQ(got[77 + 3 * kMiB], 0x11);
        Buffer later = Make(*to, size);
        absl::StatusOr<Fence> fence = later.CopyFromAsync(source);
        ASSERT_OK(fence);
        ASSERT_OK(fence->Wait());
        EXPECT_EQ(BytesOf(later), bytes);
      }
    }
  }
  unlink(path.c_str());
}

TEST_P(CudaTest, OverlappingCopiesWithinAreRight) {
  const uint64_t size = (gpu_->real() ? 200 : 70) * kMiB;
  std::vector<uint8_t> expected = Noise(size, 2);
  Buffer buffer = Filled(Space(kDeviceSpace), expected);
  for (const uint64_t distance : {uint64_t{1}, uint64_t{4096}, 33 * kMiB + 5}) {
    for (const bool up : {true, false}) {
      const uint64_t from = up ? 10 : 10 + distance, to = up ? 10 + distance : 10;
      const uint64_t bytes = size - distance - 20;
      ASSERT_OK(buffer.CopyWithin(from, to, bytes));
      std::memmove(expected.data() + to, expected.data() + from, bytes);
      ASSERT_TRUE(BytesOf(buffer) == expected) << distance << up;
    }
  }
}

// Nor do they take memory beside the pool and its budget.
TEST_P(CudaTest, OverlappingCopiesWithinAreRightWhereNoMemoryIsLeft) {
  const uint64_t size = 8 * kMiB;
  std::unique_ptr<Allocator> space = gpu_->Make(kDeviceSpace, {.max_reserved_bytes = size});
  std::vector<uint8_t> expected = Noise(size, 2);
  {
    Buffer buffer = Filled(*space, expected);
    for (const uint64_t distance : {uint64_t{1}, uint64_t{4096}, kMiB + 5}) {
      for (const bool up : {true, false}) {
        const uint64_t from = up ? 10 : 10 + distance, to = up ? 10 + distance : 10;
        const uint64_t bytes = size - distance - 20;
        ASSERT_OK(buffer.CopyWithin(from, to, bytes));
        // And without waiting for the end.
        absl::StatusOr<Fence> copied =
            buffer.View(to, bytes)->CopyFromAsync(*buffer.View(from, bytes));
        ASSERT_OK(copied);
        for (int i = 0; i < 2; ++i) {
          std::memmove(expected.data() + to, expected.data() + from, bytes);
        }
        ASSERT_TRUE(BytesOf(buffer) == expected) << distance << up;
      }
    }
    EXPECT_EQ(space->Stats().reserved_bytes, size);
  }
}

TEST_P(CudaTest, FillsRepeatAnyPatternAnywhere) {
  for (const SpaceKind kind : kSpaces) {
    for (const uint32_t width : {1u, 2u, 4u, 8u, 16u}) {
      for (const uint64_t at : {0, 1, 2, 4}) {
        const std::vector<uint8_t> pattern = Noise(width, width + 7);
        const uint64_t size = 100003;
        std::vector<uint8_t> expected(size + 8, 0x55);
        Buffer buffer = Filled(Space(kind), expected);
        ASSERT_OK(buffer.View(at, size)->Fill(
            {reinterpret_cast<const std::byte*>(pattern.data()), pattern.size()}));
        for (uint64_t i = 0; i < size; ++i) expected[at + i] = pattern[i % width];
        ASSERT_EQ(BytesOf(buffer), expected) << kind.name() << width << at;
      }
    }
  }
}

TEST_P(CudaTest, ZeroedBuffersAreZeroAlsoWhenTheirMemoryWasUsedBefore) {
  for (const SpaceKind kind : kSpaces) {
    for (int round = 0; round < 2; ++round) {
      Buffer zeroed = Make(Space(kind), 300000, {.zeroed = true});
      EXPECT_EQ(BytesOf(zeroed), std::vector<uint8_t>(300000, 0));
      ASSERT_OK(zeroed.FillWith<uint8_t>(0x77));
    }
  }
}

// Freed bytes that a kernel still uses: nobody waits, and nobody gets them.
TEST_P(CudaTest, FreeingBehindQueuedWorkNeitherWaitsNorReusesEarly) {
  for (const SpaceKind kind : kSpaces) {
    std::shared_ptr<DeviceStream> stream = NewStream();
    Buffer used = Make(Space(kind), kMiB);
    absl::StatusOr<uint64_t> address = used.MutableDeviceAddress();
    ASSERT_OK(address);
    gpu_->Busy(stream->get(), absl::Milliseconds(150));
    absl::StatusOr<Fence> done = stream->Record();
    ASSERT_OK(done);
    ASSERT_OK(used.RecordUse(Access::kWrite, *done));
    used = Buffer();
    EXPECT_FALSE(done->IsReached()) << "dropping the buffer has waited";
    EXPECT_GE(Space(kind).Stats().deferred_bytes, kMiB);
    Buffer other = Make(Space(kind), kMiB);
    ASSERT_OK(other.MutableDeviceAddress());
    EXPECT_NE(*other.DeviceAddress(), *address);
    EXPECT_FALSE(done->IsReached()) << "allocating has waited";
    ASSERT_OK(done->Wait());
    Space(kind).Poll();
    EXPECT_EQ(Space(kind).Stats().deferred_bytes, 0u);
    Buffer again = Make(Space(kind), kMiB);
    EXPECT_EQ(*again.MutableDeviceAddress(), *address) << "freed bytes are not given again";
  }
}

// Host access waits for what it conflicts with; an asynchronous copy is put behind it by the
// device.
TEST_P(CudaTest, CopiesFollowRecordedUses) {
  std::shared_ptr<DeviceStream> stream = NewStream();
  const std::vector<uint8_t> bytes = Noise(50000, 3);
  Buffer buffer = Filled(Space(kDeviceSpace), bytes);
  Buffer pinned = Make(Space(kPinnedSpace), bytes.size());
  ASSERT_OK(pinned.EnsureAllocated());
  gpu_->Busy(stream->get(), absl::Milliseconds(150));
  absl::StatusOr<Fence> kernel = stream->Record();
  ASSERT_OK(kernel);
  ASSERT_OK(buffer.RecordUse(Access::kWrite, *kernel));
  absl::StatusOr<Fence> copied = pinned.CopyFromAsync(buffer);
  ASSERT_OK(copied);
  EXPECT_FALSE(kernel->IsReached()) << "the copy has waited";
  EXPECT_FALSE(copied->IsReached());
  EXPECT_CODE(DeadlineExceeded, buffer.CopyOut(std::vector<uint8_t>(50000).data(), 50000,
                                               {.timeout = absl::Milliseconds(5)}));
  ASSERT_OK(copied->Wait());
  EXPECT_TRUE(kernel->IsReached());
  EXPECT_EQ(BytesOf(pinned), bytes);
}

TEST_P(CudaTest, StreamsWaitForFencesOfOthers) {
  std::shared_ptr<DeviceStream> first = NewStream(), second = NewStream();
  gpu_->Busy(first->get(), absl::Milliseconds(100));
  absl::StatusOr<Fence> a = first->Record();
  ASSERT_OK(a);
  ASSERT_OK(second->WaitFor(*a));
  absl::StatusOr<Fence> b = second->Record();
  ASSERT_OK(b);
  EXPECT_FALSE(b->IsReached());
  EXPECT_CODE(DeadlineExceeded, b->Wait(absl::Milliseconds(2)));
  ASSERT_OK(b->Wait());
  EXPECT_TRUE(a->IsReached());
  auto host = std::make_shared<HostTimeline>();
  EXPECT_CODE(FailedPrecondition, second->WaitFor(Fence(host, 1)));
  EXPECT_FALSE(second->CanWaitFor(Fence(host, 1)));
  // Values that were never recorded.
  EXPECT_CODE(InvalidArgument, Fence(a->timeline(), 99).Wait());
}

TEST_P(CudaTest, TransfersKeepTheirPlaceInTheCallersQueue) {
  std::shared_ptr<DeviceStream> stream = NewStream();
  const std::vector<uint8_t> bytes = Noise(3000, 4);
  Buffer from = Filled(Space(kPinnedSpace), bytes);
  Buffer to = Make(Space(kDeviceSpace), bytes.size());
  ASSERT_OK(to.EnsureAllocated());
  gpu_->Busy(stream->get(), absl::Milliseconds(100));
  absl::StatusOr<Fence> before = stream->Record();
  ASSERT_OK(before);
  absl::StatusOr<Fence> copied = to.CopyFromAsync(from, {.queue = stream.get()});
  ASSERT_OK(copied);
  EXPECT_FALSE(before->IsReached());
  EXPECT_FALSE(copied->IsReached());
  ASSERT_OK(copied->Wait());
  EXPECT_TRUE(before->IsReached());
  EXPECT_EQ(BytesOf(to), bytes);
  CpuAllocator cpu;
  Buffer host = Make(cpu, 10);
  EXPECT_CODE(InvalidArgument, host.FillWith<uint8_t>(1, {.queue = stream.get()}));
}

TEST_P(CudaTest, CapturedTransfersBecomeNodesAndWaitsAreRefused) {
  std::shared_ptr<DeviceStream> stream = NewStream();
  const std::vector<uint8_t> bytes = Noise(5000, 5);
  Buffer from = Filled(Space(kDeviceSpace), bytes);
  Buffer to = Filled(Space(kDeviceSpace), std::vector<uint8_t>(5000, 0));
  Buffer busy = Make(Space(kDeviceSpace), 10000);
  const TransferOptions in_graph{.queue = stream.get()};
  const absl::StatusOr<size_t> launched =
      gpu_->CaptureAndLaunch(stream->get(), 2, [&]() -> absl::Status {
        absl::StatusOr<Fence> fence = to.CopyFromAsync(from, in_graph);
        if (!fence.ok()) return fence.status();
        EXPECT_CODE(FailedPrecondition, stream->Record());
        EXPECT_CODE(FailedPrecondition, to.CopyFrom(from, in_graph));
        EXPECT_CODE(FailedPrecondition, stream->RecordTimestamp());
        // What is not of the graph goes on as ever: fences are asked, memory is allocated.
        EXPECT_OK(busy.FillWith<uint8_t>(1));
        EXPECT_EQ(BytesOf(to), std::vector<uint8_t>(5000, 0)) << "the captured copy has run";
        const std::byte fill[2] = {std::byte{3}, std::byte{9}};
        absl::StatusOr<Fence> filled = to.View(4000, 1000)->FillAsync(fill, in_graph);
        return filled.status();
      });
  ASSERT_OK(launched);
  std::vector<uint8_t> expected = bytes;
  for (size_t i = 4000; i < 5000; ++i) expected[i] = i % 2 == 0 ? 3 : 9;
  EXPECT_EQ(BytesOf(to), expected);
}

TEST_P(CudaTest, TimestampsTellTheDevicesTime) {
  std::shared_ptr<DeviceStream> stream = NewStream();
  absl::StatusOr<Timestamp> begin = stream->RecordTimestamp();
  ASSERT_OK(begin);
  gpu_->Busy(stream->get(), absl::Milliseconds(20));
  absl::StatusOr<Timestamp> end = stream->RecordTimestamp();
  ASSERT_OK(end);
  absl::StatusOr<absl::Duration> passed = end->Since(*begin);
  ASSERT_OK(passed);
  EXPECT_GE(*passed, absl::Milliseconds(19));
  EXPECT_CODE(FailedPrecondition, end->Since(Timestamp()));
}

TEST_P(CudaTest, ForeignMemoryIsWrappedWhereItBelongs) {
  Buffer owner = Filled(Space(kDeviceSpace), Noise(4096, 6));
  bool released = false;
  {
    absl::StatusOr<Buffer> wrapped =
        Buffer::Wrap(Space(kDeviceSpace), DType::kUInt8, Shape::Vector(1000),
                     {.data = reinterpret_cast<void*>(*owner.MutableDeviceAddress() + 512),
                      .release = [&] { released = true; }},
                     1000);
    ASSERT_OK(wrapped);
    EXPECT_EQ(BytesOf(*wrapped), BytesOf(*owner.View(512, 1000)));
    EXPECT_FALSE(released);
  }
  EXPECT_TRUE(released);
  std::vector<uint8_t> host(1000);
  for (const SpaceKind kind : kSpaces) {
    EXPECT_CODE(InvalidArgument, Buffer::Wrap(Space(kind), DType::kUInt8, Shape::Vector(1000),
                                              {.data = host.data()}, 1000));
  }
  Buffer pinned = Filled(Space(kPinnedSpace), Noise(4096, 7));
  absl::StatusOr<void*> pointer = pinned.MutableHostPointer();
  ASSERT_OK(pointer);
  EXPECT_OK(Buffer::Wrap(Space(kPinnedSpace), DType::kUInt8, Shape::Vector(4096),
                         {.data = *pointer}, 4096));
  EXPECT_CODE(InvalidArgument, Buffer::Wrap(Space(kDeviceSpace), DType::kUInt8, Shape::Vector(4096),
                                            {.data = *pointer}, 4096));
}

TEST_P(CudaTest, ForeignMemoryIsWrappedOnlyUpToItsEnd) {
  const auto wrap = [&](SpaceKind kind, uint64_t address, uint64_t size) {
    return Buffer::Wrap(Space(kind), DType::kUInt8, Shape::Vector(size),
                        {.data = reinterpret_cast<void*>(address)}, size)
        .status();
  };
  const auto ends = [&](SpaceKind kind, uint64_t address, uint64_t size) {
    EXPECT_OK(wrap(kind, address, size));
    EXPECT_OK(wrap(kind, address + 4096, size - 4096));
    for (const uint64_t more : {uint64_t{1}, 56 * kMiB}) {
      const absl::Status status = wrap(kind, address, size + more);
      EXPECT_CODE(InvalidArgument, status);
      EXPECT_NE(status.message().find(std::to_string(size) + " bytes"), std::string::npos)
          << status;
      EXPECT_NE(status.message().find(std::to_string(size + more)), std::string::npos) << status;
    }
  };
  // The driver's memory, and a neighbour that begins where it ends, more often than not.
  CUdeviceptr first = 0, second = 0;
  void* host = nullptr;
  const Driver& driver = gpu_->device()->driver();
  {
    Device::Scope scope(*gpu_->device());
    ASSERT_OK(TENURE_CU(driver, MemAlloc, &first, 8 * kMiB));
    ASSERT_OK(TENURE_CU(driver, MemAlloc, &second, 64 * kMiB));
    ASSERT_OK(TENURE_CU(driver, MemHostAlloc, &host, 8 * kMiB, 0));
  }
  ends(kDeviceSpace, first, 8 * kMiB);
  ends(kPinnedSpace, reinterpret_cast<uint64_t>(host), 8 * kMiB);
  {
    Device::Scope scope(*gpu_->device());
    EXPECT_OK(TENURE_CU(driver, MemFree, first));
    EXPECT_OK(TENURE_CU(driver, MemFree, second));
    EXPECT_OK(TENURE_CU(driver, MemFreeHost, host));
  }
  // Bytes that span two mappings, which are two slabs of a pool.
  std::unique_ptr<Allocator> space = gpu_->Make(kDeviceSpace);
  {
    const Buffer one = Make(*space, 4 * kMiB), other = Make(*space, 4 * kMiB);
    AddressOf(one);
    AddressOf(other);
  }
  const Buffer both = Make(*space, 8 * kMiB);
  ends(kDeviceSpace, AddressOf(both), 8 * kMiB);
}

TEST_P(CudaTest, SharedMemoryIsTheSameThroughADescriptor) {
  const std::vector<uint8_t> bytes = Noise(3 * kMiB, 8);
  Buffer shared =
      Make(Space(kDeviceSpace), bytes.size(), {.hints = {.sharing = Sharing::kPosixFd}});
  ASSERT_OK(shared.CopyIn(bytes.data(), bytes.size()));
  auto* share = Space(kDeviceSpace).Capability<ShareCapability>();
  ASSERT_NE(share, nullptr);
  absl::StatusOr<int> fd = share->ExportFd(shared.storage()->root());
  ASSERT_OK(fd);
  const absl::Status larger = share->ImportFd(*fd, 64 * kMiB).status();
  EXPECT_CODE(InvalidArgument, larger);
  EXPECT_NE(larger.message().find("67108864"), std::string::npos) << larger;
  absl::StatusOr<ForeignMemory> memory = share->ImportFd(*fd, bytes.size());
  ASSERT_OK(memory);
  close(*fd);
  absl::StatusOr<Buffer> imported = Buffer::Wrap(
      Space(kDeviceSpace), DType::kUInt8, Shape::Vector(bytes.size()), *memory, bytes.size());
  ASSERT_OK(imported);
  EXPECT_NE(*imported->DeviceAddress(), *shared.DeviceAddress());
  EXPECT_EQ(BytesOf(*imported), bytes);
  ASSERT_OK(shared.FillWith<uint8_t>(0x42));
  // The bytes live on without who exported them.
  shared = Buffer();
  EXPECT_EQ(BytesOf(*imported), std::vector<uint8_t>(bytes.size(), 0x42));
  Buffer plain = Make(Space(kDeviceSpace), 100);
  ASSERT_OK(plain.EnsureAllocated());
  EXPECT_CODE(FailedPrecondition, share->ExportFd(plain.storage()->root()));
  EXPECT_CODE(FailedPrecondition, share->ExportIpc(plain.storage()->root()));
  EXPECT_EQ(Space(kPinnedSpace).Capability<ShareCapability>(), nullptr);
  EXPECT_CODE(
      Unimplemented,
      Make(Space(kPinnedSpace), 100, {.hints = {.sharing = Sharing::kIpc}}).EnsureAllocated());
  Buffer ipc = Make(Space(kDeviceSpace), 5000, {.hints = {.sharing = Sharing::kIpc}});
  ASSERT_OK(ipc.EnsureAllocated());
  absl::StatusOr<std::string> handle = share->ExportIpc(ipc.storage()->root());
  ASSERT_OK(handle);
  EXPECT_EQ(handle->size(), 64u);
  EXPECT_CODE(InvalidArgument, share->ImportIpc("short", 10));
}

TEST_P(CudaTest, WriteCombinedMemoryIsItsOwn) {
  const std::vector<uint8_t> bytes = Noise(100000, 9);
  Buffer buffer = Make(Space(kPinnedSpace), bytes.size(), {.hints = {.write_combined = true}});
  ASSERT_OK(buffer.CopyIn(bytes.data(), bytes.size()));
  Buffer on_device = Make(Space(kDeviceSpace), bytes.size());
  ASSERT_OK(on_device.CopyFrom(buffer));
  EXPECT_EQ(BytesOf(on_device), bytes);
}

TEST_P(CudaTest, UnifiedMemoryTakesHintsAndPrefetches) {
  const std::vector<uint8_t> bytes = Noise(4 * kMiB, 10);
  Buffer buffer = Filled(Space(kUnifiedSpace), bytes);
  auto* unified = Space(kUnifiedSpace).Capability<UnifiedCapability>();
  ASSERT_NE(unified, nullptr);
  const SubRegion all{&buffer.storage()->root(), 0, bytes.size()};
  for (const AccessHint hint :
       {AccessHint::kDevicePreferred, AccessHint::kHostPreferred, AccessHint::kReadMostly,
        AccessHint::kStreaming, AccessHint::kNone}) {
    ASSERT_OK(unified->Hint(all, hint));
    for (const auto side : {UnifiedCapability::Side::kDevice, UnifiedCapability::Side::kHost}) {
      absl::StatusOr<Fence> moved = unified->Prefetch(all, side, nullptr);
      ASSERT_OK(moved);
      ASSERT_OK(moved->Wait());
      absl::StatusOr<absl::Span<const std::byte>> seen = buffer.Bytes();
      ASSERT_OK(seen);
      EXPECT_EQ(std::memcmp(seen->data(), bytes.data(), bytes.size()), 0);
    }
  }
  EXPECT_EQ(Space(kDeviceSpace).Capability<UnifiedCapability>(), nullptr);
}

TEST_P(CudaTest, ABudgetIsKeptAndTheReportSaysAll) {
  for (const SpaceKind kind : kSpaces) {
    std::unique_ptr<Allocator> small = gpu_->Make(kind, {.max_reserved_bytes = 8 * kMiB});
    Buffer fits = Make(*small, 5 * kMiB);
    ASSERT_OK(fits.EnsureAllocated());
    Buffer not_fitting = Make(*small, 6 * kMiB, {.name = "weights"});
    const absl::Status status = not_fitting.EnsureAllocated();
    EXPECT_CODE(ResourceExhausted, status);
    for (const char* word : {"weights", "6291456", "limit 8388608", "in use 5242880", "cuda"}) {
      EXPECT_NE(status.message().find(word), std::string::npos) << word << "\n" << status;
    }
    fits = Buffer();
    EXPECT_OK(not_fitting.EnsureAllocated());
    not_fitting = Buffer();
    EXPECT_GT(small->Trim(0), 0u);
    EXPECT_EQ(small->Stats().reserved_bytes, 0u);
  }
  Buffer absurd = Make(Space(kDeviceSpace), uint64_t{1} << 50, {});
  EXPECT_CODE(ResourceExhausted, absurd.EnsureAllocated());
}

TEST_P(CudaTest, ManySmallCopiesGoTogether) {
  CpuAllocator cpu;
  std::vector<CopyInPart> in;
  std::vector<std::vector<uint8_t>> sources, results;
  // Small ones of every space in turn, one that is large among them, and more than is gathered
  // once.
  for (uint32_t i = 0; i < 120; ++i) {
    const uint64_t size = i == 50 ? 100000 : i == 51 ? 0 : 1 + i * 397;
    Allocator& space = i % 10 == 9 ? static_cast<Allocator&>(cpu) : Space(kSpaces[i / 40]);
    sources.push_back(Noise(size, i));
    in.push_back({Make(space, size), nullptr, size});
  }
  std::vector<CopyOutPart> out;
  for (size_t i = 0; i < in.size(); ++i) {
    in[i].from = sources[i].data();
    results.emplace_back(sources[i].size() + 1, 0);
    out.push_back({results[i].data(), in[i].to, in[i].size_bytes});
  }
  // The same bytes again: the later part counts.
  const std::vector<uint8_t> last(in[3].size_bytes, 0x5a);
  in.push_back({in[3].to, last.data(), in[3].size_bytes});
  ASSERT_OK(CopyInMany(in));
  ASSERT_OK(CopyOutMany(out));
  sources[3] = last;
  for (size_t i = 0; i < sources.size(); ++i) {
    results[i].pop_back();
    EXPECT_EQ(results[i], sources[i]) << i;
  }
  // Waits for what it conflicts with.
  std::shared_ptr<DeviceStream> stream = NewStream();
  gpu_->Busy(stream->get(), absl::Milliseconds(50));
  absl::StatusOr<Fence> busy = stream->Record();
  ASSERT_OK(busy);
  ASSERT_OK(in[0].to.RecordUse(Access::kWrite, *busy));
  EXPECT_CODE(DeadlineExceeded, CopyInMany(in, {.timeout = absl::Milliseconds(1)}));
  ASSERT_OK(CopyInMany(in));
  EXPECT_TRUE(busy->IsReached());
  in[1].size_bytes += 1;
  const absl::Status wrong = CopyInMany(in);
  EXPECT_CODE(InvalidArgument, wrong);
  EXPECT_NE(wrong.message().find("part 1"), std::string::npos) << wrong;
  EXPECT_CODE(Unimplemented, CopyOutMany(out, {.queue = stream.get()}));
  EXPECT_CODE(FailedPrecondition, CopyInMany({{Buffer(), last.data(), 1}}));
}

TEST_P(CudaTest, HostAccessIsWhereTheHostCanReach) {
  Buffer far = Filled(Space(kDeviceSpace), Noise(4000, 12));
  EXPECT_CODE(Unimplemented, far.As<uint8_t>());
  EXPECT_CODE(Unimplemented, far.HostPointer());
  EXPECT_CODE(Unimplemented, far.Map(Access::kRead));
  for (const SpaceKind kind : {kUnifiedSpace, kPinnedSpace}) {
    const std::vector<uint8_t> bytes = Noise(4000, 13);
    Buffer near = Filled(Space(kind), bytes);
    absl::StatusOr<absl::Span<const uint8_t>> seen = near.As<uint8_t>();
    ASSERT_OK(seen);
    EXPECT_EQ(std::vector<uint8_t>(seen->begin(), seen->end()), bytes);
    EXPECT_OK(near.Map(Access::kWrite));
    // One address for all.
    EXPECT_EQ(reinterpret_cast<uint64_t>(*near.HostPointer()), *near.DeviceAddress());
  }
}

TEST_P(CudaTest, SealedBuffersAreNotWritten) {
  for (const SpaceKind kind : kSpaces) {
    Buffer buffer = Filled(Space(kind), Noise(100, 14));
    ASSERT_OK(buffer.Seal());
    EXPECT_CODE(FailedPrecondition, buffer.FillWith<uint8_t>(1));
    EXPECT_CODE(FailedPrecondition, buffer.MutableDeviceAddress());
    EXPECT_OK(buffer.DeviceAddress());
  }
}

TEST_P(CudaTest, FilesAndTheirAdviceAreNotHere) {
  for (const SpaceKind kind : kSpaces) {
    EXPECT_CODE(Unimplemented, Buffer::FromFile(Space(kind), DType::kUInt8, Shape::Vector(10), 0));
    EXPECT_EQ(Space(kind).Capability<AdviceCapability>(), nullptr);
  }
}

// Beyond what 32 bits count; on a real device only, for the memory it takes.
TEST_P(CudaTest, MoreThan4GiB) {
  const uint64_t size = gpu_->real() ? (uint64_t{1} << 32) + 12345 : 12345;
  Buffer a = Make(Space(kDeviceSpace), size), b = Make(Space(kDeviceSpace), size);
  ASSERT_OK(a.Fill(std::bit_cast<std::array<std::byte, 4>>(uint32_t{0x01020304})));
  const std::vector<uint8_t> end = Noise(12000, 11);
  ASSERT_OK(a.CopyInAt(size - end.size(), end.data(), end.size()));
  ASSERT_OK(b.CopyFrom(a));
  std::vector<uint8_t> back(end.size());
  ASSERT_OK(b.CopyOutAt(size - end.size(), back.data(), back.size()));
  EXPECT_EQ(back, end);
  EXPECT_EQ(*b.View(0, 4)->Reinterpret(DType::kUInt32, Shape::Vector(1))->Item<uint32_t>(),
            0x01020304u);
}

}  // namespace
}  // namespace tenure::cuda
