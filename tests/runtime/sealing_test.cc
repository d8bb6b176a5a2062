// Sealing against writes that are under way: a sealed storage's bytes never change.

#include <cstdint>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/synchronization/notification.h"
#include "gtest/gtest.h"
#include "tenure/allocator/cpu/cpu_allocator.h"
#include "tenure/allocator/decorators/decorator.h"
#include "tenure/runtime/buffer.h"
#include "tenure/runtime/copy_many.h"
#include "tenure/tests/testing/far_allocator.h"
#include "tenure/tests/testing/status_matchers.h"

namespace tenure {
namespace {

// Host memory whose transfers tell that they have begun, and then wait for Go().
class GatedAllocator final : public Decorator, public BatchCapability {
 public:
  GatedAllocator() : Decorator(std::make_unique<CpuAllocator>()) {}

  void AwaitTransfer() { begun_->WaitForNotification(); }
  void Go() { go_->Notify(); }
  void Close() {
    begun_ = std::make_unique<absl::Notification>();
    go_ = std::make_unique<absl::Notification>();
  }

  absl::Status CopyInMany(absl::Span<const In>) override {
    return BeforeTransfer(TransferKind::kIn, {});
  }
  absl::Status CopyOutMany(absl::Span<const Out>) override { return absl::OkStatus(); }

 protected:
  void* FindCapability(std::string_view name) override {
    if (name == BatchCapability::kName) return static_cast<BatchCapability*>(this);
    return Decorator::FindCapability(name);
  }
  absl::Status BeforeTransfer(TransferKind kind, const SubRegion&) override {
    if (go_ == nullptr || kind == TransferKind::kOut) return absl::OkStatus();
    begun_->Notify();
    go_->WaitForNotification();
    return absl::OkStatus();
  }

 private:
  std::unique_ptr<absl::Notification> begun_, go_;
};

class SealingTest : public ::testing::Test {
 protected:
  static Buffer Make(Allocator& allocator, uint64_t size) {
    return *Buffer::Create(allocator, DType::kUInt8, Shape::Vector(size),
                           BufferOptions{.zeroed = true, .immediate = true});
  }

  template <typename Write>
  void SealDuring(const Write& write) {
    const Buffer x = Make(gated_, 8);
    gated_.Close();
    std::thread writer([&] { EXPECT_OK(write(x)); });
    gated_.AwaitTransfer();
    EXPECT_CODE(FailedPrecondition, x.Seal());
    EXPECT_FALSE(x.is_sealed());
    gated_.Go();
    writer.join();
    EXPECT_OK(x.Seal());
  }

  GatedAllocator gated_;
  FarAllocator far_;
};

TEST_F(SealingTest, IsRefusedWhileTheHostCopiesIntoTheBytes) {
  const uint8_t host[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  SealDuring([&](const Buffer& x) { return x.CopyIn(host, 8); });
  SealDuring([&](const Buffer& x) { return x.Set<uint8_t>({3}, 9); });
  SealDuring([&](const Buffer& x) { return x.FillWith<uint8_t>(9); });
  SealDuring([&](const Buffer& x) { return x.CopyWithin(0, 4, 4); });
  SealDuring([&](const Buffer& x) {
    const CopyInPart parts[] = {{x, host, 8}};
    return CopyInMany(parts);
  });
}

TEST_F(SealingTest, CopiesOutOfTheBytesDoNotMatter) {
  CpuAllocator cpu;
  const Buffer x = Make(cpu, 8), to = Make(gated_, 8);
  gated_.Close();
  std::thread copier([&] { EXPECT_OK(to.CopyFrom(x)); });
  gated_.AwaitTransfer();
  EXPECT_OK(x.Seal());
  EXPECT_CODE(FailedPrecondition, to.Seal());
  gated_.Go();
  copier.join();
}

TEST_F(SealingTest, IsRefusedWhileADeviceWrites) {
  const Buffer x = Make(far_, 8);
  const uint8_t host[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  uint8_t out[8] = {};
  far_.Hold();
  absl::StatusOr<Fence> copy = x.CopyInAsync(host, 8);
  ASSERT_OK(copy);
  EXPECT_CODE(FailedPrecondition, x.Seal());
  far_.Go();
  EXPECT_OK(copy->Wait());
  // Readers may go on while it is sealed.
  far_.Hold();
  copy = x.CopyOutAsync(out, 8);
  ASSERT_OK(copy);
  EXPECT_OK(x.Seal());
  far_.Go();
  EXPECT_OK(copy->Wait());
}

TEST_F(SealingTest, IsRefusedWhileAKernelWritesToItsPartOfAnArena) {
  CpuAllocator cpu;
  auto device = std::make_shared<HostTimeline>();
  const Buffer arena = Make(cpu, 64);
  const Buffer a = *Buffer::Create(cpu, DType::kUInt8, Shape::Vector(8));
  const Buffer b = *Buffer::Create(cpu, DType::kUInt8, Shape::Vector(8));
  ASSERT_OK(a.storage()->Place(*arena.storage(), 0, true));
  ASSERT_OK(b.storage()->Place(*arena.storage(), 8, true));
  ASSERT_OK(a.RecordUse(Access::kWrite, Fence(device, 1)));
  EXPECT_CODE(FailedPrecondition, a.Seal());
  EXPECT_OK(b.Seal());
  device->Signal(1);
  EXPECT_OK(a.Seal());
}

// Whatever the order, bytes that were sealed are never written again.
TEST_F(SealingTest, RacesWithCopies) {
  CpuAllocator cpu;
  constexpr uint64_t kBytes = 256 << 10;
  const std::vector<uint8_t> ones(kBytes, 1), twos(kBytes, 2);
  for (int round = 0; round < 50; ++round) {
    const Buffer x = Make(cpu, kBytes);
    std::thread writer([&] {
      for (int i = 0; x.CopyIn((i % 2 == 0 ? ones : twos).data(), kBytes).ok(); ++i) {
      }
    });
    while (!x.Seal().ok()) {
    }
    std::vector<uint8_t> first(kBytes), second(kBytes);
    ASSERT_OK(x.CopyOut(first.data(), kBytes));
    writer.join();
    ASSERT_OK(x.CopyOut(second.data(), kBytes));
    ASSERT_EQ(first, second) << "round " << round;
  }
}

}  // namespace
}  // namespace tenure
