// A driver that is not part of the library adds spaces of its own, "toy:N": their name, how
// allocators of them are made, its devices, and its routes to and from host memory.

#include <cstdint>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "tenure/allocator/copy/copy_table.h"
#include "tenure/allocator/decorators/limiting.h"
#include "tenure/allocator/registry.h"
#include "tenure/runtime/buffer.h"
#include "tenure/tests/testing/far_allocator.h"
#include "tenure/tests/testing/status_matchers.h"

namespace tenure {
namespace {

constexpr SpaceKind::Declaration kToyDeclaration{"toy", SpaceKind::Form::kOrdinal, "toy"};
constexpr SpaceKind kToySpace(kToyDeclaration);

// Copies between a toy and host memory, and counts.
class ToyRoute final : public CopyRoute {
 public:
  explicit ToyRoute(int* count) : count_(count) {}
  // Toys with an odd number have no route.
  bool Supports(const CopyEnd& to, const CopyEnd& from) const override {
    return to.allocator->space().ordinal() % 2 == 0 && from.allocator->space().ordinal() % 2 == 0;
  }
  absl::StatusOr<Fence> Copy(const CopyEnd& to, const CopyEnd& from,
                             const CopyOptions& options) override {
    ++*count_;
    return to.region.allocation->host != nullptr
               ? from.allocator->CopyOut(to.region.host(), from.region, options)
               : to.allocator->CopyIn(to.region, from.region.host(), options);
  }

 private:
  int* count_;
};

// How often copies went by the driver's routes.
struct ToyCounts {
  int in = 0, out = 0;
  friend bool operator==(const ToyCounts&, const ToyCounts&) = default;
};

SpaceDriver ToyDriver(ToyCounts* counts) {
  return {.name = "toy",
          .spaces = {kToySpace},
          .factory = [](const MemorySpace& space) { return std::make_unique<FarAllocator>(space); },
          .routes =
              [counts](CopyTable& table) {
                table.Register("host", "toy", std::make_shared<ToyRoute>(&counts->in));
                table.Register("toy", "host", std::make_shared<ToyRoute>(&counts->out));
              },
          .devices = []() -> absl::StatusOr<std::vector<SpaceDevice>> {
            return std::vector<SpaceDevice>{{0, "bear", "", "", {}}, {1, "train", "", "", {}}};
          }};
}

Buffer Make(Allocator& allocator) {
  return *Buffer::Create(allocator, DType::kUInt8, Shape::Vector(1000));
}

// Puts bytes into `allocator`, and brings them back, by copies between buffers.
void GoThereAndBack(Allocator& cpu, Allocator& allocator) {
  const Buffer from = Make(cpu), there = Make(allocator), back = Make(cpu);
  ASSERT_OK(from.FillWith<uint8_t>(7));
  ASSERT_OK(there.CopyFrom(from));
  ASSERT_OK(back.CopyFrom(there));
  std::vector<uint8_t> bytes(1000);
  ASSERT_OK(back.CopyOut(bytes.data(), bytes.size()));
  EXPECT_EQ(bytes, std::vector<uint8_t>(1000, 7));
}

TEST(OwnDriver, ItsSpacesAreLikeOthers) {
  Registry registry;
  ToyCounts counts;
  ASSERT_OK(registry.AddDriver(ToyDriver(&counts)));

  const absl::StatusOr<MemorySpace> space = MemorySpace::Parse("toy:2");
  ASSERT_OK(space);
  EXPECT_EQ(*space, MemorySpace::Device(kToySpace, 2));
  EXPECT_EQ(space->ToString(), "toy:2");
  EXPECT_TRUE(absl::StrContains(MemorySpace::Parse("game").status().message(), "toy:N"));

  const absl::StatusOr<Allocator*> toy = registry.Get(*space);
  ASSERT_OK(toy);
  EXPECT_EQ((*toy)->space(), *space);
  EXPECT_EQ(registry.Devices("toy")->at(1).name, "train");
  Allocator& cpu = **registry.Get(MemorySpace::Cpu());
  GoThereAndBack(cpu, **toy);
  EXPECT_EQ(counts, (ToyCounts{1, 1}));
  // The route does not support this one, and a default route serves it.
  GoThereAndBack(cpu, **registry.Get(*MemorySpace::Parse("toy:1")));
  EXPECT_EQ(counts, (ToyCounts{1, 1}));
}

TEST(OwnDriver, OtherRegistriesDoNotSeeIt) {
  Registry registry, other;
  ToyCounts counts;
  ASSERT_OK(registry.AddDriver(ToyDriver(&counts)));
  const MemorySpace space = *MemorySpace::Parse("toy:0");
  ASSERT_OK(registry.Get(space));
  for (Registry* without : {&other, &Registry::Default()}) {
    const absl::Status status = without->Get(space).status();
    EXPECT_CODE(Unimplemented, status);
    EXPECT_TRUE(absl::StrContains(status.message(), "toy:0")) << status;
    EXPECT_TRUE(absl::StrContains(status.message(), "cuda-pinned:N")) << status;
    EXPECT_FALSE(absl::StrContains(status.message(), "toy:N")) << status;
    EXPECT_CODE(NotFound, without->Devices("toy"));
  }
  // Nor do they see its routes: the same space goes by default routes there.
  absl::StatusOr<Allocator*> toy = other.Register(std::make_unique<FarAllocator>(space));
  ASSERT_OK(toy);
  GoThereAndBack(**other.Get(MemorySpace::Cpu()), **toy);
  EXPECT_EQ(counts, (ToyCounts{0, 0}));
}

TEST(OwnDriver, RegistriesShareATableThatTheyAreGiven) {
  Registry registry;
  ToyCounts counts;
  ASSERT_OK(registry.AddDriver(ToyDriver(&counts)));
  std::unique_ptr<Registry> sharing = Registry::MakeEmpty(&registry.copy_table());
  Allocator& toy =
      **sharing->Register(std::make_unique<FarAllocator>(MemorySpace::Device(kToySpace, 0)));
  GoThereAndBack(**registry.Get(MemorySpace::Cpu()), toy);
  EXPECT_EQ(counts, (ToyCounts{1, 1}));
}

// An allocator that was made without a registry may have routes already, as CUDA's do.
TEST(OwnDriver, AllocatorsBringTheirRoutes) {
  CopyTable table;
  ToyCounts counts, replaced;
  ToyDriver(&counts).routes(table);
  auto toy = std::make_unique<FarAllocator>(MemorySpace::Device(kToySpace, 0));
  toy->BindCopyTable(&table);
  // Decorators have the routes of their upstream.
  auto limited = std::make_unique<LimitingAllocator>(std::move(toy), 1 << 20);
  FarAllocator unbound(MemorySpace::Device(kToySpace, 4));
  Registry registry;
  Allocator& cpu = **registry.Get(MemorySpace::Cpu());
  {
    const Buffer from = Make(cpu), there = Make(*limited);
    EXPECT_OK(there.CopyFrom(from));
    EXPECT_EQ(counts, (ToyCounts{1, 0}));
    // Neither the registry of the destination nor the destination knows of the route.
    EXPECT_OK(from.CopyFrom(there));
    EXPECT_EQ(counts, (ToyCounts{1, 0}));
  }
  // What the registry has comes first.
  registry.copy_table().Register("toy", "host", std::make_shared<ToyRoute>(&replaced.out));
  Allocator& taken = **registry.Register(std::move(limited));
  EXPECT_EQ(taken.copy_table(), &registry.copy_table());
  GoThereAndBack(cpu, taken);
  EXPECT_EQ(counts, (ToyCounts{2, 0}));
  EXPECT_EQ(replaced, (ToyCounts{0, 1}));
  // Nothing is bound at the destination: the table of the source counts.
  EXPECT_OK(Make(unbound).CopyFrom(Make(cpu)));
  EXPECT_EQ(counts, (ToyCounts{3, 0}));
}

TEST(OwnDriver, WhatDoesNotFitIsRefused) {
  Registry registry;
  ToyCounts counts;
  SpaceDriver without_factory = ToyDriver(&counts), misnamed = ToyDriver(&counts);
  without_factory.factory = nullptr;
  misnamed.name = "toys";
  EXPECT_CODE(InvalidArgument, registry.AddDriver(without_factory));
  EXPECT_CODE(InvalidArgument, registry.AddDriver(misnamed));
  // "cpu" is a name of the host's.
  static constexpr SpaceKind::Declaration kStolen{"cpu", SpaceKind::Form::kPlain, "thief"};
  SpaceDriver thief = ToyDriver(&counts);
  thief.name = "thief";
  thief.spaces = {SpaceKind(kStolen)};
  EXPECT_CODE(AlreadyExists, registry.AddDriver(thief));
  EXPECT_OK(registry.AddDriver(ToyDriver(&counts)));
  EXPECT_CODE(AlreadyExists, registry.AddDriver(ToyDriver(&counts)));
  EXPECT_EQ(registry.Kinds().size(), std::size(kReservedSpaces) + 1);
}

}  // namespace
}  // namespace tenure
