// What README.md shows under "Embed it": the lines between the marks stand there word for word
// (readme_test.py compares), and here they run.

#include <cstddef>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "tenure/allocator/registry.h"
#include "tenure/planner/planner.h"
#include "tenure/runtime/buffer.h"

namespace {

// [embed_example]
// A scheduler's job: `layers` steps that each double their input, in planned memory. For brevity
// value() ends the program on an error; handle ok() instead.
absl::StatusOr<tenure::Plan> DoubleMany(int layers, std::vector<float>& values) {
  tenure::Allocator& cpu = *tenure::Registry::Default().Get(tenure::MemorySpace::Cpu()).value();
  const auto buffer = [&] {  // lazy: takes no memory yet
    return tenure::Buffer::Create(cpu, tenure::DType::kFloat32,
                                  tenure::Shape::Vector(values.size()))
        .value();
  };
  const tenure::Buffer input = buffer(), output = buffer();
  tenure::Schedule schedule("doubling");
  schedule.MarkInput(input);
  schedule.MarkOutput(output);
  // What lies between the layers is held by the schedule alone, so it may be planned.
  for (tenure::Buffer from = input; layers > 0; --layers) {
    tenure::Buffer to = layers == 1 ? output : buffer();
    schedule.AddStep({.name = "double", .reads = {from}, .writes = {to}}).value();
    from = to;
  }
  tenure::Plan plan = tenure::MakePlan(schedule).value();                 // who lies where
  tenure::PlacedPlan placed = tenure::PlacePlan(plan, schedule).value();  // one allocation
  absl::Status status = input.CopyIn<float>(values);
  for (const tenure::Step& step : schedule.steps()) {  // the same handles as before
    const auto* from = static_cast<const float*>(step.reads[0].HostPointer().value());
    auto* to = static_cast<float*>(step.writes[0].MutableHostPointer().value());
    for (size_t i = 0; i < values.size(); ++i) to[i] = 2 * from[i];
  }
  status.Update(output.CopyOut(absl::MakeSpan(values)));
  if (!status.ok()) return status;
  return plan;
}
// [embed_example end]

TEST(EmbedExample, RunsInPlannedMemory) {
  std::vector<float> values = {1, 2, 3, 4, 5};
  const absl::StatusOr<tenure::Plan> plan = DoubleMany(5, values);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(values, (std::vector<float>{32, 64, 96, 128, 160}));
  // Four buffers lie between the layers, and no more than two of them live at once.
  EXPECT_EQ(plan->placements.size(), 4u);
  EXPECT_EQ(plan->unplanned_bytes, 4u * 64);
  EXPECT_EQ(plan->arena_bytes, 2u * 64);
}

}  // namespace
