// Many threads with streams of their own on one device: buffers come and go, are copied, filled and
// used by queued work, and every byte is as its last writer left it.

#include <cstring>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "tenure/tests/allocator/cuda/gpu_test.h"

namespace tenure::cuda {
namespace {

class CudaStress : public GpuTest {};
TENURE_ON_ALL_GPUS(CudaStress);

struct Kept {
  Buffer buffer;
  uint8_t value = 0;  // of every byte
};

void Worker(TestGpu& gpu, std::vector<Allocator*> spaces, uint32_t seed, int steps) {
  std::mt19937 random(seed);
  std::vector<std::shared_ptr<DeviceStream>> streams;
  for (int i = 0; i < 3; ++i) streams.push_back(*DeviceStream::Create(gpu.device()));
  std::vector<Kept> kept;
  std::vector<uint8_t> host;
  for (int step = 0; step < steps; ++step) {
    const auto pick = [&](size_t n) { return random() % n; };
    const std::shared_ptr<DeviceStream>& stream = streams[pick(3)];
    if (kept.size() < 4 || (kept.size() < 24 && pick(3) == 0)) {
      const uint64_t size = 1 + random() % (pick(8) == 0 ? 3000000 : 60000);
      absl::StatusOr<Buffer> made =
          Buffer::Create(*spaces[pick(spaces.size())], DType::kUInt8, Shape::Vector(size));
      ASSERT_OK(made);
      const auto value = static_cast<uint8_t>(random());
      const std::byte pattern{value};
      absl::StatusOr<Fence> filled = made->FillAsync({&pattern, 1});
      ASSERT_OK(filled);
      kept.push_back({*made, value});
      continue;
    }
    Kept& one = kept[pick(kept.size())];
    switch (pick(6)) {
      case 0: {  // a kernel that takes its time uses it
        gpu.Busy(stream->get(), absl::Microseconds(static_cast<int>(pick(300))));
        absl::StatusOr<Fence> done = stream->Record();
        ASSERT_OK(done);
        ASSERT_OK(one.buffer.RecordUse(pick(2) == 0 ? Access::kRead : Access::kWrite, *done));
        break;
      }
      case 1: {  // goes, used or not
        std::swap(one, kept.back());
        kept.pop_back();
        break;
      }
      case 2: {  // in its stream's order
        const auto value = static_cast<uint8_t>(random());
        const std::byte pattern{value};
        absl::StatusOr<Fence> filled = one.buffer.FillAsync({&pattern, 1}, {.queue = stream.get()});
        ASSERT_OK(filled);
        one.value = value;
        break;
      }
      case 3: {
        Kept& other = kept[pick(kept.size())];
        if (&other == &one) break;
        absl::StatusOr<Buffer> made = Buffer::Create(other.buffer.allocator(), DType::kUInt8,
                                                     Shape::Vector(one.buffer.size()));
        ASSERT_OK(made);
        ASSERT_OK(made->CopyFromAsync(one.buffer));
        other = {*made, one.value};
        break;
      }
      default: {
        host.assign(one.buffer.size(), static_cast<uint8_t>(~one.value));
        if (pick(2) == 0) {
          ASSERT_OK(one.buffer.CopyOut(host.data(), host.size()));
        } else {
          absl::StatusOr<Fence> out = one.buffer.CopyOutAsync(host.data(), host.size());
          ASSERT_OK(out);
          ASSERT_OK(out->Wait());
        }
        for (const uint8_t byte : host) ASSERT_EQ(byte, one.value);
        break;
      }
    }
  }
}

TEST_P(CudaStress, ThreadsAndStreamsKeepTheirBytes) {
  Allocator &device = Space(kDeviceSpace), &unified = Space(kUnifiedSpace),
            &pinned = Space(kPinnedSpace);
  std::vector<std::thread> threads;
  const int steps = gpu_->real() ? 2000 : 150;
  for (uint32_t t = 0; t < (gpu_->real() ? 12 : 4); ++t) {
    threads.emplace_back([&, t] {
      // Host memory is touched by the host: kept to spaces where the device does it all.
      Worker(*gpu_, {&device, &device, &unified, &pinned}, t + 1, steps);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (Allocator* space : {&device, &unified, &pinned}) {
    EXPECT_OK(space->Synchronize());
    EXPECT_EQ(space->Stats().in_use_bytes, 0u);
  }
}

}  // namespace
}  // namespace tenure::cuda
