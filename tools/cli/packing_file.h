// What the subcommands that pack share: a problem as a file has it, and the exit status of an
// answer.
//
// Thread safety: free functions; a ProblemFile is a thread-compatible value. Errors: those of
// planner/packing/io, in one line naming file, place and cause.

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
  // A name that ends in .json is JSON, any other CSV.
  static absl::StatusOr<ProblemFile> Read(const std::string& path);

  const packing::Problem& problem() const { return table_ ? table_->problem : problem_; }
  // Columns of the CSV that mean nothing and are called nearly as one that does: a line for each.
  std::vector<std::string> Doubts() const;
  // What the file calls an item.
  std::string Id(size_t item) const;
  // A CSV problem as that CSV with offsets; a JSON problem as the packing's JSON. A path that ends
  // in .json or .csv decides otherwise; CSV cannot say everything.
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
