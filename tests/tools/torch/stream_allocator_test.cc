// Memory that is freed while its stream still works on it. On a fake device, which complains of every use
// that nothing orders, and on a real one.

#include "tenure/tools/torch/stream_allocator.h"

#include <cstdint>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "tenure/tests/allocator/cuda/gpu_test.h"

namespace tenure::cuda {
namespace {

class StreamAllocatorTest : public GpuTest {
 protected:
  void* Take(StreamAllocator& memory, uint64_t size, const std::shared_ptr<DeviceStream>& stream) {
    absl::StatusOr<void*> data = memory.Allocate(size, stream);
    EXPECT_OK(data);
    return data.ok() ? *data : nullptr;
  }
  // A kernel that writes all of it.
  void Use(void* data, uint64_t size, DeviceStream& stream, uint8_t value) {
    gpu_->Write(stream.get(), reinterpret_cast<uint64_t>(data), size, value);
  }

  std::shared_ptr<DeviceStream> first_ = NewStream(), second_ = NewStream();
};
TENURE_ON_ALL_GPUS(StreamAllocatorTest);

TEST_P(StreamAllocatorTest, TheStreamGetsItsOwnMemoryBackAtOnce) {
  StreamAllocator memory(Space(kDeviceSpace));
  Hold(*first_);
  void* const data = Take(memory, kMiB, first_);
  Use(data, kMiB, *first_, 1);
  ASSERT_OK(memory.Free(data));
  void* const other = Take(memory, kMiB, second_);
  EXPECT_NE(other, data);
  void* const again = Take(memory, kMiB, first_);
  EXPECT_EQ(again, data);
  Use(again, kMiB, *first_, 2);
  EXPECT_OK(memory.Free(other));
  EXPECT_OK(memory.Free(again));
  gpu_->Release();
  EXPECT_OK(first_->Synchronize());
}

TEST_P(StreamAllocatorTest, AnotherStreamWaitsForIt) {
  // Room for one.
  StreamAllocator memory(
      Open(kDeviceSpace, {.max_reserved_bytes = 8 * kMiB, .max_wait = absl::ZeroDuration()}));
  Hold(*first_);
  void* const data = Take(memory, 5 * kMiB, first_);
  Use(data, 5 * kMiB, *first_, 1);
  ASSERT_OK(memory.Free(data));
  void* const other = Take(memory, 5 * kMiB, second_);
  ASSERT_NE(other, nullptr);
  Use(other, 5 * kMiB, *second_, 2);  // the fake complains if this is not ordered
  EXPECT_OK(memory.Free(other));
  gpu_->Release();
  EXPECT_OK(second_->Synchronize());
}

TEST_P(StreamAllocatorTest, AStreamThatIsRecordedIsWaitedForToo) {
  StreamAllocator memory(
      Open(kDeviceSpace, {.max_reserved_bytes = 8 * kMiB, .max_wait = absl::ZeroDuration()}));
  void* const data = Take(memory, 5 * kMiB, first_);
  Use(data, 5 * kMiB, *first_, 1);
  ASSERT_OK(second_->WaitFor(*first_->Record()));
  Hold(*second_);
  Use(data, 5 * kMiB, *second_, 2);
  ASSERT_OK(memory.RecordStream(data, second_));
  ASSERT_OK(memory.RecordStream(data, second_));
  ASSERT_OK(memory.Free(data));
  void* const again = Take(memory, 5 * kMiB, first_);
  ASSERT_NE(again, nullptr);
  Use(again, 5 * kMiB, *first_, 3);
  EXPECT_OK(memory.Free(again));
  gpu_->Release();
  EXPECT_OK(first_->Synchronize());
}

TEST_P(StreamAllocatorTest, WhatIsNotItsOwnIsRefused) {
  StreamAllocator memory(Space(kDeviceSpace));
  EXPECT_EQ(Take(memory, 0, first_), nullptr);
  EXPECT_OK(memory.Free(nullptr));
  void* const data = Take(memory, 100, first_);
  EXPECT_EQ(memory.Free(static_cast<char*>(data) + 1).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(memory.RecordStream(&memory, first_).code(), absl::StatusCode::kNotFound);
  EXPECT_OK(memory.Free(data));
  EXPECT_EQ(memory.Free(data).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(memory.Allocate(uint64_t{1} << 60, first_).status().code(),
            absl::StatusCode::kResourceExhausted);
}

TEST_P(StreamAllocatorTest, ThreadsWithStreamsOfTheirOwn) {
  Allocator& space = Open(kDeviceSpace, {.max_reserved_bytes = 64 * kMiB});
  StreamAllocator memory(space);
  std::vector<std::thread> threads;
  for (uint32_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(t);
      const std::shared_ptr<DeviceStream> stream = NewStream();
      std::vector<void*> live;
      for (int i = 0; i < 300; ++i) {
        const uint64_t size = 1 + random() % kMiB;
        void* const data = Take(memory, size, stream);
        ASSERT_NE(data, nullptr);
        Use(data, size, *stream, static_cast<uint8_t>(i));
        live.push_back(data);
        if (live.size() > 8) {
          const size_t which = random() % live.size();
          EXPECT_OK(memory.Free(live[which]));
          live.erase(live.begin() + static_cast<ptrdiff_t>(which));
        }
      }
      for (void* data : live) EXPECT_OK(memory.Free(data));
      EXPECT_OK(stream->Synchronize());
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(space.Stats().in_use_bytes, 0u);
}

}  // namespace
}  // namespace tenure::cuda
