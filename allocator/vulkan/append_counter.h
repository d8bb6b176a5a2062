// AppendCounter: the counter of a buffer that kernels append to or consume from. It is 4 bytes of
// device memory beside the buffer, which kernels change by atomic additions.
//
// Example:
//   TENURE_ASSIGN_OR_RETURN(std::unique_ptr<AppendCounter> counter, AppendCounter::Create(space));
//   TENURE_RETURN_IF_ERROR(counter->Reset(0));
//   // Launch a kernel that appends. It has counter->region() bound (buffer_views.h), or its address.
//   counter->RecordUse(done);
//   TENURE_ASSIGN_OR_RETURN(uint32_t appended, counter->Read());
//
// Cost: Create and the end take what an allocation takes, Reset and Read a small fill and copy.
// Thread safety: thread-safe. Ownership: borrows the allocator. The counter's bytes are freed when
// all recorded uses are done.
// Errors: those of the allocator's Allocate, Fill and CopyOut, and of work that was recorded.

#ifndef TENURE_ALLOCATOR_VULKAN_APPEND_COUNTER_H_
#define TENURE_ALLOCATOR_VULKAN_APPEND_COUNTER_H_

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "tenure/allocator/allocator.h"
#include "tenure/allocator/queue.h"
#include "tenure/allocator/timeline/timeline.h"

namespace tenure::vulkan {

class AppendCounter {
 public:
  // The counter is 0.
  static absl::StatusOr<std::unique_ptr<AppendCounter>> Create(
      Allocator& allocator, std::string_view name = "append counter");
  ~AppendCounter();
  AppendCounter(const AppendCounter&) = delete;
  AppendCounter& operator=(const AppendCounter&) = delete;

  SubRegion region() const { return {&allocation_, 0, allocation_.size_bytes}; }

  // Without a queue, these wait for the recorded uses first, and for themselves. With one, they take
  // place in its order; Reset does not wait.
  absl::Status Reset(uint32_t value, Queue* queue = nullptr) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::StatusOr<uint32_t> Read(Queue* queue = nullptr) ABSL_LOCKS_EXCLUDED(mutex_);

  // Work that uses the counter ends with this fence.
  void RecordUse(const Fence& done) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  AppendCounter(Allocator& allocator, const Allocation& allocation)
      : allocator_(allocator), allocation_(allocation) {}
  absl::Status WaitForUses() ABSL_LOCKS_EXCLUDED(mutex_);

  Allocator& allocator_;
  const Allocation allocation_;
  absl::Mutex mutex_;
  std::vector<Fence> uses_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tenure::vulkan

#endif  // TENURE_ALLOCATOR_VULKAN_APPEND_COUNTER_H_
