// Features that a FakeProfile hides.

#ifndef TENURE_TESTS_ALLOCATOR_VULKAN_FAKE_FAKE_CARD_FEATURES_H_
#define TENURE_TESTS_ALLOCATOR_VULKAN_FAKE_FAKE_CARD_FEATURES_H_

#include "tenure/tests/allocator/vulkan/fake/fake_card.h"
#include "vulkan/vulkan.h"

namespace tenure::vulkan::fake {

// Ends the program if a hidden feature is none that the fake knows.
void CheckHiddenFeatures(const FakeProfile& profile);

bool EnablesHiddenFeature(const FakeProfile& profile, const VkDeviceCreateInfo* info);

}  // namespace tenure::vulkan::fake

#endif  // TENURE_TESTS_ALLOCATOR_VULKAN_FAKE_FAKE_CARD_FEATURES_H_
