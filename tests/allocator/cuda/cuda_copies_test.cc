// What copies with devices wait for, and whom they hold up: on fake devices, whose streams are
// held.

#include <atomic>
#include <functional>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tenure/allocator/cpu/cpu_allocator.h"
#include "tenure/runtime/copy_many.h"
#include "tenure/tests/allocator/cuda/fake_cuda.h"

namespace tenure::cuda {
namespace {

class CudaCopies : public FakeCuda {
 protected:
  // Whether `call`, which waits for held streams, comes back only after they were let go.
  bool ComesBackAfterRelease(const std::function<absl::Status()>& call) {
    std::atomic<bool> released{false};
    bool after = false;
    fake_.HoldAll();
    std::thread thread([&] {
      EXPECT_OK(call());
      after = released.load();
    });
    EXPECT_TRUE(fake_.AwaitBlocked(1));
    // For who comes back too early to do so.
    absl::SleepFor(absl::Milliseconds(20));
    released.store(true);
    fake_.ReleaseAll();
    thread.join();
    return after;
  }
};

// ---- batches

TEST_F(CudaCopies, BatchesAreOverWhenTheyReturnHoweverLargeTheirParts) {
  const std::vector<uint8_t> large = Pattern(6 * kMiB), small = Pattern(1000, 5);
  const Buffer a = Make(Space(SpaceKind::kCuda), large.size());
  const Buffer b = Make(Space(SpaceKind::kCuda), small.size());
  const std::vector<CopyInPart> in = {{b, small.data(), small.size()},
                                      {a, large.data(), large.size()}};
  EXPECT_TRUE(ComesBackAfterRelease([&] {
    // Large parts last: nothing behind them waits for them by chance.
    return CopyInMany({in.data() + 1, 1});
  }));
  EXPECT_OK(CopyInMany(in));
  std::vector<uint8_t> large_back(large.size()), small_back(small.size());
  const std::vector<CopyOutPart> out = {{small_back.data(), b, small.size()},
                                        {large_back.data(), a, large.size()}};
  EXPECT_TRUE(ComesBackAfterRelease([&] { return CopyOutMany({out.data() + 1, 1}); }));
  EXPECT_TRUE(large_back == large);
  EXPECT_OK(CopyOutMany(out));
  EXPECT_EQ(small_back, small);
}

}  // namespace
}  // namespace tenure::cuda
