"""What a run of `bazel test` did, counted from its build event file and the test.xml files it names.

A case is what a test program says it ran (a GoogleTest case); a program that lists none is one case.
What crashed, timed out, was not built or never ran is a failure, and so is a case that was skipped
unless a list in the repository allows it: a test that quietly stops running must not look like one
that passes.
"""
import dataclasses
import fnmatch
import json
import os
import urllib.parse
import xml.etree.ElementTree


@dataclasses.dataclass
class AllowedSkip:
    """A line of the list: `<label pattern> <case pattern> <reason>`."""

    label: str
    case: str
    reason: str
    where: str
    matched: bool = False

    def matches(self, label, case):
        return fnmatch.fnmatchcase(label, self.label) and fnmatch.fnmatchcase(case, self.case)


def read_allowed_skips(path):
    """Returns the list in `path`; raises ValueError with the line for what it cannot read."""
    allowed = []
    with open(path, encoding="utf-8") as f:
        for number, line in enumerate(f, 1):
            line = line.strip()
            if not line or line.startswith("#"):
                continue
            where = "%s:%d" % (os.path.basename(path), number)
            words = line.split(None, 2)
            if len(words) != 3 or not words[0].startswith("//"):
                raise ValueError("%s: not `//label-pattern Suite.Case-pattern reason`: %s" % (where, line))
            allowed.append(AllowedSkip(*words, where))
    return allowed


@dataclasses.dataclass
class Report:
    passed: int = 0
    failed: list = dataclasses.field(default_factory=list)  # what failed and why, a line each
    skipped: list = dataclasses.field(default_factory=list)  # allowed skips
    passed_tests: list = dataclasses.field(default_factory=list)  # `//label case`; of a program without cases `//label`
    skipped_tests: list = dataclasses.field(default_factory=list)

    def add(self, other, where):
        """Adds another run's report; `where` goes before its lines."""
        self.passed += other.passed
        self.failed += ["%s %s" % (where, line) for line in other.failed]
        self.skipped += ["%s %s" % (where, line) for line in other.skipped]

    def summary(self):
        skipped = ", %d skipped" % len(self.skipped) if self.skipped else ""
        return "%d passed, %d failed%s" % (self.passed, len(self.failed), skipped)


def read_events(path):
    """The events in a --build_event_json_file; what Bazel did not finish writing is left out."""
    events = []
    if os.path.exists(path):
        with open(path, encoding="utf-8") as f:
            for line in f:
                try:
                    events.append(json.loads(line))
                except ValueError:
                    break
    return events


@dataclasses.dataclass
class _Cases:
    """What one run of a test program (or of a shard of it) says in its test.xml."""

    names: list = dataclasses.field(default_factory=list)
    bad: list = dataclasses.field(default_factory=list)
    skipped: list = dataclasses.field(default_factory=list)


def _case_name(case):
    classname = case.get("classname")
    return "%s.%s" % (classname, case.get("name")) if classname else case.get("name", "?")


def _was_skipped(case):
    return (case.find("skipped") is not None or case.get("status") == "notrun"
            or case.get("result") in ("skipped", "suppressed"))


def _read_xml(path):
    """Returns the _Cases in a test.xml, and whether the program wrote it, not Bazel in its stead."""
    root = xml.etree.ElementTree.parse(path).getroot()
    cases = _Cases()
    found = root.findall(".//testcase")
    for case in found:
        name = _case_name(case)
        cases.names.append(name)
        if case.find("failure") is not None or case.find("error") is not None:
            cases.bad.append(name)
        elif _was_skipped(case):
            cases.skipped.append(name)
    return cases, root.get("name") == "AllTests" or any(c.get("classname") for c in found)


def _read_cases(result):
    """Returns the _Cases of a test result; None where Bazel wrote the file in the program's stead."""
    for output in result.get("testActionOutput", []):
        if output.get("name") != "test.xml":
            continue
        try:
            cases, by_the_program = _read_xml(urllib.parse.unquote(urllib.parse.urlparse(output["uri"]).path))
        except (OSError, KeyError, xml.etree.ElementTree.ParseError):
            return None
        return cases if by_the_program else None
    return None


def read_logs(folder):
    """Returns what the test.xml files in a bazel-testlogs say passed and was skipped: `//label case`.

    Logs of targets that are no longer there lie in it too, so a target must still stand in its BUILD file.
    """
    passed, skipped = [], []
    top = os.path.dirname(os.path.abspath(folder))
    for path, _, files in os.walk(folder):
        if "test.xml" not in files:
            continue
        parts = os.path.relpath(path, folder).split(os.sep)
        while len(parts) > 1 and parts[-1].startswith(("shard_", "run_", "test_attempts")):
            parts.pop()
        label = "//%s:%s" % ("/".join(parts[:-1]), parts[-1])
        try:
            with open(os.path.join(top, *parts[:-1], "BUILD.bazel"), encoding="utf-8") as f:
                if '"%s"' % parts[-1] not in f.read():
                    continue
            cases, by_the_program = _read_xml(os.path.join(path, "test.xml"))
        except (OSError, xml.etree.ElementTree.ParseError):
            continue
        if not by_the_program:
            passed += [] if cases.bad else [label]
            continue
        passed += ["%s %s" % (label, n) for n in cases.names if n not in cases.bad and n not in cases.skipped]
        skipped += ["%s %s" % (label, n) for n in cases.skipped]
    return passed, skipped


class _Counter:
    def __init__(self, allowed, filtered):
        self.allowed = allowed
        self.filtered = filtered
        self.report = Report()

    def skip(self, label, name):
        entries = [a for a in self.allowed if a.matches(label, name)]
        for entry in entries:
            entry.matched = True
        if entries:
            self.report.skipped.append("%s %s (%s)" % (label, name, entries[0].reason))
            self.report.skipped_tests.append("%s %s" % (label, name))
        else:
            self.report.failed.append("%s %s (skipped, and no line of the allowed skips permits it)" % (label, name))

    def target(self, label, results):
        """Adds the results (the last attempt of each run and shard) of one test target."""
        failed = self.report.failed
        cases_seen = 0
        silent = True  # no result but "passed, and no case was named"
        for result in results:
            status = result.get("status", "NO_STATUS")
            cases = _read_cases(result)
            if cases is None:  # the run as a whole is one case
                silent = False
                if status == "PASSED":
                    self.report.passed += 1
                    self.report.passed_tests.append(label)
                else:
                    failed.append("%s (%s)" % (label, status))
                continue
            cases_seen += len(cases.names)
            for name in cases.bad:
                failed.append("%s %s" % (label, name))
            if status != "PASSED" and not cases.bad:
                silent = False
                failed.append("%s (%s, outside its cases)" % (label, status))
            for name in cases.skipped:
                self.skip(label, name)
            for entry in self.allowed:
                entry.matched = entry.matched or any(entry.matches(label, n) for n in cases.names)
            self.report.passed += len(cases.names) - len(cases.bad) - len(cases.skipped)
            self.report.passed_tests += ["%s %s" % (label, n) for n in cases.names
                                         if n not in cases.bad and n not in cases.skipped]
        if silent and not cases_seen and not self.filtered:
            failed.append("%s (it has no test cases)" % label)


def count(events, exit_code, allowed=(), filtered=False):
    """Returns the Report of one `bazel test` run, and marks what of `allowed` names a case that exists.

    `exit_code` is Bazel's. `filtered` says that only some cases were asked for, so that a program
    without any is no mistake.
    """
    tests = set()   # labels of test targets
    attempts = {}   # label -> {(run, shard): (attempt, result)}
    completed = {}  # label -> why it failed, or None; the last event about it counts
    for event in events:
        event_id = event.get("id", {})
        if "targetConfigured" in event_id:
            if event.get("configured", {}).get("testSize"):
                tests.add(event_id["targetConfigured"]["label"])
        elif "testResult" in event_id:
            i = event_id["testResult"]
            runs = attempts.setdefault(i["label"], {})
            key = (i.get("run", 1), i.get("shard", 1))
            attempt = i.get("attempt", 1)
            if key not in runs or runs[key][0] <= attempt:
                runs[key] = (attempt, event.get("testResult", {}))
        elif "targetCompleted" in event_id:
            label = event_id["targetCompleted"]["label"]
            if event.get("completed", {}).get("success"):
                completed[label] = None
            elif event.get("aborted", {}).get("reason") == "SKIPPED":
                completed[label] = "SKIPPED"
            else:
                completed[label] = "did not build"
    counter = _Counter(allowed, filtered)
    for label in sorted(attempts):
        counter.target(label, [result for _, (_, result) in sorted(attempts[label].items())])
    for label in sorted(tests.union(completed).difference(attempts)):
        state = completed.get(label, "was not reached")
        if state == "SKIPPED":  # not for this platform, as a whole
            if label in tests:
                counter.skip(label, "*")
        elif state or label in tests:
            counter.report.failed.append("%s (%s)" % (label, state or "did not run"))
    if exit_code and not counter.report.failed:
        known = {4: "no test matches"}
        counter.report.failed.append(known.get(exit_code, "bazel ended with exit status %d" % exit_code))
    return counter.report
