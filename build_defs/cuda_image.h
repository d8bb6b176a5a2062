// CudaImage: compiled kernels, embedded in the program by the macro cuda_fatbin (cuda_fatbin.bzl).
//
// Why data and not linked code: nothing of CUDA is linked, so that one binary runs with and without
// a GPU; the driver is given the image when there is one (cuModuleLoadData).
//
//   const CudaImage& image = ReferenceKernelImage();
//   if (image.size == 0) return absl::UnimplementedError(image.why_missing);
//
// Thread safety: immutable. Ownership: static data, never freed.

#ifndef TENURE_BUILD_DEFS_CUDA_IMAGE_H_
#define TENURE_BUILD_DEFS_CUDA_IMAGE_H_

#include <cstddef>

namespace tenure {

struct CudaImage {
  const unsigned char* bytes = nullptr;  // aligned to 16
  size_t size = 0;                       // 0: there was no compiler when this was built
  const char* why_missing = "";          // what was missing then; empty otherwise
};

}  // namespace tenure

#endif  // TENURE_BUILD_DEFS_CUDA_IMAGE_H_
