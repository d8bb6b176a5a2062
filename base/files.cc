#include "tenure/base/files.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace tenure {
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

bool WriteAll(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t put = ::write(fd, text.data(), text.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return false;
    text.remove_prefix(static_cast<size_t>(put));
  }
  return true;
}

std::string RealPath(const std::string& path) {
  char resolved[PATH_MAX];
  return ::realpath(path.c_str(), resolved) == nullptr ? std::string() : std::string(resolved);
}

// The target of the symbolic links of a path.
struct Destination {
  std::string path;           // not a link; the file may not exist
  int descriptor = -1;        // /dev/stdout, /dev/fd/N: already open in this process
  bool through_proc = false;  // an open file of another process
};

Destination Follow(const std::string& path) {
  constexpr int kMostLinks = 40;
  Destination to{.path = path};
  for (int links = 0; links < kMostLinks; ++links) {
    struct stat info {};
    if (::lstat(to.path.c_str(), &info) != 0 || !S_ISLNK(info.st_mode)) break;
    const size_t slash = to.path.rfind('/');
    const std::string name = slash == std::string::npos ? to.path : to.path.substr(slash + 1);
    const std::string folder = RealPath(slash == std::string::npos ? "."
                                        : slash == 0               ? "/"
                                                                   : to.path.substr(0, slash));
    struct statfs system {};
    if (::statfs(folder.c_str(), &system) == 0 && system.f_type == PROC_SUPER_MAGIC) {
      // The text of such a link is only a description of its target.
      if (folder != RealPath("/proc/self/fd") || !absl::SimpleAtoi(name, &to.descriptor)) {
        to.descriptor = -1;
        to.through_proc = true;
      }
      break;
    }
    char target[PATH_MAX];
    const ssize_t length = ::readlink(to.path.c_str(), target, sizeof(target));
    if (length < 0) break;
    const std::string_view next(target, static_cast<size_t>(length));
    to.path = next.front() == '/' ? std::string(next) : absl::StrCat(folder, "/", next);
  }
  return to;
}

// The path for a message. It stays on one line whatever the path contains.
std::string OneLine(std::string path) {
  for (char& c : path) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  return path;
}

}  // namespace

absl::StatusOr<std::string> ReadFile(const std::string& path, uint64_t max_bytes) {
  const std::string name = OneLine(path);
  if (path.find('\0') != std::string::npos) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": a file name cannot hold a zero byte"));
  }
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) return absl::ErrnoToStatus(errno, absl::StrCat(name, ": cannot be opened"));
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat(name, ": cannot be read"));
  }
  if (S_ISDIR(info.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": is a directory, not a file"));
  }
  auto too_long = [&]() {
    return absl::ResourceExhaustedError(
        absl::StrCat(name, ": is longer than ", max_bytes,
                     " bytes, the limit for this read; is it the right file?"));
  };
  const uint64_t expected = info.st_size > 0 ? static_cast<uint64_t>(info.st_size) : 0;
  if (expected > max_bytes) return too_long();
  // The size is only a hint: pipes and devices have none, and files may change during the read.
  constexpr uint64_t kFirstStep = 1 << 16;
  std::string text;
  uint64_t size = 0;
  for (;;) {
    if (size > max_bytes) return too_long();
    if (size == text.size()) {
      text.resize(size == 0 ? std::max(expected + 1, kFirstStep) : size + size / 2);
    }
    const ssize_t got = ::read(file.get(), text.data() + size, text.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return absl::ErrnoToStatus(errno, absl::StrCat(name, ": cannot be read"));
    if (got == 0) break;
    size += static_cast<uint64_t>(got);
  }
  text.resize(size);
  return text;
}

absl::Status WriteFile(const std::string& path, std::string_view text) {
  auto cannot = [&path]() {
    return absl::ErrnoToStatus(errno, absl::StrCat(path, ": cannot be written"));
  };
  const Destination to = Follow(path);
  struct stat old {};
  const bool exists = to.descriptor < 0 && ::stat(to.path.c_str(), &old) == 0;
  if (to.descriptor < 0 && !exists && errno != ENOENT) return cannot();  // a circle of links, say
  // The renamed file must be like the old one. Files for which that is impossible are written in
  // place: pipes, devices, files of other users, and files with several names.
  const bool in_place = exists && (to.through_proc || !S_ISREG(old.st_mode) || old.st_nlink > 1 ||
                                   old.st_uid != ::geteuid() || old.st_gid != ::getegid());
  if (to.descriptor >= 0 || in_place) {
    Descriptor file(to.descriptor >= 0 ? ::fcntl(to.descriptor, F_DUPFD_CLOEXEC, 0)
                                       : ::open(to.path.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC));
    if (file.get() < 0 || !WriteAll(file.get(), text) || file.Close() != 0) return cannot();
    return absl::OkStatus();
  }
  // Write-protected files stay; renaming over one would succeed without a check.
  if (exists && ::faccessat(AT_FDCWD, to.path.c_str(), W_OK, AT_EACCESS) != 0) return cannot();
  const std::string part = absl::StrCat(to.path, ".", ::getpid(), ".part");
  Descriptor file(::open(part.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC,
                         exists ? 0600 : 0666));
  if (file.get() < 0) return cannot();
  if ((exists && ::fchmod(file.get(), old.st_mode & 07777) != 0) || !WriteAll(file.get(), text) ||
      file.Close() != 0 || ::rename(part.c_str(), to.path.c_str()) != 0) {
    absl::Status status = cannot();
    ::unlink(part.c_str());
    return status;
  }
  return absl::OkStatus();
}

}  // namespace tenure
