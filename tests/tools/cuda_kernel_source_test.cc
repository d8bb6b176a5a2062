// The source of the CUDA kernels, run on the host.

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tenure/tests/tools/kernel_cases.h"
#include "tenure/tests/tools/kernels_on_host.h"
#include "tenure/tools/trace/reference_kernel.h"
#include "tenure/tools/trace/strided_walk.h"

namespace tenure {
namespace {

using tenure_kernel::ApartWindow;
using tenure_kernel::OrderedWindow;

// Launches of a few blocks, and windows that end where their memory ends.
class HostKernels final : public KernelUnderTest {
 public:
  explicit HostKernels(unsigned blocks, unsigned threads) : blocks_(blocks), threads_(threads) {}

  absl::Status AddDigest(const Memory& memory, uint64_t offset, uint64_t size,
                         uint64_t& sum) override {
    const Copy copy(memory, offset + size);
    LaunchOnHost(blocks_, threads_, [&] { tenure_digest(copy.at(offset), size, &sum); });
    return absl::OkStatus();
  }

  absl::Status Fill(Memory& memory, uint64_t offset, uint64_t size, uint64_t seed) override {
    const Copy copy(memory, offset + size);
    const uint64_t part = 77;  // of the seed is on the device
    LaunchOnHost(blocks_, threads_,
                 [&] { tenure_fill(copy.at(offset), size, &part, seed - part); });
    copy.BackTo(memory);
    return absl::OkStatus();
  }

  absl::Status FillStrided(Memory& memory, uint64_t offset, uint64_t size, uint64_t seed,
                           const std::vector<uint64_t>& shape, const std::vector<uint64_t>& strides,
                           uint64_t item_bytes) override {
    const absl::StatusOr<StridedWalk> walk = PlanStridedWalk(size, shape, strides, item_bytes);
    if (!walk.ok()) return walk.status();
    const Copy copy(memory, offset + size);
    seed += walk->seed_plus;
    if (const auto* apart = std::get_if<ApartWindow>(&walk->window)) {
      LaunchOnHost(blocks_, threads_,
                   [&] { tenure_fill_apart(copy.at(offset), nullptr, seed, *apart); });
    }
    if (const auto* ordered = std::get_if<OrderedWindow>(&walk->window)) {
      LaunchOnHost(blocks_, 1,
                   [&] { tenure_fill_ordered(copy.at(offset), nullptr, seed, *ordered); });
    }
    copy.BackTo(memory);
    return absl::OkStatus();
  }

 private:
  // The first bytes of memory, aligned as on a device, with nothing behind them.
  class Copy {
   public:
    Copy(const Memory& memory, uint64_t size)
        : size_(size), bytes_(new (std::align_val_t{256}) uint8_t[size]) {
      std::copy_n(memory.begin(), size, bytes_);
    }
    ~Copy() { operator delete[](bytes_, std::align_val_t{256}); }
    Copy(const Copy&) = delete;
    Copy& operator=(const Copy&) = delete;
    uint8_t* at(uint64_t offset) const { return bytes_ + offset; }
    void BackTo(Memory& memory) const { std::copy_n(bytes_, size_, memory.begin()); }

   private:
    const uint64_t size_;
    uint8_t* const bytes_;
  };

  const unsigned blocks_, threads_;
};

class KernelSourceTest : public testing::TestWithParam<std::pair<unsigned, unsigned>> {
 protected:
  HostKernels kernels_{GetParam().first, GetParam().second};
};

TEST_P(KernelSourceTest, EverySizeAndOffset) { CheckEverySizeAndOffset(kernels_, 1); }
TEST_P(KernelSourceTest, LargeWindows) { CheckLargeWindows(kernels_, 40'000, 20); }
TEST_P(KernelSourceTest, KnownStrides) { CheckKnownStrides(kernels_); }
TEST_P(KernelSourceTest, RandomStrides) { CheckRandomStrides(kernels_, 400); }
TEST_P(KernelSourceTest, RefusedStrides) { CheckRefusedStrides(kernels_); }

INSTANTIATE_TEST_SUITE_P(Grids, KernelSourceTest,
                         testing::Values(std::pair(1u, 1u), std::pair(1u, 256u), std::pair(3u, 32u),
                                         std::pair(7u, 5u)),
                         [](const auto& param) {
                           return std::to_string(param.param.first) + "x" +
                                  std::to_string(param.param.second);
                         });

TEST(KernelSourceChainTest, IsThatOfTheHost) {
  const std::vector<uint8_t> a = {1, 2, 3}, b(100, 7);
  std::vector<uint64_t> chain, on_device(3);
  DigestReads(12, {a, b, a}, 1, &chain);
  const std::vector<uint64_t> digests = {Digest(a), Digest(b), Digest(a)};
  LaunchOnHost(1, 4, [&] { tenure_chain(Mix(13), digests.data(), 3, on_device.data()); });
  EXPECT_EQ(on_device, chain);
}

// A device's threads share the work: no window of this kind may fall to one block.
TEST(StridedWalkTest, ElementsThatShareNoBytesAreWrittenSideBySide) {
  const absl::StatusOr<StridedWalk> heads =
      PlanStridedWalk(4 * 3145728, {4, 12, 256, 64}, {196608, 64, 768, 1}, 4);
  ASSERT_TRUE(heads.ok()) << heads.status();
  const auto* apart = std::get_if<ApartWindow>(&heads->window);
  ASSERT_NE(apart, nullptr);
  EXPECT_EQ(apart->elements, 4u * 12 * 256 * 64);
  EXPECT_EQ(apart->dimensions[0].stride_bytes, 4u);

  // im2col: images and channels are apart, the 3x3 of one place too; places take turns.
  const absl::StatusOr<StridedWalk> im2col =
      PlanStridedWalk(4000, {2, 3, 9, 8, 3, 3}, {330, 110, 10, 1, 10, 1}, 4);
  ASSERT_TRUE(im2col.ok()) << im2col.status();
  const auto* ordered = std::get_if<OrderedWindow>(&im2col->window);
  ASSERT_NE(ordered, nullptr);
  EXPECT_EQ(ordered->outer, 6u);
  EXPECT_EQ(ordered->ordered, 72u);
  EXPECT_EQ(ordered->inner, 9u);
}

TEST(StridedWalkTest, TooManyDimensionsAreToldApart) {
  std::vector<uint64_t> shape(40, 2), strides(40, 1);
  EXPECT_EQ(PlanStridedWalk(1000, shape, strides, 1).status().code(),
            absl::StatusCode::kUnimplemented);
  shape.assign(22, 20);  // 20^22 elements: no 64-bit number
  strides.assign(22, 1);
  EXPECT_EQ(PlanStridedWalk(1000, shape, strides, 1).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace tenure
