// Memory that two processes share: buffers, and arenas with what a plan has placed in them. The
// other process is this program once more.

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tenure/allocator/cuda/cuda.h"
#include "tenure/planner/planner.h"
#include "tenure/tests/allocator/cuda/gpu_test.h"
#include "tenure/tests/testing/run_again.h"

namespace tenure::cuda {
namespace {

// KIND:HANDLE:FILE, the bytes that are to be seen in a file: fd:7:/tmp/... or ipc:0a1b...:/tmp/...
constexpr char kVariable[] = "TENURE_TEST_SHARED";
constexpr uint64_t kSharedBytes = 5 * kMiB + 100;

void Invert(std::vector<uint8_t>* bytes) {
  for (uint8_t& byte : *bytes) byte = static_cast<uint8_t>(~byte);
}

class CudaSharing : public GpuTest {
 protected:
  // Another process sees these bytes in the allocation, and inverts them.
  void ChangeInAnotherProcess(const Allocation& root, Sharing kind, std::vector<uint8_t> bytes) {
    auto* share = Space(kDeviceSpace).Capability<ShareCapability>();
    const std::string path = testing::TempDir() + "/cuda_sharing_test_" + std::to_string(getpid());
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
    std::string handle;
    int fd = -1;
    if (kind == Sharing::kPosixFd) {
      absl::StatusOr<int> exported = share->ExportFd(root);
      ASSERT_OK(exported);
      fd = dup(*exported);  // without close-on-exec
      close(*exported);
      handle = absl::StrCat("fd:", fd);
    } else {
      absl::StatusOr<std::string> exported = share->ExportIpc(root);
      ASSERT_OK(exported);
      handle = absl::StrCat("ipc:", absl::BytesToHexString(*exported));
    }
    EXPECT_EQ(RunAgain(absl::StrCat(kVariable, "=", handle, ":", path), "CudaSharingChild.*"), 0);
    if (fd >= 0) close(fd);
    unlink(path.c_str());
  }
};
TENURE_ON_ALL_GPUS(CudaSharing);

// In the other process.
TEST(CudaSharingChild, InvertsWhatItIsGiven) {
  const char* setting = std::getenv(kVariable);
  if (setting == nullptr) GTEST_SKIP() << "not the other process";
  const std::vector<std::string> parts = absl::StrSplit(setting, absl::MaxSplits(':', 2));
  ASSERT_EQ(parts.size(), 3u) << setting;
  std::ifstream file(parts[2], std::ios::binary);
  std::vector<uint8_t> expected((std::istreambuf_iterator<char>(file)),
                                std::istreambuf_iterator<char>());
  ASSERT_FALSE(expected.empty());
  std::unique_ptr<TestGpu> gpu = TestGpu::Make("Real");
  std::unique_ptr<Allocator> space = gpu->Make(kDeviceSpace);
  auto* share = space->Capability<ShareCapability>();
  int number = -1;
  absl::StatusOr<ForeignMemory> memory =
      parts[0] == "fd" && absl::SimpleAtoi(parts[1], &number)
          ? share->ImportFd(number, expected.size())
          : share->ImportIpc(absl::HexStringToBytes(parts[1]), expected.size());
  ASSERT_OK(memory);
  absl::StatusOr<Buffer> buffer =
      Buffer::Wrap(*space, DType::kUInt8, Shape::Vector(expected.size()), *memory, expected.size());
  ASSERT_OK(buffer);
  ASSERT_TRUE(BytesOf(*buffer) == expected);
  Invert(&expected);
  ASSERT_OK(buffer->CopyIn(expected.data(), expected.size()));
}

TEST_P(CudaSharing, AnotherProcessSeesSharedBytes) {
  if (!gpu_->real()) GTEST_SKIP() << "the fake lives in one process";
  for (const Sharing kind : {Sharing::kPosixFd, Sharing::kIpc}) {
    std::vector<uint8_t> bytes = Pattern(kSharedBytes);
    const Buffer buffer =
        Make(Space(kDeviceSpace), kSharedBytes, {.immediate = true, .hints = {.sharing = kind}});
    ASSERT_OK(buffer.CopyIn(bytes.data(), bytes.size()));
    ChangeInAnotherProcess(buffer.storage()->root(), kind, bytes);
    Invert(&bytes);
    EXPECT_TRUE(BytesOf(buffer) == bytes);
  }
}

// The arena is shared as a whole; what is placed in it, at its offset.
TEST_P(CudaSharing, AnotherProcessSeesWhatIsPlacedInASharedArena) {
  if (!gpu_->real()) GTEST_SKIP() << "the fake lives in one process";
  Allocator& space = Space(kDeviceSpace);
  for (const Sharing kind : {Sharing::kPosixFd, Sharing::kIpc}) {
    Schedule schedule;
    std::vector<Buffer> made;
    for (const char* name : {"a", "b"}) {
      made.push_back(Make(space, kSharedBytes, {.name = name}));
    }
    ASSERT_OK(schedule.AddStep({.writes = {made[0]}}));
    ASSERT_OK(schedule.AddStep({.reads = {made[0]}, .writes = {made[1]}}));
    ASSERT_OK(schedule.AddStep({.reads = {made[1]}}));
    made.clear();
    absl::StatusOr<Plan> plan = MakePlan(schedule);
    ASSERT_OK(plan);
    absl::StatusOr<PlacedPlan> placed = PlacePlan(*plan, schedule, {.sharing = kind});
    ASSERT_OK(placed);
    ASSERT_EQ(placed->arenas.size(), 1u);
    const Buffer& arena = placed->arenas[0];
    ASSERT_GE(arena.size(), 2 * kSharedBytes);
    // What lies between them is as it is.
    ASSERT_OK(arena.FillWith<uint8_t>(0x5a));
    std::vector<uint8_t> expected(arena.size(), 0x5a);
    for (uint8_t i = 0; i < 2; ++i) {
      const Buffer& buffer = schedule.steps()[i].writes[0];
      const std::vector<uint8_t> bytes = Pattern(kSharedBytes, i);
      ASSERT_OK(buffer.CopyIn(bytes.data(), bytes.size()));
      std::copy(bytes.begin(), bytes.end(),
                expected.begin() + static_cast<int64_t>(AddressOf(buffer) - AddressOf(arena)));
    }
    ChangeInAnotherProcess(arena.storage()->root(), kind, expected);
    for (uint8_t i = 0; i < 2; ++i) {
      std::vector<uint8_t> bytes = Pattern(kSharedBytes, i);
      Invert(&bytes);
      EXPECT_TRUE(BytesOf(schedule.steps()[i].writes[0]) == bytes) << int{i};
    }
  }
}

}  // namespace
}  // namespace tenure::cuda
