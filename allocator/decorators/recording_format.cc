#include "tenure/allocator/decorators/recording_format.h"

#include <iterator>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace tenure {
namespace {

constexpr std::string_view kHeader =
    "event,time_ns,thread,allocation,storage,size_bytes,alignment_bytes,offset_bytes,zeroed,"
    "imported,name";
constexpr size_t kFields = 11;

// Quoted if it must be; quotes are doubled.
std::string CsvField(std::string_view text) {
  if (text.find_first_of(",\"\r\n") == text.npos) return std::string(text);
  std::string quoted = "\"";
  for (char c : text) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + '"';
}

std::string JsonString(std::string_view text) {
  std::string quoted = "\"";
  for (char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if (byte < 0x20 || byte == 0x7f) {
      absl::StrAppendFormat(&quoted, "\\u%04x", byte);
    } else {
      quoted += c;
    }
  }
  return quoted + '"';
}

// Reads one record, which quoted fields may spread over several lines. False at
// the end of the input; `lines` counts line ends; `closed` says whether quotes were.
bool ReadRecord(std::istream& in, std::vector<std::string>& fields, uint64_t& lines, bool& closed) {
  fields.assign(1, "");
  bool quoted = false;
  bool any = false;
  for (char c; in.get(c);) {
    any = true;
    if (c == '\n') ++lines;
    if (quoted) {
      if (c != '"') {
        fields.back() += c;
      } else if (in.peek() == '"') {
        fields.back() += '"';
        in.get();
      } else {
        quoted = false;
      }
    } else if (c == '"') {
      quoted = true;
    } else if (c == ',') {
      fields.emplace_back();
    } else if (c == '\n') {
      break;
    } else if (c != '\r') {
      fields.back() += c;
    }
  }
  closed = !quoted;
  return any;
}

bool KindFromName(std::string_view name, Event::Kind& kind) {
  for (int i = 0; i <= static_cast<int>(Event::Kind::kPlan); ++i) {
    kind = static_cast<Event::Kind>(i);
    if (EventKindName(kind) == name) return true;
  }
  return false;
}

}  // namespace

std::string_view RecordingCsvHeader() { return kHeader; }

std::string ToCsv(const RecordedEvent& event) {
  return absl::StrCat(EventKindName(event.kind), ",", event.time_ns, ",", event.thread, ",",
                      event.allocation.value(), ",", event.storage.value(), ",", event.size_bytes,
                      ",", event.alignment_bytes, ",", event.offset_bytes, ",",
                      event.zeroed ? 1 : 0, ",", event.imported ? 1 : 0, ",", CsvField(event.name));
}

void WriteCsv(absl::Span<const RecordedEvent> events, std::ostream& out) {
  out << kHeader << '\n';
  for (const RecordedEvent& event : events) out << ToCsv(event) << '\n';
}

void WriteJson(absl::Span<const RecordedEvent> events, std::ostream& out) {
  out << '[';
  const char* separator = "\n";
  for (const RecordedEvent& e : events) {
    out << std::exchange(separator, ",\n")
        << absl::StrCat("{\"event\": \"", EventKindName(e.kind), "\", \"time_ns\": ", e.time_ns,
                        ", \"thread\": ", e.thread, ", \"allocation\": ", e.allocation.value(),
                        ", \"storage\": ", e.storage.value(), ", \"size_bytes\": ", e.size_bytes,
                        ", \"alignment_bytes\": ", e.alignment_bytes,
                        ", \"offset_bytes\": ", e.offset_bytes)
        << ", \"zeroed\": " << (e.zeroed ? "true" : "false")
        << ", \"imported\": " << (e.imported ? "true" : "false")
        << ", \"name\": " << JsonString(e.name) << '}';
  }
  out << "\n]\n";
}

absl::StatusOr<std::vector<RecordedEvent>> ReadCsv(std::istream& in) {
  std::vector<RecordedEvent> events;
  std::vector<std::string> fields;
  uint64_t lines = 0;
  bool closed = true;
  auto wrong = [&](uint64_t line, std::string_view what) {
    return absl::InvalidArgumentError(absl::StrCat("allocation log, line ", line, ": ", what));
  };
  if (!ReadRecord(in, fields, lines, closed)) return wrong(1, "the log is empty");
  std::string header = fields[0];
  for (size_t i = 1; i < fields.size(); ++i) absl::StrAppend(&header, ",", fields[i]);
  if (header != kHeader) return wrong(1, absl::StrCat("expected the names '", kHeader, "'"));
  while (true) {
    const uint64_t line = lines + 1;
    if (!ReadRecord(in, fields, lines, closed)) break;
    if (!closed) return wrong(line, "a quote is never closed");
    if (fields.size() == 1 && fields[0].empty()) continue;
    if (fields.size() != kFields) {
      return wrong(line, absl::StrCat(fields.size(), " fields instead of ", kFields));
    }
    RecordedEvent event;
    if (!KindFromName(fields[0], event.kind)) {
      return wrong(line, absl::StrCat("unknown event '", fields[0], "'"));
    }
    uint64_t numbers[9];
    for (size_t i = 0; i < std::size(numbers); ++i) {
      if (!absl::SimpleAtoi(fields[i + 1], &numbers[i])) {
        return wrong(line,
                     absl::StrCat("'", fields[i + 1], "' is not a number from 0 to 2^64 - 1"));
      }
    }
    if (numbers[1] > 0xffffffffu || numbers[7] > 1 || numbers[8] > 1) {
      return wrong(line, "thread, zeroed or imported is out of range");
    }
    event.time_ns = numbers[0];
    event.thread = static_cast<uint32_t>(numbers[1]);
    event.allocation = AllocationId(numbers[2]);
    event.storage = StorageId(numbers[3]);
    event.size_bytes = numbers[4];
    event.alignment_bytes = numbers[5];
    event.offset_bytes = numbers[6];
    event.zeroed = numbers[7] != 0;
    event.imported = numbers[8] != 0;
    event.name = std::move(fields[10]);
    events.push_back(std::move(event));
  }
  return events;
}

}  // namespace tenure
