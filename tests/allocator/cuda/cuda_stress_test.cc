// Many threads with streams of their own on one device: buffers come and go, are copied, filled and
// used by queued work, and every byte is as its last writer left it. And memory that two processes
// share.

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "gtest/gtest.h"
#include "tenure/allocator/cuda/cuda.h"
#include "tenure/allocator/cuda/stream.h"
#include "tenure/runtime/buffer.h"
#include "tenure/tests/allocator/cuda/test_gpu.h"
#include "tenure/tests/runtime/status_matchers.h"

extern char** environ;

namespace tenure::cuda {
namespace {

class CudaStress : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Gpus, CudaStress, testing::ValuesIn(TestGpu::Names()),
                         [](const auto& name) { return name.param; });

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
        absl::StatusOr<Fence> filled =
            one.buffer.FillAsync({&pattern, 1}, {.queue = stream->handle()});
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
  std::unique_ptr<TestGpu> gpu = TestGpu::Make(GetParam());
  {
    std::unique_ptr<Allocator> device = gpu->Make(SpaceKind::kCuda);
    std::unique_ptr<Allocator> unified = gpu->Make(SpaceKind::kCudaUnified);
    std::unique_ptr<Allocator> pinned = gpu->Make(SpaceKind::kCudaPinned);
    std::vector<std::thread> threads;
    const int steps = gpu->real() ? 2000 : 150;
    for (uint32_t t = 0; t < (gpu->real() ? 12 : 4); ++t) {
      threads.emplace_back([&, t] {
        // Host memory is touched by the host: kept to spaces where the device does it all.
        Worker(*gpu, {device.get(), device.get(), unified.get(), pinned.get()}, t + 1, steps);
      });
    }
    for (std::thread& thread : threads) thread.join();
    for (Allocator* space : {device.get(), unified.get(), pinned.get()}) {
      EXPECT_OK(space->Synchronize());
      EXPECT_EQ(space->Stats().in_use_bytes, 0u);
    }
    // Uses on the threads' streams may outlast them.
    for (int i = 0; i < 2000 && device->Stats().deferred_bytes + unified->Stats().deferred_bytes +
                                        pinned->Stats().deferred_bytes >
                                    0;
         ++i) {
      for (Allocator* space : {device.get(), unified.get(), pinned.get()}) space->Poll();
      absl::SleepFor(absl::Milliseconds(1));
    }
  }
  EXPECT_EQ(gpu->Complaints(), "");
  EXPECT_EQ(gpu->Close(), "");
}

// ------------------------------------------------------------------------------------------------
// two processes

constexpr char kFdVariable[] = "TENURE_TEST_SHARED_FD";
constexpr char kIpcVariable[] = "TENURE_TEST_SHARED_IPC";
constexpr uint64_t kSharedBytes = (uint64_t{5} << 20) + 100;

// In the other process, which the test below starts: the bytes are 0x21, and become 0x42.
TEST(CudaSharing, ChildChangesWhatItIsGiven) {
  const char* fd = std::getenv(kFdVariable);
  const char* ipc = std::getenv(kIpcVariable);
  if (fd == nullptr && ipc == nullptr) GTEST_SKIP() << "not the other process";
  std::unique_ptr<TestGpu> gpu = TestGpu::Make("Real");
  std::unique_ptr<Allocator> space = gpu->Make(SpaceKind::kCuda);
  auto* share = space->Capability<ShareCapability>();
  int number = -1;
  absl::StatusOr<ForeignMemory> memory =
      fd != nullptr && absl::SimpleAtoi(fd, &number)
          ? share->ImportFd(number, kSharedBytes)
          : share->ImportIpc(absl::HexStringToBytes(ipc), kSharedBytes);
  ASSERT_OK(memory);
  absl::StatusOr<Buffer> buffer =
      Buffer::Wrap(*space, DType::kUInt8, Shape::Vector(kSharedBytes), *memory, kSharedBytes);
  ASSERT_OK(buffer);
  std::vector<uint8_t> bytes(kSharedBytes);
  ASSERT_OK(buffer->CopyOut(bytes.data(), bytes.size()));
  EXPECT_EQ(bytes, std::vector<uint8_t>(kSharedBytes, 0x21));
  ASSERT_OK(buffer->FillWith<uint8_t>(0x42));
}

int RunChild(const std::string& setting) {
  std::vector<char*> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) environment.push_back(*entry);
  std::string copy = setting;
  environment.push_back(copy.data());
  environment.push_back(nullptr);
  std::string program = "/proc/self/exe", filter = "--gtest_filter=CudaSharing.ChildChanges*";
  char* arguments[] = {program.data(), filter.data(), nullptr};
  pid_t child = 0;
  if (posix_spawn(&child, program.c_str(), nullptr, nullptr, arguments, environment.data()) != 0) {
    return -1;
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST_P(CudaStress, AnotherProcessSeesSharedBytes) {
  std::unique_ptr<TestGpu> gpu = TestGpu::Make(GetParam());
  if (!gpu->real()) GTEST_SKIP() << "the fake lives in one process";
  std::unique_ptr<Allocator> space = gpu->Make(SpaceKind::kCuda);
  auto* share = space->Capability<ShareCapability>();
  for (const Sharing kind : {Sharing::kPosixFd, Sharing::kIpc}) {
    absl::StatusOr<Buffer> buffer = Buffer::Create(
        *space, DType::kUInt8, Shape::Vector(kSharedBytes), {.immediate = true, .sharing = kind});
    ASSERT_OK(buffer);
    ASSERT_OK(buffer->FillWith<uint8_t>(0x21));
    std::string setting;
    int fd = -1;
    if (kind == Sharing::kPosixFd) {
      absl::StatusOr<int> exported = share->ExportFd(buffer->storage()->root());
      ASSERT_OK(exported);
      fd = dup(*exported);  // without close-on-exec
      close(*exported);
      setting = std::string(kFdVariable) + "=" + std::to_string(fd);
    } else {
      absl::StatusOr<std::string> handle = share->ExportIpc(buffer->storage()->root());
      ASSERT_OK(handle);
      setting = std::string(kIpcVariable) + "=" + absl::BytesToHexString(*handle);
    }
    EXPECT_EQ(RunChild(setting), 0);
    if (fd >= 0) close(fd);
    std::vector<uint8_t> bytes(kSharedBytes);
    ASSERT_OK(buffer->CopyOut(bytes.data(), bytes.size()));
    EXPECT_EQ(bytes, std::vector<uint8_t>(kSharedBytes, 0x42));
  }
}

}  // namespace
}  // namespace tenure::cuda
