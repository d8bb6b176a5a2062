// Copies and fills in the order of a caller's stream, on every route, and behind the uses that were
// recorded: on a fake device and, where there is one, on the real one.

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tenure/allocator/cpu/cpu_allocator.h"
#include "tenure/allocator/mmap/mmap_allocator.h"
#include "tenure/tests/allocator/cuda/gpu_test.h"

namespace tenure::cuda {
namespace {

class CudaRoutes : public GpuTest {
 protected:
  Allocator& SpaceOrHost(SpaceKind kind) {
    return kind == kCpuSpace ? static_cast<Allocator&>(cpu_) : Space(kind);
  }
  // Where the caller may be held until the copy is done.
  static bool MayHold(SpaceKind to, SpaceKind from) {
    return to == kCpuSpace || from == kCpuSpace || (to == kPinnedSpace && from == kPinnedSpace);
  }
  // What a held stream writes to both ends comes before the copy that the stream is given next. No
  // use is recorded: there is no other order.
  void CopyBehind(SpaceKind to_kind, SpaceKind from_kind, uint64_t size, bool wait) {
    const std::vector<uint8_t> bytes = Pattern(size);
    const Buffer from = Filled(SpaceOrHost(from_kind), bytes);
    const Buffer to = Filled(SpaceOrHost(to_kind), Pattern(size, 2));
    const std::shared_ptr<DeviceStream> stream = NewStream();
    Hold(*stream);
    std::vector<uint8_t> expected = bytes;
    if (from_kind != kCpuSpace) {
      gpu_->Write(stream->get(), AddressOf(from), size, 9);
      std::fill(expected.begin(), expected.end(), uint8_t{9});
    }
    if (to_kind != kCpuSpace) {
      gpu_->Write(stream->get(), AddressOf(to), size, 7);
    }
    absl::StatusOr<Fence> before = stream->Record();
    ASSERT_OK(before);
    const TransferOptions in_order{.queue = stream.get()};
    if (wait || MayHold(to_kind, from_kind)) {
      std::thread caller([&] {
        if (wait) {
          EXPECT_OK(to.CopyFrom(from, in_order));
        } else {
          absl::StatusOr<Fence> copied = to.CopyFromAsync(from, in_order);
          ASSERT_OK(copied);
          EXPECT_OK(copied->Wait());
        }
        EXPECT_TRUE(before->IsReached());
      });
      // Time for one that does not keep the order to be too early. Nothing is asked meanwhile: a
      // driver that holds a caller may hold others too.
      absl::SleepFor(absl::Milliseconds(20));
      gpu_->Release();
      caller.join();
    } else {
      absl::StatusOr<Fence> copied = to.CopyFromAsync(from, in_order);
      ASSERT_OK(copied);
      EXPECT_FALSE(before->IsReached()) << "the caller has waited";
      EXPECT_FALSE(copied->IsReached());
      gpu_->Release();
      ASSERT_OK(copied->Wait());
      EXPECT_TRUE(before->IsReached());
    }
    EXPECT_TRUE(BytesOf(to) == expected);
  }

  CpuAllocator cpu_;
};
TENURE_ON_ALL_GPUS(CudaRoutes);

TEST_P(CudaRoutes, CopiesKeepTheirPlaceInAQueue) {
  const SpaceKind all[] = {kCpuSpace, kDeviceSpace, kUnifiedSpace, kPinnedSpace};
  for (const SpaceKind from : all) {
    for (const SpaceKind to : all) {
      // Nothing to do with a device.
      if (from == kCpuSpace && to == kCpuSpace) continue;
      for (const uint64_t size : {uint64_t{3000}, kMiB + 5}) {
        for (const bool wait : {true, false}) {
          SCOPED_TRACE(testing::Message() << from.name() << " to " << to.name() << ", " << size
                                          << (wait ? ", waited for" : ""));
          CopyBehind(to, from, size, wait);
          if (HasFatalFailure()) return;
        }
      }
    }
  }
}

TEST_P(CudaRoutes, FillsAndHostPointersKeepTheirPlaceInAQueue) {
  const std::vector<uint8_t> bytes = Pattern(100000);
  for (const SpaceKind kind : kSpaces) {
    const std::shared_ptr<DeviceStream> stream = NewStream();
    const TransferOptions in_order{.queue = stream.get()};
    const Buffer buffer = Make(Space(kind), bytes.size());
    const Buffer in = Filled(Space(kPinnedSpace), bytes);
    const Buffer out = Make(Space(kPinnedSpace), bytes.size());
    Hold(*stream);
    Write(buffer, *stream, 7);
    absl::StatusOr<Fence> before = stream->Record();
    ASSERT_OK(before);
    const std::byte three{3};
    ASSERT_OK(buffer.FillAsync({&three, 1}, in_order));
    // Page-locked memory by its address; to and from such memory the caller may be held.
    if (kind != kPinnedSpace) {
      absl::StatusOr<Fence> copied =
          buffer.View(100, 5000)->CopyInAsync(*in.HostPointer(), 5000, in_order);
      ASSERT_OK(copied);
      copied = buffer.CopyOutAsync(*out.MutableHostPointer(), bytes.size(), in_order);
      ASSERT_OK(copied);
      EXPECT_FALSE(copied->IsReached());
    }
    EXPECT_FALSE(before->IsReached()) << "the caller has waited";
    Write(*buffer.View(50000, 50000), *stream, 9);
    gpu_->Release();
    std::vector<uint8_t> expected(bytes.size(), 3);
    if (kind != kPinnedSpace) {
      std::copy_n(bytes.begin(), 5000, expected.begin() + 100);
      ASSERT_OK(stream->Synchronize());
      EXPECT_EQ(BytesOf(out), expected);
    }
    std::fill(expected.begin() + 50000, expected.end(), uint8_t{9});
    EXPECT_EQ(BytesOf(buffer), expected) << kind.name();
  }
}

// Uses that are recorded of memory of the host's are followed in a queue, too.
TEST_P(CudaRoutes, CopiesOfHostMemoryInAQueueFollowRecordedUses) {
  const std::shared_ptr<DeviceStream> kernels = NewStream(), stream = NewStream();
  const Buffer from = Filled(Space(kPinnedSpace), Pattern(3000));
  const Buffer to = Filled(cpu_, Pattern(3000, 2));
  Hold(*kernels);
  Write(from, *kernels, 0x55);
  std::thread caller([&] {
    absl::StatusOr<Fence> copied = to.CopyFromAsync(from, {.queue = stream.get()});
    ASSERT_OK(copied);
    EXPECT_OK(copied->Wait());
  });
  absl::SleepFor(absl::Milliseconds(20));
  gpu_->Release();
  caller.join();
  EXPECT_TRUE(AllAre(to, 0x55));
}

// No queue can hold them; work of others they follow all the same.
TEST_P(CudaRoutes, FilesAreReadBehindRecordedUsesAndRefusedInAQueue) {
  const std::string path = testing::TempDir() + "/cuda_routes_test_" + std::to_string(getpid());
  const std::vector<uint8_t> bytes = Pattern(5 * kMiB + 3);
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
  absl::StatusOr<std::unique_ptr<MmapAllocator>> file = MmapAllocator::Open(path);
  unlink(path.c_str());
  ASSERT_OK(file);
  for (const SpaceKind kind : kSpaces) {
    absl::StatusOr<Buffer> mapped =
        Buffer::FromFile(**file, DType::kUInt8, Shape::Vector(bytes.size()), 0);
    ASSERT_OK(mapped);
    const std::shared_ptr<DeviceStream> stream = NewStream();
    const Buffer to = Make(Space(kind), bytes.size());
    const absl::Status refused = to.CopyFromAsync(*mapped, {.queue = stream.get()}).status();
    EXPECT_CODE(Unimplemented, refused);
    EXPECT_NE(refused.message().find("queue"), std::string::npos) << refused;
    Hold(*stream);
    Write(to, *stream, 7);
    absl::StatusOr<Fence> copied = to.CopyFromAsync(*mapped);
    ASSERT_OK(copied);
    EXPECT_CODE(DeadlineExceeded, copied->Wait(absl::Milliseconds(20)));
    gpu_->Release();
    ASSERT_OK(copied->Wait());
    EXPECT_TRUE(BytesOf(to) == bytes) << kind.name();
  }
}

// More of them than are remembered, in turn; gone, and others under their handles perhaps.
TEST_P(CudaRoutes, ManyStreamsOfCallersKeepTheirOrder) {
  constexpr int kStreams = 100;
  const uint64_t size = 20000;
  std::vector<Buffer> buffers;
  for (int i = 0; i < kStreams; ++i) buffers.push_back(Make(Space(kDeviceSpace), size));
  for (uint8_t generation = 0; generation < 3; ++generation) {
    std::vector<std::shared_ptr<DeviceStream>> streams;
    for (int i = 0; i < kStreams; ++i) streams.push_back(NewStream());
    for (uint8_t round = 0; round < 4; ++round) {
      for (int i = 0; i < kStreams; ++i) {
        // The first half of it by the stream itself, in which the second one follows.
        DeviceStream& stream = *streams[i];
        const auto value = static_cast<uint8_t>(generation * 50 + round * 10 + i);
        gpu_->Write(stream.get(), AddressOf(buffers[i]), size / 2, value);
        const TransferOptions in_order{.queue = &stream};
        absl::StatusOr<Fence> copied = buffers[i]
                                           .View(size / 2, size / 2)
                                           ->CopyFromAsync(*buffers[i].View(0, size / 2), in_order);
        ASSERT_OK(copied);
      }
    }
    for (const auto& stream : streams) ASSERT_OK(stream->Synchronize());
    for (int i = 0; i < kStreams; ++i) {
      ASSERT_TRUE(AllAre(buffers[i], static_cast<uint8_t>(generation * 50 + 30 + i))) << i;
    }
  }
}

}  // namespace
}  // namespace tenure::cuda
