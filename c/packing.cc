#include <vector>

#include "tenure/c/c_api.h"
#include "tenure/planner/packing/solver.h"

using namespace tenure;     // NOLINT(google-build-using-namespace): these sources are a way into it
using namespace tenure::c;  // NOLINT(google-build-using-namespace)

tenure_status tenure_pack(size_t count, const int64_t* first, const int64_t* last,
                          const uint64_t* size, const uint64_t* alignment, const uint64_t* fixed,
                          const tenure_pack_options* options, uint64_t* offsets,
                          tenure_pack_result* result) {
  return Call([&]() -> absl::Status {
    if (count > 0) {
      TENURE_RETURN_IF_ERROR(NotNull(first, "first"));
      TENURE_RETURN_IF_ERROR(NotNull(last, "last"));
      TENURE_RETURN_IF_ERROR(NotNull(size, "size"));
      TENURE_RETURN_IF_ERROR(NotNull(offsets, "offsets"));
    }
    TENURE_RETURN_IF_ERROR(NotNull(result, "result"));
    TENURE_ASSIGN_OR_RETURN(
        const tenure_pack_options known,
        Known(options, tenure_pack_options TENURE_PACK_OPTIONS_INIT, "options"));
    packing::SolveOptions solve;
    TENURE_ASSIGN_OR_RETURN(
        solve.effort, (EnumOf<packing::Effort>(known.effort, TENURE_EFFORT_OPTIMAL, "effort")));
    solve.deadline = DeadlineOf(known.timeout_seconds);
    solve.max_threads = known.max_threads;
    solve.capacity = known.capacity;
    solve.max_nodes = known.max_nodes;
    packing::Problem problem;
    problem.items.resize(count);
    for (size_t i = 0; i < count; ++i) {
      packing::Item& item = problem.items[i];
      item.first = first[i];
      item.last = last[i];
      item.size = size[i];
      if (alignment != nullptr) item.alignment = alignment[i];
      if (fixed != nullptr) item.fixed = fixed[i];
    }
    TENURE_ASSIGN_OR_RETURN(const packing::Packing packing, packing::Solve(problem, solve));
    TENURE_RETURN_IF_ERROR(Give(
        tenure_pack_result{sizeof(tenure_pack_result), static_cast<tenure_outcome>(packing.outcome),
                           packing.deadline_hit ? 1 : 0, packing.height, packing.lower_bound},
        result, "result"));
    std::copy(packing.offsets.begin(), packing.offsets.end(), offsets);
    return absl::OkStatus();
  });
}
