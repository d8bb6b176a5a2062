// tenure replay: a log of events, run again.

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "tenure/allocator/decorators/caching.h"
#include "tenure/allocator/decorators/debug_fill.h"
#include "tenure/allocator/decorators/limiting.h"
#include "tenure/allocator/decorators/recording.h"
#include "tenure/allocator/registry.h"
#include "tenure/base/json_value.h"
#include "tenure/tools/cli/commands.h"
#include "tenure/tools/cli/flags.h"
#include "tenure/tools/cli/output.h"
#include "tenure/tools/render/render.h"
#include "tenure/tools/replay/replay.h"

namespace tenure::cli {
namespace {

struct ReplayFlags {
  std::string log;
  MemorySpace space;
  std::string decorators;
  bool json = false;
};

// One decorator of --decorators, as "caching" or "caching=64M".
struct DecoratorFlag {
  std::string name;
  std::optional<uint64_t> bytes;
};

absl::StatusOr<std::vector<DecoratorFlag>> ParseDecorators(std::string_view text) {
  std::vector<DecoratorFlag> flags;
  for (std::string_view part : absl::StrSplit(text, ',', absl::SkipEmpty())) {
    const size_t equals = part.find('=');
    DecoratorFlag flag{.name = std::string(part.substr(0, equals)), .bytes = {}};
    if (equals != part.npos) {
      absl::StatusOr<uint64_t> bytes = ParseBytes(part.substr(equals + 1));
      if (!bytes.ok()) return bytes.status();
      flag.bytes = *bytes;
    }
    const bool takes_bytes = flag.name == "caching" || flag.name == "limiting";
    if (!takes_bytes && flag.name != "debug-fill" && flag.name != "recording") {
      return absl::InvalidArgumentError(
          absl::StrCat("there is no decorator '", flag.name,
                       "'; there are caching[=BYTES], debug-fill, limiting=BYTES and recording"));
    }
    if ((flag.bytes && !takes_bytes) || (!flag.bytes && flag.name == "limiting")) {
      return absl::InvalidArgumentError(
          absl::StrCat(flag.name, flag.bytes ? " takes no number of bytes"
                                             : " needs a number of bytes, as in "
                                               "limiting=1G"));
    }
    flags.push_back(std::move(flag));
  }
  return flags;
}

// `damage` gets the first damage that DebugFillAllocator finds.
std::unique_ptr<Allocator> Decorate(std::unique_ptr<Allocator> upstream, const DecoratorFlag& flag,
                                    std::string* damage) {
  if (flag.name == "limiting") {
    return std::make_unique<LimitingAllocator>(std::move(upstream), *flag.bytes);
  }
  if (flag.name == "recording") {
    return std::make_unique<RecordingAllocator>(std::move(upstream), RecordingAllocator::Options());
  }
  if (flag.name == "debug-fill") {
    DebugFillAllocator::Options options;
    options.on_damage = [damage](const DebugFillAllocator::Damage& found) {
      if (damage->empty()) *damage = found.ToString();
    };
    return std::make_unique<DebugFillAllocator>(std::move(upstream), options);
  }
  CachingAllocator::Options options;
  if (flag.bytes) options.max_cached_bytes = *flag.bytes;
  return std::make_unique<CachingAllocator>(std::move(upstream), options);
}

double NsEach(const ReplayReport::Total& total) {
  return total.count == 0 ? 0
                          : static_cast<double>(total.time_ns) / static_cast<double>(total.count);
}

std::string ReportText(const ReplayFlags& flags, const ReplayProgram& program,
                       const ReplayReport& report) {
  std::string text =
      absl::StrFormat("%s in %s%s: %d operations, checked\n", flags.log, flags.space.ToString(),
                      flags.decorators.empty() ? "" : absl::StrCat(" behind ", flags.decorators),
                      program.ops().size());
  for (size_t i = 0; i < report.totals.size(); ++i) {
    const ReplayReport::Total& total = report.totals[i];
    if (total.count == 0) continue;
    absl::StrAppendFormat(&text, "  %-9s %9d times %12s %12.1f ns each\n",
                          EventKindName(static_cast<Event::Kind>(i)), total.count,
                          HumanBytes(total.bytes), NsEach(total));
  }
  absl::StrAppendFormat(&text, "peak in use %s, peak reserved %s, fragmentation %.2f%%\n",
                        HumanBytes(report.peak_in_use_bytes),
                        HumanBytes(report.peak_reserved_bytes), report.fragmentation_percent());
  if (program.leaked_count() != 0) {
    absl::StrAppend(&text, "the log never frees ", program.leaked_count(),
                    " of its allocations; they were freed at the end\n");
  }
  if (program.skipped_events() + report.left_out != 0) {
    absl::StrAppend(&text, program.skipped_events(), " events of the log can't be run, and ",
                    report.left_out, " copies and fills have no bytes in this space\n");
  }
  return text;
}

std::string ReportJson(const ReplayFlags& flags, const ReplayProgram& program,
                       const ReplayReport& report) {
  JsonValue out;
  out["log"] = flags.log;
  out["space"] = flags.space.ToString();
  out["decorators"] = flags.decorators;
  out["operations"] = JsonValue::Object();
  for (size_t i = 0; i < report.totals.size(); ++i) {
    const ReplayReport::Total& total = report.totals[i];
    JsonValue& entry = out["operations"][std::string(EventKindName(static_cast<Event::Kind>(i)))];
    entry["count"] = total.count;
    entry["bytes"] = total.bytes;
    entry["ns_each"] = NsEach(total);
  }
  out["peak_in_use_bytes"] = report.peak_in_use_bytes;
  out["peak_reserved_bytes"] = report.peak_reserved_bytes;
  out["fragmentation_percent"] = report.fragmentation_percent();
  out["never_freed"] = program.leaked_count();
  out["skipped"] = program.skipped_events();
  out["left_out"] = report.left_out;
  out["bytes_checked"] = report.bytes_checked;
  return JsonLine(out);
}

void Describe(FlagSet& set) {
  set.AddParagraph(
      "A log is what RecordingAllocator writes to its Options::stream for one allocator, and an "
      "EventLog for the process. It has to begin before the first allocation. Allocations, frees, "
      "copies and fills run in the order of the log with its sizes and alignments, on one thread; "
      "their contents are made up.");
  set.AddParagraph(
      "Checked are the ends of each allocation and of what was copied in, filled or zeroed, where "
      "the host can read the space (two owners of the same bytes are found out), and the counters "
      "of the allocator everywhere. A log that can't be, such as one with a free before the "
      "allocation, is refused with the "
      "number of the line. The exit status is 1 then.");
  set.AddJsonKey("log, space, decorators", "as given");
  set.AddJsonKey("operations",
                 "for each of allocate, free, copy_in, copy_out, copy and fill: count, bytes, "
                 "ns_each (the mean time of one, its wait included)");
  set.AddJsonKey("peak_in_use_bytes", "the most that was allocated at a time");
  set.AddJsonKey("peak_reserved_bytes", "the most that the allocator had taken from the system");
  set.AddJsonKey("fragmentation_percent",
                 "the part of the peak reserved that the peak in use "
                 "does not account for");
  set.AddJsonKey("never_freed", "allocations that the log never frees");
  set.AddJsonKey("skipped", "events that can't be run: failed calls, placements, plans");
  set.AddJsonKey("left_out", "copies and fills, in a space without bytes");
  set.AddJsonKey("bytes_checked", "whether the host could look at the bytes");
  set.AddExample("tenure replay --log=log.csv --space=null");
  set.AddExample("tenure replay --log=log.csv --space=cpu --decorators=caching=256M");
  set.AddExample("tenure replay --log=log.csv --space=cuda:0 --json | jq .peak_reserved_bytes");
}

}  // namespace

int ReplayCommand(Args args) {
  ReplayFlags flags;
  FlagSet set("replay",
              "Runs a log of allocations, frees, copies and fills again in any memory space, "
              "checks what the allocator does, and says how long each kind of operation takes and "
              "how much memory that needs.");
  set.Add("log", "FILE.csv", "the log", &flags.log, FlagSet::kRequired);
  set.Add("space", "SPACE", "where to run it; 'tenure devices' lists what there is", &flags.space);
  set.Add("decorators", "LIST",
          "put these in front of the space's allocator, the outermost first, separated by commas: "
          "caching[=BYTES], debug-fill, limiting=BYTES, recording",
          &flags.decorators);
  set.Add("json", "", "print one JSON object instead of text", &flags.json);
  Describe(set);
  if (std::optional<int> code = set.Parse(args)) return *code;
  absl::StatusOr<std::vector<DecoratorFlag>> decorators = ParseDecorators(flags.decorators);
  if (!decorators.ok()) {
    return FailUsage("replay", absl::StrCat("--decorators: ", decorators.status().message()));
  }

  const absl::StatusOr<ReplayProgram> program = ReplayProgram::ReadFile(flags.log);
  if (!program.ok()) return Fail("replay", program.status());
  absl::StatusOr<std::unique_ptr<Allocator>> made = Registry::Default().Make(flags.space);
  if (!made.ok()) return Fail("replay", made.status());
  std::string damage;
  std::unique_ptr<Allocator> allocator = *std::move(made);
  for (auto flag = decorators->rbegin(); flag != decorators->rend(); ++flag) {
    allocator = Decorate(std::move(allocator), *flag, &damage);
  }
  absl::StatusOr<ReplayReport> report = Replay(*program, *allocator, {});
  allocator.reset();
  if (report.ok() && !damage.empty()) report = absl::DataLossError(damage);
  if (!report.ok()) {
    return Fail("replay", absl::Status(report.status().code(),
                                       absl::StrCat(flags.log, ": ", report.status().message())));
  }
  return Print("replay", flags.json ? ReportJson(flags, *program, *report)
                                    : ReportText(flags, *program, *report));
}

}  // namespace tenure::cli
