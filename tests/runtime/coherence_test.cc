// Buffers whose memory is not coherent: what the host wrote reaches the device when a mapping or a
// copy ends, what the device wrote reaches the host when one begins, and nobody loses bytes.

#include <atomic>
#include <cstring>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tenure/allocator/copy/copy_table.h"
#include "tenure/allocator/cpu/cpu_allocator.h"
#include "tenure/allocator/decorators/caching.h"
#include "tenure/allocator/decorators/debug_fill.h"
#include "tenure/runtime/buffer.h"
#include "tenure/runtime/mapping.h"
#include "tenure/tests/testing/status_matchers.h"
#include "tenure/tests/testing/two_views_allocator.h"

namespace tenure {
namespace {

constexpr uint64_t kAtom = TwoViewsAllocator::kAtomBytes;

class CoherenceTest : public ::testing::Test {
 protected:
  // The byte at this offset of the buffer, as the device sees it.
  uint8_t& OnDevice(const Buffer& buffer, uint64_t offset = 0) {
    Storage& storage = *buffer.storage();
    const SubRegion region =
        top_->RootRegion({&storage.root(), storage.root_offset() + buffer.offset() + offset, 1});
    return *reinterpret_cast<uint8_t*>(TwoViewsAllocator::OnDevice(region));
  }
  Buffer Make(uint64_t size) {
    Buffer made = *Buffer::Create(*top_, DType::kUInt8, Shape::Vector(size), {.zeroed = true});
    EXPECT_OK(made.EnsureAllocated());
    return made;
  }
  static void Write(Mapping& mapping, uint8_t value) {
    const absl::Span<std::byte> bytes = *mapping.MutableBytes();
    std::memset(bytes.data(), value, bytes.size());
  }
  // All of a stack of decorators over a fresh allocator.
  void UseDecorators() {
    auto bottom = std::make_unique<TwoViewsAllocator>();
    bottom_ = bottom.get();
    auto painted =
        std::make_unique<DebugFillAllocator>(std::move(bottom), DebugFillAllocator::Options{});
    stack_ = std::make_unique<CachingAllocator>(std::move(painted), CachingAllocator::Options{});
    top_ = stack_.get();
  }
  void TearDown() override { EXPECT_EQ(bottom_->misfits(), 0); }

  TwoViewsAllocator views_;
  std::unique_ptr<Allocator> stack_;
  Allocator* top_ = &views_;
  TwoViewsAllocator* bottom_ = &views_;
  CpuAllocator cpu_;
};

TEST_F(CoherenceTest, MappingsBringTheViewsTogether) {
  for (bool decorated : {false, true}) {
    if (decorated) UseDecorators();
    const Buffer x = Make(200);
    OnDevice(x, 70) = 7;
    {
      Mapping read = *x.Map(Access::kRead);
      EXPECT_EQ(read.bytes()[70], std::byte{7});
      EXPECT_EQ(read.bytes()[199], std::byte{0});
    }
    EXPECT_EQ(bottom_->flushes(), 0);
    {
      Mapping write = *x.Map(Access::kWrite);
      EXPECT_EQ(write.bytes()[70], std::byte{7});
      Write(write, 9);
      EXPECT_EQ(OnDevice(x), 0);
      Mapping moved = std::move(write);
      EXPECT_EQ(OnDevice(x), 0);
    }
    EXPECT_EQ(OnDevice(x), 9);
    EXPECT_EQ(OnDevice(x, 199), 9);
    Mapping write = *x.Map(Access::kWrite);
    Write(write, 5);
    EXPECT_OK(write.Flush());
    EXPECT_EQ(OnDevice(x, 100), 5);
    Write(write, 6);
    write.Unmap();
    EXPECT_EQ(OnDevice(x, 100), 6);
    EXPECT_OK(write.Flush());
  }
}

TEST_F(CoherenceTest, ThereAreNoSpans) {
  const Buffer x = Make(100);
  for (const absl::Status& refused :
       {x.Bytes().status(), x.MutableBytes().status(), x.As<uint8_t>().status(),
        x.AsMutable<uint8_t>().status(), x.AsShaped<uint8_t>().status(), x.HostPointer().status(),
        x.MutableHostPointer().status()}) {
    EXPECT_CODE(Unimplemented, refused);
    EXPECT_NE(refused.message().find("use Map, or CopyIn"), std::string::npos) << refused;
  }
  const Buffer lazy = *Buffer::Create(views_, DType::kUInt8, Shape::Vector(10));
  EXPECT_CODE(Unimplemented, lazy.Bytes());
  EXPECT_OK(Buffer::Create(views_, DType::kUInt8, Shape::Vector(0))->Bytes());
  // One byte by copies.
  EXPECT_OK(x.Set<uint8_t>({3}, 4));
  EXPECT_EQ(OnDevice(x, 3), 4);
  EXPECT_EQ(*x.Get<uint8_t>({3}), 4);
}

TEST_F(CoherenceTest, PlacedStoragesAreOfTheirArenasKind) {
  const Buffer arena = Make(1000);
  const Buffer x = *Buffer::Create(views_, DType::kUInt8, Shape::Vector(100));
  ASSERT_OK(x.storage()->Place(*arena.storage(), 128, true));
  EXPECT_CODE(Unimplemented, x.Bytes());
  {
    Mapping write = *x.Map(Access::kWrite);
    Write(write, 3);
  }
  EXPECT_EQ(OnDevice(arena, 127), 0);
  EXPECT_EQ(OnDevice(arena, 128), 3);
  EXPECT_EQ(OnDevice(arena, 227), 3);
  EXPECT_EQ(OnDevice(arena, 228), 0);
  ASSERT_OK(x.storage()->Unplace());
}

TEST_F(CoherenceTest, CopiesGoThroughTheAllocator) {
  const Buffer x = Make(300), y = Make(300);
  const Buffer host = *Buffer::FromBytes(cpu_, DType::kUInt8, Shape::Vector(300),
                                         std::vector<uint8_t>(300, 8).data(), 300);
  ASSERT_OK(x.CopyFrom(host));
  EXPECT_EQ(OnDevice(x, 299), 8);
  OnDevice(x, 10) = 1;
  ASSERT_OK(host.CopyFrom(x));
  EXPECT_EQ(*host.Get<uint8_t>({10}), 1);
  ASSERT_OK(y.CopyFrom(x));
  EXPECT_EQ(OnDevice(y, 10), 1);
  TwoViewsAllocator other;
  const Buffer z = *Buffer::Create(other, DType::kUInt8, Shape::Vector(300));
  ASSERT_OK(z.CopyFrom(y));
  EXPECT_EQ(OnDevice(z, 10), 1);
  EXPECT_EQ(OnDevice(z, 11), 8);
}

TEST_F(CoherenceTest, NeighboursKeepTheirBytes) {
  const Buffer x = Make(kAtom);
  const Buffer a = *x.View(0, 20), b = *x.View(20, 20), c = *x.View(40, 24);
  OnDevice(c) = 1;
  Mapping first = *a.Map(Access::kWrite);
  Write(first, 5);
  {
    Mapping second = *b.Map(Access::kWrite);
    Write(second, 6);
    // A copy and a read of the same atom, while two write to it.
    EXPECT_OK(c.View(10, 4)->CopyIn("abc", 4));
    EXPECT_EQ(*c.Get<uint8_t>({0}), 1);
    EXPECT_EQ(OnDevice(c, 10), 'a');
  }
  EXPECT_EQ(OnDevice(b), 6);
  Write(first, 7);
  first.Unmap();
  EXPECT_EQ(OnDevice(a), 7);
  EXPECT_EQ(OnDevice(b, 19), 6);
  EXPECT_EQ(OnDevice(c), 1);
  EXPECT_EQ(OnDevice(c, 10), 'a');
}

TEST_F(CoherenceTest, TwoThreadsWriteNeighboursInOneAtom) {
  for (bool decorated : {false, true}) {
    if (decorated) UseDecorators();
    const Buffer x = Make(3 * kAtom);
    std::atomic<int> lost{0};
    auto write = [&](uint64_t offset, uint64_t size) {
      const Buffer mine = *x.View(offset, size);
      for (int i = 1; i <= 1000; ++i) {
        const auto value = static_cast<uint8_t>(i);
        if (i % 3 == 0) {
          if (!mine.CopyIn(std::vector<uint8_t>(size, value).data(), size).ok()) ++lost;
        } else {
          Mapping mapping = *mine.Map(Access::kWrite);
          if (i > 1 && mapping.bytes()[size - 1] != std::byte(value - 1)) ++lost;
          Write(mapping, value);
        }
        std::vector<uint8_t> found(size);
        if (!mine.CopyOut(found.data(), size).ok()) ++lost;
        if (found != std::vector<uint8_t>(size, value)) ++lost;
      }
    };
    std::thread one(write, 0, kAtom + 10);
    std::thread two(write, kAtom + 10, 2 * kAtom - 10);
    one.join();
    two.join();
    EXPECT_EQ(lost, 0);
    for (uint64_t i = 0; i < 3 * kAtom; ++i) ASSERT_EQ(OnDevice(x, i), 1000 % 256) << i;
  }
}

TEST_F(CoherenceTest, WritersWaitForUsesOfTheirWholeAtoms) {
  const Buffer x = Make(2 * kAtom);
  const Buffer a = *x.View(0, 10), b = *x.View(10, 10), next = *x.View(kAtom, 10);
  auto kernel = std::make_shared<HostTimeline>();
  ASSERT_OK(b.RecordUse(Access::kWrite, Fence(kernel, 1)));
  EXPECT_CODE(DeadlineExceeded, a.Map(Access::kWrite, absl::Milliseconds(1)));
  EXPECT_OK(a.Map(Access::kRead, absl::Milliseconds(1)));
  EXPECT_OK(next.Map(Access::kWrite, absl::Milliseconds(1)));
  EXPECT_CODE(DeadlineExceeded, a.CopyIn("abcdefghi", 10, {.timeout = absl::Milliseconds(1)}));
  absl::StatusOr<Fence> later = a.CopyInAsync("abcdefghi", 10);
  ASSERT_OK(later);
  EXPECT_FALSE(later->IsReached());
  OnDevice(b) = 3;  // what the kernel does
  kernel->Signal(1);
  EXPECT_OK(later->Wait());
  EXPECT_EQ(OnDevice(a), 'a');
  EXPECT_EQ(OnDevice(b), 3);
  // A kernel that reads next to them is in nobody's way.
  ASSERT_OK(b.RecordUse(Access::kRead, Fence(kernel, 2)));
  EXPECT_OK(a.Map(Access::kWrite, absl::Milliseconds(1)));
  kernel->Signal(2);
}

TEST_F(CoherenceTest, AFailedFlushIsTold) {
  const Buffer x = Make(10);
  Mapping mapping = *x.Map(Access::kWrite);
  views_.FailFlushes(true);
  EXPECT_CODE(ResourceExhausted, mapping.Flush());
  mapping.Unmap();
  views_.FailFlushes(false);
  EXPECT_CODE(ResourceExhausted, x.Map(Access::kRead));
  EXPECT_OK(x.Map(Access::kRead));
  EXPECT_OK(x.Seal());
}

}  // namespace
}  // namespace tenure
