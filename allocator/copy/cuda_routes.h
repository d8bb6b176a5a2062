// The ways between CUDA's memory spaces, and between them and files and the host.
//
//   cuda, cuda-unified, cuda-pinned      among each other, of one device or of two: one copy by the
//                                        device of the destination, whose addresses are unified
//   disk -> cuda, cuda-unified           read straight into page-locked slots by several threads,
//                                        and on from there, pipelined; never through the mapping
//   cpu <-> cuda-unified                 by the device, though the host could: each page that it
//                                        touches would have to come back from the device first
//
// Everything else takes CopyTable's default routes. CopyTable::Default() has these.
//
// Thread safety: free function. Ownership: the table owns the routes. Errors: as CopyTable's.

#ifndef TENURE_ALLOCATOR_COPY_CUDA_ROUTES_H_
#define TENURE_ALLOCATOR_COPY_CUDA_ROUTES_H_

#include "tenure/allocator/copy/copy_table.h"

namespace tenure {

// Does nothing where this was built without the CUDA Toolkit.
void RegisterCudaRoutes(CopyTable& table);

}  // namespace tenure

#endif  // TENURE_ALLOCATOR_COPY_CUDA_ROUTES_H_
