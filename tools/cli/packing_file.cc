#include "tenure/tools/cli/packing_file.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tenure/base/files.h"
#include "tenure/planner/packing/io/json.h"

namespace tenure::cli {
namespace {

absl::Status Named(const std::string& path, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(path, ": ", status.message()));
}

}  // namespace

absl::StatusOr<ProblemFile> ProblemFile::Read(const std::string& path) {
  ProblemFile file;
  if (!absl::EndsWithIgnoreCase(path, ".json")) {
    absl::StatusOr<packing::CsvTable> table = packing::ReadCsv(path);
    if (!table.ok()) return table.status();
    file.table_ = *std::move(table);
    return file;
  }
  absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) return text.status();
  absl::StatusOr<packing::Problem> problem = packing::ParseProblemJson(*text, path);
  if (!problem.ok()) return problem.status();
  file.problem_ = *std::move(problem);
  return file;
}

std::vector<std::string> ProblemFile::Doubts() const {
  std::vector<std::string> doubts;
  if (!table_) return doubts;
  for (const std::string& column : table_->carried_columns) {
    const std::optional<std::string> meant = packing::MeantColumn(*table_, column);
    if (!meant) continue;
    doubts.push_back(absl::StrCat(
        "the column '", column, "' means nothing and is carried along; is '", *meant, "' meant?"));
  }
  return doubts;
}

std::string ProblemFile::Id(size_t item) const {
  return table_ ? table_->Id(item) : absl::StrCat(item);
}

absl::Status ProblemFile::Write(const packing::Packing& packing, const std::string& path) const {
  if (table_ && !absl::EndsWithIgnoreCase(path, ".json")) {
    return packing::WriteCsv(*table_, packing, path);
  }
  if (absl::EndsWithIgnoreCase(path, ".csv")) {
    absl::StatusOr<std::string> text = packing::FormatCsv(problem_);
    if (!text.ok()) return Named(path, text.status());
    absl::StatusOr<packing::CsvTable> table = packing::ParseCsv(*std::move(text), path);
    if (!table.ok()) return table.status();
    return packing::WriteCsv(*table, packing, path);
  }
  return WriteFile(path, packing::FormatPackingJson(packing) + "\n");
}

}  // namespace tenure::cli
