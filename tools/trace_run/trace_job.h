// TraceJob: a recorded schedule as live buffers and steps, as a compiler's scheduler makes them.
//
// Every base becomes a lazy storage and every alias a view. The job keeps handles to weights,
// inputs and outputs. Only the steps hold intermediates, so a planner may place them. Nothing is
// allocated yet.
//
// Thread safety: thread-compatible. Ownership: the trace is borrowed and must outlive the job.
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
  // The steps in the trace's order. Their reads and writes are in the order of the op.
  Schedule schedule;
  // The whole storages of weights, inputs and outputs, by id. They are unallocated, unless they
  // were given.
  std::map<uint32_t, Buffer> persistent = {};
  uint32_t storages = 0;  // that the schedule touches or keeps
  std::vector<TraceUse> uses;

  // The ids of the storages that are compared: outputs, and the weights and inputs that some op
  // writes.
  std::vector<uint32_t> Results() const;
  bool IsResult(uint32_t base) const;
};

// `given` are weights and inputs that exist already, by id (for example mapped files). The others
// are made in `allocator`. If `order` is kDependencies, steps are ordered only if they share bytes
// and one of them writes.
absl::StatusOr<TraceJob> MakeTraceJob(const Trace& trace, Allocator& allocator,
                                      const std::map<uint32_t, Buffer>& given = {},
                                      OrderKind order = OrderKind::kTotal,
                                      OutputPlacement outputs = OutputPlacement::kOwn);

// "buffer 12 (float32[3,4], weight)", for messages.
std::string DescribeTraceBuffer(const Trace& trace, uint32_t id);

}  // namespace tenure::cli

#endif  // TENURE_TOOLS_TRACE_RUN_TRACE_JOB_H_
