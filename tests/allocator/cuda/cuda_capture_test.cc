// Captures of a caller's stream: what becomes a node, and what is refused without spoiling them. On
// a fake device and, where there is one, on the real one.

#include <cstring>
#include <memory>
#include <vector>

#include "tenure/allocator/cpu/cpu_allocator.h"
#include "tenure/allocator/cuda/cuda.h"
#include "tenure/tests/allocator/cuda/gpu_test.h"

namespace tenure::cuda {
namespace {

class CudaCapture : public GpuTest {
 protected:
  // Captures what `work` gives to the stream, and a fill at its end, which becomes a node as long
  // as nothing has spoiled the capture; then runs the graph.
  template <typename Work>
  void Capture(size_t nodes, const Work& work) {
    const Buffer mark = Filled(Space(kDeviceSpace), {1, 1, 1});
    const absl::StatusOr<size_t> made =
        gpu_->CaptureAndLaunch(stream_->get(), 1, [&]() -> absl::Status {
          work();
          const std::byte two{2};
          return mark.FillAsync({&two, 1}, in_graph_).status();
        });
    ASSERT_OK(made);
    EXPECT_EQ(*made, nodes + 1);
    EXPECT_TRUE(AllAre(mark, 2));
  }

  std::shared_ptr<DeviceStream> stream_ = NewStream();
  const TransferOptions in_graph_{.queue = stream_.get()};
  CpuAllocator cpu_;
};
TENURE_ON_ALL_GPUS(CudaCapture);

TEST_P(CudaCapture, CopiesWithPinnedAndUnifiedMemoryBecomeNodes) {
  const std::vector<uint8_t> bytes = Pattern(70000);
  const Buffer pinned = Filled(Space(kPinnedSpace), bytes);
  const Buffer device = Make(Space(kDeviceSpace), bytes.size());
  const Buffer managed = Make(Space(kUnifiedSpace), bytes.size());
  const Buffer back = Make(Space(kPinnedSpace), bytes.size());
  const Buffer filled = Make(Space(kPinnedSpace), 64);
  const std::byte seven{7};
  Capture(5, [&] {
    EXPECT_OK(device.CopyFromAsync(pinned, in_graph_));
    EXPECT_OK(managed.CopyFromAsync(device, in_graph_));
    EXPECT_OK(back.CopyFromAsync(managed, in_graph_));
    EXPECT_OK(filled.FillAsync({&seven, 1}, in_graph_));
    // Page-locked memory, given by its address.
    EXPECT_OK(device.CopyInAsync(*pinned.HostPointer(), bytes.size(), in_graph_));
  });
  EXPECT_EQ(BytesOf(back), bytes);
  EXPECT_EQ(BytesOf(filled), std::vector<uint8_t>(64, 7));
}

TEST_P(CudaCapture, WaitsAreRefused) {
  const std::shared_ptr<DeviceStream> other = NewStream();
  const Buffer buffer = Filled(Space(kDeviceSpace), Pattern(1000));
  const std::byte zero{0};
  Hold(*other);
  absl::StatusOr<Fence> unreached = other->Record();
  ASSERT_OK(unreached);
  Capture(0, [&] {
    EXPECT_CODE(FailedPrecondition, stream_->Synchronize());
    EXPECT_CODE(FailedPrecondition, stream_->WaitFor(*unreached));
    EXPECT_OK(stream_->WaitFor(Fence()));
    EXPECT_CODE(FailedPrecondition, stream_->Record());
    EXPECT_CODE(FailedPrecondition, stream_->RecordTimestamp());
    EXPECT_CODE(FailedPrecondition, buffer.Fill({&zero, 1}, in_graph_));
    ASSERT_OK(buffer.RecordUse(Access::kRead, *unreached));
    EXPECT_CODE(FailedPrecondition, buffer.FillAsync({&zero, 1}, in_graph_));
  });
  gpu_->Release();
  EXPECT_OK(unreached->Wait());
  EXPECT_OK(stream_->Synchronize());
}

TEST_P(CudaCapture, PageableMemoryIsRefused) {
  std::vector<uint8_t> host = Pattern(5 * kMiB);
  const Buffer ordinary = Filled(cpu_, host);
  std::vector<Buffer> buffers;
  for (const SpaceKind kind : {kDeviceSpace, kUnifiedSpace, kPinnedSpace}) {
    buffers.push_back(Make(Space(kind), host.size()));
  }
  Capture(0, [&] {
    for (const Buffer& buffer : buffers) {
      for (const uint64_t size : {uint64_t{100}, host.size()}) {
        const Buffer part = *buffer.View(0, size), ordinary_part = *ordinary.View(0, size);
        EXPECT_CODE(FailedPrecondition, part.CopyInAsync(host.data(), size, in_graph_));
        EXPECT_CODE(FailedPrecondition, part.CopyOutAsync(host.data(), size, in_graph_));
        EXPECT_CODE(FailedPrecondition, part.CopyIn(host.data(), size, in_graph_));
        EXPECT_CODE(FailedPrecondition, part.CopyOut(host.data(), size, in_graph_));
        EXPECT_CODE(FailedPrecondition, part.CopyFromAsync(ordinary_part, in_graph_));
        EXPECT_CODE(FailedPrecondition, ordinary_part.CopyFromAsync(part, in_graph_));
      }
    }
  });
}

TEST_P(CudaCapture, WhatStaysInHostMemoryIsRefused) {
  const Buffer a = Filled(Space(kPinnedSpace), Pattern(1000));
  const Buffer b = Make(Space(kPinnedSpace), 1000);
  Capture(0, [&] {
    const absl::StatusOr<Fence> copied = b.CopyFromAsync(a, in_graph_);
    EXPECT_CODE(FailedPrecondition, copied);
    EXPECT_NE(copied.status().message().find("host memory"), std::string::npos) << copied.status();
  });
}

TEST_P(CudaCapture, PrefetchesAreRefused) {
  const Buffer buffer = Make(Space(kUnifiedSpace), 5000);
  auto* unified = buffer.allocator().Capability<UnifiedCapability>();
  ASSERT_NE(unified, nullptr);
  const SubRegion all{&buffer.storage()->root(), 0, 5000};
  Capture(0, [&] {
    EXPECT_CODE(FailedPrecondition,
                unified->Prefetch(all, UnifiedCapability::Side::kDevice, stream_.get()));
  });
}

TEST_P(CudaCapture, OverlappingCopiesAreNodesOrRefused) {
  const uint64_t size = 70 * kMiB;
  std::vector<uint8_t> bytes = Pattern(size);
  const Buffer buffer = Filled(Space(kDeviceSpace), bytes);
  const auto copy = [&](uint64_t from, uint64_t to, uint64_t count) {
    return buffer.View(to, count)->CopyFromAsync(*buffer.View(from, count), in_graph_);
  };
  Capture(2, [&] {
    const absl::StatusOr<Fence> refused = copy(0, 100, 1000);
    EXPECT_CODE(FailedPrecondition, refused);
    EXPECT_NE(refused.status().message().find("by way of a buffer"), std::string::npos)
        << refused.status();
    // Far enough apart to need no other memory: in two pieces.
    EXPECT_OK(copy(0, 33 * kMiB, 37 * kMiB));
  });
  std::memmove(bytes.data() + 33 * kMiB, bytes.data(), 37 * kMiB);
  EXPECT_TRUE(BytesOf(buffer) == bytes);
}

}  // namespace
}  // namespace tenure::cuda
