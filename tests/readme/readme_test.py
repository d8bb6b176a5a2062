"""README.md shows the example that is compiled and run, and names files that exist."""
import os
import re
import textwrap
import unittest

ROOT = os.getcwd()  # the runfiles of the workspace


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        return f.read()


def marked_region(source, mark):
    """The lines between `// [mark]` and `// [mark end]`, without common indentation."""
    found = re.search(r"^ *// \[%s\]\n(.*?)^ *// \[%s end\]\n" % (mark, mark), source, re.S | re.M)
    return textwrap.dedent(found.group(1)) if found else None


def block_after(readme, mark):
    """The code block that follows `<!-- mark -->`."""
    found = re.search(r"^<!-- %s -->\n+```cpp\n(.*?)^```$" % mark, readme, re.S | re.M)
    return found.group(1) if found else None


class ReadmeTest(unittest.TestCase):

    def test_the_example_is_the_one_that_runs(self):
        compiled = marked_region(read("tests/readme/embed_example.cc"), "embed_example")
        self.assertIsNotNone(compiled, "tests/readme/embed_example.cc has no marked region")
        shown = block_after(read("README.md"), "embed_example")
        self.assertIsNotNone(shown, "README.md has no ```cpp block after <!-- embed_example -->")
        self.maxDiff = None
        self.assertEqual(shown, compiled, "copy the marked region of embed_example.cc into README.md")

    def test_the_example_is_short(self):
        lines = marked_region(read("tests/readme/embed_example.cc"), "embed_example").splitlines()
        self.assertLessEqual(len([l for l in lines if l.strip() and not l.strip().startswith("//")]), 30)


if __name__ == "__main__":
    unittest.main()
