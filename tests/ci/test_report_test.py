"""tools/dev/test_report.py on made-up event files: a test runner that counts wrongly hides every other mistake."""
import json
import os
import tempfile
import unittest

import test_report

GTEST = '<testsuites name="AllTests"><testsuite name="S">%s</testsuite></testsuites>'
PASS = '<testcase classname="S" name="%s" status="run" result="completed"/>'
FAIL = '<testcase classname="S" name="%s" status="run" result="completed"><failure message="no"/></testcase>'
SKIP = '<testcase classname="S" name="%s" status="run" result="skipped"><skipped message="why"/></testcase>'
DISABLED = '<testcase classname="S" name="%s" status="notrun" result="suppressed"/>'
# What Bazel writes for a program that wrote nothing.
BAZELS_OWN = '<testsuites><testsuite name="x" tests="1"><testcase name="x" status="run"/></testsuite></testsuites>'
BAZELS_ERROR = ('<testsuites><testsuite name="x" tests="1" errors="1"><testcase name="x" status="run">'
                '<error message="exited with error code 139"/></testcase></testsuite></testsuites>')


def gtest(*cases):
    return GTEST % "".join(cases)


class TestReportTest(unittest.TestCase):

    def setUp(self):
        self.tmp = tempfile.TemporaryDirectory(prefix="a folder with spaces ")
        self.addCleanup(self.tmp.cleanup)
        self.events = []

    def configured(self, label, test=True):
        kind = {"targetKind": "cc_test rule", "testSize": "SMALL"} if test else {"targetKind": "cc_library rule"}
        self.events.append({"id": {"targetConfigured": {"label": label}}, "configured": kind})

    def completed(self, label, payload):
        self.events.append(dict({"id": {"targetCompleted": {"label": label}}}, **payload))

    def result(self, label, status="PASSED", xml=None, **where):
        if not any(e["id"].get("targetConfigured", {}).get("label") == label for e in self.events):
            self.configured(label)
            self.completed(label, {"completed": {"success": True}})
        outputs = [{"name": "test.log", "uri": "file:///nowhere"}]
        if xml is not None:
            path = os.path.join(self.tmp.name, "%d.xml" % len(self.events))
            with open(path, "w", encoding="utf-8") as f:
                f.write(xml)
            outputs.append({"name": "test.xml", "uri": "file://" + path.replace(" ", "%20")})
        i = dict({"label": label, "run": 1, "shard": 1, "attempt": 1}, **where)
        self.events.append({"id": {"testResult": i}, "testResult": {"status": status, "testActionOutput": outputs}})

    def count(self, exit_code=0, allowed=(), filtered=False):
        """Counts, by way of an event file."""
        path = os.path.join(self.tmp.name, "events.json")
        with open(path, "w", encoding="utf-8") as f:
            f.writelines(json.dumps(e) + "\n" for e in self.events)
        return test_report.count(test_report.read_events(path), exit_code, allowed, filtered)

    def allow(self, text):
        path = os.path.join(self.tmp.name, "allowed.txt")
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return test_report.read_allowed_skips(path)

    def test_cases_are_counted_one_by_one(self):
        self.result("//a:a", "FAILED", gtest(PASS % "one", PASS % "two", FAIL % "three"))
        report = self.count(3)
        self.assertEqual(report.summary(), "2 passed, 1 failed")
        self.assertEqual(report.failed, ["//a:a S.three"])

    def test_a_program_without_cases_of_its_own_is_one(self):
        self.result("//a:sh", xml=BAZELS_OWN)
        self.result("//a:no_xml")
        self.result("//a:broken_xml", xml="<testsuites")
        self.assertEqual(self.count().summary(), "3 passed, 0 failed")

    def test_crash_and_timeout_are_one_failure_each(self):
        self.result("//a:crash", "FAILED", BAZELS_ERROR)
        self.result("//a:slow", "TIMEOUT", BAZELS_ERROR)
        report = self.count(3)
        self.assertEqual(report.failed, ["//a:crash (FAILED)", "//a:slow (TIMEOUT)"])
        self.assertEqual(report.passed, 0)

    def test_failing_after_the_last_case_is_a_failure(self):  # a leak found at exit, say
        self.result("//a:leak", "FAILED", gtest(PASS % "one", PASS % "two"))
        report = self.count(3)
        self.assertEqual(report.summary(), "2 passed, 1 failed")
        self.assertEqual(report.failed, ["//a:leak (FAILED, outside its cases)"])

    def test_what_was_not_built_is_a_failure(self):
        self.configured("//a:test")
        self.completed("//a:test", {"completed": {"failureDetail": {"message": "gcc failed"}}})
        self.configured("//a:lib", test=False)
        self.completed("//a:lib", {"aborted": {"reason": "ANALYSIS_FAILURE"}})
        self.configured("//a:never_reached")
        self.result("//a:fine", xml=gtest(PASS % "one"))
        report = self.count(1)
        self.assertEqual(report.summary(), "1 passed, 3 failed")
        self.assertEqual(report.failed, [
            "//a:lib (did not build)", "//a:never_reached (was not reached)", "//a:test (did not build)"])

    def test_built_but_not_run_is_a_failure(self):
        self.configured("//a:test")
        self.completed("//a:test", {"completed": {"success": True}})
        self.configured("//a:lib", test=False)
        self.completed("//a:lib", {"completed": {"success": True}})
        self.assertEqual(self.count(8).failed, ["//a:test (did not run)"])

    def test_cached_results_count(self):
        self.result("//a:a", xml=gtest(PASS % "one"))
        self.events[-1]["testResult"]["cachedLocally"] = True
        self.assertEqual(self.count().summary(), "1 passed, 0 failed")

    def test_shards_and_runs_add_up(self):
        self.result("//a:a", xml=gtest(PASS % "one"), shard=1)
        self.result("//a:a", xml=gtest(PASS % "two", PASS % "three"), shard=2)
        self.result("//a:a", xml=gtest(), shard=3)  # more shards than cases
        self.result("//b:b", "FAILED", gtest(FAIL % "one"), run=1)
        self.result("//b:b", xml=gtest(PASS % "one"), run=2)
        self.assertEqual(self.count(3).summary(), "4 passed, 1 failed")

    def test_of_several_attempts_the_last_counts(self):
        self.result("//a:flaky", "FAILED", gtest(FAIL % "one"), attempt=1)
        self.result("//a:flaky", xml=gtest(PASS % "one"), attempt=2)
        self.assertEqual(self.count().summary(), "1 passed, 0 failed")

    def test_suites_are_not_tests(self):
        self.events.append({"id": {"pattern": {"pattern": ["//a:suite"]}}, "expanded": {}})
        self.events.append({"id": {"targetConfigured": {"label": "//a:suite"}},
                            "configured": {"targetKind": "test_suite rule"}})
        self.completed("//a:suite", {"completed": {"success": True}})
        self.result("//a:a", xml=gtest(PASS % "one"))
        self.assertEqual(self.count().summary(), "1 passed, 0 failed")

    def test_a_program_without_any_case_is_a_failure(self):
        self.result("//a:empty", xml=gtest())
        self.assertEqual(self.count().failed, ["//a:empty (it has no test cases)"])
        self.assertEqual(self.count(filtered=True).summary(), "0 passed, 0 failed")

    def test_a_skip_that_nobody_allowed_is_a_failure(self):
        self.result("//a:a", xml=gtest(PASS % "one", SKIP % "two", DISABLED % "DISABLED_three"))
        report = self.count()
        self.assertEqual(report.summary(), "1 passed, 2 failed")
        self.assertIn("//a:a S.two (skipped", report.failed[0])
        self.assertIn("//a:a S.DISABLED_three (skipped", report.failed[1])

    def test_an_allowed_skip_is_counted_apart(self):
        allowed = self.allow("# comment\n\n//a:* S.tw?  needs a GPU\n")
        self.result("//a:a", xml=gtest(PASS % "one", SKIP % "two"))
        report = self.count(allowed=allowed)
        self.assertEqual(report.summary(), "1 passed, 0 failed, 1 skipped")
        self.assertEqual(report.skipped, ["//a:a S.two (needs a GPU)"])
        self.assertTrue(allowed[0].matched)

    def test_an_allowed_skip_matches_also_where_the_case_ran(self):
        allowed = self.allow("//a:a S.one needs a GPU\n//a:a S.gone needs a GPU\n")
        self.result("//a:a", xml=gtest(PASS % "one"))
        self.assertEqual(self.count(allowed=allowed).summary(), "1 passed, 0 failed")
        self.assertEqual([a.matched for a in allowed], [True, False])

    def test_a_target_skipped_as_a_whole(self):
        skipped = {"aborted": {"reason": "SKIPPED"}}
        self.configured("//a:gpu")
        self.completed("//a:gpu", skipped)
        self.configured("//a:gpu_lib", test=False)
        self.completed("//a:gpu_lib", skipped)
        self.assertEqual(self.count().summary(), "0 passed, 1 failed")
        allowed = self.allow("//a:gpu * why\n")
        self.assertEqual(self.count(allowed=allowed).summary(), "0 passed, 0 failed, 1 skipped")
        self.assertTrue(allowed[0].matched)

    def test_an_entry_needs_a_reason(self):
        for text in ("//a:a S.one\n", "//a:a\n", "a:a S.one why\n"):
            with self.assertRaisesRegex(ValueError, "allowed.txt:1: "):
                self.allow(text)

    def test_bazel_failing_without_a_word_is_a_failure(self):
        self.assertEqual(self.count(37).failed, ["bazel ended with exit status 37"])
        self.assertEqual(self.count(4).failed, ["no test matches"])
        self.result("//a:a", xml=gtest(PASS % "one"))
        self.assertEqual(self.count(1).summary(), "1 passed, 1 failed")

    def test_an_event_file_that_breaks_off_or_is_not_there(self):
        self.result("//a:a", xml=gtest(PASS % "one"))
        self.count()
        path = os.path.join(self.tmp.name, "events.json")
        with open(path, "a", encoding="utf-8") as f:
            f.write('{"id": {"testRes')
        self.assertEqual(test_report.count(test_report.read_events(path), 37).summary(), "1 passed, 1 failed")
        self.assertEqual(test_report.read_events(path + ".gone"), [])

    def test_another_workspace_is_named(self):
        self.result("//:t", "FAILED", gtest(FAIL % "one"))
        total = test_report.Report(passed=2)
        total.add(self.count(3), "there")
        self.assertEqual(total.summary(), "2 passed, 1 failed")
        self.assertEqual(total.failed, ["there //:t S.one"])


if __name__ == "__main__":
    unittest.main()
