// That the fake driver behaves as fake_driver.h says: streams, events, kernels, capture.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <functional>
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

// ---- Streams and events ----------------------------------------------------------------------

TEST_F(FakeDriverTest, PageLockedMemoryIsTouchedWhenTheStreamGetsThere) {
  unsigned char* pinned = Pinned(100);
  std::vector<unsigned char> pageable(100, 1);
  const CUdeviceptr a = Alloc(100), b = Alloc(100);
  fake_.Hold(stream_);
  std::memset(pinned, 1, 100);
  EXPECT_EQ(cu_.MemcpyHtoDAsync(a, pinned, 100, stream_), CUDA_SUCCESS);
  EXPECT_EQ(cu_.MemcpyHtoDAsync(b, pageable.data(), 100, stream_), CUDA_SUCCESS);
  EXPECT_EQ(cu_.MemcpyDtoHAsync(pinned, a, 1, stream_), CUDA_SUCCESS);
  std::memset(pinned, 2, 100);
  std::fill(pageable.begin(), pageable.end(), 2);
  EXPECT_EQ(At(b), 0xCD);
  EXPECT_THAT(fake_.Queued(stream_),
              ElementsAre("cuMemcpyHtoDAsync", "cuMemcpyHtoDAsync", "cuMemcpyDtoHAsync"));
  EXPECT_TRUE(fake_.Step(stream_));
  EXPECT_EQ(At(a), 2);  // read late
  EXPECT_TRUE(fake_.Step(stream_));
  EXPECT_EQ(At(b), 1);  // staged at the call
  std::memset(pinned, 3, 100);
  EXPECT_TRUE(fake_.Step(stream_));
  EXPECT_FALSE(fake_.Step(stream_));
  EXPECT_EQ(pinned[0], 2);
}

TEST_F(FakeDriverTest, CopiesThatWaitForTheStream) {
  unsigned char* pinned = Pinned(100);
  std::vector<unsigned char> pageable(200000);
  const CUdeviceptr d = Alloc(200000);
  const CUdeviceptr page = reinterpret_cast<CUdeviceptr>(pageable.data());
  const CUdeviceptr pin = reinterpret_cast<CUdeviceptr>(pinned);
  const std::function<CUresult()> copies[] = {
      [&] { return cu_.MemcpyDtoHAsync(pageable.data(), d, 1, stream_); },
      [&] { return cu_.MemcpyHtoDAsync(d, pageable.data(), (64 << 10) + 1, stream_); },
      [&] { return cu_.MemcpyAsync(pin, page, 9, stream_); },
      [&] { return cu_.MemcpyAsync(pin, pin + 50, 9, stream_); },
      [&] { return cu_.MemcpyAsync(page, page + 50, 9, stream_); },
  };
  for (const auto& copy : copies) {
    fake_.Hold(stream_);
    std::thread thread([&] {
      ASSERT_EQ(cu_.CtxPushCurrent(contexts_[0]), CUDA_SUCCESS);
      EXPECT_EQ(copy(), CUDA_SUCCESS);
      ASSERT_EQ(cu_.CtxPopCurrent(nullptr), CUDA_SUCCESS);
    });
    EXPECT_TRUE(fake_.AwaitBlocked(1));
    fake_.Release(stream_);
    thread.join();
    EXPECT_THAT(fake_.Blocked(), IsEmpty());
  }
}

TEST_F(FakeDriverTest, EventsOrderStreams) {
  const CUstream second = NewStream();
  const CUdeviceptr d = Alloc(8), e = Alloc(8);
  const CUevent event = NewEvent();
  EXPECT_EQ(cu_.EventQuery(event), CUDA_SUCCESS);  // never recorded
  EXPECT_EQ(cu_.StreamWaitEvent(second, event, 0), CUDA_SUCCESS);
  fake_.Hold(stream_);
  EXPECT_EQ(cu_.MemsetD8Async(d, 5, 8, stream_), CUDA_SUCCESS);
  EXPECT_EQ(cu_.EventRecord(event, stream_), CUDA_SUCCESS);
  EXPECT_EQ(cu_.StreamWaitEvent(second, event, 0), CUDA_SUCCESS);
  EXPECT_EQ(cu_.MemcpyDtoDAsync(e, d, 8, second), CUDA_SUCCESS);
  EXPECT_EQ(cu_.EventQuery(event), CUDA_ERROR_NOT_READY);
  fake_.Drain(second);  // which cannot go on
  EXPECT_THAT(fake_.Queued(second), ElementsAre("cuStreamWaitEvent", "cuMemcpyDtoDAsync"));
  // Recorded again: the wait is for what was recorded when it was asked for.
  EXPECT_TRUE(fake_.Step(stream_));
  EXPECT_TRUE(fake_.Step(stream_));
  EXPECT_EQ(cu_.StreamSynchronize(second), CUDA_SUCCESS);
  EXPECT_EQ(At(e), 5);
  EXPECT_EQ(cu_.EventQuery(event), CUDA_SUCCESS);
  EXPECT_EQ(cu_.EventRecord(event, stream_), CUDA_SUCCESS);
  EXPECT_EQ(cu_.EventQuery(event), CUDA_ERROR_NOT_READY);
  std::thread thread([&] { EXPECT_EQ(cu_.EventSynchronize(event), CUDA_SUCCESS); });
  EXPECT_TRUE(fake_.AwaitBlocked(1));
  EXPECT_THAT(fake_.Blocked(), ElementsAre("cuEventSynchronize"));
  fake_.Release(stream_);
  thread.join();
  // Destroyed with its work queued: legal, once.
  EXPECT_EQ(cu_.EventDestroy(event), CUDA_SUCCESS);
  EXPECT_EQ(cu_.EventDestroy(event), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_THAT(Violation(), HasSubstr("destroyed"));
}

TEST_F(FakeDriverTest, EventsMeasureTime) {
  const CUevent a = NewEvent(), b = NewEvent(), plain = NewEvent(CU_EVENT_DISABLE_TIMING);
  float time = 0;
  EXPECT_EQ(cu_.EventElapsedTime(&time, a, b), CUDA_ERROR_INVALID_HANDLE);  // not recorded
  EXPECT_EQ(cu_.EventRecord(a, stream_), CUDA_SUCCESS);
  fake_.LaunchSleep(stream_, absl::Milliseconds(5));
  EXPECT_EQ(cu_.EventRecord(b, stream_), CUDA_SUCCESS);
  EXPECT_EQ(cu_.EventRecord(plain, stream_), CUDA_SUCCESS);
  Sync();
  EXPECT_EQ(cu_.EventElapsedTime(&time, a, b), CUDA_SUCCESS);
  EXPECT_GE(time, 4.9F);
  EXPECT_EQ(cu_.EventElapsedTime(&time, a, plain), CUDA_ERROR_INVALID_HANDLE);
}

TEST_F(FakeDriverTest, UnorderedWorkOnTheSameBytesIsAViolation) {
  const CUstream second = NewStream();
  const CUdeviceptr d = Alloc(100);
  fake_.HoldAll();
  EXPECT_EQ(cu_.MemsetD8Async(d, 1, 50, stream_), CUDA_SUCCESS);
  EXPECT_EQ(cu_.MemsetD8Async(d + 50, 1, 50, second), CUDA_SUCCESS);
  EXPECT_THAT(fake_.Violations(), IsEmpty());
  EXPECT_EQ(cu_.MemsetD8Async(d + 49, 1, 1, second), CUDA_SUCCESS);
  EXPECT_THAT(Violation(), HasSubstr("races with cuMemsetD8Async"));
  const CUevent event = NewEvent();
  EXPECT_EQ(cu_.EventRecord(event, stream_), CUDA_SUCCESS);
  EXPECT_EQ(cu_.StreamWaitEvent(second, event, 0), CUDA_SUCCESS);
  EXPECT_EQ(cu_.MemsetD8Async(d + 49, 1, 1, second), CUDA_SUCCESS);
  // Left held: ThreadSanitizer would see the race, too.
}

TEST_F(FakeDriverTest, AStreamMayBeDestroyedWithWorkQueued) {
  const CUdeviceptr d = Alloc(8);
  const CUstream stream = NewStream();
  EXPECT_EQ(cu_.MemsetD8Async(d, 1, 8, stream), CUDA_SUCCESS);
  fake_.Drain(stream);
  fake_.Hold(stream);
  EXPECT_EQ(cu_.MemsetD8Async(d, 9, 8, stream), CUDA_SUCCESS);
  EXPECT_EQ(cu_.StreamDestroy(stream), CUDA_SUCCESS);
  EXPECT_THAT(fake_.LeakReport(), Contains(HasSubstr("work of destroyed stream")));
  EXPECT_EQ(cu_.StreamSynchronize(stream), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_THAT(Violation(), HasSubstr("destroyed"));
  fake_.Release(stream);
  fake_.Drain(stream);
  EXPECT_EQ(At(d), 9);
  EXPECT_EQ(cu_.StreamSynchronize(stream), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_THAT(Violation(), HasSubstr("destroyed"));
}

class HangTest : public FakeDriverTest {
 protected:
  static FakeOptions Options() {
    FakeOptions options = TwoDevices();
    options.hang_after = absl::Milliseconds(20);
    return options;
  }
  HangTest() : FakeDriverTest(Options()) {}
};

TEST_F(HangTest, AHangIsAnError) {
  fake_.Hold(stream_);
  fake_.LaunchSleep(stream_, absl::ZeroDuration());
  EXPECT_EQ(cu_.StreamSynchronize(stream_), CUDA_ERROR_LAUNCH_TIMEOUT);
  EXPECT_THAT(Violation(), HasSubstr("hangs, waiting for LaunchSleep"));
}

class DelayTest : public FakeDriverTest {
 protected:
  static FakeOptions Options() {
    FakeOptions options = TwoDevices();
    options.random_delay = absl::Microseconds(200);
    options.seed = 7;
    return options;
  }
  DelayTest() : FakeDriverTest(Options()) {}
};

// Several threads, streams and copies at once, with no order but CUDA's: for the sanitizers.
TEST_F(DelayTest, ThreadsAndStreams) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      ASSERT_EQ(cu_.CtxPushCurrent(contexts_[t % 2]), CUDA_SUCCESS);
      const CUstream first = NewStream(), second = NewStream();
      const CUevent event = NewEvent(CU_EVENT_DISABLE_TIMING);
      const CUdeviceptr d = Alloc(4096);
      unsigned char* pinned = Pinned(4096);
      for (int round = 0; round < 20; ++round) {
        std::memset(pinned, t + round, 4096);
        EXPECT_EQ(cu_.MemcpyHtoDAsync(d, pinned, 4096, first), CUDA_SUCCESS);
        EXPECT_EQ(cu_.EventRecord(event, first), CUDA_SUCCESS);
        EXPECT_EQ(cu_.StreamWaitEvent(second, event, 0), CUDA_SUCCESS);
        EXPECT_EQ(cu_.MemcpyDtoHAsync(pinned, d, 4096, second), CUDA_SUCCESS);
        EXPECT_EQ(cu_.EventRecord(event, second), CUDA_SUCCESS);
        if (round % 2 == 0) {
          while (cu_.EventQuery(event) == CUDA_ERROR_NOT_READY) std::this_thread::yield();
        } else {
          EXPECT_EQ(cu_.StreamSynchronize(second), CUDA_SUCCESS);
        }
        EXPECT_EQ(pinned[4095], t + round);
      }
      EXPECT_EQ(cu_.MemFree(d), CUDA_SUCCESS);
      EXPECT_EQ(cu_.MemFreeHost(pinned), CUDA_SUCCESS);
      EXPECT_EQ(cu_.StreamDestroy(first), CUDA_SUCCESS);
      EXPECT_EQ(cu_.StreamDestroy(second), CUDA_SUCCESS);
      EXPECT_EQ(cu_.EventDestroy(event), CUDA_SUCCESS);
      EXPECT_EQ(cu_.CtxPopCurrent(nullptr), CUDA_SUCCESS);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(cu_.StreamDestroy(stream_), CUDA_SUCCESS);
}

#if defined(__SANITIZE_THREAD__)
#define TENURE_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TENURE_TSAN 1
#endif
#endif
#ifdef TENURE_TSAN
// The fake's lock gives no order: touching the source of a copy that may not have run is a race.
TEST(FakeDriverAloneTest, ThreadSanitizerSeesARace) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        FakeDriver fake(TwoDevices());
        const DriverTable& cu = fake.table();
        CUcontext context = nullptr;
        CUstream stream = nullptr;
        CUdeviceptr d = 0;
        void* pinned = nullptr;
        cu.Init(0);
        cu.DevicePrimaryCtxRetain(&context, 0);
        cu.CtxPushCurrent(context);
        cu.StreamCreate(&stream, 0);
        cu.MemAlloc(&d, 8);
        cu.MemHostAlloc(&pinned, 8, 0);
        cu.MemcpyDtoHAsync(pinned, d, 8, stream);
        while (!fake.Queued(stream).empty()) std::this_thread::yield();
        std::memset(pinned, 1, 8);  // nobody has waited
      },
      "data race");
}
#endif

TEST_F(FakeDriverTest, KernelsRunInTheStream) {
  fake_.RegisterKernel("add", {8, 4, 1}, [](const FakeLaunch& launch) {
    const uint32_t count = launch.Param<uint32_t>(1);
    unsigned char* bytes = launch.Pointer<unsigned char>(0, count);
    if (bytes == nullptr) return;
    for (uint32_t i = 0; i < count; ++i) bytes[i] += launch.Param<unsigned char>(2);
  });
  CUmodule module = nullptr;
  CUfunction add = nullptr;
  ASSERT_EQ(cu_.ModuleLoadData(&module, "image"), CUDA_SUCCESS);
  EXPECT_EQ(cu_.ModuleGetFunction(&add, module, "sub"), CUDA_ERROR_NOT_FOUND);
  ASSERT_EQ(cu_.ModuleGetFunction(&add, module, "add"), CUDA_SUCCESS);
  CUdeviceptr d = Alloc(16);
  uint32_t count = 16;
  unsigned char step = 3;
  void* params[] = {&d, &count, &step};
  auto launch = [&](unsigned threads = 16) {
    return cu_.LaunchKernel(add, 1, 1, 1, threads, 1, 1, 0, stream_, params, nullptr);
  };
  fake_.Hold(stream_);
  EXPECT_EQ(cu_.MemsetD8Async(d, 1, 16, stream_), CUDA_SUCCESS);
  EXPECT_EQ(launch(), CUDA_SUCCESS);
  step = 100;  // the launch has its copy
  // The allocation is in use until the kernel has run.
  EXPECT_EQ(cu_.ModuleUnload(module), CUDA_SUCCESS);
  EXPECT_THAT(Violation(), HasSubstr("kernel add is queued"));
  fake_.Release(stream_);
  Sync();
  EXPECT_EQ(At(d + 15), 4);
  EXPECT_EQ(launch(), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_THAT(Violation(), HasSubstr("no such function"));
  ASSERT_EQ(cu_.ModuleLoadData(&module, "image"), CUDA_SUCCESS);
  ASSERT_EQ(cu_.ModuleGetFunction(&add, module, "add"), CUDA_SUCCESS);
  EXPECT_EQ(launch(1025), CUDA_ERROR_INVALID_VALUE);
  EXPECT_THAT(Violation(), HasSubstr("blocks of 1025x1x1"));
  fake_.Hold(stream_);
  EXPECT_EQ(launch(), CUDA_SUCCESS);
  EXPECT_EQ(cu_.MemFree(d), CUDA_SUCCESS);
  EXPECT_THAT(Violation(), HasSubstr("which kernel add queued on"));
  fake_.Release(stream_);
  Sync();
  EXPECT_THAT(Violation(), HasSubstr("came to touch"));
  // A kernel that goes beyond its memory ends the device.
  d = Alloc(15);
  EXPECT_EQ(launch(), CUDA_SUCCESS);
  EXPECT_EQ(cu_.StreamSynchronize(stream_), CUDA_ERROR_ILLEGAL_ADDRESS);
  EXPECT_THAT(Violation(), HasSubstr("a kernel on device 0 touched 16 bytes"));
}

// ---- Capture ---------------------------------------------------------------------------------

TEST_F(FakeDriverTest, ACaptureIsWrittenDownAndReplayed) {
  unsigned char* pinned = Pinned(8);
  const CUdeviceptr d = Alloc(8), e = Alloc(8);
  const CUstream second = NewStream();
  const CUevent fork = NewEvent(), join = NewEvent();
  ASSERT_EQ(fake_.BeginCapture(stream_), CUDA_SUCCESS);
  CUstreamCaptureStatus status = CU_STREAM_CAPTURE_STATUS_NONE;
  EXPECT_EQ(cu_.StreamIsCapturing(stream_, &status), CUDA_SUCCESS);
  EXPECT_EQ(status, CU_STREAM_CAPTURE_STATUS_ACTIVE);
  EXPECT_EQ(cu_.MemcpyHtoDAsync(d, pinned, 8, stream_), CUDA_SUCCESS);
  EXPECT_EQ(cu_.EventRecord(fork, stream_), CUDA_SUCCESS);
  EXPECT_EQ(cu_.StreamWaitEvent(second, fork, 0), CUDA_SUCCESS);  // joins
  EXPECT_EQ(cu_.MemcpyDtoDAsync(e, d, 8, second), CUDA_SUCCESS);
  EXPECT_EQ(cu_.EventRecord(join, second), CUDA_SUCCESS);
  EXPECT_EQ(cu_.StreamWaitEvent(stream_, join, 0), CUDA_SUCCESS);
  EXPECT_EQ(cu_.MemsetD8Async(d, 9, 8, stream_), CUDA_SUCCESS);
  EXPECT_THAT(fake_.Captured(stream_), SizeIs(3));
  FakeGraph graph;
  ASSERT_EQ(fake_.EndCapture(stream_, &graph), CUDA_SUCCESS);
  EXPECT_EQ(At(d), 0xCD);  // nothing has run
  ASSERT_THAT(graph.nodes, SizeIs(3));
  EXPECT_EQ(graph.nodes[0].call, "cuMemcpyHtoDAsync");
  EXPECT_EQ(graph.nodes[1].dst, e);
  EXPECT_EQ(graph.nodes[2].value, 9u);
  for (unsigned char value : {1, 2}) {
    std::memset(pinned, value, 8);
    EXPECT_EQ(fake_.Replay(graph, stream_), CUDA_SUCCESS);
    Sync();
    EXPECT_EQ(At(e), value);
    EXPECT_EQ(At(d), 9);
  }
  EXPECT_EQ(cu_.MemFree(e), CUDA_SUCCESS);
  EXPECT_EQ(fake_.Replay(graph, stream_), CUDA_SUCCESS);
  Sync();
  EXPECT_THAT(Violation(), HasSubstr("came to touch"));
}

TEST_F(FakeDriverTest, WhatACaptureForbidsSpoilsIt) {
  std::vector<unsigned char> pageable(8);
  const CUdeviceptr d = Alloc(8);
  const CUstream second = NewStream();
  const CUevent outside = NewEvent(), inside = NewEvent();
  EXPECT_EQ(cu_.EventRecord(outside, second), CUDA_SUCCESS);
  EXPECT_EQ(cu_.StreamSynchronize(second), CUDA_SUCCESS);
  CUdeviceptr more = 0;
  struct Case {
    CUresult result;
    std::function<CUresult()> call;
  };
  const Case cases[] = {
      {CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, [&] { return cu_.StreamSynchronize(stream_); }},
      {CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, [&] { return cu_.EventQuery(outside); }},
      {CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, [&] { return cu_.EventSynchronize(outside); }},
      {CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, [&] { return cu_.MemAlloc(&more, 8); }},
      {CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, [&] { return cu_.MemFree(d); }},
      {CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED,
       [&] { return cu_.MemcpyDtoHAsync(pageable.data(), d, 8, stream_); }},
      {CUDA_ERROR_STREAM_CAPTURE_ISOLATION,
       [&] { return cu_.StreamWaitEvent(stream_, outside, 0); }},
      {CUDA_ERROR_CAPTURED_EVENT,
       [&] {
         EXPECT_EQ(cu_.EventRecord(inside, stream_), CUDA_SUCCESS);
         return cu_.EventQuery(inside);
       }},
  };
  for (const Case& one : cases) {
    ASSERT_EQ(fake_.BeginCapture(stream_), CUDA_SUCCESS);
    EXPECT_EQ(cu_.MemsetD8Async(d, 9, 8, stream_), CUDA_SUCCESS);
    EXPECT_EQ(one.call(), one.result);
    EXPECT_EQ(cu_.MemsetD8Async(d, 9, 8, stream_), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    FakeGraph graph;
    EXPECT_EQ(fake_.EndCapture(stream_, &graph), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
  }
  // Relaxed: calls that concern no stream of the capture are let through.
  ASSERT_EQ(fake_.BeginCapture(stream_, CU_STREAM_CAPTURE_MODE_RELAXED), CUDA_SUCCESS);
  EXPECT_EQ(cu_.EventQuery(outside), CUDA_SUCCESS);
  EXPECT_EQ(cu_.MemAlloc(&more, 8), CUDA_SUCCESS);
  FakeGraph graph;
  EXPECT_EQ(fake_.EndCapture(stream_, &graph), CUDA_SUCCESS);
  // So does a thread that says so.
  CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_RELAXED;
  EXPECT_EQ(cu_.ThreadExchangeStreamCaptureMode(&mode), CUDA_SUCCESS);
  EXPECT_EQ(mode, CU_STREAM_CAPTURE_MODE_GLOBAL);
  ASSERT_EQ(fake_.BeginCapture(stream_), CUDA_SUCCESS);
  EXPECT_EQ(cu_.EventQuery(outside), CUDA_SUCCESS);
  EXPECT_EQ(cu_.ThreadExchangeStreamCaptureMode(&mode), CUDA_SUCCESS);
  EXPECT_EQ(mode, CU_STREAM_CAPTURE_MODE_RELAXED);
  EXPECT_EQ(cu_.EventQuery(outside), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  EXPECT_EQ(fake_.EndCapture(stream_, &graph), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
  // A stream that joined has to come back.
  ASSERT_EQ(fake_.BeginCapture(stream_), CUDA_SUCCESS);
  EXPECT_EQ(cu_.EventRecord(inside, stream_), CUDA_SUCCESS);
  EXPECT_EQ(cu_.StreamWaitEvent(second, inside, 0), CUDA_SUCCESS);
  EXPECT_EQ(fake_.EndCapture(stream_, &graph), CUDA_ERROR_STREAM_CAPTURE_UNJOINED);
}

}  // namespace
}  // namespace tenure::cuda
