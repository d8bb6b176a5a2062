// Raw, structured and typed views of Vulkan's buffers: on a card that FakeCard plays, whose limits are
// small, and on Mesa's CPU driver.

#include <cstring>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "tenure/allocator/cpu/cpu_allocator.h"
#include "tenure/allocator/decorators/limiting.h"
#include "tenure/allocator/vulkan/append_counter.h"
#include "tenure/allocator/vulkan/buffer_views.h"
#include "tenure/runtime/buffer.h"
#include "tenure/tests/allocator/vulkan/card_test.h"
#include "tenure/tests/allocator/vulkan/cpu_device.h"
#include "tenure/tests/testing/test_buffers.h"

namespace tenure::vulkan {
namespace {

constexpr auto kFormat = TexelFormat::kR32Float;

SubRegion RegionOf(const Buffer& buffer) {
  const Storage& storage = *buffer.storage();
  return {&storage.root(), storage.root_offset() + buffer.offset(), buffer.size()};
}

absl::StatusOr<std::shared_ptr<const TexelView>> TypedOf(const Buffer& buffer,
                                                         TexelFormat format = kFormat) {
  return BindTyped(buffer.allocator(), RegionOf(buffer), format);
}

class VulkanViews : public CardTest {
 protected:
  explicit VulkanViews(FakeCardOptions options = {}) : CardTest(std::move(options)) {}
  uint64_t Views() const { return card_.Live("VkBufferView"); }
  std::unique_ptr<Allocator> space_ = MakeSpace(kDeviceSpace);
};

TEST_F(VulkanViews, TheSameWindowAndFormatIsTheSameView) {
  const Buffer buffer = Make(*space_, 4096);
  absl::StatusOr<std::shared_ptr<const TexelView>> view = TypedOf(buffer);
  ASSERT_OK(view);
  EXPECT_NE((*view)->handle(), 0u);
  EXPECT_EQ((*view)->format(), kFormat);
  EXPECT_EQ((*view)->count(), 1024u);
  EXPECT_EQ(*TypedOf(buffer), *view);
  EXPECT_EQ(*TypedOf(*buffer.View(0, 4096)), *view);
  EXPECT_NE(*TypedOf(buffer, TexelFormat::kR32Uint), *view);
  EXPECT_NE(*TypedOf(*buffer.View(0, 2048)), *view);
  EXPECT_NE(*TypedOf(*buffer.View(1024, 1024)), *view);
  EXPECT_EQ(Views(), 4u);
}

TEST_F(VulkanViews, AViewEndsWithItsAllocation) {
  Buffer buffer = Make(*space_, 4096);
  const Buffer other = Make(*space_, 4096);
  absl::StatusOr<std::shared_ptr<const TexelView>> view = TypedOf(buffer);
  ASSERT_OK(TypedOf(*buffer.View(512, 512)));
  ASSERT_OK(TypedOf(other));
  ASSERT_OK(view);
  EXPECT_EQ(Views(), 3u);
  buffer = Buffer();
  EXPECT_EQ(Views(), 1u);
  EXPECT_EQ((*view)->handle(), 0u);
  // The next allocation has the same bytes, and a view of its own.
  buffer = Make(*space_, 4096);
  ASSERT_OK(TypedOf(buffer));
  EXPECT_NE((*TypedOf(buffer))->handle(), 0u);
}

TEST_F(VulkanViews, AViewLivesUntilTheDeviceHasDoneWithItsBytes) {
  Buffer buffer = Make(*space_, 4096);
  const std::shared_ptr<DeviceQueue> queue = MakeQueue();
  ASSERT_OK(TypedOf(buffer));
  card_.Hold();
  absl::StatusOr<Fence> done = queue->Record();
  ASSERT_OK(done);
  ASSERT_OK(buffer.RecordUse(Access::kWrite, *done));
  buffer = Buffer();
  space_->Poll();
  EXPECT_EQ(Views(), 1u);
  card_.ReleaseHeld();
  ASSERT_OK(done->Wait());
  space_->Poll();
  EXPECT_EQ(Views(), 0u);
}

// The bytes are used again while the device still works on them. The views of the first user stay.
TEST_F(VulkanViews, AViewOutlivesTheReuseOfItsBytesByTheSameQueue) {
  const std::shared_ptr<DeviceQueue> queue = MakeQueue();
  BufferOptions options{.immediate = true};
  options.hints.queue = queue;
  const uint64_t slab = uint64_t{16} << 20;
  Buffer buffer = Make(*space_, slab, options);
  ASSERT_OK(TypedOf(buffer));
  const uint64_t address = AddressOf(buffer);
  card_.Hold();
  absl::StatusOr<Fence> done = queue->Record();
  ASSERT_OK(done);
  ASSERT_OK(buffer.RecordUse(Access::kWrite, *done));
  buffer = Buffer();
  Buffer next = Make(*space_, slab, options);
  EXPECT_EQ(AddressOf(next), address);
  EXPECT_EQ(Views(), 1u);
  card_.ReleaseHeld();
  ASSERT_OK(done->Wait());
  next = Buffer();
  space_->Poll();
  EXPECT_EQ(Views(), 0u);
}

TEST_F(VulkanViews, TrimmingEndsViewsThatNobodyHolds) {
  const Buffer buffer = Make(*space_, 4096);
  absl::StatusOr<std::shared_ptr<const TexelView>> held = TypedOf(buffer);
  ASSERT_OK(held);
  ASSERT_OK(TypedOf(buffer, TexelFormat::kR8Uint));
  ASSERT_OK(TypedOf(buffer, TexelFormat::kRg16Float));
  EXPECT_EQ(TrimTexelViews(*space_), 2u);
  EXPECT_EQ(Views(), 1u);
  EXPECT_NE((*held)->handle(), 0u);
  *held = nullptr;
  EXPECT_EQ(TrimTexelViews(*space_), 1u);
  EXPECT_EQ(Views(), 0u);
}

TEST_F(VulkanViews, WindowsThatTheDeviceCantBindAreRefused) {
  const Buffer buffer = Make(*space_, 4096);
  const SubRegion all = RegionOf(buffer);
  const auto typed = [&](uint64_t offset, uint64_t size, TexelFormat format = kFormat) {
    return BindTyped(*space_, {all.allocation, offset, size}, format).status();
  };
  const auto raw = [&](uint64_t offset, uint64_t size, uint64_t element = 1) {
    return Bind(*space_, {all.allocation, offset, size}, element).status();
  };
  EXPECT_CODE(InvalidArgument, typed(4, 64));    // texels begin at multiples of 64
  EXPECT_CODE(InvalidArgument, typed(0, 63));    // no whole texels
  EXPECT_CODE(InvalidArgument, typed(0, 0));     // nothing
  EXPECT_CODE(InvalidArgument, typed(0, 4160));  // beyond the end
  EXPECT_CODE(InvalidArgument, typed(~uint64_t{63}, 128));
  EXPECT_CODE(InvalidArgument, typed(64, ~uint64_t{63}));
  EXPECT_CODE(InvalidArgument, typed(0, 64, static_cast<TexelFormat>(0)));
  EXPECT_CODE(InvalidArgument, raw(4, 64));
  EXPECT_CODE(InvalidArgument, raw(0, 0));
  EXPECT_CODE(InvalidArgument, raw(~uint64_t{63}, 128));
  EXPECT_CODE(InvalidArgument, raw(0, 64, 0));
  EXPECT_CODE(InvalidArgument, raw(0, 64, 12));
  EXPECT_CODE(InvalidArgument, Bind(*space_, SubRegion()));
  EXPECT_CODE(InvalidArgument, BindTyped(*space_, SubRegion(), kFormat));
  CpuAllocator cpu;
  const Buffer host = Make(cpu, 64);
  EXPECT_CODE(Unimplemented, TypedOf(host));
  EXPECT_CODE(Unimplemented, Bind(cpu, RegionOf(host)));
  EXPECT_EQ(TrimTexelViews(cpu), 0u);
  EXPECT_EQ(Views(), 0u);
}

TEST_F(VulkanViews, ATypedViewHasNoMoreTexelsThanTheDevicePermits) {
  const Buffer buffer = Make(*space_, (uint64_t{1} << 24) + 64);
  EXPECT_CODE(OutOfRange, TypedOf(buffer, TexelFormat::kR8Uint));
  EXPECT_OK(TypedOf(*buffer.View(64, 1 << 24), TexelFormat::kR8Uint));
  EXPECT_OK(TypedOf(buffer, TexelFormat::kR32Uint));
}

TEST_F(VulkanViews, LargeWindowsAreBoundInPartsOfWholeElements) {
  const uint64_t most = space_->traits().max_binding_bytes;
  const uint64_t stride = 12, size = (2 * most + (uint64_t{5} << 20)) / stride * stride;
  const Buffer buffer = Make(*space_, 256 + size);
  const SubRegion all = RegionOf(buffer), region{all.allocation, 256, size};
  EXPECT_CODE(OutOfRange, Bind(*space_, region, stride));
  absl::StatusOr<std::vector<BindingPart>> parts = BindInParts(*space_, region, stride);
  ASSERT_OK(parts);
  EXPECT_EQ(parts->size(), 3u);
  uint64_t done = 0;
  for (const BindingPart& part : *parts) {
    EXPECT_EQ(part.buffer, all.allocation->native_handle);
    EXPECT_EQ(part.offset_bytes, all.allocation->native_offset + 256 + done);
    EXPECT_EQ(part.offset_bytes % 64, 0u);
    EXPECT_EQ(part.first_element * stride, done);
    EXPECT_LE(part.size_bytes, most);
    EXPECT_EQ(part.size_bytes % stride, 0u);
    done += part.size_bytes;
  }
  EXPECT_EQ(done, size);
  // What can be bound as a whole is one part, whatever its elements.
  EXPECT_OK(Bind(*space_, {all.allocation, 256, most / stride * stride}, stride));
  EXPECT_OK(Bind(*space_, {all.allocation, 256, most}));
  // Elements that can't be divided at aligned places: only the address is left.
  EXPECT_CODE(OutOfRange, BindInParts(*space_, {all.allocation, 0, most + 64 + 1}, most + 64 + 1));
}

TEST_F(VulkanViews, ADecoratedAllocatorHasViewsToo) {
  LimitingAllocator limited(MakeSpace(kUploadSpace), uint64_t{1} << 20);
  Buffer buffer = Make(limited, 4096);
  EXPECT_OK(Bind(limited, RegionOf(buffer), 16));
  EXPECT_OK(TypedOf(buffer));
  EXPECT_EQ(*TypedOf(buffer), *TypedOf(buffer));
  EXPECT_EQ(TrimTexelViews(limited), 1u);
  ASSERT_OK(TypedOf(buffer));
  buffer = Buffer();
  EXPECT_EQ(Views(), 0u);
}

TEST_F(VulkanViews, ImportedMemoryHasViewsThatEndWithIt) {
  CpuAllocator cpu;
  const Buffer host = Make(cpu, 8192);
  const auto address = reinterpret_cast<uint64_t>(*host.MutableHostPointer());
  auto* const page = reinterpret_cast<void*>((address + 4095) / 4096 * 4096);
  absl::StatusOr<Buffer> wrapped =
      Buffer::Wrap(*space_, DType::kUInt8, Shape::Vector(4096), {.data = page}, 4096);
  ASSERT_OK(wrapped);
  ASSERT_OK(TypedOf(*wrapped));
  EXPECT_EQ(Views(), 1u);
  *wrapped = Buffer();
  EXPECT_EQ(Views(), 0u);
}

TEST_F(VulkanViews, AFailedCallLeavesNothing) {
  const Buffer buffer = Make(*space_, 4096);
  card_.FailCall("vkCreateBufferView", VK_ERROR_OUT_OF_DEVICE_MEMORY);
  EXPECT_CODE(ResourceExhausted, TypedOf(buffer));
  EXPECT_EQ(Views(), 0u);
  EXPECT_OK(TypedOf(buffer));
}

VKAPI_ATTR void VKAPI_CALL WithoutFloats(VkPhysicalDevice device, VkFormat format,
                                         VkFormatProperties2* properties) {
  static const auto real =
      reinterpret_cast<PFN_vkGetPhysicalDeviceFormatProperties2>((*OpenLoader())(
          CpuDevice::Get().instance()->handle(), "vkGetPhysicalDeviceFormatProperties2"));
  real(device, format, properties);
  if (format == VK_FORMAT_R32_SFLOAT) {
    properties->formatProperties.bufferFeatures &=
        ~VkFormatFeatureFlags{VK_FORMAT_FEATURE_STORAGE_TEXEL_BUFFER_BIT};
  }
}
VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL LoaderWithoutFloats(VkInstance instance,
                                                             const char* name) {
  if (std::strcmp(name, "vkGetPhysicalDeviceFormatProperties2") == 0) {
    return reinterpret_cast<PFN_vkVoidFunction>(&WithoutFloats);
  }
  return (*OpenLoader())(instance, name);
}

class VulkanViewsWithoutFloats : public VulkanViews {
 protected:
  static FakeCardOptions Options() {
    CpuDevice::Get();
    FakeCardOptions options;
    options.loader = &LoaderWithoutFloats;
    return options;
  }
  VulkanViewsWithoutFloats() : VulkanViews(Options()) {}
};

TEST_F(VulkanViewsWithoutFloats, AFormatThatTheDeviceLacksIsNamed) {
  const Buffer buffer = Make(*space_, 4096);
  const absl::Status status = TypedOf(buffer, TexelFormat::kR32Float).status();
  EXPECT_CODE(Unimplemented, status);
  EXPECT_NE(status.message().find("storage texel buffers of VkFormat 100"), std::string::npos)
      << status;
  EXPECT_OK(TypedOf(buffer, TexelFormat::kR32Uint));
}

TEST_F(VulkanViews, ACounterIsResetAndRead) {
  const std::shared_ptr<DeviceQueue> queue = MakeQueue();
  for (SpaceKind kind : {kDeviceSpace, kUploadSpace, kReadbackSpace}) {
    const std::unique_ptr<Allocator> space = MakeSpace(kind);
    absl::StatusOr<std::unique_ptr<AppendCounter>> counter = AppendCounter::Create(*space);
    ASSERT_OK(counter);
    EXPECT_EQ((*counter)->region().size_bytes, 4u);
    EXPECT_OK(Bind(*space, (*counter)->region(), 4));
    EXPECT_EQ(*(*counter)->Read(), 0u);
    ASSERT_OK((*counter)->Reset(0x12345678));
    EXPECT_EQ(*(*counter)->Read(), 0x12345678u);
    ASSERT_OK((*counter)->Reset(7, queue.get()));
    EXPECT_EQ(*(*counter)->Read(queue.get()), 7u);
    ASSERT_OK((*counter)->Reset(9, queue.get()));
    EXPECT_EQ(*(*counter)->Read(), 9u);
  }
}

TEST_F(VulkanViews, AnErrorOfACountersUseIsToldOnce) {
  absl::StatusOr<std::unique_ptr<AppendCounter>> counter = AppendCounter::Create(*space_);
  ASSERT_OK(counter);
  auto failed = std::make_shared<Completion>();
  (*counter)->RecordUse(Fence(failed, 1));
  failed->Finish(absl::AbortedError("the kernel failed"));
  (*counter)->RecordUse(Fence());  // a later use does not hide it
  EXPECT_EQ((*counter)->Read().status().code(), absl::StatusCode::kAborted);
  EXPECT_OK((*counter)->Read());
}

TEST_F(VulkanViews, ACountersBytesStayUntilItsUsesAreDone) {
  const std::shared_ptr<DeviceQueue> queue = MakeQueue();
  absl::StatusOr<std::unique_ptr<AppendCounter>> counter = AppendCounter::Create(*space_);
  ASSERT_OK(counter);
  card_.Hold();
  ASSERT_OK((*counter)->Reset(5, queue.get()));
  absl::StatusOr<Fence> done = queue->Record();
  ASSERT_OK(done);
  (*counter)->RecordUse(*done);
  *counter = nullptr;
  EXPECT_NE(space_->Stats().deferred_bytes, 0u);
  card_.ReleaseHeld();
  ASSERT_OK(done->Wait());
  space_->Poll();
  EXPECT_EQ(space_->Stats().deferred_bytes, 0u);
  card_.FailCall("vkAllocateMemory", VK_ERROR_OUT_OF_DEVICE_MEMORY, 1, true);
  EXPECT_OK(AppendCounter::Create(*space_));  // the pool has it
  card_.ClearFailures();
}

TEST(VulkanCpuViews, EveryFormatOfTheDeviceHasViews) {
  const std::unique_ptr<Allocator> space = CpuDevice::Get().Make(kDeviceSpace);
  const Buffer buffer = Make(*space, 4096);
  int made = 0;
  for (uint32_t number = 0; number < 200; ++number) {
    const auto format = static_cast<TexelFormat>(number);
    if (TexelBytes(format) == 0) continue;
    absl::StatusOr<std::shared_ptr<const TexelView>> view = TypedOf(buffer, format);
    if (absl::IsUnimplemented(view.status())) continue;
    ASSERT_OK(view);
    EXPECT_EQ((*view)->count() * TexelBytes(format), 4096u);
    ++made;
  }
  EXPECT_GE(made, 20);
}

TEST(VulkanCpuViews, ThreadsGetTheSameViews) {
  const std::unique_ptr<Allocator> space = CpuDevice::Get().Make(kDeviceSpace);
  const Buffer buffer = Make(*space, 1 << 20);
  constexpr int kThreads = 4, kWindows = 50;
  std::vector<std::shared_ptr<const TexelView>> seen[kThreads];
  std::vector<std::thread> threads;
  for (auto& views : seen) {
    threads.emplace_back([&] {
      for (int i = 0; i < kWindows; ++i) {
        // Memory of the thread's own comes and goes meanwhile.
        const Buffer own = Make(*space, 4096);
        EXPECT_OK(TypedOf(own));
        absl::StatusOr<std::shared_ptr<const TexelView>> view =
            TypedOf(*buffer.View(i * 4096, 4096));
        EXPECT_OK(view);
        if (view.ok()) views.push_back(*view);
        TrimTexelViews(*space);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const auto& views : seen) EXPECT_EQ(views, seen[0]);
}

}  // namespace
}  // namespace tenure::vulkan
