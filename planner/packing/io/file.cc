#include "tenure/planner/packing/io/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

namespace tenure::packing {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  int Close() {
    const int fd = fd_;
    fd_ = -1;
    return ::close(fd);
  }

 private:
  int fd_;
};

}  // namespace

absl::StatusOr<std::string> ReadFile(const std::string& path, uint64_t max_bytes) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) return absl::ErrnoToStatus(errno, absl::StrCat(path, ": cannot be opened"));
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat(path, ": cannot be read"));
  }
  if (S_ISDIR(info.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": is a directory, not a file"));
  }
  auto too_long = [&]() {
    return absl::ResourceExhaustedError(
        absl::StrCat(path, ": is longer than ", max_bytes,
                     " bytes, the most that is read; is it the right file?"));
  };
  if (info.st_size > 0 && static_cast<uint64_t>(info.st_size) > max_bytes) return too_long();
  // Pipes and devices have no size; files may grow. Read until there is no more.
  std::string text;
  text.resize(info.st_size > 0 ? static_cast<size_t>(info.st_size) + 1 : 1 << 16);
  size_t size = 0;
  for (;;) {
    if (size > max_bytes) return too_long();
    if (size == text.size()) text.resize(2 * text.size());
    const ssize_t got = ::read(file.get(), text.data() + size, text.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return absl::ErrnoToStatus(errno, absl::StrCat(path, ": cannot be read"));
    if (got == 0) break;
    size += static_cast<size_t>(got);
  }
  text.resize(size);
  return text;
}

absl::Status WriteFile(const std::string& path, std::string_view text) {
  struct stat info {};
  // What is no regular file (a pipe, /dev/stdout) is written to as it is.
  const bool in_place = ::stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode);
  const std::string part = in_place ? path : absl::StrCat(path, ".", ::getpid(), ".part");
  Descriptor file(::open(part.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
  if (file.get() < 0) return absl::ErrnoToStatus(errno, absl::StrCat(path, ": cannot be written"));
  auto fail = [&]() {
    absl::Status status = absl::ErrnoToStatus(errno, absl::StrCat(path, ": cannot be written"));
    if (!in_place) ::unlink(part.c_str());
    return status;
  };
  while (!text.empty()) {
    const ssize_t put = ::write(file.get(), text.data(), text.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return fail();
    text.remove_prefix(static_cast<size_t>(put));
  }
  if (file.Close() != 0) return fail();
  if (!in_place && ::rename(part.c_str(), path.c_str()) != 0) return fail();
  return absl::OkStatus();
}

}  // namespace tenure::packing
