// Example 1: packs buffers that have lifetimes, and prints where each one goes.
//
//   bazel run //examples:pack_csv                       packs the table below
//   bazel run //examples:pack_csv -- /path/to/file.csv  packs another one
//
// This needs none of tenure's buffers or allocators. The packer takes numbers and gives numbers.

#include <iostream>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tenure/base/status_macros.h"
#include "tenure/planner/packing/io/csv.h"
#include "tenure/planner/packing/packing.h"
#include "tenure/planner/packing/solver.h"

namespace {

namespace packing = tenure::packing;

// Each row is a buffer: it needs `size` bytes from the moment `lower` until just before `upper`.
// Buffers whose lifetimes do not meet may have the same bytes.
constexpr char kTable[] =
    "id,lower,upper,size\n"
    "embedding,0,3,4096\n"
    "hidden,2,6,8192\n"
    "scores,4,8,4096\n"
    "result,7,9,8192\n";

absl::Status Run(const std::string& path) {
  TENURE_ASSIGN_OR_RETURN(
      const packing::CsvTable table,
      path.empty() ? packing::ParseCsv(kTable, "the built-in table") : packing::ReadCsv(path));

  // kOptimal searches until the result is proven to be the smallest. For large tables, also give a
  // deadline; the best packing found by then is returned.
  TENURE_ASSIGN_OR_RETURN(const packing::Packing packed,
                          packing::Solve(table.problem, {.effort = packing::Effort::kOptimal}));

  std::cout << "bytes needed: " << packed.height << " (" << packing::OutcomeName(packed.outcome)
            << "; no packing needs less than " << packed.lower_bound << ")\n";
  for (size_t item = 0; item < packed.offsets.size(); ++item) {
    std::cout << "  " << table.Id(item) << " at offset " << packed.offsets[item] << "\n";
  }

  // The same as CSV: the input with one more column.
  TENURE_ASSIGN_OR_RETURN(const std::string csv, packing::FormatCsv(table, packed));
  std::cout << csv;
  return absl::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  const absl::Status status = Run(argc > 1 ? argv[1] : "");
  if (!status.ok()) std::cerr << status << "\n";
  return status.ok() ? 0 : 1;
}
