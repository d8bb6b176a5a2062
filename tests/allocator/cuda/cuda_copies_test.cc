// What copies with devices wait for, and whom they hold up: on fake devices, whose streams are
// held.

#include <atomic>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tenure/allocator/cpu/cpu_allocator.h"
#include "tenure/runtime/copy_many.h"
#include "tenure/tests/allocator/cuda/fake/fake_cuda.h"

namespace tenure::cuda {
namespace {

class CudaCopies : public FakeCuda {
 protected:
  // Whether `call`, which waits for held streams, comes back only after they were let go.
  bool ComesBackAfterRelease(const std::function<absl::Status()>& call) {
    std::atomic<bool> released{false};
    bool after = false;
    fake_.HoldAll();
    std::thread thread([&] {
      EXPECT_OK(call());
      after = released.load();
    });
    EXPECT_TRUE(fake_.AwaitBlocked(1));
    // For who comes back too early to do so.
    absl::SleepFor(absl::Milliseconds(20));
    released.store(true);
    fake_.ReleaseAll();
    thread.join();
    return after;
  }
};

// ---- batches

TEST_F(CudaCopies, BatchesAreOverWhenTheyReturnHoweverLargeTheirParts) {
  const std::vector<uint8_t> large = Pattern(6 * kMiB), small = Pattern(1000, 5);
  const Buffer a = Make(Space(kDeviceSpace), large.size());
  const Buffer b = Make(Space(kDeviceSpace), small.size());
  const std::vector<CopyInPart> in = {{b, small.data(), small.size()},
                                      {a, large.data(), large.size()}};
  EXPECT_TRUE(ComesBackAfterRelease([&] {
    // Large parts last: nothing behind them waits for them by chance.
    return CopyInMany({in.data() + 1, 1});
  }));
  EXPECT_OK(CopyInMany(in));
  std::vector<uint8_t> large_back(large.size()), small_back(small.size());
  const std::vector<CopyOutPart> out = {{small_back.data(), b, small.size()},
                                        {large_back.data(), a, large.size()}};
  EXPECT_TRUE(ComesBackAfterRelease([&] { return CopyOutMany({out.data() + 1, 1}); }));
  EXPECT_TRUE(large_back == large);
  EXPECT_OK(CopyOutMany(out));
  EXPECT_EQ(small_back, small);
}

// ---- behind kernels that are late

TEST_F(CudaCopies, StagedCopiesBehindAFailedKernelFail) {
  quarantines_ = true;
  const std::shared_ptr<DeviceStream> kernels = NewStream();
  const std::vector<uint8_t> bytes = Pattern(kMiB);
  const Buffer buffer = Make(Space(kDeviceSpace), bytes.size());
  fake_.Hold(kernels->get());
  fake_.LaunchSleep(kernels->get(), absl::ZeroDuration());
  absl::StatusOr<Fence> kernel = kernels->Record();
  ASSERT_OK(kernel);
  ASSERT_OK(buffer.RecordUse(Access::kWrite, *kernel));
  absl::StatusOr<Fence> in = buffer.CopyInAsync(bytes.data(), bytes.size());
  ASSERT_OK(in);
  fake_.FailCalls("EventQuery", CUDA_ERROR_UNKNOWN);
  const absl::Status status = in->Wait();
  EXPECT_FALSE(status.ok());
  EXPECT_NE(status.message().find("cuEventQuery"), std::string::npos) << status;
  fake_.ClearFailures();
  fake_.Release(kernels->get());
  EXPECT_OK(kernels->Synchronize());
}

TEST_F(CudaCopies, EachDirectionHasItsStream) {
  const std::vector<uint8_t> bytes = Pattern(5000);
  const Buffer host = Filled(Space(kPinnedSpace), bytes);
  const Buffer host_back = Make(Space(kPinnedSpace), bytes.size());
  const Buffer a = Filled(Space(kDeviceSpace), bytes), b = Filled(a.allocator(), bytes);
  const Buffer c = Make(a.allocator(), bytes.size());
  const Buffer managed = Make(Space(kUnifiedSpace), bytes.size());
  fake_.HoldAll();
  std::vector<Fence> done;
  const auto start = [&](const Buffer& to, const Buffer& from) {
    absl::StatusOr<Fence> fence = to.CopyFromAsync(from);
    EXPECT_OK(fence);
    done.push_back(*fence);
  };
  start(a, host);
  start(host_back, b);
  start(c, b);
  start(managed, host);
  std::vector<size_t> copies;
  for (CUstream stream : fake_.Streams()) {
    size_t count = 0;
    for (const std::string& call : fake_.Queued(stream)) count += call == "cuMemcpyAsync" ? 1 : 0;
    if (count > 0) copies.push_back(count);
  }
  EXPECT_EQ(copies, (std::vector<size_t>{2, 1, 1})) << "in, out, within";
  fake_.ReleaseAll();
  for (const Fence& fence : done) EXPECT_OK(fence.Wait());
  for (const Buffer& buffer : {a, c, host_back, managed}) EXPECT_EQ(BytesOf(buffer), bytes);
}

// ---- callers' streams

TEST_F(CudaCopies, TheStreamsOfEachThreadAreRefused) {
  EXPECT_CODE(InvalidArgument, DeviceStream::Wrap(device_, CU_STREAM_PER_THREAD));
}

// The handle of the legacy default stream is 0, which says nothing about whether a queue was named.
TEST_F(CudaCopies, TheLegacyDefaultStreamKeepsItsOrder) {
  absl::StatusOr<std::shared_ptr<DeviceStream>> legacy = DeviceStream::Wrap(device_, nullptr);
  ASSERT_OK(legacy);
  EXPECT_EQ((*legacy)->handle(), 0u);
  const Buffer buffer = Make(Space(kDeviceSpace), 100);
  const std::byte seven{7};
  ASSERT_OK(buffer.Fill({&seven, 1}));
  fake_.HoldAll();
  const std::byte nine{9};
  absl::StatusOr<Fence> filled = buffer.FillAsync({&nine, 1}, {.queue = legacy->get()});
  ASSERT_OK(filled);
  EXPECT_FALSE(filled->IsReached()) << "it ran at once, in another stream";
  EXPECT_TRUE((*legacy)->HasRecorded(*filled));
  fake_.ReleaseAll();
  EXPECT_OK(filled->Wait());
  EXPECT_EQ(BytesOf(buffer), std::vector<uint8_t>(100, 9));
}

// Where the driver gives a handle again, the new stream is another queue with a timeline of its
// own.
TEST_F(CudaCopies, AStreamWithAnOldHandleIsAnotherQueue) {
  absl::StatusOr<std::shared_ptr<DeviceStream>> owner = DeviceStream::Create(device_);
  ASSERT_OK(owner);
  absl::StatusOr<std::shared_ptr<DeviceStream>> old = DeviceStream::Wrap(device_, (*owner)->get());
  absl::StatusOr<std::shared_ptr<DeviceStream>> again =
      DeviceStream::Wrap(device_, (*owner)->get());
  ASSERT_OK(old);
  ASSERT_OK(again);
  EXPECT_EQ((*old)->handle(), (*again)->handle());
  EXPECT_NE((*old)->id(), (*again)->id());
  const Buffer buffer = Make(Space(kDeviceSpace), 100);
  const std::byte zero{0};
  fake_.HoldAll();
  absl::StatusOr<Fence> first = buffer.FillAsync({&zero, 1}, {.queue = old->get()});
  absl::StatusOr<Fence> second = buffer.FillAsync({&zero, 1}, {.queue = again->get()});
  ASSERT_OK(first);
  ASSERT_OK(second);
  EXPECT_NE(first->timeline(), second->timeline());
  EXPECT_FALSE((*again)->HasRecorded(*first));
  EXPECT_TRUE((*again)->CanWaitFor(*first));
  fake_.ReleaseAll();
  EXPECT_OK(first->Wait());
  EXPECT_OK(second->Wait());
}

// A queue of no device, and a stream of another device.
TEST_F(CudaCopies, QueuesOfOthersAreRefused) {
  class Foreign final : public Queue {
   public:
    std::string_view driver() const override { return "toy"; }
    uint64_t native_handle() const override { return 0; }
    absl::StatusOr<Fence> Record() override { return Fence(); }
    bool CanWaitFor(const Fence&) const override { return true; }
    bool HasRecorded(const Fence&) const override { return false; }
    using Queue::WaitFor;
    absl::Status WaitFor(absl::Span<const Fence>) override { return absl::OkStatus(); }
    absl::Status Synchronize() override { return absl::OkStatus(); }
  };
  Foreign foreign;
  const Buffer buffer = Make(Space(kDeviceSpace), 100);
  const std::byte zero{0};
  EXPECT_CODE(InvalidArgument, buffer.FillAsync({&zero, 1}, {.queue = &foreign}));
  EXPECT_CODE(InvalidArgument, buffer.Fill({&zero, 1}, {.queue = &foreign}));
}

// ---- what the driver can't tell

TEST_F(CudaCopies, NothingIsUnderWayWhenTheEndCouldNotBeWaitedFor) {
  std::vector<uint8_t> bytes = Pattern(6 * kMiB);
  const Buffer buffer = Make(Space(kDeviceSpace), bytes.size());
  for (const uint64_t size : {uint64_t{1000}, bytes.size()}) {
    const Buffer part = *buffer.View(0, size);
    fake_.FailCall("StreamSynchronize", 1, CUDA_ERROR_UNKNOWN);
    EXPECT_TRUE(ComesBackAfterRelease([&] {
      const absl::Status status = part.CopyIn(bytes.data(), size, {.max_threads = 1});
      EXPECT_NE(status.message().find("cuStreamSynchronize"), std::string::npos) << status;
      return absl::OkStatus();
    }));
    EXPECT_TRUE(BytesOf(part) ==
                std::vector<uint8_t>(bytes.begin(), bytes.begin() + static_cast<int64_t>(size)));
  }
}

// ---- threads without page-locked memory

TEST_F(CudaCopies, AThreadThatCannotBePreparedLeavesTheWorkToOthers) {
  const std::vector<uint8_t> bytes = Pattern(6 * kMiB);
  const Buffer buffer = Make(Space(kDeviceSpace), bytes.size());
  fake_.FailCall("MemHostAlloc", 1, CUDA_ERROR_OUT_OF_MEMORY);
  EXPECT_OK(buffer.CopyIn(bytes.data(), bytes.size(), {.max_threads = 3}));
  EXPECT_TRUE(BytesOf(buffer) == bytes);
  EXPECT_GE(fake_.Calls("MemHostAlloc"), 2u);
}

TEST_F(CudaCopies, WithoutPreparedThreadsTheCopyFailsAndTheNextOneTriesAgain) {
  const std::vector<uint8_t> bytes = Pattern(6 * kMiB);
  const Buffer buffer = Make(Space(kDeviceSpace), bytes.size());
  for (int i = 0; i < 3; ++i) {
    fake_.FailCalls("MemHostAlloc", CUDA_ERROR_OUT_OF_MEMORY);
    const absl::Status status = buffer.CopyIn(bytes.data(), bytes.size(), {.max_threads = 3});
    EXPECT_CODE(ResourceExhausted, status);
    EXPECT_NE(status.message().find("cuMemHostAlloc"), std::string::npos) << status;
    fake_.ClearFailures();
    if (i == 0) continue;
    EXPECT_OK(buffer.CopyIn(bytes.data(), bytes.size(), {.max_threads = 3}));
    EXPECT_TRUE(BytesOf(buffer) == bytes);
    break;
  }
}

}  // namespace
}  // namespace tenure::cuda
