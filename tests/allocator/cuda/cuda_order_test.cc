// Which ways between spaces keep the order of a caller's stream, and that the others are refused;
// and the ways between devices that do not reach each other. On fake devices.

#include <unistd.h>

#include <cstring>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "tenure/allocator/mmap/mmap_allocator.h"
#include "tenure/tests/allocator/cuda/fake/fake_cuda.h"

namespace tenure::cuda {
namespace {

class CudaOrder : public FakeCuda {
 protected:
  CudaOrder() : FakeCuda({.devices = {FakeDevice{}, FakeDevice{}}, .peer_access = false}) {}

  // A copy in the order of a held stream, in whose order the driver holds its caller.
  void CopyBehind(const Buffer& to, const Buffer& from, bool wait) {
    const std::vector<uint8_t> before(to.size(), 0x11), after = BytesOf(from);
    ASSERT_OK(to.CopyIn(before.data(), before.size()));
    const std::shared_ptr<DeviceStream> stream = NewStream();
    fake_.Hold(stream->get());
    fake_.LaunchSleep(stream->get(), absl::ZeroDuration());
    std::thread thread([&] {
      const TransferOptions options{.queue = stream.get()};
      if (wait) {
        EXPECT_OK(to.CopyFrom(from, options));
      } else {
        absl::StatusOr<Fence> copied = to.CopyFromAsync(from, options);
        ASSERT_OK(copied);
        EXPECT_OK(copied->Wait());
      }
    });
    EXPECT_TRUE(fake_.AwaitBlocked(1));
    // Nothing of it is done, and nothing else writes there.
    EXPECT_EQ(std::memcmp(*to.HostPointer(), before.data(), before.size()), 0)
        << from.allocator().space() << to.allocator().space();
    fake_.Release(stream->get());
    thread.join();
    EXPECT_EQ(BytesOf(to), after) << from.allocator().space() << to.allocator().space();
  }
};

TEST_F(CudaOrder, PinnedMemoryOfTwoDevicesIsCopiedInTheOrderOfAQueue) {
  for (const bool wait : {true, false}) {
    CopyBehind(Make(Space(kPinnedSpace), 100000), Filled(Space(kPinnedSpace, 1), Pattern(100000)),
               wait);
  }
}

TEST_F(CudaOrder, WaysThatTheHostHasAPartInAreRefusedInAQueue) {
  const std::string path = testing::TempDir() + "/cuda_order_test_" + std::to_string(getpid());
  const std::vector<uint8_t> bytes = Pattern(100000);
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
  absl::StatusOr<std::unique_ptr<MmapAllocator>> file = MmapAllocator::Open(path);
  ASSERT_OK(file);
  {
    absl::StatusOr<Buffer> mapped =
        Buffer::FromFile(**file, DType::kUInt8, Shape::Vector(bytes.size()), 0);
    ASSERT_OK(mapped);
    const std::shared_ptr<DeviceStream> stream = NewStream();
    const TransferOptions in_order{.queue = stream.get()};
    std::vector<std::pair<Buffer, Buffer>> pairs;
    for (const SpaceKind kind : {kDeviceSpace, kUnifiedSpace, kPinnedSpace}) {
      pairs.emplace_back(Make(Space(kind), bytes.size()), *mapped);
    }
    pairs.emplace_back(Make(Space(kDeviceSpace), bytes.size()),
                       Filled(Space(kDeviceSpace, 1), bytes));
    // Inside a capture, too, and without an end to it.
    for (const bool capture : {false, true}) {
      if (capture) {
        ASSERT_EQ(fake_.BeginCapture(stream->get()), CUDA_SUCCESS);
      }
      for (const auto& [to, from] : pairs) {
        for (const absl::Status& status :
             {to.CopyFrom(from, in_order), to.CopyFromAsync(from, in_order).status()}) {
          EXPECT_CODE(Unimplemented, status);
          for (const Buffer& end : {to, from}) {
            EXPECT_NE(status.message().find(end.allocator().space().ToString()), std::string::npos)
                << status;
          }
          EXPECT_NE(status.message().find("queue"), std::string::npos) << status;
        }
      }
      FakeGraph graph;
      if (capture) {
        EXPECT_EQ(fake_.EndCapture(stream->get(), &graph), CUDA_SUCCESS);
      }
    }
    for (const auto& [to, from] : pairs) {
      EXPECT_OK(to.CopyFrom(from));
      EXPECT_EQ(BytesOf(to), bytes);
    }
  }
  unlink(path.c_str());
}

// ---- devices that do not reach each other

TEST_F(CudaOrder, CopiesBetweenDevicesWithoutPeerAccessHoldUpNobody) {
  const std::vector<uint8_t> bytes = Pattern(5 * kMiB);
  const Buffer from = Filled(Space(kDeviceSpace), bytes);
  const Buffer to = Make(Space(kDeviceSpace, 1), bytes.size());
  const std::shared_ptr<DeviceStream> kernels = NewStream();
  fake_.Hold(kernels->get());
  fake_.LaunchWrite(kernels->get(), *from.MutableDeviceAddress() + 7, 1000, 0x33);
  absl::StatusOr<Fence> kernel = kernels->Record();
  ASSERT_OK(kernel);
  ASSERT_OK(from.RecordUse(Access::kWrite, *kernel));
  absl::StatusOr<Fence> copied = to.CopyFromAsync(from);
  ASSERT_OK(copied);
  EXPECT_FALSE(copied->IsReached());
  fake_.Release(kernels->get());
  ASSERT_OK(copied->Wait());
  EXPECT_TRUE(BytesOf(to) == BytesOf(from));
  EXPECT_EQ(BytesOf(to)[7], 0x33);
}

// Only one of the two reaches the other: it does the work.
TEST_F(CudaOrder, TheDeviceThatReachesTheOtherCopies) {
  for (const int able : {0, 1}) {
    spaces_.clear();
    fake_.SetPeerAccess(able, 1 - able, true);
    fake_.SetPeerAccess(1 - able, able, false);
    const std::vector<uint8_t> bytes = Pattern(100000, able);
    const uint64_t staged = fake_.Calls("MemcpyHtoDAsync");
    const Buffer from = Make(Space(kDeviceSpace), bytes.size());
    ASSERT_OK(from.FillWith<uint8_t>(0x21));
    const Buffer to = Make(Space(kDeviceSpace, 1), bytes.size());
    EXPECT_OK(to.CopyFrom(from));
    EXPECT_EQ(fake_.Calls("MemcpyHtoDAsync"), staged);
    EXPECT_EQ(BytesOf(to), std::vector<uint8_t>(bytes.size(), 0x21));
  }
}

}  // namespace
}  // namespace tenure::cuda
