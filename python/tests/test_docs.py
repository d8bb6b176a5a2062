"""What the documentation shows: the docstrings' examples, and the blocks of README.md and docs/python.md."""

import contextlib
import doctest
import io
import os
import re
import tempfile
import unittest

import tenure
import tenure._packing
import tenure._schedule

ROOT = os.environ.get("TENURE_ROOT", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))


def blocks(path):
    """The blocks of Python in a page; the text of those that need a package that is not there is left out."""
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return re.findall(r"^```python\n(.*?)^```$", file.read(), re.M | re.S)


class Docstrings(unittest.TestCase):
    def test_examples(self):
        finder = doctest.DocTestFinder()
        found = [t for m in (tenure, tenure._packing, tenure._schedule) for t in finder.find(m) if t.examples]
        for name in ("Buffer", "empty", "asbuffer", "from_dlpack"):
            for t in finder.find(getattr(tenure, name), name, module=False, globs={"tenure": tenure}):
                found += [t] if t.examples else []
        self.assertGreaterEqual(len(found), 7)
        for example in found:
            with self.subTest(example.name):
                said = io.StringIO()
                result = doctest.DocTestRunner().run(example, out=said.write)
                self.assertEqual(result.failed, 0, said.getvalue())

    def test_everything_is_described(self):
        for name in tenure.__all__:
            if not isinstance(getattr(tenure, name), type(tenure)):
                self.assertTrue(getattr(tenure, name).__doc__, name)
        import pydoc

        text = pydoc.plain(pydoc.render_doc(tenure))
        for word in ("from_dlpack", "Schedule", "reshape", "OutOfMemory"):
            self.assertIn(word, text)

    def test_stubs_are_there(self):
        folder = os.path.dirname(tenure.__file__)
        self.assertTrue(os.path.exists(os.path.join(folder, "py.typed")))
        with open(os.path.join(folder, "_tenure.pyi"), encoding="utf-8") as file:
            text = file.read()
        for word in ("class Buffer", "def from_dlpack", "def __dlpack__"):
            self.assertIn(word, text)


class Pages(unittest.TestCase):
    def run_page(self, path, least):
        found = blocks(path)
        self.assertGreaterEqual(len(found), least)
        here = os.getcwd()
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            try:
                for number, block in enumerate(found):
                    with self.subTest("%s, block %d" % (path, number)):
                        try:
                            with contextlib.redirect_stdout(io.StringIO()):
                                exec(compile(block, path, "exec"), {"__name__": "block"})
                        except ImportError as error:
                            if "torch" not in str(error) and "jax" not in str(error):
                                raise
            finally:
                os.chdir(here)

    def test_readme(self):
        self.run_page("README.md", 1)

    def test_guide(self):
        self.run_page("docs/python.md", 5)


if __name__ == "__main__":
    unittest.main()
