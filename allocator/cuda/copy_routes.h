// The routes between CUDA's memory spaces, and between them and files and the host.
//
//   cuda, cuda-unified, cuda-pinned      among each other, of one device or of two: one copy by the
//                                        device of the destination, whose addresses are unified.
//                                        Two pinned buffers are host memory: the default route
//   disk -> cuda, cuda-unified           several threads read straight into page-locked slots, and
//                                        the device copies on from there, pipelined; never through
//                                        the mapping
//   cpu <-> cuda-unified                 by the device, though the host could: each page that the
//                                        host touches would have to come back from the device first
//
// All other copies take CopyTable's default routes.
//
// Thread safety: free functions. Ownership: the table owns the routes. Errors: those of CopyTable.

#ifndef TENURE_ALLOCATOR_CUDA_COPY_ROUTES_H_
#define TENURE_ALLOCATOR_CUDA_COPY_ROUTES_H_

#include "tenure/allocator/copy/copy_table.h"

namespace tenure::cuda {

void RegisterCopyRoutes(CopyTable& table);

// A table of these routes alone. CUDA's allocators are bound to it until a registry takes them.
const CopyTable& CudaCopyTable();

}  // namespace tenure::cuda

#endif  // TENURE_ALLOCATOR_CUDA_COPY_ROUTES_H_
