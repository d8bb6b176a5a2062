// Measures the effect of each rule of exact search: every instance runs with all rules, and with
// each rule switched off.
//
//   bazel run -c opt //bench:packing_rules -- --capacity=1048576 $PWD/A.csv $PWD/B.csv ...
//
// Prints a Markdown table of the nodes (and milliseconds of the same run) until a packing within
// the capacity was found, or "-" if the node limit came first. Without --capacity, the lower bound
// of each instance is its capacity.

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"
#include "tenure/planner/packing/exact/model.h"
#include "tenure/planner/packing/exact/search.h"
#include "tenure/planner/packing/io/csv.h"
#include "tenure/planner/packing/problem.h"
#include "tenure/planner/packing/search_rules.h"

namespace tenure::packing {
namespace {

int Main(int argc, char** argv) {
  uint64_t capacity = 0;
  uint64_t nodes = 100000;
  std::vector<std::string> files;
  for (int k = 1; k < argc; ++k) {
    std::string_view argument = argv[k];
    if (absl::ConsumePrefix(&argument, "--capacity=")) {
      if (absl::SimpleAtoi(argument, &capacity)) continue;
    } else if (absl::ConsumePrefix(&argument, "--nodes=")) {
      if (absl::SimpleAtoi(argument, &nodes)) continue;
    } else if (!absl::StartsWith(argument, "--")) {
      files.emplace_back(argument);
      continue;
    }
    std::fprintf(stderr, "%s: expected --capacity=BYTES, --nodes=N or a CSV file\n", argv[k]);
    return 2;
  }
  if (files.empty()) {
    std::fprintf(stderr, "usage: packing_rules [--capacity=BYTES] [--nodes=N] FILE.csv ...\n");
    return 2;
  }
  std::vector<exact::Model> models;
  std::printf("| rules |");
  for (const std::string& file : files) {
    absl::StatusOr<CsvTable> table = ReadCsv(file);
    if (!table.ok()) {
      std::fprintf(stderr, "%s\n", table.status().ToString().c_str());
      return 1;
    }
    std::optional<exact::Model> model = exact::BuildModel(table->problem, exact::ModelLimits{});
    if (!model.has_value()) {
      std::fprintf(stderr, "%s: beyond exact search\n", file.c_str());
      return 1;
    }
    models.push_back(*std::move(model));
    std::printf(" %s |", file.substr(file.rfind('/') + 1).c_str());
  }
  std::printf(" solved |\n|---|");
  for (size_t k = 0; k <= models.size(); ++k) std::printf("---|");
  std::printf("\n");
  std::vector<exact::NamedRule> rows = {{"", nullptr}};  // all rules first
  rows.insert(rows.end(), std::begin(exact::kNamedRules), std::end(exact::kNamedRules));
  for (const exact::NamedRule& row : rows) {
    exact::SearchOptions options;
    options.node_limit = nodes;
    if (row.on != nullptr) options.rules.*row.on = false;
    std::printf("| %s%s |", row.on == nullptr ? "all rules" : "no ", std::string(row.name).c_str());
    size_t solved = 0;
    for (const exact::Model& model : models) {
      const exact::Units units =
          capacity == 0 ? model.bound : static_cast<exact::Units>(capacity / model.unit);
      const auto start = std::chrono::steady_clock::now();
      const exact::SearchResult result = exact::Search(model, units, options);
      const std::chrono::duration<double, std::milli> wall =
          std::chrono::steady_clock::now() - start;
      if (result.verdict == exact::Verdict::kFound) {
        ++solved;
        std::printf(" %llu (%.1f ms) |", static_cast<unsigned long long>(result.nodes),
                    wall.count());
      } else {
        std::printf(result.verdict == exact::Verdict::kInfeasible ? " infeasible |" : " - |");
      }
      std::fflush(stdout);
    }
    std::printf(" %zu of %zu |\n", solved, models.size());
  }
  return 0;
}

}  // namespace
}  // namespace tenure::packing

int main(int argc, char** argv) { return tenure::packing::Main(argc, argv); }
