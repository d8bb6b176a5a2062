// cuda_routes.h where the CUDA Toolkit's headers were not there when this was built.

#include "tenure/allocator/copy/cuda_routes.h"

namespace tenure {

void RegisterCudaRoutes(CopyTable&) {}

}  // namespace tenure
