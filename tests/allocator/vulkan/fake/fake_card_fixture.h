// A FakeCard, and raw calls on it. At the end nothing is left, and neither the fake nor the
// validation layer has said anything.

#ifndef TENURE_TESTS_ALLOCATOR_VULKAN_FAKE_FAKE_CARD_FIXTURE_H_
#define TENURE_TESTS_ALLOCATOR_VULKAN_FAKE_FAKE_CARD_FIXTURE_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tenure/tests/allocator/vulkan/fake/fake_card.h"
#include "tenure/tests/allocator/vulkan/fake/raw_vulkan.h"

namespace tenure::vulkan {

inline constexpr uint64_t kMiB = uint64_t{1} << 20;

class FakeCardTest : public ::testing::Test {
 protected:
  ~FakeCardTest() override { End(); }

  // Another card than the default one.
  void Play(FakeCardOptions options) {
    End();
    card_ = std::make_unique<FakeCard>(std::move(options));
    vk_ = std::make_unique<RawVulkan>(*card_);
  }
  void Play(FakeProfile profile) {
    FakeCardOptions options;
    options.cards = {std::move(profile)};
    Play(std::move(options));
  }
  // An instance and a device of the first card.
  RawVulkan& Start(const std::vector<const char*>& extensions = {}) {
    if (card_ == nullptr) Play(FakeCardOptions{});
    EXPECT_EQ(vk_->Start(extensions), VK_SUCCESS);
    return *vk_;
  }
  RawVulkan& StartInstance() {
    if (card_ == nullptr) Play(FakeCardOptions{});
    EXPECT_EQ(vk_->StartInstance(), VK_SUCCESS);
    return *vk_;
  }
  void End() {
    if (card_ == nullptr) return;
    vk_->Stop();
    EXPECT_THAT(card_->Violations(), ::testing::IsEmpty());
    EXPECT_THAT(card_->LiveObjects(), ::testing::IsEmpty());
    EXPECT_THAT(vk_->messages(), ::testing::IsEmpty());
    vk_.reset();
    card_.reset();
  }
  // The only violation so far; forgets it.
  std::string Violation() {
    const std::vector<std::string> all = card_->Violations();
    card_->ClearViolations();
    EXPECT_THAT(all, ::testing::SizeIs(1));
    return all.empty() ? "" : all[0];
  }

  std::unique_ptr<FakeCard> card_;
  std::unique_ptr<RawVulkan> vk_;
};

}  // namespace tenure::vulkan

#endif  // TENURE_TESTS_ALLOCATOR_VULKAN_FAKE_FAKE_CARD_FIXTURE_H_
