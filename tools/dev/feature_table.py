#!/usr/bin/env python3
"""The table of memory spaces and features in README.md, from what the tests ran.

  tools/dev/feature_table.py            prints it
  tools/dev/feature_table.py --write    puts it into README.md
  tools/dev/feature_table.py --check    says whether README.md has it; the exit status is 1 if not

docs/features.json names, for each feature and space, the tests that show that it works there, or
that it is refused with a clear error. A cell is only what tests that exist and passed say: one whose
tests are gone, or failed, is a fault. The results are those of the last `bazel test` (bazel-testlogs);
tools/test checks the table with its own.
"""
import argparse
import fnmatch
import json
import os
import re
import sys

import test_report

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FEATURES = os.path.join(ROOT, "docs", "features.json")
README = os.path.join(ROOT, "README.md")
BEGIN, END = "<!-- features begin -->", "<!-- features end -->"
ANSWERS = ("yes", "no", "not built yet", "read-only", "weights only", "unified", "unified, pinned",
           "where mapped")


def read_features(path=FEATURES):
    """Returns the mapping; raises ValueError for one that is not made as it must be."""
    with open(path, encoding="utf-8") as f:
        features = json.load(f)
    spaces = features["spaces"]
    for row in features["features"]:
        cells = row["cells"]
        if sorted(cells) != sorted(spaces):
            raise ValueError("%s: '%s' has cells for %s; the spaces are %s" %
                             (path, row["feature"], ", ".join(cells), ", ".join(spaces)))
        for space, cell in cells.items():
            cell = features["cells"][cell] if isinstance(cell, str) else cell
            if len(cell) != 1 or list(cell)[0] not in ANSWERS or not list(cell.values())[0]:
                raise ValueError("%s: '%s', %s: not one of %s with a list of tests" %
                                 (path, row["feature"], space, ", ".join(ANSWERS)))
            cells[space] = next(iter(cell.items()))
    return features


def matches(pattern, test):
    """Whether `//label case` is meant; a pattern without a case means all of the label's."""
    label, _, case = pattern.partition(" ")
    test_label, _, test_case = test.partition(" ")
    return fnmatch.fnmatchcase(test_label, label) and fnmatch.fnmatchcase(test_case, case or "*")


def make_table(features, passed, skipped=()):
    """Returns the table and what is wrong with it.

    `passed` and `skipped` are names of tests, `//label case`. A skipped one counts: tests/allowed_skips.txt
    has a reason for it.
    """
    ran = sorted(set(passed) | set(skipped))
    missing = {}  # pattern -> the cells that rest on it
    lines = ["| | " + " | ".join(features["spaces"]) + " |", "|---" * (len(features["spaces"]) + 1) + "|"]
    for row in features["features"]:
        texts = []
        for space in features["spaces"]:
            answer, patterns = row["cells"][space]
            for pattern in patterns:
                if pattern in missing or not any(matches(pattern, test) for test in ran):
                    missing.setdefault(pattern, []).append("'%s', %s" % (row["feature"], space))
            texts.append(answer)
        lines.append("| " + " | ".join([row["feature"]] + texts) + " |")
    faults = ["no test that passed is %s (%s%s)" %
              (pattern, cells[0], "" if len(cells) == 1 else "; %d cells in all" % len(cells))
              for pattern, cells in missing.items()]
    return "\n".join(lines) + "\n", faults


def split_readme(text):
    """What stands before the table, the table, and what stands after it."""
    found = re.search("(?s)(.*%s\n)(.*?)(%s.*)" % (re.escape(BEGIN), re.escape(END)), text)
    if not found:
        raise ValueError("README.md has no lines %s and %s" % (BEGIN, END))
    return found.groups()


def check(passed, skipped, readme=README, features=FEATURES):
    """Returns what is wrong with the table in the README, a line each."""
    try:
        table, faults = make_table(read_features(features), passed, skipped)
        with open(readme, encoding="utf-8") as f:
            shown = split_readme(f.read())[1]
    except (OSError, ValueError, KeyError) as e:
        return ["table of features: %r" % e]
    if not faults and shown != table:
        faults.append("README.md does not show what the tests ran: run tools/dev/feature_table.py --write")
    return ["table of features: " + fault for fault in faults]


def main(args):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put the table into README.md")
    parser.add_argument("--check", action="store_true", help="compare it with README.md")
    options = parser.parse_args(args)
    passed, skipped = test_report.read_logs(os.path.join(ROOT, "bazel-testlogs"))
    if options.check:
        faults = check(passed, skipped)
        print("\n".join(faults) or "README.md shows what the tests ran")
        return 1 if faults else 0
    table, faults = make_table(read_features(), passed, skipped)
    for fault in faults:
        print(fault, file=sys.stderr)
    if faults:
        return 1
    if not options.write:
        print(table, end="")
        return 0
    with open(README, encoding="utf-8") as f:
        before, _, after = split_readme(f.read())
    with open(README, "w", encoding="utf-8") as f:
        f.write(before + table + after)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
