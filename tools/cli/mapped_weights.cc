// Weights and inputs in a temporary file that is mapped.

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tenure/tools/cli/trace_run.h"
#include "tenure/tools/trace/reference_kernel.h"

namespace tenure::cli {
namespace {

constexpr uint64_t kFileAlignment = 4096;
constexpr uint64_t kChunk = 16 << 20;

bool Starts(const TraceBuffer& b) {
  return !b.alias_of.has_value() && (b.kind == TraceKind::kWeight || b.kind == TraceKind::kInput);
}

class Mapped final : public WeightSource {
 public:
  Mapped(const Trace& trace, std::string path)
      : trace_(trace), uses_(FindUses(trace)), path_(std::move(path)) {}
  ~Mapped() override { unlink(path_.c_str()); }

  // Writes the contents of every weight and input, each at a multiple of the page size.
  absl::Status Write(int fd, int threads) {
    std::vector<uint8_t> chunk;
    uint64_t end = 0;
    for (const TraceBuffer& b : trace_.buffers) {
      if (!Starts(b)) continue;
      offset_of_[b.id] = end;
      for (uint64_t at = 0; at < b.bytes; at += kChunk) {
        chunk.resize(std::min(kChunk, b.bytes - at));
        FillStart(absl::MakeSpan(chunk), b.id, threads, at / 8);
        for (size_t done = 0; done < chunk.size();) {
          const ssize_t n = pwrite(fd, chunk.data() + done, chunk.size() - done,
                                   static_cast<off_t>(end + at + done));
          if (n < 0 && errno == EINTR) continue;
          if (n <= 0) {
            return absl::ResourceExhaustedError(
                absl::StrCat("writing weights to ", path_, ": ", std::strerror(errno),
                             "; set TMPDIR to a folder with more room, or use --weights=copy"));
          }
          done += static_cast<size_t>(n);
        }
      }
      end += (b.bytes + kFileAlignment - 1) / kFileAlignment * kFileAlignment;
    }
    return absl::OkStatus();
  }

  absl::Status Open(Registry& registry) {
    absl::StatusOr<Allocator*> disk = registry.Get(MemorySpace::Disk(path_));
    if (disk.ok()) disk_ = *disk;
    return disk.status();
  }

  absl::StatusOr<std::map<uint32_t, Buffer>> Given() override {
    std::map<uint32_t, Buffer> given;
    for (const TraceBuffer& b : trace_.buffers) {
      if (!Starts(b) || uses_[b.id].written) continue;
      absl::StatusOr<Buffer> window = Window(b.id);
      if (!window.ok()) return window.status();
      given[b.id] = *std::move(window);
    }
    return given;
  }

  absl::Status Load(uint32_t base, const Buffer& to) override {
    absl::StatusOr<Buffer> window = Window(base);
    return window.ok() ? to.CopyFrom(*window) : window.status();
  }

 private:
  absl::StatusOr<Buffer> Window(uint32_t base) const {
    return Buffer::FromFile(*disk_, DType::kUInt8, Shape::Vector(trace_.buffers[base].bytes),
                            offset_of_.at(base), {.name = absl::StrCat("b", base)});
  }

  const Trace& trace_;
  const std::vector<TraceUse> uses_;
  const std::string path_;
  std::map<uint32_t, uint64_t> offset_of_;
  Allocator* disk_ = nullptr;
};

}  // namespace

absl::StatusOr<std::unique_ptr<WeightSource>> MappedWeights(const Trace& trace, Registry& registry,
                                                            int threads) {
  const char* folder = std::getenv("TMPDIR");
  std::string path = absl::StrCat(folder != nullptr && *folder != '\0' ? folder : "/tmp",
                                  "/tenure-weights-XXXXXX");
  const int fd = mkstemp(path.data());
  if (fd < 0) {
    return absl::UnavailableError(
        absl::StrCat("no temporary file ", path, ": ", std::strerror(errno), "; set TMPDIR"));
  }
  auto source = std::make_unique<Mapped>(trace, path);
  absl::Status status = source->Write(fd, threads);
  close(fd);
  if (status.ok()) status = source->Open(registry);
  if (!status.ok()) return status;
  return source;
}

}  // namespace tenure::cli
