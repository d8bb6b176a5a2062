// Packing problems as CSV, in the format of MiniMalloc, so that its users can switch in a minute.
//
// Why the text is kept: the output is the input with an `offset` column added. Ids, order, other
// columns and line ends stay the same.
//
//   id,lower,upper,size,alignment,gaps,offset,hint
//   x,0,10,4096,64,2-4 6-8@0:1024,,
//
//   lower, start, begin     first moment of the life                     required
//   upper | end             first moment after it | its last moment      one of them, required
//   size                    bytes                                        required
//   id, buffer, buffer_id   a name; the row's number is taken otherwise
//   alignment               of the offset; 1 if absent or empty
//   gaps                    "first-last" or "first-last@begin:end" (the bytes still needed),
//                           separated by blanks; `last` is inclusive if the column is `end`
//   offset                  the item is fixed here; empty or -1: free
//   hint                    the item would like to lie here; empty or -1: none
//   arena                   the item is bound to this arena; empty: any (there are as many as
//                           the largest number given, plus one; at most 4096)
//
// Columns may be in any order; unknown columns are carried along. Lines end with LF or CRLF. Blank
// lines are skipped. Fields may be quoted ("a ""b"", c"), but can't contain line breaks.
//
//   absl::StatusOr<CsvTable> table = ReadCsv("A.csv");
//   absl::StatusOr<Packing> packing = Solve(table->problem);
//   absl::Status written = WriteCsv(*table, *packing, "out.csv");
//
// Cost: about 0.1 s to read a million rows and as much to write them. Memory: the text and 8 bytes
// a row, in addition to the problem. Thread safety: thread-compatible. Ownership: a table owns its
// text. Errors: InvalidArgument in one line, which names file, line, column and cause; NotFound,
// PermissionDenied and DataLoss for files.

#ifndef TENURE_PLANNER_PACKING_IO_CSV_H_
#define TENURE_PLANNER_PACKING_IO_CSV_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tenure/planner/packing/packing.h"
#include "tenure/planner/packing/problem.h"

namespace tenure::packing {

struct CsvTable {
  Problem problem;

  std::string text;                 // the whole file
  std::vector<uint64_t> row_begin;  // of each item, in text
  uint64_t header_begin = 0;
  int id_column = -1;
  int offset_column = -1;
  int arena_column = -1;
  bool crlf = false;
  std::vector<std::string> carried_columns;  // unknown columns, in order

  // Returns the item's name in the file.
  std::string Id(size_t item) const;
};

// An unknown column, and the optional column for which it is probably a misspelling ("aligment").
struct MeantColumn {
  std::string column, meant;
};

// Returns the unknown columns that were probably meant to be another one, so that a caller can
// warn. Columns without a missing one of similar name are left out. Takes linear time.
std::vector<MeantColumn> MeantColumns(const CsvTable& table);

// `file` is only used in messages.
absl::StatusOr<CsvTable> ParseCsv(std::string text, std::string_view file);
absl::StatusOr<CsvTable> ReadCsv(const std::string& path);

// Returns the table with an `offset` column (and an `arena` column if there are several arenas)
// that holds the places of the items. The packing must have offsets for all of them.
absl::StatusOr<std::string> FormatCsv(const CsvTable& table, const Packing& packing);
absl::Status WriteCsv(const CsvTable& table, const Packing& packing, const std::string& path);

// Makes a new table with the columns that the problem needs. Refuses features that CSV can't
// express (limits of arenas, adjacency, partial order): use JSON for those.
absl::StatusOr<std::string> FormatCsv(const Problem& problem);

}  // namespace tenure::packing

#endif  // TENURE_PLANNER_PACKING_IO_CSV_H_
