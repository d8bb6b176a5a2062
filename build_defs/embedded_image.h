// EmbeddedImage: compiled kernels as data of the program. The macros cuda_fatbin (cuda_fatbin.bzl)
// and spirv_shaders (spirv.bzl) embed them.
//
// Why data and not linked code: the program links neither CUDA nor Vulkan, so that one binary runs
// with and without a GPU. The driver loads the image when there is one (cuModuleLoadData,
// vkCreateShaderModule).
//
//   const EmbeddedImage& image = ReferenceKernelImage();
//   if (image.size == 0) return absl::UnimplementedError(image.why_missing);
//
// Thread safety: immutable. Ownership: static data, never freed.

#ifndef TENURE_BUILD_DEFS_EMBEDDED_IMAGE_H_
#define TENURE_BUILD_DEFS_EMBEDDED_IMAGE_H_

#include <cstddef>

namespace tenure {

struct EmbeddedImage {
  const unsigned char* bytes = nullptr;  // aligned to 16
  size_t size = 0;                       // 0: there was no compiler when this was built
  const char* why_missing = "";          // what was missing then; empty otherwise
};

}  // namespace tenure

#endif  // TENURE_BUILD_DEFS_EMBEDDED_IMAGE_H_
