#!/usr/bin/env python3
"""Runs tests with Bazel, and ends with one line: N passed, N failed[, N skipped].

  tools/dev/test.py                       everything: //... and the workspace of tests/embedding
  tools/dev/test.py --config=asan         everything, with an option for Bazel
  tools/dev/test.py //allocator/... ...   these targets only

Cases are counted, not programs. What crashed, timed out or was not built is a failure; so is a case
that was skipped, unless tests/allowed_skips.txt permits it. Bazel must be installed and the sources
fetched: tools/test sees to that first. The exit status is 0 if nothing failed, else 1.
"""
import os
import subprocess
import sys
import tempfile

import feature_table
import test_report

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ALLOWED_SKIPS = os.path.join(ROOT, "tests", "allowed_skips.txt")
EMBEDDING = os.path.join("tests", "embedding")

# Options of Bazel that are often written with their value as a word of its own.
_WITH_VALUE = {"-c", "-j", "--config", "--compilation_mode", "--jobs", "--define", "--copt", "--cxxopt", "--linkopt",
               "--test_arg", "--test_env", "--test_filter", "--test_output", "--test_tag_filters", "--run_under"}
# With these, a test that has no cases or a skip that names none is no mistake.
_FILTERS = ("--test_filter", "--test_tag_filters", "--test_size_filters", "--test_lang_filters",
            "--test_timeout_filters", "--test_arg", "--test_sharding_strategy")


def names_targets(args):
    """Whether there is a target pattern among the arguments."""
    if "--" in args:
        return True
    return any(not a.startswith("-") and (i == 0 or args[i - 1] not in _WITH_VALUE) for i, a in enumerate(args))


def bazel_test(folder, args, allowed=()):
    """Runs `bazel test` in a workspace and returns its Report."""
    with tempfile.TemporaryDirectory(prefix="tenure-test-") as tmp:
        events = os.path.join(tmp, "events.json")
        # Optimised, as tools/demo and who embeds tenure build it: what was compiled serves all of them. The
        # sanitizers' configs take that back.
        command = ["bazel", "test", "-c", "opt", "--keep_going", "--build_event_json_file=" + events]
        if not sys.stderr.isatty():
            command.append("--config=quiet")
        try:
            exit_code = subprocess.call(command + args, cwd=folder)
        except OSError as e:
            sys.exit("tools/dev/test.py: bazel could not be run (%s): run tools/setup" % e.strerror)
        # Leaving out whole programs leaves the others their cases.
        filtered = any(a.startswith(_FILTERS) and not a.startswith("--test_tag_filters=-") for a in args)
        return test_report.count(test_report.read_events(events), exit_code, allowed, filtered)


def main(args):
    if args[:1] in (["-h"], ["--help"]):
        print(__doc__)
        return 0
    try:
        allowed = test_report.read_allowed_skips(ALLOWED_SKIPS)
    except (OSError, ValueError) as e:
        sys.exit("tools/dev/test.py: %s" % e)
    everything = not names_targets(args)
    report = bazel_test(ROOT, args + ["//..."] if everything else args, allowed)
    if everything:
        print("\nAs a dependency of another workspace (%s):" % EMBEDDING, flush=True)
        report.add(bazel_test(os.path.join(ROOT, EMBEDDING), ["//..."]), EMBEDDING)
        if not any(a.startswith(_FILTERS) for a in args):
            report.failed += ["%s: names no test case that exists" % a.where for a in allowed if not a.matched]
            report.failed += feature_table.check(report.passed_tests, report.skipped_tests)
    sys.stdout.flush()
    print()
    for line in report.skipped:
        print("SKIPPED " + line)
    for line in report.failed:
        print("FAILED  " + line)
    print(report.summary())
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
