// Whether tests use Vulkan's validation layer. ThreadSanitizer reports the layer itself.

#ifndef TENURE_TESTS_TESTING_VULKAN_VALIDATION_H_
#define TENURE_TESTS_TESTING_VULKAN_VALIDATION_H_

namespace tenure::vulkan {

#if defined(__SANITIZE_THREAD__)
inline constexpr bool kWithValidation = false;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
inline constexpr bool kWithValidation = false;
#else
inline constexpr bool kWithValidation = true;
#endif
#else
inline constexpr bool kWithValidation = true;
#endif

}  // namespace tenure::vulkan

#endif  // TENURE_TESTS_TESTING_VULKAN_VALIDATION_H_
