#include "tenure/planner/packing/io/csv.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "tenure/base/files.h"
#include "tenure/base/status_macros.h"

namespace tenure::packing {
namespace {

enum Column { kId, kLower, kUpper, kSize, kAlignment, kGaps, kOffset, kHint, kArena, kColumns };

struct Name {
  std::string_view text;
  Column column;
};
constexpr std::array<Name, 14> kNames = {{{"id", kId},
                                          {"buffer", kId},
                                          {"buffer_id", kId},
                                          {"lower", kLower},
                                          {"start", kLower},
                                          {"begin", kLower},
                                          {"upper", kUpper},
                                          {"end", kUpper},
                                          {"size", kSize},
                                          {"alignment", kAlignment},
                                          {"gaps", kGaps},
                                          {"offset", kOffset},
                                          {"hint", kHint},
                                          {"arena", kArena}}};
// Devices have few arenas. A larger number is a mistake that would cost memory and time.
constexpr uint64_t kMostArenas = 4096;

std::string_view Trim(std::string_view s) {
  while (!s.empty() && (s.front() == ' ' || s.front() == '\t')) s.remove_prefix(1);
  while (!s.empty() && (s.back() == ' ' || s.back() == '\t')) s.remove_suffix(1);
  return s;
}

// Returns a line without its line end.
std::string_view LineAt(std::string_view text, size_t begin) {
  const size_t end = std::min(text.find('\n', begin), text.size());
  std::string_view line = text.substr(begin, end - begin);
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  return line;
}

// Splits a line at its commas. Quoted fields keep their quotes. Returns false if a quote is not
// closed.
bool SplitFields(std::string_view line, std::vector<std::string_view>& fields) {
  fields.clear();
  size_t begin = 0;
  for (;;) {
    size_t end = begin;
    while (end < line.size() && (line[end] == ' ' || line[end] == '\t')) ++end;
    if (end < line.size() && line[end] == '"') {
      do {
        end = line.find('"', end + 1);
        if (end == std::string_view::npos) return false;
        ++end;
      } while (end < line.size() && line[end] == '"');
    }
    end = std::min(line.find(',', end), line.size());
    fields.push_back(line.substr(begin, end - begin));
    if (end == line.size()) return true;
    begin = end + 1;
  }
}

std::string Unquote(std::string_view field) {
  field = Trim(field);
  if (field.size() < 2 || field.front() != '"' || field.back() != '"') return std::string(field);
  std::string text;
  for (size_t k = 1; k + 1 < field.size(); ++k) {
    text += field[k];
    if (field[k] == '"') ++k;  // a doubled quote
  }
  return text;
}

// Numbers may be quoted too.
std::string_view Bare(std::string_view field) {
  field = Trim(field);
  if (field.size() >= 2 && field.front() == '"' && field.back() == '"') {
    field = Trim(field.substr(1, field.size() - 2));
  }
  return field;
}

class Parser {
 public:
  Parser(CsvTable& table, std::string_view file) : table_(table), file_(file) {}

  absl::Status Parse() {
    const std::string_view text = table_.text;
    const size_t cr = text.find('\r');
    if (text.find('\n') == text.npos && cr < text.size() - 1) {
      return absl::InvalidArgumentError(absl::StrCat(
          file_, ": line 1: lines end with CR alone, as on old Macs; end them with LF or CRLF"));
    }
    size_t at = text.substr(0, 3) == "\xEF\xBB\xBF" ? 3 : 0;  // a byte order mark
    bool header = true;
    for (line_ = 1; at < text.size(); ++line_) {
      const std::string_view line = LineAt(text, at);
      if (!Trim(line).empty()) {
        if (!SplitFields(line, fields_)) return Fail(0, "a quote is not closed on this line");
        TENURE_RETURN_IF_ERROR(header ? Header(at, line) : Row(at));
        header = false;
      }
      const size_t end = text.find('\n', at);
      if (end == std::string_view::npos) break;
      at = end + 1;
    }
    if (header) return absl::InvalidArgumentError(absl::StrCat(file_, ": line 1: no header line"));
    table_.problem.arenas.resize(arenas_);
    if (absl::Status s = CheckProblem(table_.problem); !s.ok()) {
      return absl::InvalidArgumentError(absl::StrCat(file_, ": ", s.message()));
    }
    return absl::OkStatus();
  }

 private:
  absl::Status Fail(size_t field, std::string_view cause) const {
    std::string where = absl::StrCat(file_, ": line ", line_);
    if (field < fields_.size() && !names_.empty() && field < names_.size()) {
      absl::StrAppend(&where, ", column ", field + 1, " (", names_[field], ")");
    }
    return absl::InvalidArgumentError(absl::StrCat(where, ": ", cause));
  }
  absl::Status FailAt(Column column, std::string_view cause) const {
    const auto field = static_cast<size_t>(at_[column]);
    return Fail(field, absl::StrCat("'", Bare(fields_[field]), "' ", cause));
  }

  absl::Status Header(size_t at, std::string_view line) {
    table_.header_begin = at;
    const size_t end = at + line.size();
    table_.crlf = end < table_.text.size() && table_.text[end] == '\r';
    at_.fill(-1);
    std::vector<std::string> names;
    for (std::string_view field : fields_) names.push_back(Unquote(field));
    names_ = names;
    for (size_t f = 0; f < names.size(); ++f) {
      bool known = false;
      for (const Name& name : kNames) {
        if (names[f] != name.text) continue;
        known = true;
        if (at_[name.column] >= 0) {
          return Fail(f, absl::StrCat("says the same as column ", at_[name.column] + 1, " (",
                                      names[static_cast<size_t>(at_[name.column])], ")"));
        }
        at_[name.column] = static_cast<int>(f);
        if (name.text == "end") inclusive_ = true;
      }
      if (!known) table_.carried_columns.push_back(names[f]);
    }
    const std::array<std::pair<Column, const char*>, 3> required = {
        {{kLower, "lower"}, {kUpper, "upper"}, {kSize, "size"}}};
    for (const auto& [column, name] : required) {
      if (at_[column] < 0) {
        return absl::InvalidArgumentError(
            absl::StrCat(file_, ": line ", line_, ": no column '", name,
                         "' in the header; needed are lower, upper (or end) and size"));
      }
    }
    table_.id_column = at_[kId];
    table_.offset_column = at_[kOffset];
    table_.arena_column = at_[kArena];
    return absl::OkStatus();
  }

  template <typename T>
  absl::Status Number(Column column, T& value) const {
    std::string_view field = Bare(fields_[static_cast<size_t>(at_[column])]);
    if (field.size() > 1 && field[0] == '+' && field[1] != '-') field.remove_prefix(1);
    const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), value);
    if (error == std::errc() && end == field.data() + field.size()) return absl::OkStatus();
    if (field.empty()) return FailAt(column, "is empty; a number is needed");
    if (error == std::errc::result_out_of_range) return FailAt(column, "does not fit into 64 bits");
    int64_t negative = 0;
    if (field.front() == '-' &&
        std::from_chars(field.data(), field.data() + field.size(), negative).ptr ==
            field.data() + field.size()) {
      return FailAt(column, "is negative");
    }
    return FailAt(column, "is not a whole number");
  }

  // Returns whether the field is empty or -1, which both mean none.
  bool IsNone(Column column) const {
    if (at_[column] < 0) return true;
    const std::string_view field = Bare(fields_[static_cast<size_t>(at_[column])]);
    return field.empty() || field == "-1";
  }

  absl::Status Row(size_t at) {
    if (fields_.size() != names_.size()) {
      return Fail(fields_.size(),
                  absl::StrCat("has ", fields_.size(), " fields, the header has ", names_.size()));
    }
    Item item;
    TENURE_RETURN_IF_ERROR(Number(kLower, item.first));
    TENURE_RETURN_IF_ERROR(Number(kUpper, item.last));
    if (inclusive_) {
      if (item.last == INT64_MAX) return FailAt(kUpper, "does not fit into 64 bits");
      ++item.last;
    }
    if (item.first >= item.last) {
      return FailAt(kUpper, absl::StrCat("ends the life before it begins (lower is ", item.first,
                                         "); upper must be above lower"));
    }
    TENURE_RETURN_IF_ERROR(Number(kSize, item.size));
    if (at_[kAlignment] >= 0 && !Bare(fields_[static_cast<size_t>(at_[kAlignment])]).empty()) {
      TENURE_RETURN_IF_ERROR(Number(kAlignment, item.alignment));
      if (item.alignment == 0) return FailAt(kAlignment, "is no alignment; use 1 for none");
    }
    for (const auto& [column, value] : {std::pair(kOffset, &item.fixed), {kHint, &item.hint}}) {
      if (IsNone(column)) continue;
      TENURE_RETURN_IF_ERROR(Number(column, *value));
      if (*value == kNoOffset) {
        return FailAt(column, "is no offset (2^64 - 1 stands for none); leave it empty for none");
      }
    }
    if (item.fixed != kNoOffset) {
      if (item.fixed % item.alignment != 0) {
        return FailAt(kOffset, absl::StrCat("is not a multiple of the alignment ", item.alignment));
      }
    }
    const auto index = static_cast<uint32_t>(table_.problem.items.size());
    if (!IsNone(kArena)) {
      uint64_t arena = 0;
      TENURE_RETURN_IF_ERROR(Number(kArena, arena));
      if (arena >= kMostArenas) {
        return FailAt(kArena,
                      absl::StrCat("is beyond the largest arena number, ", kMostArenas - 1));
      }
      arenas_ = std::max(arenas_, arena + 1);
      table_.problem.bindings.push_back({index, static_cast<uint32_t>(arena)});
    }
    if (at_[kGaps] >= 0) {
      TENURE_RETURN_IF_ERROR(Gaps(item, index));
    }
    table_.problem.items.push_back(item);
    table_.row_begin.push_back(at);
    return absl::OkStatus();
  }

  absl::Status Gaps(const Item& item, uint32_t index) {
    std::string_view list = Bare(fields_[static_cast<size_t>(at_[kGaps])]);
    while (!list.empty()) {
      const size_t blank = std::min(list.find(' '), list.size());
      const std::string_view word = list.substr(0, blank);
      list = Trim(list.substr(blank));
      Gap gap;
      gap.item = index;
      const char *p = word.data(), *const end = p + word.size();
      auto number = [&](auto& value) {
        const auto [next, error] = std::from_chars(p, end, value);
        p = next;
        return error == std::errc();
      };
      auto mark = [&](char c) { return p != end && *p++ == c; };
      bool good = number(gap.first) && mark('-') && number(gap.last);
      if (good && p != end) {
        good = mark('@') && number(gap.window_begin) && mark(':') && number(gap.window_end) &&
               p == end;
      }
      if (!good) {
        return FailAt(kGaps, absl::StrCat("has a part '", word,
                                          "' that is not first-last or first-last@begin:end"));
      }
      if (inclusive_ && gap.last == INT64_MAX) return FailAt(kGaps, "does not fit into 64 bits");
      if (inclusive_) ++gap.last;
      if (gap.first >= gap.last || gap.first < item.first || gap.last > item.last) {
        return FailAt(kGaps,
                      absl::StrCat("has a part '", word, "' that is empty or outside the life"));
      }
      if (gap.window_begin > gap.window_end || gap.window_end > item.size) {
        return FailAt(kGaps, absl::StrCat("has a part '", word,
                                          "' whose window is reversed or beyond the size"));
      }
      table_.problem.gaps.push_back(gap);
    }
    return absl::OkStatus();
  }

  CsvTable& table_;
  std::string_view file_;
  size_t line_ = 1;
  std::vector<std::string_view> fields_;
  std::vector<std::string> names_;
  std::array<int, kColumns> at_{};
  bool inclusive_ = false;
  uint64_t arenas_ = 0;
};

// Returns the number of letters that were inserted, left out, replaced, or swapped with the next
// one.
size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> before, last(b.size() + 1), row(b.size() + 1);
  std::iota(last.begin(), last.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], before[j - 2] + 1);
      }
    }
    before = std::exchange(last, row);
  }
  return last.back();
}

void Append(std::string& out, uint64_t value) {
  char digits[24];
  const auto [end, error] = std::to_chars(digits, digits + sizeof(digits), value);
  (void)error;  // 24 characters are always enough
  out.append(digits, static_cast<size_t>(end - digits));
}

}  // namespace

std::string CsvTable::Id(size_t item) const {
  if (id_column < 0) return absl::StrCat(item);
  std::vector<std::string_view> fields;
  SplitFields(LineAt(text, row_begin[item]), fields);
  return Unquote(fields[static_cast<size_t>(id_column)]);
}

std::vector<MeantColumn> MeantColumns(const CsvTable& table) {
  std::array<bool, kColumns> present{};
  std::vector<std::string_view> header;
  SplitFields(LineAt(table.text, table.header_begin), header);
  for (std::string_view field : header) {
    const std::string column = Unquote(field);
    for (const Name& known : kNames) {
      if (column == known.text) present[known.column] = true;
    }
  }
  std::vector<MeantColumn> meant;
  for (const std::string& column : table.carried_columns) {
    const std::string lower = absl::AsciiStrToLower(column);
    for (const Name& known : kNames) {
      // Many short words are similar to each other, so they must be closer.
      const size_t most = known.text.size() <= 2 ? 0 : known.text.size() <= 5 ? 1 : 2;
      if (present[known.column] || lower.size() > known.text.size() + most) continue;
      if (EditDistance(lower, known.text) > most) continue;
      meant.push_back({column, std::string(known.text)});
      break;
    }
  }
  return meant;
}

absl::StatusOr<CsvTable> ParseCsv(std::string text, std::string_view file) {
  CsvTable table;
  table.text = std::move(text);
  const auto lines = static_cast<size_t>(std::count(table.text.begin(), table.text.end(), '\n'));
  table.problem.items.reserve(lines);
  table.row_begin.reserve(lines);
  TENURE_RETURN_IF_ERROR(Parser(table, file).Parse());
  return table;
}

absl::StatusOr<CsvTable> ReadCsv(const std::string& path) {
  TENURE_ASSIGN_OR_RETURN(std::string text, ReadFile(path));
  return ParseCsv(std::move(text), path);
}

absl::StatusOr<std::string> FormatCsv(const CsvTable& table, const Packing& packing) {
  const size_t n = table.row_begin.size();
  if (packing.offsets.size() != n) {
    return absl::InvalidArgumentError(
        absl::StrCat("the packing has ", packing.offsets.size(), " offsets for ", n, " rows"));
  }
  const std::string_view end_of_line = table.crlf ? "\r\n" : "\n";
  const bool several = !packing.arena_of.empty();
  std::string out;
  out.reserve(table.text.size() + 12 * n + 64);
  std::vector<std::string_view> fields;
  // Returns the row with the given values put into their columns, or appended if there is no such
  // column.
  auto row = [&](size_t begin, auto&& offset, auto&& arena) {
    const std::string_view line = LineAt(table.text, begin);
    if (table.offset_column < 0 && (!several || table.arena_column < 0)) {
      out.append(line);
    } else {
      SplitFields(line, fields);
      for (size_t f = 0; f < fields.size(); ++f) {
        if (f > 0) out += ',';
        if (static_cast<int>(f) == table.offset_column) {
          offset();
        } else if (several && static_cast<int>(f) == table.arena_column) {
          arena();
        } else {
          out.append(fields[f]);
        }
      }
    }
    if (table.offset_column < 0) {
      out += ',';
      offset();
    }
    if (several && table.arena_column < 0) {
      out += ',';
      arena();
    }
    out.append(end_of_line);
  };
  row(
      table.header_begin, [&] { out += "offset"; }, [&] { out += "arena"; });
  for (size_t i = 0; i < n; ++i) {
    row(
        table.row_begin[i], [&] { Append(out, packing.offsets[i]); },
        [&] { Append(out, packing.arena(i)); });
  }
  return out;
}

absl::Status WriteCsv(const CsvTable& table, const Packing& packing, const std::string& path) {
  TENURE_ASSIGN_OR_RETURN(std::string text, FormatCsv(table, packing));
  return WriteFile(path, text);
}

absl::StatusOr<std::string> FormatCsv(const Problem& problem) {
  bool limits = problem.order.steps > 0 || !problem.adjacent.empty();
  for (const Arena& arena : problem.arenas) limits |= arena.limit != kUnlimited;
  if (limits) {
    return absl::InvalidArgumentError(
        "CSV cannot express limits of arenas, adjacency or a partial order; use JSON");
  }
  bool alignment = false, fixed = false, hint = false;
  for (const Item& item : problem.items) {
    alignment |= item.alignment != 1;
    fixed |= item.fixed != kNoOffset;
    hint |= item.hint != kNoOffset;
  }
  std::vector<std::string> gaps(problem.gaps.empty() ? 0 : problem.items.size());
  for (const Gap& gap : problem.gaps) {
    std::string& list = gaps[gap.item];
    absl::StrAppend(&list, list.empty() ? "" : " ", gap.first, "-", gap.last);
    if (gap.window_begin != gap.window_end) {
      absl::StrAppend(&list, "@", gap.window_begin, ":", gap.window_end);
    }
  }
  std::vector<std::string> arena(problem.bindings.empty() ? 0 : problem.items.size());
  for (const Binding& binding : problem.bindings) arena[binding.item] = absl::StrCat(binding.arena);
  std::string out = "id,lower,upper,size";
  if (alignment) out += ",alignment";
  if (!gaps.empty()) out += ",gaps";
  if (fixed) out += ",offset";
  if (hint) out += ",hint";
  if (!arena.empty()) out += ",arena";
  out += '\n';
  for (size_t i = 0; i < problem.items.size(); ++i) {
    const Item& item = problem.items[i];
    absl::StrAppend(&out, i, ",", item.first, ",", item.last, ",", item.size);
    if (alignment) absl::StrAppend(&out, ",", item.alignment);
    if (!gaps.empty()) absl::StrAppend(&out, ",", gaps[i]);
    if (fixed) absl::StrAppend(&out, ",", item.fixed == kNoOffset ? "" : absl::StrCat(item.fixed));
    if (hint) absl::StrAppend(&out, ",", item.hint == kNoOffset ? "" : absl::StrCat(item.hint));
    if (!arena.empty()) absl::StrAppend(&out, ",", arena[i]);
    out += '\n';
  }
  return out;
}

}  // namespace tenure::packing
