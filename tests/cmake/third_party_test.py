"""build_defs/cmake/third_party.py: archives are unpacked without their top folder, checked and patched."""
import hashlib
import importlib.util
import io
import os
import tarfile
import tempfile
import unittest


def load():
    spec = importlib.util.spec_from_file_location("third_party", os.path.join("build_defs", "cmake", "third_party.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


third_party = load()

PATCH = """A reason.

--- a/src/a.c
+++ b/src/a.c
@@ -2,2 +2,3 @@ context
 two
-three
+drei
+vier
@@ -7 +8 @@
-seven
+sieben
"""


class ThirdPartyTest(unittest.TestCase):

    def setUp(self):
        tmp = tempfile.TemporaryDirectory()
        self.addCleanup(tmp.cleanup)
        self.folder = tmp.name
        self.into = os.path.join(tmp.name, "into")
        os.mkdir(self.into)

    def archive(self, name, files):
        path = os.path.join(self.folder, name)
        with tarfile.open(path, "w:gz") as tar:
            for file, text in files.items():
                info = tarfile.TarInfo(file)
                info.size = len(text)
                tar.addfile(info, io.BytesIO(text.encode()))
        with open(path, "rb") as f:
            return {"file": name, "sha256": hashlib.sha256(f.read()).hexdigest(), "part": "--tar-only",
                    "debian": "x=1", "url": "file:///nowhere/x.tar.gz"}

    def text(self, name):
        with open(os.path.join(self.into, "x", name), encoding="utf-8") as f:
            return f.read()

    def provide(self, table):
        third_party.provide("x", table, [self.folder, os.path.join(self.into, "archives")], self.into)

    def test_it_is_unpacked_and_patched_once(self):
        source = self.archive("x.tar.gz", {"x-1/src/a.c": "one\ntwo\nthree\nfour\nfive\nsix\nseven\n", "x-1/b.h": "b\n"})
        fixes = dict(self.archive("fixes.tar.gz", {"debian/patches/p": PATCH, "debian/other": ""}), part="--diff-only")
        source["debian_patches"] = {"apply": ["debian/patches/p"]}
        self.provide({"x": source, "x (patches)": fixes})
        self.assertEqual(self.text("src/a.c"), "one\ntwo\ndrei\nvier\nfour\nfive\nsix\nsieben\n")
        self.assertEqual(self.text("b.h"), "b\n")
        with open(os.path.join(self.into, "x", "b.h"), "w", encoding="utf-8") as f:
            f.write("mine")
        self.provide({"x": source, "x (patches)": fixes})
        self.assertEqual(self.text("b.h"), "mine")
        self.provide({"x": dict(source, url="file:///elsewhere/x.tar.gz"), "x (patches)": fixes})
        self.assertEqual(self.text("b.h"), "b\n")

    def test_lines_that_have_moved_are_found(self):
        text = "\n\n\none\ntwo\nthree\nfour\nfive\nsix\nseven\n"
        hunks = third_party.parse_patch(PATCH)["src/a.c"]
        self.assertEqual(third_party.apply_hunks(text, hunks), "\n\n\none\ntwo\ndrei\nvier\nfour\nfive\nsix\nsieben\n")
        self.assertIsNone(third_party.apply_hunks("something else\n", hunks))

    def test_another_file_of_that_name_is_refused(self):
        source = dict(self.archive("x.tar.gz", {"x-1/a.c": "a\n"}), sha256="0" * 64)
        with self.assertRaises(SystemExit) as caught:
            self.provide({"x": source})
        self.assertIn("could not be downloaded", str(caught.exception))


if __name__ == "__main__":
    unittest.main()
