"""The version is the same in base/version.h, MODULE.bazel, CHANGELOG.md and `tenure --version`."""
import os
import re
import subprocess
import unittest


def found(path, pattern):
    with open(path, encoding="utf-8") as f:
        match = re.search(pattern, f.read(), re.M)
    return match.group(1) if match else None


class VersionTest(unittest.TestCase):

    def test_all_say_the_same(self):
        version = found("base/version.h", r'kVersion = "(.*)";')
        self.assertRegex(version or "", r"^\d+\.\d+\.\d+$")
        self.assertEqual(found("MODULE.bazel", r'^ *version = "(.*)",'), version)
        # The newest entry of the changelog is the one that is being written.
        self.assertEqual(found("CHANGELOG.md", r"^## \[(.*)\] - (?:unreleased|\d{4}-\d\d-\d\d)$"), version)
        said = subprocess.run([os.path.abspath("tools/tenure"), "--version"], stdout=subprocess.PIPE, encoding="utf-8",
                              check=True, timeout=60)
        self.assertEqual(said.stdout, "tenure %s\n" % version)


if __name__ == "__main__":
    unittest.main()
