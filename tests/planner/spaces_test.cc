// What works in which memory space: every feature is tried in every space, and has to work or to be
// refused with a clear error, as the space's line below says. The table in README.md is made from
// these results (docs/features.json).

#include <array>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tenure/allocator/registry.h"
#include "tenure/planner/planner.h"
#include "tenure/runtime/buffer.h"
#include "tenure/runtime/mapping.h"
#include "tenure/tests/testing/status_matchers.h"

namespace tenure {
namespace {

constexpr int64_t kElements = 64;
using Values = std::array<float, kElements>;

Values Numbers() {
  Values values;
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i) + 0.5f;
  return values;
}

struct SpaceCase {
  const char* name;
  bool has_bytes, writable;
};

class SpacesTest : public testing::TestWithParam<SpaceCase> {
 protected:
  bool readable() const { return GetParam().has_bytes; }
  bool writable() const { return GetParam().has_bytes && GetParam().writable; }
  bool is_file() const { return GetParam().has_bytes && !GetParam().writable; }

  static absl::StatusOr<Allocator*> AllocatorOf(const std::string& space) {
    if (space != "disk") return Registry::Default().Get(*MemorySpace::Parse(space));
    static const std::string path = [] {
      const char* folder = std::getenv("TEST_TMPDIR");
      const std::string name = absl::StrCat(folder != nullptr ? folder : "/tmp", "/spaces.bin");
      const Values values = Numbers();
      std::ofstream(name, std::ios::binary)
          .write(reinterpret_cast<const char*>(values.data()), sizeof values);
      return name;
    }();
    return Registry::Default().Get(MemorySpace::Disk(path));
  }

  void SetUp() override {
    absl::StatusOr<Allocator*> allocator = AllocatorOf(GetParam().name);
    ASSERT_OK(allocator);
    allocator_ = *allocator;
  }

  // A buffer of the space, with Numbers() in it if it has bytes.
  Buffer Filled() const {
    const Shape shape = Shape::Vector(kElements);
    if (is_file()) return Buffer::FromFile(*allocator_, DType::kFloat32, shape, 0).value();
    Buffer buffer = Buffer::Create(*allocator_, DType::kFloat32, shape).value();
    if (writable()) EXPECT_OK(buffer.CopyIn(Numbers().data(), sizeof(Values)));
    return buffer;
  }

  // Either it worked, or it was refused in words.
  static void Expect(bool works, const absl::Status& status) {
    EXPECT_EQ(status.ok(), works) << status;
    if (status.ok()) return;
    EXPECT_TRUE(absl::IsUnimplemented(status) || absl::IsFailedPrecondition(status)) << status;
    EXPECT_GE(status.message().size(), 20u) << status;
  }

  Allocator* allocator_ = nullptr;
};

TEST_P(SpacesTest, LazyBuffers) {
  absl::StatusOr<Buffer> buffer =
      Buffer::Create(*allocator_, DType::kFloat32, Shape::Vector(uint64_t{1} << 38));
  ASSERT_OK(buffer);
  EXPECT_FALSE(buffer->is_allocated());
  absl::StatusOr<Buffer> small = Buffer::Create(*allocator_, DType::kFloat32, Shape());
  ASSERT_OK(small);
  Expect(!is_file(), small->EnsureAllocated());
  EXPECT_EQ(small->is_allocated(), !is_file());
}

TEST_P(SpacesTest, FileWindows) {
  Expect(is_file(),
         Buffer::FromFile(*allocator_, DType::kFloat32, Shape::Vector(kElements - 1), 4).status());
}

TEST_P(SpacesTest, ForeignMemory) {
  Values values = Numbers();
  Expect(writable(), Buffer::Wrap(*allocator_, DType::kFloat32, Shape::Vector(kElements),
                                  {.data = values.data()}, sizeof values)
                         .status());
}

TEST_P(SpacesTest, Views) {
  const Buffer buffer = Filled();
  absl::StatusOr<Buffer> view = buffer.View(16, 32);
  ASSERT_OK(view);
  absl::StatusOr<Buffer> rows = view->Reinterpret(DType::kUInt16, *Shape::Of({4, 4}));
  ASSERT_OK(rows);
  absl::StatusOr<Buffer> last = rows->Slice(3, 4);
  ASSERT_OK(last);
  EXPECT_EQ(last->offset(), 40u);
  EXPECT_EQ(last->storage_id(), buffer.storage_id());
  EXPECT_TRUE(!buffer.is_allocated() || last->Overlaps(*view));
}

TEST_P(SpacesTest, CopiesToTheHost) {
  Values out = {};
  Expect(readable(), Filled().CopyOut(out.data(), sizeof out));
  if (readable()) {
    EXPECT_EQ(out, Numbers());
  }
}

TEST_P(SpacesTest, CopiesFromTheHost) {
  Expect(writable(), Filled().CopyIn(Numbers().data(), sizeof(Values)));
}

TEST_P(SpacesTest, CopiesIntoOtherSpaces) {
  Allocator* cpu = Registry::Default().Get(MemorySpace::Cpu()).value();
  const Buffer to = Buffer::Create(*cpu, DType::kFloat32, Shape::Vector(kElements)).value();
  Expect(readable(), to.CopyFrom(Filled()));
  if (readable()) {
    EXPECT_EQ(*to.Get<float>({kElements - 1}), Numbers().back());
  }
}

TEST_P(SpacesTest, AsynchronousCopies) {
  Values out = {};
  const Buffer buffer = Filled();
  absl::StatusOr<Fence> fence = buffer.CopyOutAsync(out.data(), sizeof out);
  Expect(readable(), fence.ok() ? fence->Wait(absl::InfiniteDuration()) : fence.status());
  if (readable()) {
    EXPECT_EQ(out, Numbers());
  }
  const Values values = Numbers();
  fence = buffer.CopyInAsync(values.data(), sizeof values);
  Expect(writable(), fence.ok() ? fence->Wait(absl::InfiniteDuration()) : fence.status());
}

TEST_P(SpacesTest, TypedAccessWithoutACopy) {
  const Buffer buffer = Filled();
  absl::StatusOr<absl::Span<const float>> span = buffer.As<float>();
  Expect(readable(), span.status());
  if (span.ok()) {
    EXPECT_EQ(span->back(), Numbers().back());
  }
  Expect(writable(), buffer.AsMutable<float>().status());
  if (readable()) {
    EXPECT_CODE(InvalidArgument, buffer.As<int>());
  }
}

TEST_P(SpacesTest, MappedRegions) {
  const Buffer buffer = Filled();
  absl::StatusOr<Mapping> region = buffer.Map(Access::kRead);
  Expect(readable(), region.status());
  if (region.ok()) {
    EXPECT_EQ(region->bytes().size(), sizeof(Values));
  }
  Expect(writable(), buffer.Map(Access::kWrite).status());
}

TEST_P(SpacesTest, Fill) {
  const Buffer buffer = Filled();
  Expect(writable(), buffer.FillWith(2.5f));
  if (writable()) {
    EXPECT_EQ(*buffer.Get<float>({7}), 2.5f);
  }
}

TEST_P(SpacesTest, Sealing) {
  const Buffer buffer = Filled();
  EXPECT_OK(buffer.Seal());
  EXPECT_CODE(FailedPrecondition, buffer.CopyIn(Numbers().data(), sizeof(Values)));
}

TEST_P(SpacesTest, AccessAdvice) {
  const Buffer buffer = Filled();
  auto* advice = allocator_->Capability<AdviceCapability>();
  EXPECT_EQ(advice != nullptr, is_file());
  if (advice == nullptr) return;
  for (Advice how : {Advice::kSequential, Advice::kWillNeed, Advice::kRandom, Advice::kNormal}) {
    EXPECT_OK(advice->Advise({&buffer.storage()->root(), 0, buffer.size()}, how));
  }
}

TEST_P(SpacesTest, DeferredFree) {
  const auto timeline = std::make_shared<HostTimeline>();
  const uint64_t before = allocator_->Stats().in_use_bytes;
  {
    const Buffer buffer = Filled();
    ASSERT_OK(buffer.EnsureAllocated());
    EXPECT_OK(buffer.RecordUse(Access::kRead, Fence(timeline, 1)));
  }
  // A window of a file has no bytes of its own that could wait.
  EXPECT_EQ(allocator_->Stats().deferred_bytes, is_file() ? 0 : sizeof(Values));
  timeline->Signal(1);
  allocator_->Poll();
  EXPECT_EQ(allocator_->Stats().in_use_bytes, before);
  EXPECT_EQ(allocator_->Stats().deferred_bytes, 0u);
}

// A chain of steps, planned in every mode; where there is memory for arenas, placed.
TEST_P(SpacesTest, Planning) {
  for (PlanMode mode : {PlanMode::kArena, PlanMode::kRemap}) {
    Schedule schedule;
    const auto make = [this] {
      return Buffer::Create(*allocator_, DType::kFloat32, Shape::Vector(kElements)).value();
    };
    const Buffer out = make();
    schedule.MarkOutput(out);
    {
      Buffer from = make();
      schedule.MarkInput(from);
      for (int i = 0; i < 4; ++i) {
        Buffer to = i == 3 ? out : make();
        ASSERT_OK(schedule.AddStep({.name = "step", .reads = {from}, .writes = {to}}));
        from = to;
      }
    }
    absl::StatusOr<Plan> plan = MakePlan(schedule, {.mode = mode});
    ASSERT_OK(plan);
    EXPECT_EQ(plan->placements.size(), 3u);
    EXPECT_EQ(plan->arena_bytes, 2 * sizeof(Values));
    Expect(!is_file(), PlacePlan(*plan, schedule).status());
  }
}

INSTANTIATE_TEST_SUITE_P(Each, SpacesTest,
                         testing::Values(SpaceCase{"cpu", true, true},
                                         SpaceCase{"disk", true, false},
                                         SpaceCase{"null", false, false}),
                         [](const auto& param) { return std::string(param.param.name); });

}  // namespace
}  // namespace tenure
