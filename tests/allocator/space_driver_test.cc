#include "tenure/allocator/space_driver.h"

#include <vector>

#include "gtest/gtest.h"
#include "tenure/tests/testing/status_matchers.h"

namespace tenure {
namespace {

TEST(SelectDevice, ByIndexUuidAndName) {
  const std::vector<SpaceDevice> both = {
      {0, "NVIDIA H200", "GPU-3f2a0000-1111-2222-3333-444444444444", "", {}},
      {1, "NVIDIA A100", "GPU-3f2b0000-1111-2222-3333-444444444444", "", {}}};
  EXPECT_EQ(*SelectDevice(both, "CUDA", "1"), 1u);
  EXPECT_EQ(*SelectDevice(both, "CUDA", "GPU-3f2a"), 0u);
  EXPECT_EQ(*SelectDevice(both, "CUDA", "gpu-3F2B"), 1u);
  EXPECT_EQ(*SelectDevice(both, "CUDA", "a100"), 1u);
  EXPECT_EQ(*SelectDevice(both, "CUDA", both[0].uuid), 0u);
  for (const char* wrong : {"2", "GPU-3f2", "NVIDIA", "V100", "", "-1"}) {
    EXPECT_CODE(NotFound, SelectDevice(both, "CUDA", wrong));
  }
  EXPECT_CODE(NotFound, SelectDevice({}, "CUDA", "0"));
}

}  // namespace
}  // namespace tenure
