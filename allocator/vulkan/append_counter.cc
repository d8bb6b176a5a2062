#include "tenure/allocator/vulkan/append_counter.h"

#include <algorithm>
#include <cstring>

#include "tenure/allocator/timeline/fence_state.h"
#include "tenure/base/status_macros.h"

namespace tenure::vulkan {

absl::StatusOr<std::unique_ptr<AppendCounter>> AppendCounter::Create(Allocator& allocator,
                                                                     std::string_view name) {
  AllocationRequest request;
  request.size_bytes = sizeof(uint32_t);
  request.zeroed = true;
  request.name = name;
  TENURE_ASSIGN_OR_RETURN(const Allocation allocation, allocator.Allocate(request));
  return std::unique_ptr<AppendCounter>(new AppendCounter(allocator, allocation));
}

AppendCounter::~AppendCounter() { allocator_.Deallocate(allocation_, uses_); }

absl::Status AppendCounter::WaitForUses() {
  std::vector<Fence> uses;
  {
    absl::MutexLock lock(&mutex_);
    uses = uses_;
  }
  absl::Status first;
  for (const Fence& use : uses) {
    first = use.Wait();
    if (!first.ok()) break;
  }
  absl::MutexLock lock(&mutex_);
  std::erase_if(uses_, IsSettled);  // an error is told once
  return first;
}

absl::Status AppendCounter::Reset(uint32_t value, Queue* queue) {
  if (queue == nullptr) TENURE_RETURN_IF_ERROR(WaitForUses());
  FillPattern pattern;
  pattern.size_bytes = sizeof(value);
  std::memcpy(pattern.bytes, &value, sizeof(value));
  CopyOptions options;
  options.queue = queue;
  options.may_block = queue == nullptr;
  TENURE_ASSIGN_OR_RETURN(const Fence done, allocator_.Fill(region(), pattern, options));
  if (queue == nullptr) return done.Wait();
  RecordUse(done);
  return absl::OkStatus();
}

absl::StatusOr<uint32_t> AppendCounter::Read(Queue* queue) {
  if (queue == nullptr) TENURE_RETURN_IF_ERROR(WaitForUses());
  CopyOptions options;
  options.queue = queue;
  uint32_t value = 0;
  TENURE_ASSIGN_OR_RETURN(const Fence done, allocator_.CopyOut(&value, region(), options));
  TENURE_RETURN_IF_ERROR(done.Wait());
  return value;
}

void AppendCounter::RecordUse(const Fence& done) {
  absl::MutexLock lock(&mutex_);
  std::erase_if(uses_, IsSettled);
  uses_.push_back(done);
}

}  // namespace tenure::vulkan
