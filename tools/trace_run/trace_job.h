// TraceJob: a recorded schedule as live buffers and steps, the way a compiler's scheduler makes
// them.
//
// Every base becomes a lazy storage, every alias a view. Weights, inputs and outputs keep a handle
// here; intermediates are held by the steps alone, so a planner may place them. Nothing is
// allocated yet.
//
// Thread safety: thread-compatible. Ownership: the trace is borrowed (must outlive the job).
// Errors: InvalidArgument naming the buffer.

#ifndef TENURE_TOOLS_TRACE_RUN_TRACE_JOB_H_
#define TENURE_TOOLS_TRACE_RUN_TRACE_JOB_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tenure/allocator/allocator.h"
#include "tenure/planner/schedule.h"
#include "tenure/runtime/buffer.h"
#include "tenure/tools/trace/trace.h"

namespace tenure::cli {

struct TraceJob {
  const Trace* trace = nullptr;
  // Steps in the trace's order: reads and writes stand as the op names them.
  Schedule schedule;
  // Whole storages of weights, inputs and outputs, by id; unallocated, unless they were given.
  std::map<uint32_t, Buffer> persistent = {};
  uint32_t storages = 0;  // that the schedule touches or keeps
  std::vector<TraceUse> uses;

  // Outputs, and weights and inputs that some op writes: what is compared.
  std::vector<uint32_t> Results() const;
  bool IsResult(uint32_t base) const;
};

// `given`: weights and inputs that exist already, by id (for example mapped files); the others are
// made in `allocator`. `order`: with kDependencies steps are ordered only by the bytes that they
// share, one of them writing.
absl::StatusOr<TraceJob> MakeTraceJob(const Trace& trace, Allocator& allocator,
                                      const std::map<uint32_t, Buffer>& given = {},
                                      OrderKind order = OrderKind::kTotal);

// "buffer 12 (float32[3,4], weight)": for messages.
std::string DescribeTraceBuffer(const Trace& trace, uint32_t id);

// The status with `where` in front of its message; OK stays OK.
absl::Status Annotate(const absl::Status& status, std::string_view where);

}  // namespace tenure::cli

#endif  // TENURE_TOOLS_TRACE_RUN_TRACE_JOB_H_
