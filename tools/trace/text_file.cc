#include "tenure/tools/trace/text_file.h"

#include <zlib.h>

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace tenure::internal_trace {
namespace {

// Ends an inflate stream at the end of the scope.
class Inflater {
 public:
  Inflater() { ok_ = inflateInit2(&stream_, kWindowBits) == Z_OK; }
  ~Inflater() {
    if (ok_) inflateEnd(&stream_);
  }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  bool ok() const { return ok_; }
  z_stream& stream() { return stream_; }

 private:
  static constexpr int kWindowBits = 15 + 16;  // gzip and nothing else

  z_stream stream_ = {};
  bool ok_ = false;
};

absl::Status TooLong(std::string_view name, uint64_t max_bytes, std::string_view what) {
  return absl::ResourceExhaustedError(absl::StrCat(
      name, ": ", what, " is longer than ", max_bytes,
      " bytes, the most that is read (ReadOptions::max_text_bytes); this is no ordinary trace"));
}

}  // namespace

std::string OneLine(std::string_view text, size_t limit) {
  std::string line(text.substr(0, limit));
  for (char& c : line) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  if (text.size() > limit) line += "...";
  return line;
}

bool IsGzip(std::string_view content) {
  return content.size() >= 2 && content[0] == '\x1f' && content[1] == '\x8b';
}

absl::StatusOr<std::string> Gunzip(std::string_view content, std::string_view name,
                                   uint64_t max_bytes) {
  Inflater inflater;
  if (!inflater.ok()) {
    return absl::ResourceExhaustedError(absl::StrCat(name, ": no memory to decompress it"));
  }
  z_stream& stream = inflater.stream();
  std::string text;
  uint64_t filled = 0;
  size_t taken = 0;  // bytes of content handed to zlib; avail_in is only 32 bits wide
  for (;;) {
    if (filled > max_bytes) return TooLong(name, max_bytes, "the decompressed text");
    if (filled == text.size()) {
      // JSON compresses to about a tenth. For a decompression bomb, no memory is taken in advance.
      const uint64_t guess = std::clamp<uint64_t>(content.size() * 16, 1 << 12, 1 << 22);
      text.resize(filled + std::max(guess, filled / 2));
    }
    if (stream.avail_in == 0) {
      const size_t part = std::min<size_t>(content.size() - taken, 1u << 30);
      stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(content.data() + taken));
      stream.avail_in = static_cast<uInt>(part);
      taken += part;
    }
    const uint64_t room = std::min<uint64_t>(text.size() - filled, 1u << 30);
    stream.next_out = reinterpret_cast<Bytef*>(text.data() + filled);
    stream.avail_out = static_cast<uInt>(room);
    const int result = inflate(&stream, Z_NO_FLUSH);
    filled += room - stream.avail_out;
    const size_t at = taken - stream.avail_in;
    if (result == Z_STREAM_END) {
      if (at == content.size()) break;
      if (!IsGzip(content.substr(at))) {
        return absl::InvalidArgumentError(absl::StrCat(
            name, ": gzip: ", content.size() - at,
            " bytes of something else follow the compressed data (from byte ", at, ")"));
      }
      if (inflateReset(&stream) != Z_OK) {
        return absl::InternalError(absl::StrCat(name, ": gzip: zlib cannot be reset"));
      }
      continue;
    }
    if (result == Z_BUF_ERROR || result == Z_OK) {
      if (stream.avail_out > 0 && at == content.size()) {
        return absl::InvalidArgumentError(
            absl::StrCat(name, ": gzip: truncated: the compressed data ends after ", content.size(),
                         " bytes without its end; copy the file again"));
      }
      continue;
    }
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": gzip: damaged near compressed byte ", at, ": ",
                     stream.msg != nullptr ? stream.msg : "zlib gives no reason"));
  }
  if (filled > max_bytes) return TooLong(name, max_bytes, "the decompressed text");
  text.resize(filled);
  return text;
}

}  // namespace tenure::internal_trace
