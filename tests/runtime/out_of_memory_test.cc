// Every place where the library may find no host memory: each call to operator new of a scenario
// fails in turn. The exception may come out of the call; afterwards nothing is lost, held or stuck.
//
// A program of its own, because it replaces operator new.

#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "gtest/gtest.h"
#include "tenure/allocator/copy/host_worker.h"
#include "tenure/allocator/cpu/cpu_allocator.h"
#include "tenure/allocator/decorators/caching.h"
#include "tenure/allocator/decorators/debug_fill.h"
#include "tenure/allocator/decorators/limiting.h"
#include "tenure/allocator/decorators/recording.h"
#include "tenure/runtime/buffer.h"
#include "tenure/runtime/mapping.h"
#include "tenure/tests/testing/status_matchers.h"

namespace {

// How many calls of this thread still succeed; negative: all do.
thread_local int64_t calls_left = -1;
thread_local bool failed = false;
thread_local bool keep_failing = false;

void* New(std::size_t size) {
  if (calls_left == 0) {
    failed = true;
    if (!keep_failing) calls_left = -1;
    throw std::bad_alloc();
  }
  if (calls_left > 0) --calls_left;
  void* const memory = std::malloc(size == 0 ? 1 : size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

void* operator new(std::size_t size) { return New(size); }
void* operator new[](std::size_t size) { return New(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }

namespace tenure {
namespace {

// Runs `scenario` until no call of it is left to fail. `prepare` and `check` run with memory.
void Sweep(const std::function<void()>& prepare, const std::function<void()>& scenario,
           const std::function<void()>& check) {
  for (const bool keep : {false, true}) {
    for (int64_t n = 0;; ++n) {
      ASSERT_LT(n, 2000) << "the scenario never ends without a failure";
      SCOPED_TRACE("call " + std::to_string(n) + (keep ? " and all later ones" : ""));
      prepare();
      keep_failing = keep;
      failed = false;
      calls_left = n;
      try {
        scenario();
      } catch (const std::bad_alloc&) {
      }
      calls_left = -1;
      const bool done = !failed;
      check();
      if (::testing::Test::HasFailure() || done) break;
    }
  }
}

TEST(OutOfMemory, BuffersOverAStackOfDecorators) {
  auto recording = std::make_unique<RecordingAllocator>(std::make_unique<CpuAllocator>(),
                                                        EventLog::Options{.log_events = 16});
  RecordingAllocator* const record = recording.get();
  auto limiting = std::make_unique<LimitingAllocator>(std::move(recording), uint64_t{1} << 20);
  LimitingAllocator* const limit = limiting.get();
  std::unique_ptr<CachingAllocator> cache;
  cache = std::make_unique<CachingAllocator>(
      std::make_unique<DebugFillAllocator>(std::move(limiting), DebugFillAllocator::Options{}),
      CachingAllocator::Options{.max_cached_bytes = 4096});
  uint64_t size = 100;
  Sweep([&] { size = size % 2000 + 100; },
        [&] {
          const uint8_t host[4] = {1, 2, 3, 4};
          for (const bool zeroed : {false, true}) {
            const auto x = Buffer::Create(*cache, DType::kUInt8, Shape::Vector(size),
                                          {.name = "a name that is not short", .zeroed = zeroed});
            if (!x.ok()) return;
            x->CopyInAt(4, host, 4).IgnoreError();
            x->FillWith<uint8_t>(3).IgnoreError();
            x->Map(Access::kWrite).status().IgnoreError();
            x->Set<uint8_t>({7}, 3).IgnoreError();
          }
        },
        [&] {
          EXPECT_EQ(cache->Stats().in_use_count, 0u);
          cache->Trim(0);
          EXPECT_EQ(limit->charged_bytes(), 0u);
          EXPECT_TRUE(record->log().Live().empty());
          EXPECT_EQ(record->Stats().in_use_count, 0u);
        });
}

TEST(OutOfMemory, WrappedMemoryIsReleasedOnce) {
  RecordingAllocator allocator(std::make_unique<CachingAllocator>(std::make_unique<CpuAllocator>(),
                                                                  CachingAllocator::Options{}),
                               {});
  uint8_t bytes[8] = {};
  int released = 0, refused = 0;
  ForeignMemory memory;
  struct {
    int* count;
    char large[64];
  } const captured{&released, {}};
  Sweep(
      [&] {
        released = refused = 0;
        memory = {.data = bytes, .release = [captured] { ++*captured.count; }};
      },
      [&] {
        Buffer::Wrap(allocator, DType::kUInt8, Shape::Vector(8), std::move(memory), 8)
            .status()
            .IgnoreError();
        Buffer::Wrap(allocator, DType::kUInt8, Shape::Vector(7),
                     {.data = bytes, .release = [&] { ++refused; }}, 8)
            .status()
            .IgnoreError();
      },
      [&] {
        EXPECT_EQ(released, 1);
        EXPECT_LE(refused, 1);  // not tried after an exception
        EXPECT_EQ(allocator.Stats().in_use_count, 0u);
      });
}

// Signals the timelines a moment later, from a thread that always finds memory.
class Device {
 public:
  Device() {
    for (auto& timeline : timelines_) timeline = std::make_shared<HostTimeline>();
    thread_ = std::thread([this] {
      absl::SleepFor(absl::Milliseconds(1));
      for (auto& timeline : timelines_) timeline->Signal(1);
    });
  }
  ~Device() { thread_.join(); }
  Fence fence(int i) const { return Fence(timelines_[i], 1); }

 private:
  std::shared_ptr<HostTimeline> timelines_[3];
  std::thread thread_;
};

TEST(OutOfMemory, BuffersThatDevicesUseAreDropped) {
  CachingAllocator allocator(std::make_unique<CpuAllocator>(), {});
  std::unique_ptr<Device> device;
  Buffer x;
  Sweep(
      [&] {
        device = std::make_unique<Device>();
        x = *Buffer::Create(allocator, DType::kUInt8, Shape::Vector(64), {.immediate = true});
      },
      [&] {
        Buffer mine = std::move(x);
        for (int i = 0; i < 3; ++i) mine.RecordUse(Access::kRead, device->fence(i)).IgnoreError();
        // Dropped here, with up to three fences.
      },
      [&] {
        x = Buffer();
        device.reset();
        allocator.Poll();
        EXPECT_EQ(allocator.Stats().in_use_count, 0u);
        EXPECT_EQ(allocator.Stats().deferred_bytes, 0u);
      });
}

TEST(OutOfMemory, QueuedCopies) {
  CpuAllocator cpu;
  std::unique_ptr<Device> device;
  Buffer x, y;
  uint8_t host[64] = {1, 2, 3};
  Sweep(
      [&] {
        device = std::make_unique<Device>();
        const BufferOptions options{.zeroed = true, .immediate = true};
        x = *Buffer::Create(cpu, DType::kUInt8, Shape::Vector(64), options);
        y = *Buffer::Create(cpu, DType::kUInt8, Shape::Vector(64), options);
      },
      [&] {
        x.RecordUse(Access::kRead, device->fence(0)).IgnoreError();
        x.CopyInAsync(host, 64).status().IgnoreError();
        y.CopyFromAsync(x).status().IgnoreError();
        y.CopyOutAsync(host, 64).status().IgnoreError();
      },
      [&] {
        x.Synchronize().IgnoreError();
        y.Synchronize().IgnoreError();
        device.reset();
        EXPECT_OK(x.Seal());
        EXPECT_OK(y.Seal());
        x = Buffer();
        y = Buffer();
        cpu.Poll();
        EXPECT_EQ(cpu.Stats().in_use_count, 0u);
      });
}

}  // namespace
}  // namespace tenure
