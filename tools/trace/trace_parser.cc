#include "tenure/tools/trace/trace_parser.h"

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "tenure/tools/trace/text_file.h"

namespace tenure::internal_trace {
namespace {

constexpr std::string_view kFormat = "tensor-trace-1";
constexpr int kMaxDepth = 64;

// A scalar, or the opening bracket of an object or an array.
struct Value {
  enum Type { kNull, kBool, kUnsigned, kNegative, kFloat, kString, kObject, kArray };

  Type type;
  uint64_t number = 0;    // kUnsigned
  std::string_view text;  // kString: its content; kNegative, kFloat: as written
};

// Returns the end of a sentence that begins with a place: "is 1.5", "is a string (\"x\")".
std::string Describe(const Value& value) {
  switch (value.type) {
    case Value::kNull:
      return "is null";
    case Value::kBool:
      return "is a truth value";
    case Value::kUnsigned:
      return absl::StrCat("is ", value.number);
    case Value::kNegative:
    case Value::kFloat:
      return absl::StrCat("is ", OneLine(value.text, 40));
    case Value::kString:
      return absl::StrCat("is the string \"", OneLine(value.text, 40), "\"");
    case Value::kObject:
      return "is an object";
    case Value::kArray:
      return "is an array";
  }
  return "is of an unknown type";
}

// Handles the events of nlohmann's parser, which keeps no tree, so a trace of any length takes no
// more memory than its structs. The first fault is recorded, and reading goes on to find syntax
// errors and the format key: if a file is no trace at all, that is the message the user needs.
class Handler final : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit Handler(std::string_view name) : name_(name) {}

  bool null() override { return Take({Value::kNull, 0, {}}); }
  bool boolean(bool /*value*/) override { return Take({Value::kBool, 0, {}}); }
  bool number_integer(number_integer_t value) override {
    const std::string text = absl::StrCat(value);
    return Take({Value::kNegative, 0, text});
  }
  bool number_unsigned(number_unsigned_t value) override {
    return Take({Value::kUnsigned, value, {}});
  }
  bool number_float(number_float_t /*value*/, const string_t& text) override {
    return Take({Value::kFloat, 0, text});
  }
  bool string(string_t& value) override { return Take({Value::kString, 0, value}); }
  bool binary(binary_t& /*value*/) override { return true; }
  bool start_object(std::size_t /*elements*/) override { return Open({Value::kObject, 0, {}}); }
  bool start_array(std::size_t /*elements*/) override { return Open({Value::kArray, 0, {}}); }
  bool key(string_t& value) override;
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }
  bool parse_error(std::size_t position, const std::string& last_token,
                   const nlohmann::detail::exception& error) override;

  // After the text has been read.
  absl::StatusOr<Trace> Finish();

 private:
  enum Where {
    kStart,
    kTop,
    kBuffers,
    kBuffer,
    kShape,
    kStrides,
    kOps,
    kOp,
    kReads,
    kWrites,
    kInPlace,
    kPair,
    kSkip
  };
  // Bits of seen_ (in a buffer or an op) and of top_seen_.
  enum Key : uint32_t {
    kNoKey = 0,
    kFormatKey = 1 << 0,
    kNameKey = 1 << 1,
    kNoteKey = 1 << 2,
    kBuffersKey = 1 << 3,
    kOpsKey = 1 << 4,
    kIdKey = 1 << 5,
    kBytesKey = 1 << 6,
    kDtypeKey = 1 << 7,
    kShapeKey = 1 << 8,
    kKindKey = 1 << 9,
    kAliasKey = 1 << 10,
    kOffsetKey = 1 << 11,
    kStridesKey = 1 << 12,
    kReadsKey = 1 << 13,
    kWritesKey = 1 << 14,
    kInPlaceKey = 1 << 15,
  };
  struct KeyName {
    std::string_view name;
    Key key;
  };
  static constexpr KeyName kTopKeys[] = {{"format", kFormatKey},
                                         {"name", kNameKey},
                                         {"note", kNoteKey},
                                         {"buffers", kBuffersKey},
                                         {"ops", kOpsKey}};
  static constexpr KeyName kBufferKeys[] = {{"id", kIdKey},
                                            {"bytes", kBytesKey},
                                            {"dtype", kDtypeKey},
                                            {"shape", kShapeKey},
                                            {"kind", kKindKey},
                                            {"alias_of", kAliasKey},
                                            {"offset_bytes", kOffsetKey},
                                            {"strides", kStridesKey},
                                            {"name", kNameKey}};
  static constexpr KeyName kOpKeys[] = {
      {"name", kNameKey}, {"reads", kReadsKey}, {"writes", kWritesKey}, {"in_place", kInPlaceKey}};

  bool Open(const Value& value);
  bool Close();
  bool Take(const Value& value);
  void TakeTop(const Value& value);
  void TakeBufferField(const Value& value);
  void TakeOpField(const Value& value);

  // Reads into `out`, or records a fault.
  void ReadNumber(const Value& value, uint64_t* out);
  void ReadId(const Value& value, uint32_t* out);
  void ReadString(const Value& value, std::string* out);
  void ReadKind(const Value& value, TraceKind* out);
  void Enter(const Value& value, Value::Type wanted, Where inside);
  template <typename List>
  void ReportMissing(const List& keys, uint32_t seen, uint32_t optional, const std::string& place);

  // Returns the current place, such as `buffers[12].shape[1]`.
  std::string Place() const;
  void Fault(const std::string& place, std::string_view cause);
  void Fault(std::string_view cause) { Fault(Place(), cause); }

  std::string_view name_;
  Trace trace_;
  Where where_ = kStart;
  Key key_ = kNoKey;
  std::string_view key_name_;
  uint32_t seen_ = 0;
  uint32_t top_seen_ = 0;
  int pair_size_ = 0;  // numbers of the pair that is being read
  int depth_ = 0;
  int skip_from_ = 0;  // in kSkip: the depth at which skipping ends
  Where skip_to_ = kTop;
  bool format_ok_ = false;
  std::string format_found_;
  absl::Status fault_;
  bool stopped_ = false;  // fault_ is final, nothing more was read
};

std::string Handler::Place() const {
  const std::string buffer = absl::StrCat("buffers[", trace_.buffers.size() - 1, "]");
  const std::string op = absl::StrCat("ops[", trace_.ops.size() - 1, "]");
  switch (where_) {
    case kStart:
    case kSkip:
      return "";
    case kTop:
      return std::string(key_name_);
    case kBuffers:
      return absl::StrCat("buffers[", trace_.buffers.size(), "]");
    case kBuffer:
      return absl::StrCat(buffer, ".", key_name_);
    case kShape:
      return absl::StrCat(buffer, ".shape[", trace_.buffers.back().shape.size(), "]");
    case kStrides:
      return absl::StrCat(buffer, ".strides[", trace_.buffers.back().strides->size(), "]");
    case kOps:
      return absl::StrCat("ops[", trace_.ops.size(), "]");
    case kOp:
      return absl::StrCat(op, ".", key_name_);
    case kReads:
      return absl::StrCat(op, ".reads[", trace_.ops.back().reads.size(), "]");
    case kWrites:
      return absl::StrCat(op, ".writes[", trace_.ops.back().writes.size(), "]");
    case kInPlace:
      return absl::StrCat(op, ".in_place[", trace_.ops.back().in_place.size(), "]");
    case kPair:
      return absl::StrCat(op, ".in_place[", trace_.ops.back().in_place.size() - 1, "]");
  }
  return "";
}

void Handler::Fault(const std::string& place, std::string_view cause) {
  if (fault_.ok()) {
    fault_ = absl::InvalidArgumentError(
        absl::StrCat(name_, ": ", place, place.empty() ? "" : " ", cause));
  }
  where_ = kSkip;
  skip_from_ = -1;  // skips the rest
}

bool Handler::key(string_t& value) {
  key_ = kNoKey;
  if (depth_ == 1 && value == "format") key_ = kFormatKey;
  const auto look_up = [&](const auto& keys, uint32_t* seen) {
    for (const KeyName& known : keys) {
      if (value != known.name) continue;
      key_ = known.key;
      key_name_ = known.name;
      if ((*seen & known.key) != 0) Fault("stands twice in the same object");
      *seen |= known.key;
    }
  };
  if (where_ == kTop) look_up(kTopKeys, &top_seen_);
  if (where_ == kBuffer) look_up(kBufferKeys, &seen_);
  if (where_ == kOp) look_up(kOpKeys, &seen_);
  return true;
}

bool Handler::Open(const Value& value) {
  const bool go_on = Take(value);
  if (++depth_ > kMaxDepth) {
    Fault("", absl::StrCat("is nested deeper than ", kMaxDepth, " levels; a trace never is"));
    stopped_ = true;
    return false;
  }
  return go_on;
}

template <typename List>
void Handler::ReportMissing(const List& keys, uint32_t seen, uint32_t optional,
                            const std::string& place) {
  for (const KeyName& known : keys) {
    if (((seen | optional) & known.key) == 0) {
      Fault(place, absl::StrCat(place.empty() ? "" : "has ", "no key \"", known.name, "\""));
      return;
    }
  }
}

bool Handler::Close() {
  --depth_;
  switch (where_) {
    case kSkip:
      if (depth_ == skip_from_) where_ = skip_to_;
      break;
    case kBuffer:
      where_ = kBuffers;
      ReportMissing(kBufferKeys, seen_, kStridesKey | kNameKey,
                    absl::StrCat("buffers[", trace_.buffers.size() - 1, "]"));
      break;
    case kOp:
      where_ = kOps;
      ReportMissing(kOpKeys, seen_, kInPlaceKey, absl::StrCat("ops[", trace_.ops.size() - 1, "]"));
      break;
    case kShape:
    case kStrides:
      where_ = kBuffer;
      break;
    case kReads:
    case kWrites:
    case kInPlace:
      where_ = kOp;
      break;
    case kPair:
      if (pair_size_ == 2) {
        where_ = kInPlace;
      } else {
        Fault("must be the number of a read and the number of a write");
      }
      break;
    case kBuffers:
    case kOps:
      where_ = kTop;
      break;
    case kTop:
    case kStart:
      break;
  }
  return true;
}

bool Handler::Take(const Value& value) {
  // The format key is checked even after other faults.
  if (depth_ == 1 && key_ == kFormatKey) {
    format_ok_ = value.type == Value::kString && value.text == kFormat;
    format_found_ = Describe(value);
  }
  switch (where_) {
    case kStart:
      if (value.type != Value::kObject) {
        Fault(
            absl::StrCat("the text ", Describe(value), ", not an object: this is not a ", kFormat));
        break;
      }
      where_ = kTop;
      break;
    case kTop:
      TakeTop(value);
      break;
    case kBuffers:
      Enter(value, Value::kObject, kBuffer);
      if (where_ == kBuffer) trace_.buffers.emplace_back();
      seen_ = 0;
      break;
    case kBuffer:
      TakeBufferField(value);
      break;
    case kOps:
      Enter(value, Value::kObject, kOp);
      if (where_ == kOp) trace_.ops.emplace_back();
      seen_ = 0;
      break;
    case kOp:
      TakeOpField(value);
      break;
    case kShape: {
      uint64_t extent = 0;
      ReadNumber(value, &extent);
      trace_.buffers.back().shape.push_back(extent);
      break;
    }
    case kStrides: {
      uint64_t stride = 0;
      ReadNumber(value, &stride);
      trace_.buffers.back().strides->push_back(stride);
      break;
    }
    case kReads:
    case kWrites: {
      uint32_t id = 0;
      ReadId(value, &id);
      TraceOp& op = trace_.ops.back();
      (where_ == kWrites ? op.writes : op.reads).push_back(id);
      break;
    }
    case kInPlace:
      Enter(value, Value::kArray, kPair);
      if (where_ == kPair) trace_.ops.back().in_place.emplace_back();
      pair_size_ = 0;
      break;
    case kPair: {
      TraceInPlace& pair = trace_.ops.back().in_place.back();
      uint32_t ignored = 0;
      ReadId(value, pair_size_ == 0 ? &pair.read : pair_size_ == 1 ? &pair.write : &ignored);
      ++pair_size_;
      break;
    }
    case kSkip:
      break;
  }
  return true;
}

void Handler::Enter(const Value& value, Value::Type wanted, Where inside) {
  if (value.type != wanted) {
    Fault(absl::StrCat(Describe(value), "; must be an ",
                       wanted == Value::kObject ? "object" : "array"));
    return;
  }
  where_ = inside;
}

void Handler::TakeTop(const Value& value) {
  switch (key_) {
    case kBuffersKey:
      return Enter(value, Value::kArray, kBuffers);
    case kOpsKey:
      return Enter(value, Value::kArray, kOps);
    case kNameKey:
      return ReadString(value, &trace_.name);
    case kNoteKey:
      if (value.type == Value::kString) {
        trace_.note = std::string(value.text);
        return;
      }
      break;  // nothing depends on it
    default:
      break;
  }
  if (value.type == Value::kObject || value.type == Value::kArray) {
    where_ = kSkip;
    skip_from_ = depth_;
    skip_to_ = kTop;
  }
}

void Handler::TakeBufferField(const Value& value) {
  TraceBuffer& buffer = trace_.buffers.back();
  switch (key_) {
    case kIdKey:
      return ReadId(value, &buffer.id);
    case kBytesKey:
      return ReadNumber(value, &buffer.bytes);
    case kDtypeKey:
      return ReadString(value, &buffer.dtype);
    case kShapeKey:
      return Enter(value, Value::kArray, kShape);
    case kKindKey:
      return ReadKind(value, &buffer.kind);
    case kAliasKey:
      if (value.type == Value::kNull) return;
      return ReadId(value, &buffer.alias_of.emplace());
    case kOffsetKey:
      return ReadNumber(value, &buffer.offset_bytes);
    case kStridesKey:
      if (value.type == Value::kNull) return;
      Enter(value, Value::kArray, kStrides);
      if (where_ == kStrides) buffer.strides.emplace();
      return;
    case kNameKey:
      return ReadString(value, &buffer.name);
    default:
      break;
  }
  if (value.type == Value::kObject || value.type == Value::kArray) {
    where_ = kSkip;
    skip_from_ = depth_;
    skip_to_ = kBuffer;
  }
}

void Handler::TakeOpField(const Value& value) {
  TraceOp& op = trace_.ops.back();
  switch (key_) {
    case kNameKey:
      return ReadString(value, &op.name);
    case kReadsKey:
      return Enter(value, Value::kArray, kReads);
    case kWritesKey:
      return Enter(value, Value::kArray, kWrites);
    case kInPlaceKey:
      return Enter(value, Value::kArray, kInPlace);
    default:
      break;
  }
  if (value.type == Value::kObject || value.type == Value::kArray) {
    where_ = kSkip;
    skip_from_ = depth_;
    skip_to_ = kOp;
  }
}

void Handler::ReadNumber(const Value& value, uint64_t* out) {
  if (value.type != Value::kUnsigned) {
    Fault(absl::StrCat(Describe(value), "; must be a whole number from 0 to 2^64 - 1"));
    return;
  }
  *out = value.number;
}

void Handler::ReadId(const Value& value, uint32_t* out) {
  // The largest value is reserved, so that a count of ids fits too.
  constexpr uint64_t kLargest = std::numeric_limits<uint32_t>::max() - 1;
  if (value.type != Value::kUnsigned || value.number > kLargest) {
    Fault(absl::StrCat(Describe(value), "; must be the id of a buffer"));
    return;
  }
  *out = static_cast<uint32_t>(value.number);
}

void Handler::ReadString(const Value& value, std::string* out) {
  if (value.type != Value::kString) {
    Fault(absl::StrCat(Describe(value), "; must be a string"));
    return;
  }
  *out = std::string(value.text);
}

void Handler::ReadKind(const Value& value, TraceKind* out) {
  for (const TraceKind kind :
       {TraceKind::kWeight, TraceKind::kInput, TraceKind::kIntermediate, TraceKind::kOutput}) {
    if (value.type == Value::kString && value.text == TraceKindName(kind)) {
      *out = kind;
      return;
    }
  }
  Fault(absl::StrCat(Describe(value),
                     "; must be \"weight\", \"input\", \"intermediate\" or \"output\""));
}

bool Handler::parse_error(std::size_t position, const std::string& /*last_token*/,
                          const nlohmann::detail::exception& error) {
  // what() is "[json.exception.parse_error.101] parse error at line 1, column 9: syntax error ...".
  std::string_view what = error.what();
  if (const size_t end = what.find("] "); end != std::string_view::npos)
    what.remove_prefix(end + 2);
  fault_ = absl::InvalidArgumentError(
      absl::StrCat(name_, ": not JSON: ", OneLine(what, 300), " (byte ", position, ")"));
  stopped_ = true;
  return false;
}

absl::StatusOr<Trace> Handler::Finish() {
  if (stopped_) return fault_;
  if (!format_ok_) {
    if (!fault_.ok() && format_found_.empty() && top_seen_ == 0)
      return fault_;  // not even an object
    return absl::InvalidArgumentError(absl::StrCat(name_, ": not a trace: ",
                                                   format_found_.empty()
                                                       ? "there is no key \"format\""
                                                       : absl::StrCat("format ", format_found_),
                                                   "; it must be \"", kFormat, "\""));
  }
  if (fault_.ok()) ReportMissing(kTopKeys, top_seen_, kNoteKey, "");
  if (!fault_.ok()) return fault_;
  return std::move(trace_);
}

}  // namespace

absl::StatusOr<Trace> ParseTraceText(std::string_view text, std::string_view name) {
  // The parser takes a zero byte for the end of the text and ignores everything behind it.
  if (const size_t zero = text.find('\0'); zero != std::string_view::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": not JSON: there is a zero byte at byte ", zero));
  }
  Handler handler(name);
  // Strict: text after the object is an error too.
  nlohmann::json::sax_parse(text.data(), text.data() + text.size(), &handler);
  return handler.Finish();
}

}  // namespace tenure::internal_trace
