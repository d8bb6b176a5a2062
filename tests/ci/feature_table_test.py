"""tools/dev/feature_table.py: a cell is what tests say that ran and passed, and README.md shows that."""
import json
import os
import tempfile
import unittest

import feature_table
import test_report

FEATURES = {
    "spaces": ["cpu", "null"],
    "cells": {"unbuilt": {"not built yet": ["//a:a Registry.SaysSo"]}},
    "features": [
        {"feature": "copies", "cells": {"cpu": {"yes": ["//a:a Copy.*", "//b:b"]}, "null": {"no": ["//a:a Null.Refuses"]}}},
        {"feature": "kernels", "cells": {"cpu": "unbuilt", "null": "unbuilt"}},
    ],
}
PASSED = ["//a:a Copy.In", "//a:a Copy.Out", "//a:a Null.Refuses", "//a:a Registry.SaysSo", "//b:b"]
TABLE = "| | cpu | null |\n|---|---|---|\n| copies | yes | no |\n| kernels | not built yet | not built yet |\n"


class FeatureTableTest(unittest.TestCase):

    def setUp(self):
        self.tmp = tempfile.TemporaryDirectory()
        self.addCleanup(self.tmp.cleanup)
        self.features = self.write("features.json", json.dumps(FEATURES))

    def write(self, name, text):
        path = os.path.join(self.tmp.name, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    def check(self, table, passed=tuple(PASSED), skipped=()):
        readme = self.write("README.md", "# x\n<!-- features begin -->\n%s<!-- features end -->\nmore\n" % table)
        return feature_table.check(passed, skipped, readme, self.features)

    def test_the_table_that_the_tests_make(self):
        self.assertEqual(self.check(TABLE), [])

    def test_another_table_is_a_fault(self):
        self.assertIn("--write", self.check(TABLE.replace("no |", "yes |"))[0])
        self.assertIn("--write", self.check("")[0])

    def test_a_test_that_did_not_pass_is_a_fault(self):
        for gone in ["//a:a Null.Refuses", "//b:b", "//a:a Registry.SaysSo"]:
            faults = self.check(TABLE, [t for t in PASSED if t != gone])
            self.assertTrue(faults and gone in faults[0], faults)
        self.assertEqual(self.check(TABLE, [t for t in PASSED if t != "//a:a Copy.In"]), [])

    def test_a_skip_that_is_allowed_counts(self):
        rest = [t for t in PASSED if t != "//b:b"]
        self.assertEqual(self.check(TABLE, rest, ["//b:b"]), [])

    def test_a_mapping_that_is_not_whole_is_a_fault(self):
        for broken in [lambda f: f["features"][0]["cells"].pop("null"),
                       lambda f: f["features"][0]["cells"].update(cpu={"perhaps": ["//b:b"]}),
                       lambda f: f["features"][0]["cells"].update(cpu={"yes": []}),
                       lambda f: f["features"][0]["cells"].update(cpu="nothing")]:
            features = json.loads(json.dumps(FEATURES))
            broken(features)
            self.features = self.write("features.json", json.dumps(features))
            self.assertEqual(len(self.check(TABLE)), 1)
        self.features = os.path.join(self.tmp.name, "missing.json")
        self.assertEqual(len(self.check(TABLE)), 1)

    def test_a_readme_without_a_place_is_a_fault(self):
        readme = self.write("README.md", "# x\n")
        self.assertIn("<!-- features begin -->", feature_table.check(PASSED, [], readme, self.features)[0])

    def test_logs_of_the_last_run(self):
        case = '<testcase classname="S" name="%s" status="run">%s</testcase>'
        self.write("testlogs/a/one/test.xml", '<testsuites name="AllTests"><testsuite name="S">%s%s%s</testsuite>'
                   '</testsuites>' % (case % ("good", ""), case % ("bad", "<failure/>"), case % ("not", "<skipped/>")))
        self.write("testlogs/a/two/shard_1_of_2/test.xml", '<testsuites><testsuite><testcase name="two"/></testsuite></testsuites>')
        self.write("testlogs/a/gone/test.xml", '<testsuites><testsuite><testcase name="gone"/></testsuite></testsuites>')
        self.write("testlogs/a/failed/test.xml",
                   '<testsuites><testsuite><testcase name="f"><error/></testcase></testsuite></testsuites>')
        self.write("a/BUILD.bazel", 'x(name = "one") x(name = "two") x(name = "failed")')
        passed, skipped = test_report.read_logs(os.path.join(self.tmp.name, "testlogs"))
        self.assertEqual(sorted(passed), ["//a:one S.good", "//a:two"])
        self.assertEqual(skipped, ["//a:one S.not"])


if __name__ == "__main__":
    unittest.main()
