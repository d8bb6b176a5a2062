"""tools/dev/make_cmake: CMakeLists.txt is what the BUILD files say, and made-up BUILD files become what they should."""
import importlib.machinery
import importlib.util
import os
import tempfile
import unittest

# The tree itself, and not what Bazel shows of it.
TREE = os.path.dirname(os.path.realpath("README.md"))
LOAD = 'load("//build_defs:tenure.bzl", "tenure_cc_library")\npackage(default_visibility = ["//visibility:public"])\n'


def load():
    loader = importlib.machinery.SourceFileLoader("make_cmake", os.path.join("tools", "dev", "make_cmake"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


make_cmake = load()


class MakeCMakeTest(unittest.TestCase):

    def setUp(self):
        tmp = tempfile.TemporaryDirectory()
        self.addCleanup(tmp.cleanup)
        self.root = tmp.name
        self.write("base/BUILD.bazel", LOAD + """
tenure_cc_library(
    name = "base",
    srcs = ["a.cc", "own.h"],
    hdrs = ["a.h"],
    deps = ["@com_google_absl//absl/strings:str_format"],
)
""")
        self.write("base/a.h", '#include "tenure/runtime/hidden.h"\n')

    def write(self, path, text):
        os.makedirs(os.path.join(self.root, os.path.dirname(path)), exist_ok=True)
        with open(os.path.join(self.root, path), "w", encoding="utf-8") as f:
            f.write(text)

    def text(self):
        return make_cmake.text_of(self.root)

    def test_the_checked_in_file_is_current(self):
        with open(os.path.join(TREE, "CMakeLists.txt"), encoding="utf-8") as f:
            self.assertEqual(f.read(), make_cmake.text_of(TREE), "run tools/dev/make_cmake")

    def test_a_library_is_its_sources(self):
        text = self.text()
        self.assertIn("tenure_cc_library(//base:base\n  SOURCES\n    base/a.cc)\n", text)
        self.assertIn("tenure_use_absl(\n  absl::str_format)\n", text)
        self.assertIn("tenure_headers(\n  base/a.h)\n", text)

    def test_only_what_is_needed_goes_in(self):
        self.write("runtime/BUILD.bazel", """
tenure_cc_library(name = "unused", srcs = ["unused.cc"])
tenure_cc_library(name = "hidden", srcs = ["hidden.cc"], hdrs = ["hidden.h", "deep.h"], apart = ["hidden.cc"])
tenure_cc_library(name = "test", srcs = ["test.cc"], testonly = True, visibility = ["//visibility:public"])
tenure_cc_library(name = "open", srcs = ["open.cc"], deps = [":other"], visibility = ["//visibility:public"])
alias(name = "other", actual = ":hidden")
""")
        self.write("runtime/hidden.h", "")
        text = self.text()
        self.assertNotIn("unused.cc", text)
        self.assertNotIn("test.cc", text)
        self.assertIn("tenure_cc_library(//runtime:hidden\n  APART\n    runtime/hidden.cc)\n", text)
        self.assertIn("runtime/open.cc", text)
        # A public header includes it, so that programs need it too; nothing includes the other one.
        self.assertIn("  runtime/hidden.h", text)
        self.assertNotIn("deep.h", text)

    def test_both_variants_of_cuda_are_there(self):
        self.write("allocator/BUILD.bazel", LOAD + """
tenure_cc_library(name = "cuda", srcs = ["with.cc"] if HAVE_CUDA else ["without.cc"],
                  deps = [":driver"] if HAVE_CUDA else [])
tenure_cc_library(name = "driver", srcs = ["driver.cc"], tags = [] if HAVE_CUDA else ["manual"])
""")
        text = self.text()
        yes, no = text.split("if(TENURE_HAVE_CUDA)\n")[1].split("endif()\n")[0].split("else()\n")
        self.assertIn("with.cc", yes)
        self.assertIn("driver.cc", yes)
        self.assertIn("without.cc", no)
        self.assertNotIn("driver.cc", no)

    def test_shaders_are_named_with_what_they_include(self):
        self.write("allocator/BUILD.bazel", """
spirv_shaders(name = "s", srcs = ["fill.comp"], hdrs = ["addresses.glsl"], visibility = ["//visibility:public"])
""")
        self.write("build_defs/BUILD.bazel", 'tenure_cc_library(name = "embedded_image", hdrs = ["embedded_image.h"])\n')
        self.assertIn("tenure_spirv_shaders(//allocator:s\n  SOURCES\n    allocator/fill.comp\n  HEADERS\n"
                      "    allocator/addresses.glsl)\n", self.text())

    def test_the_library_for_c_is_apart(self):
        self.write("c/BUILD.bazel", """
cc_library(name = "header", hdrs = ["include/tenure/tenure.h"], includes = ["include"])
tenure_cc_library(name = "tenure_c", srcs = ["a.cc"], hdrs = ["own.h"], alwayslink = True, deps = [":header", "//base"])
""")
        self.write("c/own.h", "")
        self.assertIn("tenure_c_library(\n  SOURCES\n    c/a.cc\n  HEADERS\n    c/include/tenure/tenure.h\n  SYMBOLS\n"
                      "    c/tenure.map)\n", self.text())
        self.assertNotIn("own.h", self.text())

    def assertFault(self, says):
        with self.assertRaises(make_cmake.Fault) as caught:
            self.text()
        self.assertIn(says, str(caught.exception))

    def test_what_it_does_not_know_is_named(self):
        self.write("runtime/BUILD.bazel", LOAD + 'tenure_cc_library(name = "x", srcs = ["x.cc"], copts = ["-O3"])\n')
        self.assertFault("//runtime:x has copts")
        self.write("runtime/BUILD.bazel", LOAD + 'new_rule(name = "x")\n')
        self.assertFault("'new_rule' is not defined")
        self.write("runtime/BUILD.bazel", LOAD + 'tenure_cc_library(name = "x", deps = ["//base:y"])\n')
        self.assertFault("base/BUILD.bazel has no target y")
        self.write("runtime/BUILD.bazel", LOAD + 'tenure_cc_library(name = "x", deps = [":y"])\ngenrule(name = "y")\n')
        self.assertFault("//runtime:y is needed by the library")


if __name__ == "__main__":
    unittest.main()
