#include "tenure/tools/cli/flags.h"

#include <algorithm>
#include <cstdio>
#include <limits>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "tenure/allocator/checked.h"

namespace tenure::cli {
namespace {

// Breaks text at spaces into lines of at most `width`, each after the first indented.
std::string Wrapped(std::string_view text, size_t indent, size_t width) {
  std::string out;
  size_t column = 0;
  for (std::string_view word : absl::StrSplit(text, ' ')) {
    if (column > 0 && column + 1 + word.size() > width) {
      absl::StrAppend(&out, "\n", std::string(indent, ' '));
      column = 0;
    } else if (column > 0) {
      out += ' ';
      ++column;
    }
    absl::StrAppend(&out, word);
    column += word.size();
  }
  return out;
}

std::string DefaultText(const FlagSet::Target& target) {
  struct {
    std::string operator()(std::string* s) const { return *s; }
    std::string operator()(bool*) const { return ""; }
    std::string operator()(int* i) const { return absl::StrCat(*i); }
    std::string operator()(Bytes* b) const { return absl::StrCat(b->value); }
    std::string operator()(std::optional<Bytes>*) const { return ""; }
    std::string operator()(std::optional<absl::Duration>*) const { return ""; }
  } visitor;
  return std::visit(visitor, target);
}

}  // namespace

absl::StatusOr<uint64_t> ParseBytes(std::string_view text) {
  std::string_view digits = text.substr(0, text.find_first_not_of("0123456789"));
  std::string unit = absl::AsciiStrToUpper(text.substr(digits.size()));
  if (!unit.empty() && unit.back() == 'B') unit.pop_back();
  if (unit.size() == 2 && unit.back() == 'I') unit.pop_back();
  uint64_t value = 0;
  const size_t power = unit.empty() ? 0 : std::string_view("KMGT").find(unit) + 1;
  if (digits.empty() || unit.size() > 1 || power > 4 || (!unit.empty() && power == 0) ||
      !absl::SimpleAtoi(digits, &value) ||
      !CheckedMul(value, uint64_t{1} << (10 * power), &value)) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", text, "' is no number of bytes; write 4096, 64K, 16MiB, 2G"));
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

absl::Status FlagSet::Set(Flag& flag, const std::string& value) {
  auto wrong = [&](std::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat("--", flag.name, "=", value, ": ", why));
  };
  if (!flag.choices.empty() &&
      std::find(flag.choices.begin(), flag.choices.end(), value) == flag.choices.end()) {
    return wrong(absl::StrCat("choose one of ", absl::StrJoin(flag.choices, ", ")));
  }
  if (auto* s = std::get_if<std::string*>(&flag.target)) {
    if (value.empty()) return wrong("a value is missing");
    **s = value;
  } else if (auto* b = std::get_if<bool*>(&flag.target)) {
    if (!absl::SimpleAtob(value, *b)) return wrong("say true or false");
  } else if (auto* i = std::get_if<int*>(&flag.target)) {
    if (!absl::SimpleAtoi(value, *i) || **i < 0)
      return wrong("this is no whole number of 0 or more");
  } else if (auto* d = std::get_if<std::optional<absl::Duration>*>(&flag.target)) {
    absl::Duration duration;
    if (!absl::ParseDuration(value, &duration) || duration < absl::ZeroDuration()) {
      return wrong("this is no length of time; write 10s, 250ms, 1m30s");
    }
    **d = duration;
  } else {
    absl::StatusOr<uint64_t> bytes = ParseBytes(value);
    if (!bytes.ok()) return wrong(bytes.status().message());
    if (auto* plain = std::get_if<Bytes*>(&flag.target)) {
      (*plain)->value = *bytes;
    } else {
      *std::get<std::optional<Bytes>*>(flag.target) = Bytes{*bytes};
    }
  }
  flag.given = true;
  return absl::OkStatus();
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
      return absl::InvalidArgumentError(absl::StrCat("there is no --", name, "; 'tenure ", command_,
                                                     " --help' lists what there is"));
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
    if (absl::Status status = Set(*flag, value); !status.ok()) return status;
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
    std::fputs(Help().c_str(), stdout);
    return kDone;
  }
  const absl::Status status = ParseAll(args);
  if (status.ok()) return std::nullopt;
  std::fprintf(stderr, "tenure %s: %s\n", command_.c_str(), std::string(status.message()).c_str());
  return kUsage;
}

std::string FlagSet::Help() const {
  std::string out =
      absl::StrCat("tenure ", command_, ": ", Wrapped(purpose_, 0, 96), "\n\nFlags:\n");
  for (const Flag& flag : flags_) {
    std::string left = absl::StrCat("  --", flag.name);
    if (!flag.choices.empty()) {
      absl::StrAppend(&left, "=", absl::StrJoin(flag.choices, "|"));
    } else if (!flag.value_name.empty()) {
      absl::StrAppend(&left, "=", flag.value_name);
    }
    std::string help = flag.help;
    if (flag.need == kRequired) absl::StrAppend(&help, " (required)");
    if (!flag.default_text.empty()) absl::StrAppend(&help, " (default: ", flag.default_text, ")");
    constexpr size_t kColumn = 30;
    if (left.size() + 2 > kColumn) {
      absl::StrAppend(&out, left, "\n", std::string(kColumn, ' '));
    } else {
      absl::StrAppend(&out, left, std::string(kColumn - left.size(), ' '));
    }
    absl::StrAppend(&out, Wrapped(help, kColumn, 68), "\n");
  }
  if (!notes_.empty()) absl::StrAppend(&out, "\n", notes_, "\n");
  if (!examples_.empty())
    absl::StrAppend(&out, "\nExamples:\n  ", absl::StrJoin(examples_, "\n  "), "\n");
  absl::StrAppend(&out,
                  "\nExit status: 0 done, 1 failed, 2 usage, 3 proven infeasible, 4 a deadline or "
                  "budget ended without an "
                  "answer.\n");
  return out;
}

}  // namespace tenure::cli
