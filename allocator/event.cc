#include "tenure/allocator/event.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <iterator>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace tenure {
namespace {

constexpr std::string_view kHeader =
    "event,status,time_ns,thread,space,allocation,storage,source_allocation,source_storage,"
    "size_bytes,alignment_bytes,offset_bytes,source_offset_bytes,zeroed,imported,name";
constexpr size_t kFields = 16;
constexpr std::string_view kReplacement = "\xef\xbf\xbd";  // U+FFFD

// In the order of Event::Kind.
constexpr std::string_view kKindNames[] = {"allocate", "free",  "copy_in", "copy_out", "copy",
                                           "fill",     "place", "unplace", "plan"};

// Quoted where it has to be. Quotes are doubled.
std::string CsvField(std::string_view text) {
  const bool quoted = text.find_first_of(",\"\r\n") != text.npos;
  std::string field(quoted ? "\"" : "");
  for (char c : text) {
    if (c == '\0') {
      absl::StrAppend(&field, kReplacement);
      continue;
    }
    if (c == '"') field += '"';
    field += c;
  }
  return quoted ? field + '"' : field;
}

// The length of the UTF-8 sequence at the beginning of `text`, or 0 if there is no valid one.
size_t SequenceLength(std::string_view text) {
  const auto byte = [text](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  const size_t length = first < 0xc2   ? 0
                        : first < 0xe0 ? 2
                        : first < 0xf0 ? 3
                        : first < 0xf5 ? 4
                                       : 0;
  if (length == 0 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  // Longer than need be, a surrogate, or beyond U+10FFFF.
  const unsigned char second = byte(1);
  const bool wrong = (first == 0xe0 && second < 0xa0) || (first == 0xed && second >= 0xa0) ||
                     (first == 0xf0 && second < 0x90) || (first == 0xf4 && second >= 0x90);
  return wrong ? 0 : length;
}

std::string JsonString(std::string_view text) {
  std::string quoted = "\"";
  while (!text.empty()) {
    const size_t length = SequenceLength(text);
    const auto byte = static_cast<unsigned char>(text[0]);
    if (length == 0) {
      absl::StrAppend(&quoted, kReplacement);
    } else if (byte < 0x20 || byte == 0x7f) {
      absl::StrAppendFormat(&quoted, "\\u%04x", byte);
    } else {
      absl::StrAppend(&quoted, byte == '"' || byte == '\\' ? "\\" : "", text.substr(0, length));
    }
    text.remove_prefix(std::max<size_t>(length, 1));
  }
  return quoted + '"';
}

// Reads records, which quoted fields may spread over several lines.
class RecordReader {
 public:
  explicit RecordReader(std::istream& in) : in_(in) {}

  // The next record; without fields at the end of the input.
  absl::StatusOr<std::vector<std::string>> Next() {
    line_ = lines_ + 1;
    std::vector<std::string> fields;
    enum { kStart, kPlain, kQuoted, kClosed } state = kStart;
    for (char c; in_.get(c);) {
      if (fields.empty()) fields.emplace_back();
      if (c == '\0') return Wrong("it has a zero byte");
      if (c == '\n') ++lines_;
      if (state == kQuoted) {
        if (c != '"') {
          fields.back() += c;
        } else if (in_.peek() == '"') {
          fields.back() += static_cast<char>(in_.get());
        } else {
          state = kClosed;
        }
      } else if (c == '\n') {
        return fields;
      } else if (c == ',') {
        fields.emplace_back();
        state = kStart;
      } else if (c == '"' && state == kStart) {
        state = kQuoted;
      } else if (c == '"' || (state == kClosed && c != '\r')) {
        return Wrong("a quote stands where none may be");
      } else if (c != '\r') {
        fields.back() += c;
        state = kPlain;
      }
    }
    if (state == kQuoted) return Wrong("a quote is never closed");
    return fields;
  }

  // Of the record that was read last.
  uint64_t line() const { return line_; }
  absl::Status Wrong(std::string_view what) const {
    return absl::InvalidArgumentError(absl::StrCat("line ", line_, ": ", what));
  }

 private:
  std::istream& in_;
  uint64_t line_ = 0;
  uint64_t lines_ = 0;
};

absl::StatusOr<Event::Kind> KindOf(std::string_view name) {
  const auto* it = std::find(std::begin(kKindNames), std::end(kKindNames), name);
  if (it == std::end(kKindNames)) {
    return absl::InvalidArgumentError(absl::StrCat("there is no event '", name.substr(0, 40),
                                                   "'; there are ",
                                                   absl::StrJoin(kKindNames, ", ")));
  }
  return static_cast<Event::Kind>(it - std::begin(kKindNames));
}

absl::StatusOr<absl::StatusCode> StatusCodeOf(std::string_view name) {
  for (int i = 0; i <= static_cast<int>(absl::StatusCode::kUnauthenticated); ++i) {
    const auto code = static_cast<absl::StatusCode>(i);
    if (absl::StatusCodeToString(code) == name) return code;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("'", name.substr(0, 40), "' is no status; write OK or RESOURCE_EXHAUSTED"));
}

// Reads whole numbers of a record, and remembers the first that is none.
class Numbers {
 public:
  explicit Numbers(const std::vector<std::string>& fields) : fields_(fields) {}
  uint64_t At(size_t field, uint64_t most = ~uint64_t{0}) {
    uint64_t value = 0;
    if ((!absl::SimpleAtoi(fields_[field], &value) || value > most) && status_.ok()) {
      status_ = absl::InvalidArgumentError(absl::StrCat(
          "'", fields_[field].substr(0, 40), "' is not a whole number from 0 to ", most));
    }
    return value;
  }
  const absl::Status& status() const { return status_; }

 private:
  const std::vector<std::string>& fields_;
  absl::Status status_;
};

absl::StatusOr<Event> EventOf(std::vector<std::string>& fields) {
  if (fields.size() != kFields) {
    return absl::InvalidArgumentError(absl::StrCat(fields.size(), " fields instead of ", kFields));
  }
  const absl::StatusOr<Event::Kind> kind = KindOf(fields[0]);
  if (!kind.ok()) return kind.status();
  const absl::StatusOr<absl::StatusCode> status = StatusCodeOf(fields[1]);
  if (!status.ok()) return status.status();
  Event event{.kind = *kind, .status = *status};
  if (!fields[4].empty()) {
    absl::StatusOr<MemorySpace> space = MemorySpace::Parse(fields[4]);
    if (!space.ok()) return space.status();
    event.space = *std::move(space);
  }
  Numbers numbers(fields);
  event.time_ns = numbers.At(2);
  event.thread = static_cast<uint32_t>(numbers.At(3, 0xffffffffu));
  event.allocation = AllocationId(numbers.At(5));
  event.storage = StorageId(numbers.At(6));
  event.source_allocation = AllocationId(numbers.At(7));
  event.source_storage = StorageId(numbers.At(8));
  event.size_bytes = numbers.At(9);
  event.alignment_bytes = numbers.At(10);
  event.offset_bytes = numbers.At(11);
  event.source_offset_bytes = numbers.At(12);
  event.zeroed = numbers.At(13, 1) != 0;
  event.imported = numbers.At(14, 1) != 0;
  if (!numbers.status().ok()) return numbers.status();
  event.name = std::move(fields[15]);
  return event;
}

}  // namespace

std::string_view EventKindName(Event::Kind kind) {
  const auto index = static_cast<size_t>(kind);
  return index < std::size(kKindNames) ? kKindNames[index] : "?";
}

void Stamp(Event& event) {
  if (event.thread != 0) return;
  static std::atomic<uint32_t> threads{0};
  thread_local const uint32_t mine = threads.fetch_add(1, std::memory_order_relaxed) + 1;
  static const std::chrono::steady_clock::time_point start = std::chrono::steady_clock::now();
  event.thread = mine;
  event.time_ns = static_cast<uint64_t>(
      std::chrono::nanoseconds(std::chrono::steady_clock::now() - start).count());
}

std::string_view EventCsvHeader() { return kHeader; }

std::string ToCsv(const Event& e) {
  return absl::StrCat(EventKindName(e.kind), ",", absl::StatusCodeToString(e.status), ",",
                      e.time_ns, ",", e.thread, ",", e.space ? CsvField(e.space->ToString()) : "",
                      ",", e.allocation.value(), ",", e.storage.value(), ",",
                      e.source_allocation.value(), ",", e.source_storage.value(), ",", e.size_bytes,
                      ",", e.alignment_bytes, ",", e.offset_bytes, ",", e.source_offset_bytes, ",",
                      e.zeroed ? 1 : 0, ",", e.imported ? 1 : 0, ",", CsvField(e.name));
}

void WriteCsv(absl::Span<const Event> events, std::ostream& out) {
  out << kHeader << '\n';
  for (const Event& event : events) out << ToCsv(event) << '\n';
}

void WriteJson(absl::Span<const Event> events, std::ostream& out) {
  out << '[';
  const char* separator = "\n";
  for (const Event& e : events) {
    out << std::exchange(separator, ",\n")
        << absl::StrCat("{\"event\": \"", EventKindName(e.kind), "\", \"status\": \"",
                        absl::StatusCodeToString(e.status), "\", \"time_ns\": ", e.time_ns,
                        ", \"thread\": ", e.thread,
                        ", \"space\": ", e.space ? JsonString(e.space->ToString()) : "null",
                        ", \"allocation\": ", e.allocation.value(),
                        ", \"storage\": ", e.storage.value(),
                        ", \"source_allocation\": ", e.source_allocation.value(),
                        ", \"source_storage\": ", e.source_storage.value())
        << absl::StrCat(", \"size_bytes\": ", e.size_bytes,
                        ", \"alignment_bytes\": ", e.alignment_bytes,
                        ", \"offset_bytes\": ", e.offset_bytes,
                        ", \"source_offset_bytes\": ", e.source_offset_bytes,
                        ", \"zeroed\": ", e.zeroed ? "true" : "false",
                        ", \"imported\": ", e.imported ? "true" : "false",
                        ", \"name\": ", JsonString(e.name), "}");
  }
  out << "\n]\n";
}

absl::StatusOr<std::vector<Event>> ReadCsv(std::istream& in, std::vector<uint64_t>* lines) {
  RecordReader reader(in);
  absl::StatusOr<std::vector<std::string>> fields = reader.Next();
  if (!fields.ok()) return fields.status();
  if (absl::StrJoin(*fields, ",") != kHeader) {
    return reader.Wrong(absl::StrCat("a log of events begins with the line '", kHeader, "'"));
  }
  std::vector<Event> events;
  while (true) {
    fields = reader.Next();
    if (!fields.ok()) return fields.status();
    if (fields->empty()) break;
    if (fields->size() == 1 && (*fields)[0].empty()) continue;
    absl::StatusOr<Event> event = EventOf(*fields);
    if (!event.ok()) return reader.Wrong(event.status().message());
    events.push_back(*std::move(event));
    if (lines != nullptr) lines->push_back(reader.line());
  }
  return events;
}

}  // namespace tenure
