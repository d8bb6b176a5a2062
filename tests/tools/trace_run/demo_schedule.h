// Recorded schedules for tests of runs, and plans of them.

#ifndef TENURE_TESTS_TOOLS_TRACE_RUN_DEMO_SCHEDULE_H_
#define TENURE_TESTS_TOOLS_TRACE_RUN_DEMO_SCHEDULE_H_

#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tenure/tools/trace_run/trace_run.h"

namespace tenure::cli {

// The schedule of this name among tools/demo_schedules.
inline Trace DemoTrace(std::string_view name) {
  absl::StatusOr<Trace> trace = ReadTrace(absl::StrCat("tools/demo_schedules/", name, ".json.gz"));
  EXPECT_TRUE(trace.ok()) << trace.status();
  return trace.ok() ? *std::move(trace) : Trace();
}

// `allocator` has the traits of the one that runs.
inline Plan PlanOf(const Trace& trace, Allocator& allocator) {
  absl::StatusOr<TraceJob> job = MakeTraceJob(trace, allocator);
  EXPECT_TRUE(job.ok()) << job.status();
  absl::StatusOr<Plan> plan = MakePlan(job->schedule, {.fill_zeroed = true});
  EXPECT_TRUE(plan.ok()) << plan.status();
  return plan.ok() ? *std::move(plan) : Plan();
}

}  // namespace tenure::cli

#endif  // TENURE_TESTS_TOOLS_TRACE_RUN_DEMO_SCHEDULE_H_
