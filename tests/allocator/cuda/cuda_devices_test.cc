// Several devices: bytes from one to another, whether they reach each
// other or not. On fake devices and, where there are two, on real ones.

#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tenure/allocator/cpu/cpu_allocator.h"
#include "tenure/allocator/cuda/cuda_allocator.h"
#include "tenure/runtime/buffer.h"
#include "tenure/tests/allocator/cuda/fake/fake_driver.h"
#include "tenure/tests/testing/status_matchers.h"

namespace tenure::cuda {
namespace {

void CopyAround(const Driver& driver, const AllocatorOptions& options = {}) {
  CpuAllocator cpu;
  std::vector<std::unique_ptr<Allocator>> spaces;
  for (const uint32_t ordinal : {0u, 1u}) {
    absl::StatusOr<std::shared_ptr<Device>> device = Device::Open(driver, ordinal);
    ASSERT_OK(device);
    for (const SpaceKind kind : {kDeviceSpace, kUnifiedSpace, kPinnedSpace}) {
      absl::StatusOr<std::unique_ptr<Allocator>> made = MakeAllocatorOn(*device, kind, options);
      ASSERT_OK(made);
      spaces.push_back(*std::move(made));
    }
  }
  for (const uint64_t size : {uint64_t{777}, (uint64_t{9} << 20) + 5}) {
    std::vector<uint8_t> bytes(size);
    for (uint64_t i = 0; i < size; ++i) bytes[i] = static_cast<uint8_t>(i * 31 + i / 251);
    for (const auto& from : spaces) {
      for (const auto& to : spaces) {
        absl::StatusOr<Buffer> source =
            Buffer::FromBytes(*from, DType::kUInt8, Shape::Vector(size), bytes.data(), size);
        ASSERT_OK(source);
        absl::StatusOr<Buffer> target = Buffer::Create(*to, DType::kUInt8, Shape::Vector(size));
        ASSERT_OK(target);
        ASSERT_OK(target->CopyFrom(*source));
        std::vector<uint8_t> back(size);
        ASSERT_OK(target->CopyOut(back.data(), size));
        EXPECT_TRUE(back == bytes) << from->space() << to->space() << size;
        ASSERT_OK(target->FillWith<uint8_t>(0));
        absl::StatusOr<Fence> later = target->CopyFromAsync(*source);
        ASSERT_OK(later);
        ASSERT_OK(later->Wait());
        ASSERT_OK(target->CopyOut(back.data(), size));
        EXPECT_TRUE(back == bytes) << from->space() << to->space() << size;
      }
    }
  }
}

TEST(CudaDevices, BytesMoveBetweenFakeDevices) {
  for (const bool peers : {true, false}) {
    FakeDriver fake({.devices = {FakeDevice{}, FakeDevice{}}, .peer_access = peers});
    {
      absl::StatusOr<Driver> driver = Driver::FromTable(fake.table());
      ASSERT_OK(driver);
      CopyAround(*driver);
      CopyAround(*driver, {.peer_access = PeerAccess::kWhenCopied});
    }
    EXPECT_EQ(fake.Violations(), std::vector<std::string>());
    EXPECT_EQ(fake.LeakReport(), std::vector<std::string>());
  }
}

void WrapWrongly(const Driver& driver) {
  std::unique_ptr<Allocator> spaces[2];
  for (const uint32_t ordinal : {0u, 1u}) {
    absl::StatusOr<std::shared_ptr<Device>> device = Device::Open(driver, ordinal);
    ASSERT_OK(device);
    spaces[ordinal] = *MakeAllocatorOn(*device, kDeviceSpace, {});
  }
  absl::StatusOr<Buffer> owner =
      Buffer::Create(*spaces[1], DType::kUInt8, Shape::Vector(4096), {.immediate = true});
  ASSERT_OK(owner);
  const ForeignMemory memory{.data = reinterpret_cast<void*>(*owner->MutableDeviceAddress())};
  const absl::Status status =
      Buffer::Wrap(*spaces[0], DType::kUInt8, Shape::Vector(4096), memory, 4096).status();
  EXPECT_CODE(InvalidArgument, status);
  EXPECT_NE(status.message().find("'cuda:1'"), std::string::npos) << status;
  EXPECT_OK(Buffer::Wrap(*spaces[1], DType::kUInt8, Shape::Vector(4096), memory, 4096));
}

TEST(CudaDevices, MemoryOfAnotherDeviceIsRefused) {
  {
    FakeDriver fake({.devices = {FakeDevice{}, FakeDevice{}}});
    absl::StatusOr<Driver> driver = Driver::FromTable(fake.table());
    ASSERT_OK(driver);
    WrapWrongly(*driver);
    EXPECT_EQ(fake.Violations(), std::vector<std::string>());
  }
  absl::StatusOr<const Driver*> driver = Driver::Default();
  int count = 0;
  if (driver.ok()) (void)(**driver)->DeviceGetCount(&count);
  if (count >= 2) WrapWrongly(**driver);
}

TEST(CudaDevices, BytesMoveBetweenRealDevices) {
  absl::StatusOr<const Driver*> driver = Driver::Default();
  int count = 0;
  if (driver.ok()) (void)(**driver)->DeviceGetCount(&count);
  if (count < 2) GTEST_SKIP() << count << " real devices";
  CopyAround(**driver);
  CopyAround(**driver, {.peer_access = PeerAccess::kWhenCopied});
}

// The other device can use memory that is not mapped for it only after a copy has needed it.
TEST(CudaDevices, MemoryIsMappedForPeersWhenACopyNeedsIt) {
  FakeDriver fake({.devices = {FakeDevice{}, FakeDevice{}}});
  absl::StatusOr<Driver> driver = Driver::FromTable(fake.table());
  ASSERT_OK(driver);
  std::shared_ptr<Device> devices[2] = {*Device::Open(*driver, 0), *Device::Open(*driver, 1)};
  std::unique_ptr<Allocator> spaces[2];
  for (const int i : {0, 1}) {
    spaces[i] =
        *MakeAllocatorOn(devices[i], kDeviceSpace, {.peer_access = PeerAccess::kWhenCopied});
  }
  constexpr uint64_t kSize = uint64_t{4} << 20;
  const auto make = [&](int i) {
    return *Buffer::Create(*spaces[i], DType::kUInt8, Shape::Vector(kSize), {.zeroed = true});
  };
  const auto readable = [&](const Buffer& from, const Buffer& to) {
    Device::Scope scope(*devices[1]);
    const CUresult result =
        (*driver)->MemcpyAsync(*to.MutableDeviceAddress(), *from.DeviceAddress(), kSize, nullptr);
    fake.ClearViolations();
    return result == CUDA_SUCCESS && (*driver)->StreamSynchronize(nullptr) == CUDA_SUCCESS;
  };
  {
    const Buffer first = make(0), target = make(1);
    EXPECT_FALSE(readable(first, target));
    EXPECT_OK(target.CopyFrom(first));
    EXPECT_TRUE(readable(first, target));
    const Buffer later = make(0);  // in a slab that is made now
    EXPECT_TRUE(readable(later, target));
  }
  for (const int i : {0, 1}) spaces[i].reset(), devices[i].reset();
  EXPECT_EQ(fake.Violations(), std::vector<std::string>());
  EXPECT_EQ(fake.LeakReport(), std::vector<std::string>());
}

}  // namespace
}  // namespace tenure::cuda
