// That the fake driver behaves as fake_driver.h says: memory, devices, faults.

#include "tenure/tests/allocator/cuda/fake/fake_driver.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <numeric>
#include <thread>
#include <vector>

#include "tenure/tests/allocator/cuda/fake/fake_driver_fixture.h"

namespace tenure::cuda {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// ---- Memory ----------------------------------------------------------------------------------

TEST_F(FakeDriverTest, CopiesMoveRealBytes) {
  std::vector<unsigned char> in(1000), out(1000);
  std::iota(in.begin(), in.end(), 0);
  const CUdeviceptr a = Alloc(1000), b = Alloc(1000);
  EXPECT_EQ(cu_.MemcpyHtoDAsync(a, in.data(), 1000, stream_), CUDA_SUCCESS);
  EXPECT_EQ(cu_.MemcpyDtoDAsync(b, a, 1000, stream_), CUDA_SUCCESS);
  EXPECT_EQ(cu_.MemcpyDtoHAsync(out.data(), b, 1000, stream_), CUDA_SUCCESS);
  EXPECT_EQ(in, out);
  EXPECT_EQ(cu_.MemsetD32Async(b + 4, 0x04030201, 2, stream_), CUDA_SUCCESS);
  EXPECT_EQ(cu_.MemsetD16Async(b + 12, 0x0605, 1, stream_), CUDA_SUCCESS);
  EXPECT_EQ(cu_.MemsetD8Async(b + 14, 7, 1, stream_), CUDA_SUCCESS);
  EXPECT_EQ(cu_.MemcpyAsync(reinterpret_cast<CUdeviceptr>(out.data()), b, 16, stream_),
            CUDA_SUCCESS);
  EXPECT_THAT(std::vector<int>(out.begin(), out.begin() + 16),
              ElementsAre(0, 1, 2, 3, 1, 2, 3, 4, 1, 2, 3, 4, 5, 6, 7, 15));
}

TEST_F(FakeDriverTest, DeviceMemoryIsFreshAlignedCountedAndNeverReused) {
  size_t free_bytes = 0, total = 0;
  const CUdeviceptr a = Alloc(1000);
  EXPECT_EQ(a % 512, 0u);
  EXPECT_EQ(At(a), 0xCD);
  EXPECT_EQ(cu_.MemGetInfo(&free_bytes, &total), CUDA_SUCCESS);
  EXPECT_EQ(total, 64 * kMiB);
  EXPECT_EQ(free_bytes, 64 * kMiB - 1024);
  EXPECT_EQ(cu_.MemFree(a), CUDA_SUCCESS);
  EXPECT_NE(Alloc(1000), a);
  EXPECT_EQ(fake_.UsedBytes(0), 1024u);
  CUdeviceptr more = 0;
  EXPECT_EQ(cu_.MemAlloc(&more, 64 * kMiB), CUDA_ERROR_OUT_OF_MEMORY);
  EXPECT_EQ(cu_.MemAlloc(&more, SIZE_MAX), CUDA_ERROR_OUT_OF_MEMORY);
  EXPECT_EQ(cu_.MemAlloc(&more, 0), CUDA_ERROR_INVALID_VALUE);
  fake_.SetMemoryLimit(0, 2048);
  EXPECT_EQ(cu_.MemAlloc(&more, 1025), CUDA_ERROR_OUT_OF_MEMORY);
  EXPECT_EQ(cu_.MemAlloc(&more, 1024), CUDA_SUCCESS);
}

TEST_F(FakeDriverTest, TheHostFaultsOnDeviceAndOnFreedPinnedMemory) {
  const CUdeviceptr device = Alloc(16);
  EXPECT_DEATH(*reinterpret_cast<volatile char*>(device) = 1, "");
  unsigned char* pinned = Pinned(16);
  *pinned = 1;
  EXPECT_EQ(cu_.MemFreeHost(pinned), CUDA_SUCCESS);
  EXPECT_DEATH(*static_cast<volatile unsigned char*>(pinned) = 1, "");
}

TEST_F(FakeDriverTest, HostMemoryKeepsItsFlagsAndHasOneAddress) {
  void* pinned = nullptr;
  ASSERT_EQ(cu_.MemHostAlloc(&pinned, 100, CU_MEMHOSTALLOC_WRITECOMBINED), CUDA_SUCCESS);
  CUdeviceptr managed = 0;
  ASSERT_EQ(cu_.MemAllocManaged(&managed, 100, CU_MEM_ATTACH_GLOBAL), CUDA_SUCCESS);
  EXPECT_EQ(fake_.HostFlags(pinned), unsigned{CU_MEMHOSTALLOC_WRITECOMBINED});
  EXPECT_EQ(fake_.HostFlags(reinterpret_cast<void*>(managed)), unsigned{CU_MEM_ATTACH_GLOBAL});
  EXPECT_EQ(fake_.HostFlags(this), std::nullopt);
  EXPECT_EQ(fake_.HostBytes(), 200u);
  std::memset(reinterpret_cast<void*>(managed), 3, 100);
  EXPECT_EQ(cu_.MemcpyAsync(reinterpret_cast<CUdeviceptr>(pinned), managed, 100, stream_),
            CUDA_SUCCESS);
  Sync();
  EXPECT_EQ(static_cast<unsigned char*>(pinned)[99], 3);
  EXPECT_EQ(cu_.MemFree(managed), CUDA_SUCCESS);
  EXPECT_EQ(cu_.MemFreeHost(pinned), CUDA_SUCCESS);
  EXPECT_EQ(fake_.HostBytes(), 0u);
}

TEST_F(FakeDriverTest, RegistersHostMemoryOnce) {
  std::vector<unsigned char> host(8192);
  const CUdeviceptr d = Alloc(8192);
  ASSERT_EQ(cu_.MemHostRegister(host.data(), 4096, 0), CUDA_SUCCESS);
  EXPECT_EQ(cu_.MemHostRegister(host.data() + 4000, 100, 0),
            CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED);
  EXPECT_EQ(fake_.Registrations(), 1u);
  // In one copy: part of it registered, and two registrations.
  EXPECT_EQ(cu_.MemcpyHtoDAsync(d, host.data(), 8192, stream_), CUDA_ERROR_INVALID_VALUE);
  EXPECT_THAT(Violation(), HasSubstr("beyond the end of registered memory"));
  EXPECT_EQ(cu_.MemcpyDtoHAsync(host.data() + 4096, d, 4096, stream_), CUDA_SUCCESS);
  ASSERT_EQ(cu_.MemHostRegister(host.data() + 4096, 4096, 0), CUDA_SUCCESS);
  EXPECT_EQ(cu_.MemcpyHtoDAsync(d, host.data() + 4000, 200, stream_), CUDA_ERROR_INVALID_VALUE);
  Violation();
  EXPECT_EQ(cu_.MemHostUnregister(host.data()), CUDA_SUCCESS);
  EXPECT_EQ(cu_.MemcpyHtoDAsync(d, host.data() + 4000, 200, stream_), CUDA_ERROR_INVALID_VALUE);
  EXPECT_THAT(Violation(), HasSubstr("only in part"));
  EXPECT_EQ(cu_.MemHostUnregister(host.data()), CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED);
  EXPECT_THAT(Violation(), HasSubstr("no registration begins there"));
  EXPECT_EQ(cu_.MemHostUnregister(host.data() + 4096), CUDA_SUCCESS);
}

TEST_F(FakeDriverTest, SaysWhatAPointerIs) {
  struct Answer {
    CUmemorytype type;
    int ordinal;
    int managed;
    CUdeviceptr device, host;
    bool operator==(const Answer&) const = default;
  };
  auto ask = [&](CUdeviceptr address) {
    Answer answer = {};
    unsigned type = 99;
    CUpointer_attribute attributes[] = {
        CU_POINTER_ATTRIBUTE_MEMORY_TYPE, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL,
        CU_POINTER_ATTRIBUTE_IS_MANAGED, CU_POINTER_ATTRIBUTE_DEVICE_POINTER,
        CU_POINTER_ATTRIBUTE_HOST_POINTER};
    void* data[] = {&type, &answer.ordinal, &answer.managed, &answer.device, &answer.host};
    EXPECT_EQ(cu_.PointerGetAttributes(5, attributes, data, address), CUDA_SUCCESS);
    answer.type = static_cast<CUmemorytype>(type);
    return answer;
  };
  const CUdeviceptr d = Alloc(100);
  const CUdeviceptr h = reinterpret_cast<CUdeviceptr>(Pinned(100));
  CUdeviceptr m = 0;
  ASSERT_EQ(cu_.MemAllocManaged(&m, 100, CU_MEM_ATTACH_GLOBAL), CUDA_SUCCESS);
  int local = 0;
  EXPECT_EQ(ask(d + 9), (Answer{CU_MEMORYTYPE_DEVICE, 0, 0, d + 9, 0}));
  EXPECT_EQ(ask(h + 9), (Answer{CU_MEMORYTYPE_HOST, 0, 0, h + 9, h + 9}));
  EXPECT_EQ(ask(m), (Answer{CU_MEMORYTYPE_DEVICE, 0, 1, m, m}));
  EXPECT_EQ(ask(reinterpret_cast<CUdeviceptr>(&local)), (Answer{CUmemorytype{}, -2, 0, 0, 0}));
  CUdeviceptr base = 0;
  size_t size = 0;
  EXPECT_EQ(cu_.MemGetAddressRange(&base, &size, d + 99), CUDA_SUCCESS);
  EXPECT_EQ(base, d);
  EXPECT_EQ(size, 100u);
  EXPECT_EQ(cu_.MemGetAddressRange(&base, &size, d + 100), CUDA_ERROR_NOT_FOUND);
}

TEST_F(FakeDriverTest, RefusesWhatLiesOutsideOfAnAllocation) {
  std::vector<unsigned char> host(200);
  const CUdeviceptr d = Alloc(100);
  EXPECT_EQ(cu_.MemcpyHtoDAsync(d + 1, host.data(), 100, stream_), CUDA_ERROR_INVALID_VALUE);
  EXPECT_THAT(Violation(), HasSubstr("beyond the end of device memory of 100 bytes"));
  EXPECT_EQ(cu_.MemsetD8Async(d - 1, 0, 1, stream_), CUDA_ERROR_INVALID_VALUE);
  EXPECT_THAT(Violation(), HasSubstr("no allocation"));
  EXPECT_EQ(cu_.MemcpyDtoHAsync(host.data(), d, UINT64_MAX, stream_), CUDA_ERROR_INVALID_VALUE);
  EXPECT_THAT(Violation(), HasSubstr("wrap"));
  EXPECT_EQ(cu_.MemsetD32Async(d + 2, 0, 1, stream_), CUDA_ERROR_INVALID_VALUE);
  EXPECT_THAT(Violation(), HasSubstr("not a multiple of 4"));
  EXPECT_EQ(cu_.MemcpyHtoDAsync(reinterpret_cast<CUdeviceptr>(host.data()), host.data() + 100, 9,
                                stream_),
            CUDA_ERROR_INVALID_VALUE);
  EXPECT_THAT(Violation(), HasSubstr("not the device's"));
  EXPECT_EQ(cu_.MemcpyDtoDAsync(d, d + 10, 20, stream_), CUDA_SUCCESS);
  EXPECT_THAT(Violation(), HasSubstr("overlap"));
  EXPECT_EQ(cu_.MemFree(d + 1), CUDA_ERROR_INVALID_VALUE);
  EXPECT_THAT(Violation(), HasSubstr("not its start"));
  EXPECT_EQ(fake_.Bytes(d + 99, 2), nullptr);
  EXPECT_THAT(Violation(), HasSubstr("beyond"));
}

TEST_F(FakeDriverTest, SeesUseAfterFreeAndDoubleFree) {
  std::vector<unsigned char> host(100);
  const CUdeviceptr d = Alloc(100);
  EXPECT_EQ(cu_.MemFree(d), CUDA_SUCCESS);
  EXPECT_EQ(cu_.MemFree(d), CUDA_ERROR_INVALID_VALUE);
  EXPECT_THAT(Violation(), HasSubstr("freed device memory"));
  EXPECT_EQ(cu_.MemcpyDtoHAsync(host.data(), d + 5, 1, stream_), CUDA_ERROR_INVALID_VALUE);
  EXPECT_THAT(Violation(), HasSubstr("freed device memory"));
  unsigned char* pinned = Pinned(100);
  EXPECT_EQ(cu_.MemFreeHost(pinned), CUDA_SUCCESS);
  EXPECT_EQ(cu_.MemFreeHost(pinned), CUDA_ERROR_INVALID_VALUE);
  EXPECT_THAT(Violation(), HasSubstr("freed pinned memory"));
}

TEST_F(FakeDriverTest, FreeingWhatQueuedWorkTouchesIsAViolation) {
  unsigned char* pinned = Pinned(100);
  std::vector<unsigned char> host(100);
  ASSERT_EQ(cu_.MemHostRegister(host.data(), 100, 0), CUDA_SUCCESS);
  const CUdeviceptr d = Alloc(100), e = Alloc(100);
  fake_.Hold(stream_);
  EXPECT_EQ(cu_.MemcpyHtoDAsync(d, pinned, 100, stream_), CUDA_SUCCESS);
  EXPECT_EQ(cu_.MemcpyHtoDAsync(e, host.data(), 100, stream_), CUDA_SUCCESS);
  EXPECT_EQ(cu_.MemHostUnregister(host.data()), CUDA_SUCCESS);
  EXPECT_THAT(Violation(), HasSubstr("cuMemHostUnregister of registered memory"));
  EXPECT_EQ(cu_.MemFree(d), CUDA_SUCCESS);
  EXPECT_THAT(Violation(), HasSubstr("cuMemFree of device memory"));
  fake_.Release(stream_);
  Sync();
  EXPECT_THAT(fake_.Violations(),
              ElementsAre(HasSubstr("cuMemcpyHtoDAsync on stream"), HasSubstr("came to touch")));
  fake_.ClearViolations();
}

TEST_F(FakeDriverTest, FreeWaitsForAllWorkOfTheDevice) {
  const CUdeviceptr d = Alloc(100), other = Alloc(100);
  fake_.LaunchSleep(stream_, absl::Milliseconds(20));
  EXPECT_EQ(cu_.MemsetD8Async(d, 1, 100, stream_), CUDA_SUCCESS);
  EXPECT_EQ(cu_.MemFree(other), CUDA_SUCCESS);
  EXPECT_THAT(fake_.Queued(stream_), IsEmpty());  // it did wait
  EXPECT_THAT(fake_.Waits(), ElementsAre(HasSubstr("cuMemFree waited for 2 operations: "
                                                   "LaunchSleep, cuMemsetD8Async")));
  // What is held is not waited for, but reported.
  fake_.Hold(stream_);
  EXPECT_EQ(cu_.MemsetD8Async(d, 1, 100, stream_), CUDA_SUCCESS);
  EXPECT_EQ(cu_.MemFree(Alloc(100)), CUDA_SUCCESS);
  EXPECT_THAT(fake_.Waits(), SizeIs(2));
  EXPECT_THAT(fake_.Queued(stream_), ElementsAre("cuMemsetD8Async"));
}

TEST_F(FakeDriverTest, StreamOrderedMemoryIsFreedWhenTheStreamGetsThere) {
  const CUstream second = NewStream();
  CUdeviceptr a = 0;
  ASSERT_EQ(cu_.MemAllocAsync(&a, 1000, stream_), CUDA_SUCCESS);
  fake_.HoldAll();
  EXPECT_EQ(cu_.MemsetD8Async(a, 1, 1000, stream_), CUDA_SUCCESS);
  EXPECT_EQ(cu_.MemFreeAsync(a, second), CUDA_SUCCESS);  // not ordered after the fill
  EXPECT_THAT(Violation(), HasSubstr("cuMemFreeAsync on stream"));
  EXPECT_EQ(fake_.UsedBytes(0), 1024u);
  EXPECT_TRUE(fake_.Step(second));
  EXPECT_EQ(fake_.UsedBytes(0), 0u);
  EXPECT_EQ(cu_.MemFreeAsync(a, second), CUDA_ERROR_INVALID_VALUE);
  EXPECT_THAT(Violation(), HasSubstr("freed device memory"));
  EXPECT_TRUE(fake_.Step(stream_));
  EXPECT_THAT(Violation(), HasSubstr("came to touch"));
  EXPECT_THAT(fake_.Waits(), IsEmpty());
}

// ---- Virtual memory --------------------------------------------------------------------------

class VirtualTest : public FakeDriverTest {
 protected:
  static constexpr uint64_t kPiece = 2 * kMiB;
  CUmemGenericAllocationHandle Create(uint64_t size, int device = 0) {
    CUmemAllocationProp properties = {};
    properties.type = CU_MEM_ALLOCATION_TYPE_PINNED;
    properties.requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
    properties.location = {CU_MEM_LOCATION_TYPE_DEVICE, device};
    size_t granularity = 0;
    EXPECT_EQ(cu_.MemGetAllocationGranularity(&granularity, &properties,
                                              CU_MEM_ALLOC_GRANULARITY_MINIMUM),
              CUDA_SUCCESS);
    EXPECT_EQ(granularity, kPiece);
    CUmemGenericAllocationHandle handle = 0;
    EXPECT_EQ(cu_.MemCreate(&handle, size, &properties, 0), CUDA_SUCCESS);
    return handle;
  }
  CUdeviceptr Reserve(uint64_t size) {
    CUdeviceptr address = 0;
    EXPECT_EQ(cu_.MemAddressReserve(&address, size, 0, 0, 0), CUDA_SUCCESS);
    EXPECT_EQ(address % kPiece, 0u);
    return address;
  }
  void Access(CUdeviceptr address, uint64_t size, int device = 0) {
    CUmemAccessDesc access = {};
    access.location = {CU_MEM_LOCATION_TYPE_DEVICE, device};
    access.flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
    EXPECT_EQ(cu_.MemSetAccess(address, size, &access, 1), CUDA_SUCCESS);
  }
};

TEST_F(VirtualTest, MapsPiecesToOneRange) {
  constexpr uint64_t kRange = uint64_t{1} << 42;  // as large as one likes
  const CUdeviceptr range = Reserve(kRange);
  const auto a = Create(kPiece), b = Create(kPiece);
  const CUdeviceptr plain = Alloc(512);
  EXPECT_EQ(fake_.UsedBytes(0), 2 * kPiece + 512);
  ASSERT_EQ(cu_.MemMap(range, kPiece, 0, a, 0), CUDA_SUCCESS);
  EXPECT_EQ(cu_.MemsetD8Async(range, 1, 1, stream_), CUDA_ERROR_INVALID_VALUE);
  EXPECT_THAT(Violation(), HasSubstr("without access"));
  EXPECT_EQ(cu_.MemcpyDtoDAsync(plain, range, 8, stream_), CUDA_ERROR_INVALID_VALUE);
  EXPECT_THAT(Violation(), HasSubstr("without access"));
  ASSERT_EQ(cu_.MemMap(range + kPiece, kPiece, 0, b, 0), CUDA_SUCCESS);
  Access(range, 2 * kPiece);
  EXPECT_EQ(cu_.MemsetD8Async(range + kPiece - 8, 7, 16, stream_), CUDA_SUCCESS);
  EXPECT_EQ(cu_.MemsetD8Async(range + kPiece, 7, kPiece + 1, stream_), CUDA_ERROR_INVALID_VALUE);
  EXPECT_THAT(Violation(), HasSubstr("not mapped"));
  Sync();
  EXPECT_EQ(At(range + kPiece - 1), 7);
  EXPECT_EQ(At(range + kPiece), 7);
  EXPECT_EQ(cu_.MemMap(range, kPiece, 0, b, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_THAT(Violation(), HasSubstr("something is mapped"));
  EXPECT_EQ(cu_.MemUnmap(range + 1, kPiece), CUDA_ERROR_INVALID_VALUE);
  EXPECT_THAT(Violation(), HasSubstr("not whole mappings"));
  EXPECT_EQ(cu_.MemAddressFree(range, kRange), CUDA_ERROR_INVALID_VALUE);
  EXPECT_THAT(Violation(), HasSubstr("still mapped"));
  // Memory lives while it is mapped, and goes with the last mapping.
  EXPECT_EQ(cu_.MemRelease(a), CUDA_SUCCESS);
  EXPECT_EQ(cu_.MemRelease(b), CUDA_SUCCESS);
  EXPECT_EQ(fake_.UsedBytes(0), 2 * kPiece + 512);
  EXPECT_EQ(At(range + kPiece), 7);
  EXPECT_EQ(cu_.MemUnmap(range, 2 * kPiece), CUDA_SUCCESS);
  EXPECT_EQ(fake_.UsedBytes(0), 512u);
  EXPECT_EQ(cu_.MemRelease(a), CUDA_ERROR_INVALID_VALUE);
  EXPECT_THAT(Violation(), HasSubstr("released"));
  EXPECT_EQ(cu_.MemAddressFree(range, kRange), CUDA_SUCCESS);
}

TEST_F(VirtualTest, UnmappingWhatQueuedWorkTouchesIsAViolation) {
  const CUdeviceptr range = Reserve(kPiece);
  const auto a = Create(kPiece);
  ASSERT_EQ(cu_.MemMap(range, kPiece, 0, a, 0), CUDA_SUCCESS);
  Access(range, kPiece);
  fake_.Hold(stream_);
  EXPECT_EQ(cu_.MemsetD8Async(range, 1, 9, stream_), CUDA_SUCCESS);
  EXPECT_EQ(cu_.MemUnmap(range, kPiece), CUDA_SUCCESS);
  EXPECT_THAT(Violation(), HasSubstr("cuMemUnmap"));
  fake_.Release(stream_);
  Sync();
  EXPECT_THAT(Violation(), HasSubstr("came to touch"));
}

TEST_F(VirtualTest, AccessIsPerDevice) {
  const CUdeviceptr range = Reserve(kPiece);
  ASSERT_EQ(cu_.MemMap(range, kPiece, 0, Create(kPiece), 0), CUDA_SUCCESS);
  Access(range, kPiece, 1);
  EXPECT_EQ(cu_.MemsetD8Async(range, 1, 9, stream_), CUDA_ERROR_INVALID_VALUE);
  EXPECT_THAT(Violation(), HasSubstr("without access"));
  Access(range, kPiece, 0);
  EXPECT_EQ(cu_.MemsetD8Async(range, 1, 9, stream_), CUDA_SUCCESS);
}

// A file descriptor or an IPC handle goes to a child, which has a driver of its own.
TEST_F(VirtualTest, SharesMemoryBetweenProcesses) {
  const CUdeviceptr range = Reserve(kPiece);
  const auto handle = Create(kPiece);
  ASSERT_EQ(cu_.MemMap(range, kPiece, 0, handle, 0), CUDA_SUCCESS);
  Access(range, kPiece);
  int fd = -1;
  ASSERT_EQ(
      cu_.MemExportToShareableHandle(&fd, handle, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0),
      CUDA_SUCCESS);
  const CUdeviceptr plain = Alloc(100);
  CUipcMemHandle ipc;
  ASSERT_EQ(cu_.IpcGetMemHandle(&ipc, plain), CUDA_SUCCESS);
  EXPECT_EQ(cu_.IpcGetMemHandle(&ipc, range), CUDA_ERROR_INVALID_VALUE);
  EXPECT_THAT(Violation(), HasSubstr("not memory of cuMemAlloc"));
  const pid_t child = fork();
  if (child == 0) {
    int count = 0;
    if (cu_.DeviceGetCount(&count) != CUDA_ERROR_NOT_INITIALIZED) _exit(1);
    FakeDriver mine(TwoDevices());
    const DriverTable& cu = mine.table();
    CUcontext context = nullptr;
    CUmemGenericAllocationHandle imported = 0;
    CUdeviceptr at = 0, opened = 0;
    CUmemAccessDesc access = {};
    access.location = {CU_MEM_LOCATION_TYPE_DEVICE, 0};
    access.flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
    if (cu.Init(0) != 0 || cu.DevicePrimaryCtxRetain(&context, 0) != 0 ||
        cu.CtxPushCurrent(context) != 0 ||
        cu.MemImportFromShareableHandle(&imported, reinterpret_cast<void*>(intptr_t{fd}),
                                        CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR) != 0 ||
        cu.MemAddressReserve(&at, kPiece, 0, 0, 0) != 0 ||
        cu.MemMap(at, kPiece, 0, imported, 0) != 0 ||
        cu.MemSetAccess(at, kPiece, &access, 1) != 0 ||
        cu.IpcOpenMemHandle(&opened, ipc, CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS) != 0) {
      _exit(2);
    }
    *mine.Bytes(at + kPiece - 1, 1) = std::byte{42};
    *mine.Bytes(opened + 99, 1) = std::byte{43};
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(At(range + kPiece - 1), 42);
  EXPECT_EQ(At(plain + 99), 43);
  // As the real driver: not within the process. And only what is ours is imported.
  CUdeviceptr opened = 0;
  EXPECT_EQ(cu_.IpcOpenMemHandle(&opened, ipc, CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS),
            CUDA_ERROR_INVALID_CONTEXT);
  CUmemGenericAllocationHandle imported = 0;
  EXPECT_EQ(cu_.MemImportFromShareableHandle(&imported, reinterpret_cast<void*>(intptr_t{0}),
                                             CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR),
            CUDA_ERROR_INVALID_VALUE);
  close(fd);
}

// ---- Contexts, devices, kernels --------------------------------------------------------------

TEST_F(FakeDriverTest, ContextsAreAStackPerThread) {
  CUcontext current = nullptr;
  EXPECT_EQ(cu_.CtxGetCurrent(&current), CUDA_SUCCESS);
  EXPECT_EQ(current, contexts_[0]);
  std::thread([&] {
    CUcontext there = contexts_[0];
    EXPECT_EQ(cu_.CtxGetCurrent(&there), CUDA_SUCCESS);
    EXPECT_EQ(there, nullptr);
    CUdeviceptr address = 0;
    EXPECT_EQ(cu_.MemAlloc(&address, 8), CUDA_ERROR_INVALID_CONTEXT);
    EXPECT_THAT(Violation(), HasSubstr("cuMemAlloc: no context is current"));
    EXPECT_EQ(cu_.CtxPopCurrent(nullptr), CUDA_ERROR_INVALID_CONTEXT);
    EXPECT_THAT(Violation(), HasSubstr("nothing was pushed"));
    EXPECT_EQ(cu_.CtxPushCurrent(contexts_[1]), CUDA_SUCCESS);
  }).join();
  EXPECT_THAT(fake_.LeakReport(), Contains(HasSubstr("on the stack of thread")));
  EXPECT_EQ(cu_.DevicePrimaryCtxRelease(1), CUDA_SUCCESS);
  EXPECT_EQ(cu_.DevicePrimaryCtxRelease(1), CUDA_ERROR_INVALID_CONTEXT);
  EXPECT_THAT(Violation(), HasSubstr("not retained"));
  EXPECT_EQ(cu_.DevicePrimaryCtxRelease(0), CUDA_SUCCESS);  // stream_ lives
  EXPECT_THAT(Violation(), HasSubstr("while 1 allocations, streams"));
}

TEST_F(FakeDriverTest, ReportsEveryLeak) {
  EXPECT_THAT(fake_.LeakReport(), SizeIs(4));  // stream_, two contexts, one on the stack
  const CUdeviceptr d = Alloc(100);
  unsigned char* pinned = Pinned(100);
  const CUevent event = NewEvent();
  CUmodule module = nullptr;
  EXPECT_EQ(cu_.ModuleLoadData(&module, "image"), CUDA_SUCCESS);
  EXPECT_THAT(fake_.LeakReport(), SizeIs(8));
  EXPECT_THAT(fake_.LeakReport(), Contains(HasSubstr("device memory: 100 bytes")));
  EXPECT_EQ(fake_.LiveAllocations(), 2u);
  EXPECT_EQ(cu_.MemFree(d), CUDA_SUCCESS);
  EXPECT_EQ(cu_.MemFreeHost(pinned), CUDA_SUCCESS);
  EXPECT_EQ(cu_.EventDestroy(event), CUDA_SUCCESS);
  EXPECT_EQ(cu_.ModuleUnload(module), CUDA_SUCCESS);
  EXPECT_EQ(cu_.StreamDestroy(stream_), CUDA_SUCCESS);
  EXPECT_EQ(cu_.CtxPopCurrent(nullptr), CUDA_SUCCESS);
  EXPECT_EQ(cu_.DevicePrimaryCtxRelease(0), CUDA_SUCCESS);
  EXPECT_EQ(cu_.DevicePrimaryCtxRelease(1), CUDA_SUCCESS);
  EXPECT_THAT(fake_.LeakReport(), IsEmpty());
}

TEST_F(FakeDriverTest, TwoDevices) {
  const CUdeviceptr here = Alloc(8);
  ASSERT_EQ(cu_.CtxPushCurrent(contexts_[1]), CUDA_SUCCESS);
  const CUdeviceptr there = Alloc(8);
  const CUstream other = NewStream();
  const CUevent event = NewEvent();
  EXPECT_EQ(cu_.MemsetD8Async(there, 4, 8, other), CUDA_SUCCESS);
  EXPECT_EQ(cu_.MemcpyAsync(here, there, 8, other), CUDA_SUCCESS);
  EXPECT_EQ(cu_.StreamSynchronize(other), CUDA_SUCCESS);
  EXPECT_EQ(At(here), 4);
  EXPECT_EQ(cu_.MemsetD8Async(here, 4, 8, other), CUDA_ERROR_INVALID_VALUE);
  EXPECT_THAT(Violation(), HasSubstr("memory of device 0, used by device 1"));
  EXPECT_EQ(cu_.EventRecord(event, stream_), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_THAT(Violation(), HasSubstr("the event is of device 1"));
  CUcontext context = nullptr;
  EXPECT_EQ(cu_.StreamGetCtx(other, &context), CUDA_SUCCESS);
  EXPECT_EQ(context, contexts_[1]);
  int can = 0;
  EXPECT_EQ(cu_.DeviceCanAccessPeer(&can, 0, 1), CUDA_SUCCESS);
  EXPECT_EQ(can, 1);
  fake_.SetPeerAccess(0, 1, false);
  EXPECT_EQ(cu_.DeviceCanAccessPeer(&can, 0, 1), CUDA_SUCCESS);
  EXPECT_EQ(can, 0);
  CUuuid a, b;
  char id[20], name[20];
  EXPECT_EQ(cu_.DeviceGetUuid(&a, 0), CUDA_SUCCESS);
  EXPECT_EQ(cu_.DeviceGetUuid(&b, 1), CUDA_SUCCESS);
  EXPECT_NE(std::memcmp(&a, &b, sizeof(a)), 0);
  EXPECT_EQ(cu_.DeviceGetPCIBusId(id, sizeof(id), 1), CUDA_SUCCESS);
  EXPECT_STREQ(id, "0000:02:00.0");
  EXPECT_EQ(cu_.DeviceGetName(name, sizeof(name), 1), CUDA_SUCCESS);
  EXPECT_STREQ(name, "Fake H200");
  int value = 0;
  EXPECT_EQ(cu_.DeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, 0),
            CUDA_SUCCESS);
  EXPECT_EQ(value, 9);
  EXPECT_EQ(cu_.DeviceGetName(name, sizeof(name), 2), CUDA_ERROR_INVALID_DEVICE);
}

TEST_F(FakeDriverTest, AdviceAndPrefetchAreForManagedMemory) {
  CUdeviceptr m = 0;
  ASSERT_EQ(cu_.MemAllocManaged(&m, 100, CU_MEM_ATTACH_GLOBAL), CUDA_SUCCESS);
  const CUmemLocation device = {CU_MEM_LOCATION_TYPE_DEVICE, 0};
  EXPECT_EQ(cu_.MemAdvise(m, 100, CU_MEM_ADVISE_SET_PREFERRED_LOCATION, device), CUDA_SUCCESS);
  EXPECT_EQ(cu_.MemPrefetchAsync(m, 50, device, 0, stream_), CUDA_SUCCESS);
  ASSERT_THAT(fake_.Advices(), SizeIs(2));
  EXPECT_EQ(fake_.Advices()[0].advice, CU_MEM_ADVISE_SET_PREFERRED_LOCATION);
  EXPECT_EQ(fake_.Advices()[1].size_bytes, 50u);
  EXPECT_EQ(cu_.MemPrefetchAsync(m, 50, {CU_MEM_LOCATION_TYPE_DEVICE, 9}, 0, stream_),
            CUDA_ERROR_INVALID_DEVICE);
  EXPECT_EQ(cu_.MemPrefetchAsync(Alloc(8), 8, device, 0, stream_), CUDA_ERROR_INVALID_VALUE);
  EXPECT_THAT(Violation(), HasSubstr("managed memory"));
}

// ---- Faults ----------------------------------------------------------------------------------

TEST_F(FakeDriverTest, FailsTheCallsItIsToldTo) {
  const uint64_t before = fake_.Calls();
  CUdeviceptr d = 0;
  fake_.FailCall("MemAlloc", 2, CUDA_ERROR_OUT_OF_MEMORY);
  EXPECT_EQ(cu_.MemAlloc(&d, 8), CUDA_SUCCESS);
  EXPECT_EQ(cu_.MemAlloc(&d, 8), CUDA_ERROR_OUT_OF_MEMORY);
  EXPECT_EQ(cu_.MemAlloc(&d, 8), CUDA_SUCCESS);
  fake_.FailCall("", 2, CUDA_ERROR_UNKNOWN);
  int count = 0;
  EXPECT_EQ(cu_.DeviceGetCount(&count), CUDA_SUCCESS);
  EXPECT_EQ(cu_.DeviceGetCount(&count), CUDA_ERROR_UNKNOWN);
  fake_.FailCalls("cuMemAlloc", CUDA_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(cu_.MemAlloc(&d, 8), CUDA_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(cu_.MemAlloc(&d, 8), CUDA_ERROR_NOT_SUPPORTED);
  fake_.ClearFailures();
  EXPECT_EQ(cu_.MemAlloc(&d, 8), CUDA_SUCCESS);
  EXPECT_EQ(fake_.Calls("MemAlloc"), 6u);
  EXPECT_EQ(fake_.Calls("cuDeviceGetCount"), 2u);
  EXPECT_EQ(fake_.Calls() - before, 8u);
  EXPECT_EQ(fake_.LiveAllocations(), 3u);
  EXPECT_THAT(FakeDriver::EntryPoints(), Contains("MemAlloc"));
}

TEST_F(FakeDriverTest, AFaultIsForGood) {
  const CUdeviceptr d = Alloc(8);
  const CUevent event = NewEvent();
  EXPECT_EQ(cu_.MemsetD8Async(d, 1, 8, stream_), CUDA_SUCCESS);
  fake_.LaunchFault(stream_, CUDA_ERROR_LAUNCH_FAILED);
  EXPECT_EQ(cu_.StreamSynchronize(stream_), CUDA_ERROR_LAUNCH_FAILED);
  EXPECT_EQ(cu_.EventRecord(event, stream_), CUDA_ERROR_LAUNCH_FAILED);
  EXPECT_EQ(cu_.EventQuery(event), CUDA_ERROR_LAUNCH_FAILED);
  EXPECT_EQ(cu_.MemFree(d), CUDA_ERROR_LAUNCH_FAILED);
  EXPECT_THAT(fake_.Queued(stream_), ElementsAre("LaunchFault"));
  CUcontext current = nullptr;
  EXPECT_EQ(cu_.CtxGetCurrent(&current), CUDA_SUCCESS);
  ASSERT_EQ(cu_.CtxPushCurrent(contexts_[1]), CUDA_SUCCESS);  // the other device goes on
  Alloc(8);
  // Who waits is told.
  const CUstream other = NewStream();
  fake_.Hold(other);
  fake_.LaunchSleep(other, absl::ZeroDuration());
  std::thread thread([&] {
    EXPECT_EQ(cu_.CtxPushCurrent(contexts_[1]), CUDA_SUCCESS);
    EXPECT_EQ(cu_.StreamSynchronize(other), CUDA_ERROR_ILLEGAL_ADDRESS);
  });
  EXPECT_TRUE(fake_.AwaitBlocked(1));
  fake_.FaultDevice(1);
  thread.join();
}

TEST(FakeDriverAloneTest, CallsWithoutAFakeOrAnInit) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");  // a fork's fake is not ours
  DriverTable table;
  int count = 0;
  {
    FakeDriver fake;
    table = fake.table();
    EXPECT_EQ(table.DeviceGetCount(&count), CUDA_ERROR_NOT_INITIALIZED);
    EXPECT_THAT(fake.Violations(), ElementsAre(HasSubstr("before cuInit")));
    EXPECT_DEATH(FakeDriver(), "another one is alive");
  }
  EXPECT_EQ(table.DeviceGetCount(&count), CUDA_ERROR_DEINITIALIZED);
}

TEST(FakeDriverAloneTest, EndsWithWorkHeldAndMemoryLeft) {
  FakeDriver fake;
  const DriverTable& cu = fake.table();
  CUcontext context = nullptr;
  CUdeviceptr d = 0;
  EXPECT_EQ(cu.Init(0), CUDA_SUCCESS);
  EXPECT_EQ(cu.DevicePrimaryCtxRetain(&context, 0), CUDA_SUCCESS);
  EXPECT_EQ(cu.CtxPushCurrent(context), CUDA_SUCCESS);
  EXPECT_EQ(cu.MemAlloc(&d, 100), CUDA_SUCCESS);
  fake.HoldAll();
  EXPECT_EQ(cu.MemsetD8Async(d, 1, 100, nullptr), CUDA_SUCCESS);
}

}  // namespace
}  // namespace tenure::cuda
