#include "tenure/allocator/vulkan/semaphore_timeline.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tenure/base/guarded.h"
#include "tenure/base/status_macros.h"

namespace tenure::vulkan {
namespace {

// Waits are cut into pieces of this length, after which a lost device or a finished host part is
// noticed.
constexpr absl::Duration kLongestDriverWait = absl::Milliseconds(100);
// A wait looks at the counter for so long before it asks the driver to wait.
constexpr absl::Duration kSpin = absl::Microseconds(50);
// Between two looks at the counter, where the driver has failed to wait.
constexpr absl::Duration kSleepWithoutDriver = absl::Microseconds(100);

absl::Status StillCopying() {
  return absl::DeadlineExceededError(
      "the bytes that the device gave back are still being copied; wait longer");
}

}  // namespace

absl::StatusOr<std::shared_ptr<SemaphoreTimeline>> SemaphoreTimeline::Create(
    std::shared_ptr<Device> device) {
  TENURE_ASSIGN_OR_RETURN(VkSemaphore semaphore, CreateTimelineSemaphore(*device));
  return std::shared_ptr<SemaphoreTimeline>(new SemaphoreTimeline(std::move(device), semaphore));
}

absl::StatusOr<int> SemaphoreTimeline::ExportFd() {
  TENURE_ASSIGN_OR_RETURN(const int fd, ExportSemaphoreFd(*device_, semaphore_));
  is_exported_.store(true, std::memory_order_release);
  return fd;
}

SemaphoreTimeline::~SemaphoreTimeline() {
  // The queue shares its timeline until its work is over, so nothing is under way, except on a
  // device that is lost.
  device_->calls().DestroySemaphore(device_->handle(), semaphore_, nullptr);
}

uint64_t SemaphoreTimeline::DeviceReached() const {
  const uint64_t seen = device_reached_.load(std::memory_order_acquire);
  if (seen >= issued_.load(std::memory_order_acquire)) return seen;
  ForeignWaits::EndFailed();
  uint64_t value = 0;
  if (!TENURE_VKD(*device_, GetSemaphoreCounterValue, semaphore_, &value).ok()) return seen;
  // Drivers may report nonsense after they have lost the device.
  if (!device_->lost().ok()) return seen;
  return SetDeviceReached(value);
}

uint64_t SemaphoreTimeline::SetDeviceReached(uint64_t value) const {
  uint64_t last = device_reached_.load(std::memory_order_relaxed);
  while (last < value && !device_reached_.compare_exchange_weak(last, value)) {
  }
  return std::max(last, value);
}

void SemaphoreTimeline::AddHostPart(uint64_t value, std::function<absl::Status()> work) {
  absl::MutexLock lock(&mutex_);
  parts_[value] = {std::move(work), false};
  host_parts_.fetch_add(1, std::memory_order_release);
}

void SemaphoreTimeline::DropHostPart(uint64_t value) {
  absl::MutexLock lock(&mutex_);
  if (parts_.erase(value) != 0) host_parts_.fetch_sub(1, std::memory_order_release);
}

bool SemaphoreTimeline::HasHostParts(uint64_t value) const {
  if (host_parts_.load(std::memory_order_acquire) == 0) return false;
  absl::MutexLock lock(&mutex_);
  return !parts_.empty() && parts_.begin()->first <= value;
}

void SemaphoreTimeline::DoHostParts() {
  while (host_parts_.load(std::memory_order_acquire) != 0) {
    const uint64_t reached = DeviceReached();
    uint64_t value = 0;
    std::function<absl::Status()> work;
    {
      absl::MutexLock lock(&mutex_);
      // In order, because two of them may write to the same bytes. Whoever is doing one goes on with
      // those behind it.
      auto it = parts_.begin();
      if (it == parts_.end() || it->second.taken || it->first > reached) return;
      value = it->first;
      errors_[value];  // its place, before the work is begun
      it->second.taken = true;
      work = std::move(it->second.work);
    }
    absl::Status status = host::Guarded(work);
    work = nullptr;  // what it holds is released before the value is reached
    absl::MutexLock lock(&mutex_);
    if (status.ok()) {
      errors_.erase(value);
    } else {
      errors_[value].status = std::move(status);
    }
    parts_.erase(value);
    host_parts_.fetch_sub(1, std::memory_order_release);
  }
}

bool SemaphoreTimeline::AbandonHostParts(const absl::Status& why, absl::Time deadline) {
  std::map<uint64_t, HostPart> abandoned;  // destroyed without the lock
  absl::MutexLock lock(&mutex_);
  for (auto it = parts_.begin(); it != parts_.end();) {
    if (it->second.taken) {
      ++it;
      continue;
    }
    errors_[it->first] = {why, false};
    abandoned.insert(parts_.extract(it++));
    host_parts_.fetch_sub(1, std::memory_order_release);
  }
  // A thread that has begun one will end it.
  auto done = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return parts_.empty(); };
  return mutex_.AwaitWithDeadline(absl::Condition(&done), deadline);
}

uint64_t SemaphoreTimeline::Reached() const {
  const uint64_t device = DeviceReached();
  if (host_parts_.load(std::memory_order_acquire) == 0) return device;
  absl::MutexLock lock(&mutex_);
  return parts_.empty() ? device : std::min(device, parts_.begin()->first - 1);
}

absl::Status SemaphoreTimeline::WaitForDevice(uint64_t value, absl::Time deadline) {
  auto info = Struct<VkSemaphoreWaitInfo>(VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO);
  info.semaphoreCount = 1;
  info.pSemaphores = &semaphore_;
  info.pValues = &value;
  // The driver takes longer to wake a thread than most copies take.
  const absl::Time spins_until =
      device_->info().type == DeviceType::kDiscrete ? absl::Now() + kSpin : absl::InfinitePast();
  while (DeviceReached() < value) {
    TENURE_RETURN_IF_ERROR(device_->lost());
    if (absl::Now() < std::min(spins_until, deadline)) continue;
    const absl::Duration left = deadline - absl::Now();
    if (left <= absl::ZeroDuration()) {
      return absl::DeadlineExceededError(
          absl::StrCat("Vulkan device ", device_->ordinal(),
                       " has not finished the work that was waited for; wait longer, or look at "
                       "what is queued"));
    }
    if (is_exported_.load(std::memory_order_acquire)) {
      PollUntil([&] { return DeviceReached() >= value; },
                std::min(deadline, absl::Now() + kLongestDriverWait));
      continue;
    }
    const auto nanoseconds =
        static_cast<uint64_t>(absl::ToInt64Nanoseconds(std::min(left, kLongestDriverWait)));
    const VkResult result = device_->calls().WaitSemaphores(device_->handle(), &info, nanoseconds);
    if (result == VK_TIMEOUT) continue;
    if (!device_->Check(result, "vkWaitSemaphores").ok()) {
      // The caller's memory may be in use until the value is reached, so an error must not end the
      // wait. Only a lost device does.
      absl::SleepFor(kSleepWithoutDriver);
      continue;
    }
    // Also where the counter can't be read.
    SetDeviceReached(value);
  }
  return absl::OkStatus();
}

absl::Status SemaphoreTimeline::Wait(uint64_t value, absl::Time deadline) {
  if (value > issued()) {
    return absl::InvalidArgumentError(
        absl::StrCat("waits for value ", value, " of a queue's timeline that has come to ",
                     issued(), "; wait for a fence that the queue has given"));
  }
  const bool looks = deadline == absl::InfinitePast();
  absl::Status come = WaitForDevice(value, deadline);
  if (!come.ok()) {
    // The caller of a failed copy may free its memory at once.
    if (absl::Status lost = device_->lost(); !lost.ok() && !AbandonHostParts(lost, deadline)) {
      return StillCopying();
    }
    return come;
  }
  if (!looks) DoHostParts();
  if (HasHostParts(value)) {
    // Another thread is doing it.
    auto done = [this, value]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return parts_.empty() || parts_.begin()->first > value;
    };
    absl::MutexLock lock(&mutex_);
    if (!mutex_.AwaitWithDeadline(absl::Condition(&done), deadline)) {
      return StillCopying();
    }
  }
  return ErrorAt(value, !looks);
}

absl::Status SemaphoreTimeline::ErrorAt(uint64_t value, bool tells) {
  absl::MutexLock lock(&mutex_);
  auto it = errors_.find(value);
  if (it == errors_.end()) return absl::OkStatus();
  if (tells) it->second.told = true;
  return it->second.status;
}

bool SemaphoreTimeline::WasTold(uint64_t value) const {
  absl::MutexLock lock(&mutex_);
  auto it = errors_.find(value);
  return it != errors_.end() && it->second.told;
}

absl::Status SemaphoreTimeline::Failure() const { return device_->lost(); }

std::string SemaphoreTimeline::Describe() const {
  return absl::StrCat("a queue of Vulkan device ", device_->ordinal());
}

}  // namespace tenure::vulkan
