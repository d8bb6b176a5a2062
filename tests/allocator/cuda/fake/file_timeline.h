// FileTimeline: a timeline that another API shares, for the fake driver: its counter stands at the
// beginning of a file, whose descriptor is what is exported.
//
// Thread safety: thread-safe. Ownership: owns the file.

#ifndef TENURE_TESTS_ALLOCATOR_CUDA_FAKE_FILE_TIMELINE_H_
#define TENURE_TESTS_ALLOCATOR_CUDA_FAKE_FILE_TIMELINE_H_

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tenure/allocator/timeline/shared_timeline.h"

namespace tenure::cuda {

class FileTimeline final : public ExportableTimeline {
 public:
  explicit FileTimeline(std::string card) : card_(std::move(card)) {
    if (fd_ < 0 || ftruncate(fd_, sizeof(uint64_t)) != 0) std::abort();
    void* mapped = mmap(nullptr, sizeof(uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
    if (mapped == MAP_FAILED) std::abort();
    counter_ = static_cast<std::atomic<uint64_t>*>(mapped);
  }
  ~FileTimeline() override {
    munmap(counter_, sizeof(uint64_t));
    close(fd_);
  }

  void Raise(uint64_t value) { counter_->store(value); }
  // The host has a part of every value to do.
  void SetHasHostParts(bool has) { has_host_parts_.store(has); }

  const std::string& card() const override { return card_; }
  absl::StatusOr<int> ExportFd() override { return fcntl(fd_, F_DUPFD_CLOEXEC, 0); }
  bool IsOfDeviceAlone(uint64_t) const override { return !has_host_parts_.load(); }
  uint64_t Reached() const override { return counter_->load(); }
  absl::Status Wait(uint64_t value, absl::Time deadline) override {
    while (Reached() < value) {
      if (absl::Now() >= deadline) return absl::DeadlineExceededError("nobody has raised it");
      absl::SleepFor(absl::Microseconds(50));
    }
    return absl::OkStatus();
  }
  absl::Status Failure() const override { return absl::OkStatus(); }

 private:
  const std::string card_;
  const int fd_ = memfd_create("timeline", MFD_CLOEXEC);
  std::atomic<uint64_t>* counter_ = nullptr;
  std::atomic<bool> has_host_parts_{false};
};

}  // namespace tenure::cuda

#endif  // TENURE_TESTS_ALLOCATOR_CUDA_FAKE_FILE_TIMELINE_H_
