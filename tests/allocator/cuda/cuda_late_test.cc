// Who is held up by work that is late, and who is not: copies of others, both directions of the
// bus, and whoever gives memory back. On a fake device and, where there is one, on the real one.

#include <algorithm>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "tenure/allocator/cuda/cuda.h"
#include "tenure/runtime/copy_many.h"
#include "tenure/tests/allocator/cuda/gpu_test.h"

namespace tenure::cuda {
namespace {

class CudaLate : public GpuTest {};
TENURE_ON_ALL_GPUS(CudaLate);

// ---- copies

TEST_P(CudaLate, BatchesAreOverWhenTheyReturnHoweverLargeTheirParts) {
  for (const SpaceKind kind : kSpaces) {
    const std::vector<uint64_t> sizes = {1000, 6 * kMiB, 65536, 0, 65537, 3 * kMiB, 9 * kMiB + 1};
    for (int round = 0; round < 2; ++round) {
      std::vector<std::vector<uint8_t>> sources, results;
      std::vector<CopyInPart> in;
      std::vector<CopyOutPart> out;
      for (const uint64_t size : sizes) {
        sources.push_back(Pattern(size, round * 10 + in.size()));
        results.emplace_back(size, 0);
        in.push_back({Make(Space(kind), size), sources.back().data(), size});
        out.push_back({results.back().data(), in.back().to, size});
      }
      ASSERT_OK(CopyInMany(in));
      // Read by nobody from now on.
      for (std::vector<uint8_t>& source : sources) std::fill(source.begin(), source.end(), 0xee);
      ASSERT_OK(CopyOutMany(out));
      for (size_t i = 0; i < sizes.size(); ++i) {
        EXPECT_TRUE(results[i] == Pattern(sizes[i], round * 10 + i)) << kind.name() << i;
      }
    }
  }
}

TEST_P(CudaLate, BothDirectionsGoOnAtOnce) {
  const uint64_t size = (gpu_->real() ? 64 : 3) * kMiB + 7;
  Allocator &device = Space(kDeviceSpace), &pinned = Space(kPinnedSpace);
  std::vector<uint8_t> there = Pattern(size, 100);
  const Buffer in = Make(pinned, size), out = Make(pinned, size);
  Buffer to = Make(device, size), from = Filled(device, there);
  for (int round = 0; round < 6; ++round) {
    const std::vector<uint8_t> here = Pattern(size, round);
    ASSERT_OK(in.CopyIn(here.data(), size));
    absl::StatusOr<Fence> copied_in = to.CopyFromAsync(in), copied_out = out.CopyFromAsync(from);
    ASSERT_OK(copied_in);
    ASSERT_OK(copied_out);
    ASSERT_OK(copied_out->Wait());
    EXPECT_TRUE(BytesOf(out) == there) << round;
    ASSERT_OK(copied_in->Wait());
    // What came in goes out in the next round.
    std::swap(to, from);
    there = here;
  }
  // Neither waits for the other.
  const std::shared_ptr<DeviceStream> kernels = NewStream();
  for (const bool late_in : {true, false}) {
    const Buffer& late = late_in ? to : from;
    Hold(*kernels);
    Write(late, *kernels, 7);
    absl::StatusOr<Fence> copied_in = to.CopyFromAsync(in), copied_out = out.CopyFromAsync(from);
    ASSERT_OK(copied_in);
    ASSERT_OK(copied_out);
    ASSERT_OK((late_in ? copied_out : copied_in)->Wait());
    EXPECT_FALSE((late_in ? copied_in : copied_out)->IsReached());
    gpu_->Release();
    ASSERT_OK((late_in ? copied_in : copied_out)->Wait());
    EXPECT_TRUE(BytesOf(to) == BytesOf(in));
    EXPECT_TRUE(late_in ? BytesOf(out) == there : AllAre(out, 7));
  }
}

// Every thread of the ring could be taken by what follows one kernel.
TEST_P(CudaLate, StagedCopiesBehindAKernelHoldUpNoOthers) {
  const std::shared_ptr<DeviceStream> kernels = NewStream();
  const std::vector<uint8_t> bytes = Pattern(5 * kMiB);
  std::vector<Buffer> late;
  for (int i = 0; i < 14; ++i) late.push_back(Make(Space(kDeviceSpace), bytes.size()));
  const Buffer other = Make(Space(kDeviceSpace), bytes.size());
  Hold(*kernels);
  std::vector<Fence> copied;
  for (const Buffer& buffer : late) {
    Write(buffer, *kernels, 0x77);
    absl::StatusOr<Fence> in = buffer.CopyInAsync(bytes.data(), bytes.size());
    ASSERT_OK(in);
    copied.push_back(*in);
  }
  // In, out, and behind nothing: the kernel is let go by nobody meanwhile.
  EXPECT_OK(other.CopyIn(bytes.data(), bytes.size()));
  EXPECT_TRUE(BytesOf(other) == bytes);
  std::vector<uint8_t> back(bytes.size());
  absl::StatusOr<Fence> out = other.CopyOutAsync(back.data(), back.size());
  ASSERT_OK(out);
  EXPECT_OK(out->Wait());
  EXPECT_TRUE(back == bytes);
  for (const Fence& fence : copied) EXPECT_FALSE(fence.IsReached());
  gpu_->Release();
  for (const Fence& fence : copied) EXPECT_OK(fence.Wait());
  for (const Buffer& buffer : late) EXPECT_TRUE(BytesOf(buffer) == bytes);
}

// Fences that are reached at any moment: while nobody looks, while one thread does, while it
// sleeps.
TEST_P(CudaLate, StagedCopiesBehindManyKernelsAllEnd) {
  const std::vector<uint8_t> bytes = Pattern(600 << 10);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back(
        [&, t, stream = NewStream(), buffer = Make(Space(kDeviceSpace), bytes.size())] {
          std::vector<uint8_t> back(bytes.size());
          for (int i = 0; i < 60; ++i) {
            gpu_->Busy(stream->get(), absl::Microseconds(17 * ((i * 7 + t) % 13)));
            absl::StatusOr<Fence> kernel = stream->Record();
            ASSERT_OK(kernel);
            ASSERT_OK(buffer.RecordUse(Access::kWrite, *kernel));
            absl::StatusOr<Fence> in = buffer.CopyInAsync(bytes.data(), bytes.size());
            ASSERT_OK(in);
            ASSERT_OK(in->Wait(absl::Seconds(20)));
            ASSERT_OK(buffer.CopyOut(back.data(), back.size()));
            ASSERT_TRUE(back == bytes);
          }
        });
  }
  for (std::thread& thread : threads) thread.join();
}

// More than there are streams for what follows others; and copies that follow those.
TEST_P(CudaLate, AsynchronousCopiesBehindAKernelHoldUpNoOthers) {
  const std::shared_ptr<DeviceStream> kernels = NewStream();
  const std::vector<uint8_t> bytes = Pattern(5000);
  Allocator& device = Space(kDeviceSpace);
  const Buffer source = Filled(Space(kPinnedSpace), bytes);
  Hold(*kernels);
  std::vector<Buffer> late, behind;
  std::vector<Fence> copied;
  for (int i = 0; i < 20; ++i) {
    late.push_back(Make(device, bytes.size()));
    behind.push_back(Make(device, bytes.size()));
    Write(late[i], *kernels, 0x77);
    absl::StatusOr<Fence> in = late[i].CopyFromAsync(source);
    ASSERT_OK(in);
    absl::StatusOr<Fence> within = behind[i].CopyFromAsync(late[i]);
    ASSERT_OK(within);
    copied.push_back(*in);
    copied.push_back(*within);
  }
  const Buffer other = Make(device, bytes.size()), third = Make(device, bytes.size());
  const Buffer back = Make(Space(kPinnedSpace), bytes.size());
  for (const auto& [to, from] : {std::pair(other, source), {third, other}, {back, third}}) {
    absl::StatusOr<Fence> done = to.CopyFromAsync(from);
    ASSERT_OK(done);
    EXPECT_OK(done->Wait());
  }
  EXPECT_EQ(BytesOf(back), bytes);
  for (const Fence& fence : copied) EXPECT_FALSE(fence.IsReached());
  gpu_->Release();
  for (const Fence& fence : copied) EXPECT_OK(fence.Wait());
  for (const Buffer& buffer : late) EXPECT_EQ(BytesOf(buffer), bytes);
  for (const Buffer& buffer : behind) EXPECT_EQ(BytesOf(buffer), bytes);
}

// ---- giving back

// Memory of its own, whose giving back could wait for the device.
TEST_P(CudaLate, SpecialMemoryIsFreedBehindWorkWithoutWaiting) {
  const std::vector<std::pair<SpaceKind, BufferOptions>> all = {
      {kDeviceSpace, {.immediate = true, .hints = {.sharing = Sharing::kIpc}}},
      {kDeviceSpace, {.immediate = true, .hints = {.sharing = Sharing::kPosixFd}}},
      {kPinnedSpace, {.immediate = true, .hints = {.write_combined = true}}},
  };
  const std::vector<uint8_t> bytes = Pattern(3 * kMiB);
  for (const auto& [kind, options] : all) {
    SCOPED_TRACE(testing::Message() << kind.name() << static_cast<int>(options.hints.sharing));
    Allocator& space = Space(kind);
    const std::shared_ptr<DeviceStream> stream = NewStream(), other = NewStream();
    Buffer unused = Make(space, bytes.size(), options), used = Make(space, bytes.size(), options);
    const uint64_t addresses[] = {AddressOf(unused), AddressOf(used)};
    Hold(*stream);
    Write(used, *stream, 1);
    absl::StatusOr<Fence> late = stream->Record();
    ASSERT_OK(late);
    unused = Buffer();
    used = Buffer();
    EXPECT_FALSE(late->IsReached()) << "dropping it has waited";
    // Another of its kind is made meanwhile, and its bytes are its own.
    Buffer next = Make(space, bytes.size(), options);
    EXPECT_NE(AddressOf(next), addresses[1]);
    ASSERT_OK(next.CopyIn(bytes.data(), bytes.size()));
    EXPECT_FALSE(late->IsReached()) << "making it has waited";
    gpu_->Release();
    ASSERT_OK(late->Wait());
    EXPECT_TRUE(BytesOf(next) == bytes);
    // Taken back by somebody who has nothing to do with it, while others work.
    Hold(*other);
    absl::StatusOr<Fence> others = other->Record();
    ASSERT_OK(others);
    const Buffer unrelated = Make(space, 100);
    next = Buffer();
    space.Poll();
    EXPECT_EQ(space.Stats().deferred_bytes, 0u);
    EXPECT_FALSE(others->IsReached()) << "taking it back has waited";
    next = Make(space, bytes.size(), options);
    ASSERT_OK(next.CopyIn(bytes.data(), bytes.size()));
    EXPECT_TRUE(BytesOf(next) == bytes);
    EXPECT_FALSE(others->IsReached()) << "making it again has waited";
    gpu_->Release();
  }
}

TEST_P(CudaLate, HintedMemoryIsFreedAndGivenAgainBehindWork) {
  for (const AccessHint hint :
       {AccessHint::kNone, AccessHint::kDevicePreferred, AccessHint::kHostPreferred,
        AccessHint::kReadMostly, AccessHint::kStreaming}) {
    SCOPED_TRACE(static_cast<int>(hint));
    Allocator& space = Open(kUnifiedSpace, {.max_reserved_bytes = 4 * kMiB});
    const std::shared_ptr<DeviceStream> stream = NewStream();
    Buffer used = Filled(space, Pattern(4 * kMiB));
    const uint64_t address = AddressOf(used);
    ASSERT_OK(space.Capability<UnifiedCapability>()->Hint({&used.storage()->root(), 0, used.size()},
                                                          hint));
    ASSERT_OK(space.Synchronize());
    Hold(*stream);
    Write(used, *stream, 1);
    absl::StatusOr<Fence> late = stream->Record();
    ASSERT_OK(late);
    used = Buffer();
    EXPECT_FALSE(late->IsReached()) << "dropping it has waited";
    Buffer next = Make(space, 4 * kMiB, {.immediate = true, .hints = {.queue = stream}});
    EXPECT_EQ(AddressOf(next), address);
    EXPECT_FALSE(late->IsReached()) << "giving it again has waited";
    Write(next, *stream, 2);
    gpu_->Release();
    EXPECT_TRUE(AllAre(next, 2));
  }
}

}  // namespace
}  // namespace tenure::cuda
