#include "tenure/allocator/vulkan/shared_semaphore.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tenure/base/status_macros.h"

namespace tenure::vulkan {
namespace {

constexpr VkExternalSemaphoreHandleTypeFlagBits kFd =
    VK_EXTERNAL_SEMAPHORE_HANDLE_TYPE_OPAQUE_FD_BIT;
constexpr absl::Duration kEager = absl::Microseconds(100);
constexpr absl::Duration kShortestPause = absl::Microseconds(10);
constexpr absl::Duration kLongestPause = absl::Microseconds(200);

absl::Status NotSupported(const Device& device) {
  return absl::UnimplementedError(
      absl::StrCat("Vulkan device ", device.ordinal(), " (", device.info().name,
                   ") can't share timeline semaphores: its driver lacks ",
                   VK_KHR_EXTERNAL_SEMAPHORE_FD_EXTENSION_NAME,
                   " for them; wait for the fence on the host instead"));
}

}  // namespace

absl::StatusOr<VkSemaphore> CreateTimelineSemaphore(const Device& device) {
  auto exported =
      Struct<VkExportSemaphoreCreateInfo>(VK_STRUCTURE_TYPE_EXPORT_SEMAPHORE_CREATE_INFO);
  exported.handleTypes = kFd;
  auto type = Struct<VkSemaphoreTypeCreateInfo>(VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO);
  if (!device.shared_card().empty()) type.pNext = &exported;
  type.semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE;
  const auto info = Struct<VkSemaphoreCreateInfo>(VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO, &type);
  VkSemaphore semaphore = VK_NULL_HANDLE;
  TENURE_RETURN_IF_ERROR(TENURE_VKD(device, CreateSemaphore, &info, nullptr, &semaphore));
  return semaphore;
}

absl::StatusOr<int> ExportSemaphoreFd(const Device& device, VkSemaphore semaphore) {
  if (device.shared_card().empty()) return NotSupported(device);
  auto info = Struct<VkSemaphoreGetFdInfoKHR>(VK_STRUCTURE_TYPE_SEMAPHORE_GET_FD_INFO_KHR);
  info.semaphore = semaphore;
  info.handleType = kFd;
  int fd = -1;
  TENURE_RETURN_IF_ERROR(TENURE_VKD(device, GetSemaphoreFdKHR, &info, &fd));
  return fd;
}

bool PollUntil(absl::FunctionRef<bool()> is_reached, absl::Time deadline) {
  if (is_reached()) return true;
  const absl::Time begin = absl::Now();
  absl::Duration pause = kShortestPause;
  for (absl::Time now = begin; now < deadline; now = absl::Now()) {
    if (now - begin > kEager) {
      absl::SleepFor(std::min(pause, deadline - now));
      pause = std::min(2 * pause, kLongestPause);
    }
    if (is_reached()) return true;
  }
  return false;
}

absl::StatusOr<std::shared_ptr<SharedSemaphore>> SharedSemaphore::Create(
    std::shared_ptr<Device> device) {
  if (device->shared_card().empty()) return NotSupported(*device);
  TENURE_ASSIGN_OR_RETURN(VkSemaphore semaphore, CreateTimelineSemaphore(*device));
  return std::shared_ptr<SharedSemaphore>(new SharedSemaphore(std::move(device), semaphore));
}

absl::StatusOr<std::shared_ptr<SharedSemaphore>> SharedSemaphore::Import(
    const std::shared_ptr<Device>& device, int fd) {
  TENURE_ASSIGN_OR_RETURN(std::shared_ptr<SharedSemaphore> made, Create(device));
  // The driver takes the descriptor that it imports.
  const int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (own < 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "descriptor ", fd, " of a timeline is not open; give one from ExportTimeline"));
  }
  auto info = Struct<VkImportSemaphoreFdInfoKHR>(VK_STRUCTURE_TYPE_IMPORT_SEMAPHORE_FD_INFO_KHR);
  info.semaphore = made->semaphore_;
  info.handleType = kFd;
  info.fd = own;
  absl::Status status = TENURE_VKD(*device, ImportSemaphoreFdKHR, &info);
  if (status.ok()) return made;
  close(own);
  return absl::Status(status.code(),
                      absl::StrCat("descriptor ", fd, " can't be imported as a timeline of Vulkan ",
                                   "device ", device->ordinal(), ": ", status.message()));
}

SharedSemaphore::~SharedSemaphore() {
  device_->calls().DestroySemaphore(device_->handle(), semaphore_, nullptr);
}

absl::Status SharedSemaphore::Signal(uint64_t value) {
  if (Reached() >= value) return absl::OkStatus();
  auto info = Struct<VkSemaphoreSignalInfo>(VK_STRUCTURE_TYPE_SEMAPHORE_SIGNAL_INFO);
  info.semaphore = semaphore_;
  info.value = value;
  return TENURE_VKD(*device_, SignalSemaphore, &info);
}

absl::StatusOr<int> SharedSemaphore::ExportFd() { return ExportSemaphoreFd(*device_, semaphore_); }

uint64_t SharedSemaphore::Reached() const {
  uint64_t value = 0;
  uint64_t seen = seen_.load(std::memory_order_acquire);
  if (!TENURE_VKD(*device_, GetSemaphoreCounterValue, semaphore_, &value).ok() ||
      !device_->lost().ok()) {
    return seen;
  }
  while (seen < value && !seen_.compare_exchange_weak(seen, value)) {
  }
  return std::max(seen, value);
}

absl::Status SharedSemaphore::Wait(uint64_t value, absl::Time deadline) {
  if (seen_.load(std::memory_order_acquire) >= value) return absl::OkStatus();
  const auto is_over = [&] { return Reached() >= value || !device_->lost().ok(); };
  if (!PollUntil(is_over, deadline)) {
    return absl::DeadlineExceededError(
        absl::StrCat("value ", value, " of a shared timeline of Vulkan device ", device_->ordinal(),
                     " was not signalled in time; wait longer, or look at what "
                     "the other side has queued"));
  }
  return seen_.load(std::memory_order_acquire) >= value ? absl::OkStatus() : device_->lost();
}

}  // namespace tenure::vulkan
