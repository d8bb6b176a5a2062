#include "tenure/tools/cli/packing_file.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tenure/base/annotate.h"
#include "tenure/base/files.h"
#include "tenure/base/status_macros.h"
#include "tenure/planner/packing/io/json.h"

namespace tenure::cli {

absl::StatusOr<ProblemFile> ProblemFile::Read(const std::string& path) {
  ProblemFile file;
  if (!absl::EndsWithIgnoreCase(path, ".json")) {
    TENURE_ASSIGN_OR_RETURN(file.table_, packing::ReadCsv(path));
    return file;
  }
  TENURE_ASSIGN_OR_RETURN(std::string text, ReadFile(path));
  TENURE_ASSIGN_OR_RETURN(file.problem_, packing::ParseProblemJson(text, path));
  return file;
}

std::vector<std::string> ProblemFile::Doubts() const {
  std::vector<std::string> doubts;
  if (!table_) return doubts;
  for (const auto& [column, meant] : packing::MeantColumns(*table_)) {
    doubts.push_back(absl::StrCat("the column '", column,
                                  "' means nothing and is carried along; is '", meant, "' meant?"));
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
    if (!text.ok()) return Annotate(text.status(), path);
    TENURE_ASSIGN_OR_RETURN(packing::CsvTable table, packing::ParseCsv(*std::move(text), path));
    return packing::WriteCsv(table, packing, path);
  }
  return WriteFile(path, packing::FormatPackingJson(packing) + "\n");
}

}  // namespace tenure::cli
