#include "tenure/tools/cli/flags.h"

#include <algorithm>
#include <type_traits>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "tenure/allocator/registry.h"
#include "tenure/allocator/space_driver.h"
#include "tenure/base/checked.h"
#include "tenure/base/status_macros.h"
#include "tenure/tools/cli/output.h"

namespace tenure::cli {
namespace {

constexpr size_t kWidth = 90;
constexpr size_t kFlagColumn = 28;
constexpr size_t kKeyColumn = 26;

// Breaks text at spaces into lines that end before column kWidth. The first line begins at the
// current column, which is `indent`; the others are indented to it.
std::string Wrapped(std::string_view text, size_t indent) {
  std::string out;
  size_t column = indent;
  for (std::string_view word : absl::StrSplit(text, ' ')) {
    if (column > indent && column + 1 + word.size() > kWidth) {
      absl::StrAppend(&out, "\n", std::string(indent, ' '));
      column = indent;
    } else if (column > indent) {
      out += ' ';
      ++column;
    }
    absl::StrAppend(&out, word);
    column += word.size();
  }
  return out;
}

// Prints a row of two columns. If the first is too long, the second goes to the next line.
std::string Row(std::string_view left, std::string_view right, size_t column) {
  const bool fits = left.size() + 2 <= column;
  return absl::StrCat(left, fits ? "" : "\n",
                      std::string(fits ? column - left.size() : column, ' '),
                      Wrapped(right, column), "\n");
}

std::string DefaultText(const FlagSet::Target& target) {
  struct {
    std::string operator()(const std::string* s) const { return *s; }
    std::string operator()(const bool*) const { return ""; }
    std::string operator()(const int* i) const { return absl::StrCat(*i); }
    std::string operator()(const Bytes* b) const { return absl::StrCat(b->value); }
    std::string operator()(const std::optional<Bytes>*) const { return ""; }
    std::string operator()(const PowerOfTwo* p) const { return absl::StrCat(p->value); }
    std::string operator()(const std::optional<Count>*) const { return ""; }
    std::string operator()(const absl::Duration* d) const { return absl::FormatDuration(*d); }
    std::string operator()(const std::optional<absl::Duration>*) const { return ""; }
    std::string operator()(const MemorySpace* s) const { return s->ToString(); }
  } visitor;
  return std::visit(visitor, target);
}

// The functions that read values. Their errors are sentences without the flag's name.
absl::Status Read(const std::string& text, std::string* out) {
  if (text.empty()) return absl::InvalidArgumentError("a value is missing");
  *out = text;
  return absl::OkStatus();
}
absl::Status Read(const std::string& text, bool* out) {
  return absl::SimpleAtob(text, out) ? absl::OkStatus()
                                     : absl::InvalidArgumentError("say true or false");
}
absl::Status Read(const std::string& text, int* out) {
  return absl::SimpleAtoi(text, out) && *out >= 1
             ? absl::OkStatus()
             : absl::InvalidArgumentError("this is not a whole number of 1 or more");
}
absl::Status Read(const std::string& text, Bytes* out) {
  TENURE_ASSIGN_OR_RETURN(uint64_t bytes, ParseBytes(text));
  if (bytes == ~uint64_t{0}) {
    return absl::InvalidArgumentError("2^64 - 1 stands for no limit; leave the flag out for none");
  }
  out->value = bytes;
  return absl::OkStatus();
}
absl::Status Read(const std::string& text, Count* out) {
  return absl::SimpleAtoi(text, &out->value)
             ? absl::OkStatus()
             : absl::InvalidArgumentError("this is no whole number below 2^64");
}
absl::Status Read(const std::string& text, PowerOfTwo* out) {
  TENURE_ASSIGN_OR_RETURN(uint64_t bytes, ParseBytes(text));
  out->value = bytes;
  return IsPowerOfTwo(bytes) ? absl::OkStatus()
                             : absl::InvalidArgumentError("this is no power of two");
}
absl::Status Read(const std::string& text, absl::Duration* out) {
  return absl::ParseDuration(text, out) && *out >= absl::ZeroDuration()
             ? absl::OkStatus()
             : absl::InvalidArgumentError(
                   "this is no length of time; write for example 10s, 250ms or 1m30s");
}
// Finds a space whose device is named by its UUID or name, as in cuda:GPU-3f2a or
// vulkan-upload:H200. Returns `otherwise` if the text is no such name.
absl::StatusOr<MemorySpace> DeviceByName(std::string_view text, const absl::Status& otherwise) {
  const size_t colon = text.find(':');
  for (const SpaceKind kind : SpaceKind::Declared()) {
    if (kind.form() != SpaceKind::Form::kOrdinal) continue;
    if (colon == std::string_view::npos || text.substr(0, colon) != kind.name()) continue;
    TENURE_ASSIGN_OR_RETURN(const std::vector<SpaceDevice> devices,
                            Registry::Default().Devices(kind.driver()));
    TENURE_ASSIGN_OR_RETURN(uint32_t ordinal,
                            SelectDevice(devices, kind.driver(), text.substr(colon + 1)));
    return MemorySpace::Device(kind, ordinal);
  }
  return otherwise;
}
absl::Status Read(const std::string& text, MemorySpace* out) {
  absl::StatusOr<MemorySpace> space = MemorySpace::Parse(text);
  if (!space.ok()) space = DeviceByName(text, space.status());
  if (!space.ok()) return space.status();
  *out = *std::move(space);
  return absl::OkStatus();
}
template <typename T>
absl::Status Read(const std::string& text, std::optional<T>* out) {
  return Read(text, &out->emplace());
}

}  // namespace

absl::StatusOr<uint64_t> ParseBytes(std::string_view text) {
  const std::string_view digits = text.substr(0, text.find_first_not_of("0123456789"));
  std::string unit = absl::AsciiStrToUpper(text.substr(digits.size()));
  if (!unit.empty() && unit.back() == 'B') unit.pop_back();
  if (unit.size() == 2 && unit.back() == 'I') unit.pop_back();
  const size_t power = unit.empty() ? 0 : std::string_view("KMGT").find(unit) + 1;
  uint64_t value = 0;
  if (digits.empty() || unit.size() > 1 || (!unit.empty() && power == 0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", text, "' is no number of bytes; write 4096, 64K, 16MiB or 2G"));
  }
  if (!absl::SimpleAtoi(digits, &value) ||
      !CheckedMul(value, uint64_t{1} << (10 * power), &value)) {
    return absl::InvalidArgumentError(absl::StrCat("'", text, "' is more than 2^64 - 1 bytes"));
  }
  return value;
}

void FlagSet::Add(std::string name, std::string value_name, std::string help, Target target,
                  Need need, std::vector<std::string> choices) {
  flags_.push_back({std::move(name), std::move(value_name), std::move(help), DefaultText(target),
                    target, need, std::move(choices), false});
}

FlagSet::Flag* FlagSet::Find(std::string_view name) {
  auto it =
      std::find_if(flags_.begin(), flags_.end(), [name](const Flag& f) { return f.name == name; });
  return it == flags_.end() ? nullptr : &*it;
}

bool FlagSet::Given(std::string_view name) const {
  return std::any_of(flags_.begin(), flags_.end(),
                     [name](const Flag& f) { return f.name == name && f.given; });
}

absl::Status FlagSet::Set(Flag& flag, const std::string& value) {
  absl::Status status;
  if (!flag.choices.empty() &&
      std::find(flag.choices.begin(), flag.choices.end(), value) == flag.choices.end()) {
    status = absl::InvalidArgumentError(
        absl::StrCat("choose one of ", absl::StrJoin(flag.choices, ", ")));
  } else {
    status = std::visit([&value](auto* target) { return Read(value, target); }, flag.target);
  }
  flag.given = true;
  if (status.ok()) return status;
  return absl::InvalidArgumentError(
      absl::StrCat("--", flag.name, "=", value, ": ", status.message()));
}

absl::Status FlagSet::ParseAll(absl::Span<const std::string> args) {
  for (size_t i = 0; i < args.size(); ++i) {
    const std::string& arg = args[i];
    if (arg.rfind("--", 0) != 0 || arg.size() == 2) {
      return absl::InvalidArgumentError(
          absl::StrCat("unexpected '", arg, "'; every argument is --name=value"));
    }
    const size_t equals = arg.find('=');
    const std::string name = arg.substr(2, equals == arg.npos ? arg.npos : equals - 2);
    Flag* flag = Find(name);
    if (flag == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("there is no --", name, "; 'tenure ", command_, " --help' lists all flags"));
    }
    if (flag->given) return absl::InvalidArgumentError(absl::StrCat("--", name, " is given twice"));
    std::string value;
    if (equals != arg.npos) {
      value = arg.substr(equals + 1);
    } else if (std::holds_alternative<bool*>(flag->target)) {
      value = "true";
    } else if (i + 1 < args.size() && args[i + 1].rfind("--", 0) != 0) {
      value = args[++i];
    }
    TENURE_RETURN_IF_ERROR(Set(*flag, value));
  }
  for (const Flag& flag : flags_) {
    if (flag.need == kRequired && !flag.given) {
      return absl::InvalidArgumentError(
          absl::StrCat("--", flag.name, "=", flag.value_name, " is missing: ", flag.help));
    }
  }
  return absl::OkStatus();
}

std::optional<int> FlagSet::Parse(absl::Span<const std::string> args) {
  if (std::find(args.begin(), args.end(), "--help") != args.end() ||
      std::find(args.begin(), args.end(), "-h") != args.end()) {
    return Print(command_, Help());
  }
  const absl::Status status = ParseAll(args);
  if (status.ok()) return std::nullopt;
  return FailUsage(command_, status.message());
}

std::string FlagSet::Help() const {
  std::string usage = absl::StrCat("Usage: tenure ", command_);
  std::string rows;
  for (const Flag& flag : flags_) {
    std::string left = absl::StrCat("--", flag.name);
    if (!flag.choices.empty()) {
      absl::StrAppend(&left, "=", absl::StrJoin(flag.choices, "|"));
    } else if (!flag.value_name.empty()) {
      absl::StrAppend(&left, "=", flag.value_name);
    }
    if (flag.need == kRequired) absl::StrAppend(&usage, " ", left);
    std::string right = flag.help;
    if (flag.need == kRequired) absl::StrAppend(&right, " (required)");
    if (!flag.default_text.empty()) absl::StrAppend(&right, " (default: ", flag.default_text, ")");
    absl::StrAppend(&rows, Row("  " + left, right, kFlagColumn));
  }
  std::string out = absl::StrCat(usage, " [--flag=value ...]\n\n", Wrapped(purpose_, 0), "\n\n");
  for (const std::string& text : paragraphs_) absl::StrAppend(&out, Wrapped(text, 0), "\n\n");
  absl::StrAppend(&out, "Flags:\n", rows);
  if (!json_keys_.empty()) absl::StrAppend(&out, "\nKeys of the JSON object:\n");
  for (const auto& [key, meaning] : json_keys_) {
    absl::StrAppend(&out, Row("  " + key, meaning, kKeyColumn));
  }
  if (!examples_.empty()) {
    absl::StrAppend(&out, "\nExamples:\n  ", absl::StrJoin(examples_, "\n  "), "\n");
  }
  return absl::StrCat(out, "\n", kExitStatusHelp);
}

}  // namespace tenure::cli
