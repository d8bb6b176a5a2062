"""The pages show code that is compiled and run, and name files, targets and sections that exist."""
import glob
import os
import re
import textwrap
import unittest

ROOT = os.getcwd()  # the runfiles of the workspace
# The tree itself: the pages name files that no test has as data.
SOURCES = os.path.dirname(os.path.realpath(os.path.join(ROOT, "README.md")))
PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"] + sorted(glob.glob("docs/*.md"))
# Folders whose files are spelled out in code spans.
FOLDER = r"(?:allocator|base|bench|build_defs|c|docs|examples|planner|runtime|tests|third_party|tools)"


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        return f.read()


def marked_region(source, mark):
    """The lines between `// [mark]` and `// [mark end]`, in C in its comments, without common indentation."""
    found = re.search(r"^ *(?://|/\*) \[%s\](?: \*/)?\n(.*?)^ *(?://|/\*) \[%s end\](?: \*/)?\n" % (mark, mark), source, re.S | re.M)
    return textwrap.dedent(found.group(1)) if found else None


def snippets(page):
    """Pairs of (file, mark) and code for each code block below `<!-- snippet: file mark -->`."""
    pattern = r"^<!-- snippet: (\S+) (\S+) -->\n+```(?:cpp|c)\n(.*?)^```$"
    return [((m.group(1), m.group(2)), m.group(3)) for m in re.finditer(pattern, page, re.S | re.M)]


def outside_blocks(page):
    """The text of a page without code blocks."""
    return re.sub(r"^```.*?^```$", "", page, flags=re.S | re.M)


class ReadmeTest(unittest.TestCase):

    def test_code_is_what_runs(self):
        self.maxDiff = None
        shown = [(page, where, code) for page in PAGES for where, code in snippets(read(page))]
        self.assertIn("README.md", [page for page, _, _ in shown])
        for page, (path, mark), code in shown:
            with self.subTest(page=page, mark=mark):
                compiled = marked_region(read(path), mark)
                self.assertIsNotNone(compiled, "%s has no region marked [%s]" % (path, mark))
                self.assertEqual(code, compiled, "copy the marked region of %s into %s" % (path, page))

    def test_all_cpp_in_pages_is_a_snippet(self):
        for page in PAGES:
            with self.subTest(page):
                text = read(page)
                self.assertEqual(len(re.findall(r"^```(?:cpp|c)$", text, re.M)), len(snippets(text)))

    def test_the_example_is_short(self):
        lines = marked_region(read("tests/readme/embed_example.cc"), "embed_example").splitlines()
        self.assertLessEqual(len([l for l in lines if l.strip() and not l.strip().startswith("//")]), 30)

    def test_what_pages_name_exists(self):
        for page in PAGES:
            text = outside_blocks(read(page))
            folder = os.path.dirname(page)
            names = [(os.path.join(folder, target), "link")
                     for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", text)]
            # The changelog and the pages of figures tell of what was there once.
            if page not in ("CHANGELOG.md", "docs/cuda.md", "docs/cuda_h100.md"):
                names += [(name, "code") for name in re.findall(r"`(%s/[\w./-]*[\w/])`" % FOLDER, text)]
            for name, kind in names:
                path = os.path.join(SOURCES, name)
                with self.subTest(page=page, name=name, kind=kind):
                    # A program is called as its source is.
                    self.assertTrue(os.path.exists(path) or os.path.exists(path + ".cc"), "%s names %s" % (page, name))


if __name__ == "__main__":
    unittest.main()
