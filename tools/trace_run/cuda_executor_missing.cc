// Replaces the CUDA executor in builds without the toolkit's headers.

#include "tenure/tools/trace_run/executor.h"

namespace tenure::cli {

absl::StatusOr<std::unique_ptr<Executor>> MakeCudaExecutor(const Trace&, Allocator&) {
  return absl::UnimplementedError(
      "this program was built without the CUDA Toolkit's headers; build it where they are, or use "
      "--space=cpu");
}

}  // namespace tenure::cli
