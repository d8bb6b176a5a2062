// Shared by the subcommands that pack: a problem that was read from a file, and the exit status of
// an answer.
//
// Thread safety: free functions; a ProblemFile is a thread-compatible value. Errors: those of
// planner/packing/io, in one line that names file, place and cause.

#ifndef TENURE_TOOLS_CLI_PACKING_FILE_H_
#define TENURE_TOOLS_CLI_PACKING_FILE_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tenure/planner/packing/io/csv.h"
#include "tenure/planner/packing/packing.h"
#include "tenure/planner/packing/problem.h"
#include "tenure/tools/cli/output.h"

namespace tenure::cli {

class ProblemFile {
 public:
  // A file whose name ends in .json is JSON; all others are CSV.
  static absl::StatusOr<ProblemFile> Read(const std::string& path);

  const packing::Problem& problem() const { return table_ ? table_->problem : problem_; }
  // Returns a line for each unknown CSV column whose name is similar to a known one.
  std::vector<std::string> Doubts() const;
  // Returns the item's name in the file.
  std::string Id(size_t item) const;
  // Writes a CSV problem as the same CSV with offsets, and a JSON problem as the packing's JSON. A
  // path that ends in .json or .csv overrides this. CSV can't express every problem.
  absl::Status Write(const packing::Packing& packing, const std::string& path) const;

 private:
  std::optional<packing::CsvTable> table_;
  packing::Problem problem_;
};

inline ExitCode ExitCodeOf(packing::Outcome outcome) {
  return outcome == packing::Outcome::kInfeasible ? kInfeasible
         : outcome == packing::Outcome::kNone     ? kNoAnswer
                                                  : kDone;
}

}  // namespace tenure::cli

#endif  // TENURE_TOOLS_CLI_PACKING_FILE_H_
