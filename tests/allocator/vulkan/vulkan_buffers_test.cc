// Buffers in Vulkan's spaces, as a scheduler uses them: lazy, viewed, sealed, mapped, released while
// queues work. On Mesa's CPU driver, or on a GPU (cpu_device.h).

#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tenure/allocator/cpu/cpu_allocator.h"
#include "tenure/allocator/mmap/mmap_allocator.h"
#include "tenure/runtime/buffer.h"
#include "tenure/runtime/mapping.h"
#include "tenure/tests/allocator/vulkan/cpu_device.h"
#include "tenure/tests/testing/status_matchers.h"
#include "tenure/tests/testing/test_buffers.h"

namespace tenure::vulkan {
namespace {

class VulkanBuffers : public testing::TestWithParam<const char*> {
 protected:
  VulkanBuffers() {
    for (SpaceKind kind : {kDeviceSpace, kUploadSpace, kReadbackSpace}) {
      if (kind.name() == GetParam()) space_ = CpuDevice::Get().Make(kind);
    }
  }
  bool HostReaches() const { return space_->traits().host_readable; }

  std::unique_ptr<Allocator> space_;
};

TEST_P(VulkanBuffers, AreAllocatedWhenTheyAreUsed) {
  const uint64_t before = space_->Stats().in_use_count;
  absl::StatusOr<Buffer> huge =
      Buffer::Create(*space_, DType::kUInt8, Shape::Vector(int64_t{1} << 45));
  ASSERT_OK(huge);
  const Buffer part = *huge->View(uint64_t{1} << 40, 100);
  EXPECT_EQ(part.offset(), uint64_t{1} << 40);
  EXPECT_EQ(space_->Stats().in_use_count, before);
  uint8_t byte = 0;
  EXPECT_CODE(ResourceExhausted, part.CopyOutAt(0, &byte, 1));
  const Buffer small = Make(*space_, 1000, {});
  EXPECT_EQ(space_->Stats().in_use_count, before);
  EXPECT_NE(AddressOf(small), 0u);
  EXPECT_EQ(space_->Stats().in_use_count, before + 1);
}

TEST_P(VulkanBuffers, ViewsAndOtherDTypesShareBytes) {
  const std::vector<uint8_t> bytes = Pattern(4096);
  const Buffer buffer = Filled(*space_, bytes);
  const Buffer floats = *buffer.View(64, DType::kFloat32, Shape::Vector(16));
  const std::byte value{0x40};
  ASSERT_OK(floats.Fill(absl::MakeConstSpan(&value, 1)));
  std::vector<uint8_t> expected = bytes;
  std::fill(expected.begin() + 64, expected.begin() + 128, uint8_t{0x40});
  EXPECT_EQ(BytesOf(buffer), expected);
  EXPECT_EQ(*floats.DeviceAddress(), *buffer.DeviceAddress() + 64);
}

TEST_P(VulkanBuffers, BytesMoveToAndFromOtherSpaces) {
  CpuAllocator cpu;
  const std::string path = testing::TempDir() + "/vulkan_buffers_file";
  for (const uint64_t size : {uint64_t{1}, uint64_t{1000}, uint64_t{3} << 20}) {
    const std::vector<uint8_t> bytes = Pattern(size, size);
    const Buffer host = Filled(cpu, bytes), back = Make(cpu, size), there = Make(*space_, size);
    ASSERT_OK(there.CopyFrom(host));
    ASSERT_OK(back.CopyFrom(there));
    EXPECT_TRUE(BytesOf(back) == bytes);
    FILE* file = fopen(path.c_str(), "wb");
    ASSERT_NE(file, nullptr);
    ASSERT_EQ(fwrite(bytes.data(), 1, size, file), size);
    fclose(file);
    absl::StatusOr<std::unique_ptr<MmapAllocator>> disk = MmapAllocator::Open(path);
    ASSERT_OK(disk);
    absl::StatusOr<Buffer> window = Buffer::FromFile(**disk, DType::kUInt8, Shape::Vector(size), 0);
    ASSERT_OK(window);
    const Buffer read = Make(*space_, size);
    ASSERT_OK(read.CopyFrom(*window));
    EXPECT_TRUE(BytesOf(read) == bytes);
  }
  EXPECT_CODE(Unimplemented, Buffer::FromFile(*space_, DType::kUInt8, Shape::Vector(1), 0));
}

TEST_P(VulkanBuffers, AsynchronousCopiesAreExactWhenTheirFenceIsReached) {
  for (const uint64_t size : {uint64_t{1000}, uint64_t{5} << 20}) {
    const std::vector<uint8_t> bytes = Pattern(size);
    std::vector<uint8_t> out(size);
    const Buffer a = Make(*space_, size), b = Make(*space_, size);
    ASSERT_OK(a.CopyInAsync(bytes.data(), size));
    ASSERT_OK(b.CopyFromAsync(a));
    const absl::StatusOr<Fence> done = b.CopyOutAsync(out.data(), size);
    ASSERT_OK(done);
    ASSERT_OK(done->Wait());
    EXPECT_TRUE(out == bytes);
  }
}

TEST_P(VulkanBuffers, HostAccessIsWhereTheHostCanReach) {
  const Buffer buffer = Filled(*space_, Pattern(64));
  const bool coherent = space_->traits().coherence_atom_bytes <= 1;
  if (!HostReaches()) {
    EXPECT_CODE(Unimplemented, buffer.As<uint8_t>());
    EXPECT_CODE(Unimplemented, buffer.Map(Access::kRead));
    return;
  }
  absl::StatusOr<Mapping> mapping = buffer.Map(Access::kWrite);
  ASSERT_OK(mapping);
  (*mapping->MutableBytes())[3] = std::byte{99};
  mapping->Unmap();
  EXPECT_EQ(BytesOf(buffer)[3], 99);
  if (!coherent) return;
  auto span = buffer.As<uint8_t>();
  ASSERT_OK(span);
  EXPECT_EQ((*span)[3], 99);
}

TEST_P(VulkanBuffers, ElementsAreReadAndWrittenInEverySpace) {
  absl::StatusOr<Buffer> made = Buffer::Create(*space_, DType::kInt32, Shape::Vector(100));
  ASSERT_OK(made);
  ASSERT_OK(made->FillWith<int32_t>(-7));
  ASSERT_OK(made->Set<int32_t>({42}, 1234));
  EXPECT_EQ(*made->Get<int32_t>({42}), 1234);
  EXPECT_EQ(*made->Get<int32_t>({41}), -7);
}

TEST_P(VulkanBuffers, SealedBuffersAreNotWritten) {
  const Buffer buffer = Filled(*space_, Pattern(64));
  ASSERT_OK(buffer.Seal());
  const std::byte value{1};
  uint8_t byte = 0;
  EXPECT_CODE(FailedPrecondition, buffer.Fill(absl::MakeConstSpan(&value, 1)));
  EXPECT_CODE(FailedPrecondition, buffer.CopyInAt(0, &byte, 1));
  EXPECT_EQ(BytesOf(buffer), Pattern(64));
}

TEST_P(VulkanBuffers, ZeroedBuffersReadAsZeros) {
  for (int i = 0; i < 3; ++i) {
    const Buffer used = Filled(*space_, std::vector<uint8_t>(5000, 7));
    Buffer zeroed = Make(*space_, 5000, {.zeroed = true, .immediate = true});
    EXPECT_TRUE(AllAre(zeroed, 0));
  }
}

INSTANTIATE_TEST_SUITE_P(Spaces, VulkanBuffers,
                         testing::Values("vulkan", "vulkan-upload", "vulkan-readback"),
                         [](const auto& kind) {
                           std::string name = kind.param;
                           name.erase(std::remove(name.begin(), name.end(), '-'), name.end());
                           return name;
                         });

}  // namespace
}  // namespace tenure::vulkan
