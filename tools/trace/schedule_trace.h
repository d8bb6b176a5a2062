// Makes a trace of a program's own schedule, so that the command can plan, compare and draw it.
//
//   TENURE_RETURN_IF_ERROR(WriteFile("model.json", TraceToJson(TraceOfSchedule(schedule))));
//   $ tenure plan --trace=model.json
//   $ tenure render --trace=model.json --output=model.html
//
// The bases come first, numbered as in plans (by first touch); then one alias for each other window,
// dtype or shape. Names and in-place permissions are those of the schedule. Inputs that are sealed
// are weights. A storage that is held, or has bytes without being an input, becomes an output, so
// that it keeps memory of its own. Handles outside the schedule make no difference, and neither do
// queues, dependencies, payloads, alignments, and whether inputs and outputs lend their memory: a
// trace has no words for them.
//
// Cost: linear in the reads and writes. Thread safety: a pure function of a schedule that no thread
// changes meanwhile. Ownership: everything is copied.

#ifndef TENURE_TOOLS_TRACE_SCHEDULE_TRACE_H_
#define TENURE_TOOLS_TRACE_SCHEDULE_TRACE_H_

#include "tenure/planner/schedule.h"
#include "tenure/tools/trace/trace.h"

namespace tenure {

Trace TraceOfSchedule(const Schedule& schedule);

}  // namespace tenure

#endif  // TENURE_TOOLS_TRACE_SCHEDULE_TRACE_H_
