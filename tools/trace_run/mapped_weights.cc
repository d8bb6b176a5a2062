// Keeps weights and inputs in a temporary file that is mapped.

#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tenure/base/checked.h"
#include "tenure/base/status_macros.h"
#include "tenure/tools/trace/reference_kernel.h"
#include "tenure/tools/trace_run/trace_run.h"

namespace tenure::cli {
namespace {

constexpr uint64_t kFileAlignment = 4096;
constexpr uint64_t kChunk = 16 << 20;

bool Starts(const TraceBuffer& b) {
  return !b.alias_of.has_value() && (b.kind == TraceKind::kWeight || b.kind == TraceKind::kInput);
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  const int fd_;
};

class Mapped final : public WeightSource {
 public:
  explicit Mapped(const Trace& trace) : trace_(trace), uses_(FindUses(trace)) {}

  // Writes the contents of every weight and input into a file in `folder`, each at a multiple of
  // the page size, opens the file as a space and removes its name.
  absl::Status Make(const std::string& folder, Registry& registry, int threads) {
    TENURE_ASSIGN_OR_RETURN(uint64_t total, Lay());
    std::string path = folder + "/tenure-weights-XXXXXX";
    const Descriptor file(mkstemp(path.data()));
    if (file.get() < 0) {
      return absl::ErrnoToStatus(errno, absl::StrCat("no file for weights in ", folder,
                                                     " (set TMPDIR to another folder)"));
    }
    absl::Status status = CheckRoom(file.get(), total, folder);
    // The file gets its full size, so that an empty weight at the end has its place too.
    if (status.ok() && ftruncate(file.get(), static_cast<off_t>(total)) != 0) {
      status = absl::ErrnoToStatus(errno, absl::StrCat(path, ": no file of ", total, " bytes"));
    }
    if (status.ok()) status = Write(file.get(), path, threads);
    if (status.ok()) {
      absl::StatusOr<Allocator*> disk = registry.Get(MemorySpace::Disk(path));
      if (disk.ok()) disk_ = *disk;
      status = disk.status();
    }
    unlink(path.c_str());
    return status;
  }

  absl::StatusOr<std::map<uint32_t, Buffer>> Given() override {
    std::map<uint32_t, Buffer> given;
    for (const TraceBuffer& b : trace_.buffers) {
      if (!Starts(b) || uses_[b.id].written) continue;
      TENURE_ASSIGN_OR_RETURN(given[b.id], Window(b.id));
    }
    return given;
  }

  absl::Status Load(uint32_t base, const Buffer& to) override {
    absl::StatusOr<Buffer> window = Window(base);
    return window.ok() ? to.CopyFrom(*window) : window.status();
  }

 private:
  // Assigns each weight and input its place in the file, and returns the file's size.
  absl::StatusOr<uint64_t> Lay() {
    uint64_t end = 0;
    for (const TraceBuffer& b : trace_.buffers) {
      if (!Starts(b)) continue;
      offset_of_[b.id] = end;
      uint64_t rounded = 0;
      if (!CheckedRoundUp(b.bytes, kFileAlignment, &rounded) || !CheckedAdd(end, rounded, &end) ||
          end > static_cast<uint64_t>(std::numeric_limits<off_t>::max())) {
        return absl::ResourceExhaustedError(absl::StrCat(
            DescribeTraceBuffer(trace_, b.id), " of ", b.bytes,
            " bytes: with it the weights are longer than any file; use --weights=copy"));
      }
    }
    return end;
  }

  // It is better to fail now than after the disk has been filled.
  static absl::Status CheckRoom(int fd, uint64_t total, const std::string& folder) {
    struct statvfs disk = {};
    uint64_t room = 0;
    if (fstatvfs(fd, &disk) != 0 || !CheckedMul(disk.f_bavail, disk.f_frsize, &room) ||
        total <= room) {
      return absl::OkStatus();
    }
    return absl::ResourceExhaustedError(
        absl::StrCat("the weights take ", total, " bytes, and ", folder, " has room for ", room,
                     "; set TMPDIR to a folder with more, or use --weights=copy"));
  }

  absl::Status Write(int fd, const std::string& path, int threads) {
    std::vector<uint8_t> chunk;
    for (const auto& [base, offset] : offset_of_) {
      const uint64_t size = trace_.buffers[base].bytes;
      for (uint64_t at = 0; at < size; at += kChunk) {
        chunk.resize(std::min(kChunk, size - at));
        FillStart(absl::MakeSpan(chunk), base, threads, at / 8);
        for (size_t done = 0; done < chunk.size();) {
          const ssize_t n = pwrite(fd, chunk.data() + done, chunk.size() - done,
                                   static_cast<off_t>(offset + at + done));
          if (n < 0 && errno == EINTR) continue;
          if (n <= 0) {
            return absl::ErrnoToStatus(
                errno, absl::StrCat("writing weights to ", path, " (set TMPDIR to a folder with ",
                                    "more room, or use --weights=copy)"));
          }
          done += static_cast<size_t>(n);
        }
      }
    }
    return absl::OkStatus();
  }

  absl::StatusOr<Buffer> Window(uint32_t base) const {
    return Buffer::FromFile(*disk_, DType::kUInt8, Shape::Vector(trace_.buffers[base].bytes),
                            offset_of_.at(base), {.name = absl::StrCat("b", base)});
  }

  const Trace& trace_;
  const std::vector<TraceUse> uses_;
  std::map<uint32_t, uint64_t> offset_of_;
  Allocator* disk_ = nullptr;
};

}  // namespace

absl::StatusOr<std::unique_ptr<WeightSource>> MappedWeights(const Trace& trace, Registry& registry,
                                                            int threads) {
  const char* folder = std::getenv("TMPDIR");
  auto source = std::make_unique<Mapped>(trace);
  TENURE_RETURN_IF_ERROR(
      source->Make(folder != nullptr && *folder != '\0' ? folder : "/tmp", registry, threads));
  return source;
}

}  // namespace tenure::cli
