"""tools/dev/include_graph, line_limits and changed_sources.py on made-up trees: each fault is found, and nothing else."""
import importlib.machinery
import importlib.util
import os
import subprocess
import tempfile
import unittest

import changed_sources
import sources


def load(name):
    """A program of tools/dev as a module."""
    loader = importlib.machinery.SourceFileLoader(name, os.path.join("tools", "dev", name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    loader.exec_module(module)
    return module


include_graph = load("include_graph")
line_limits = load("line_limits")


class SourceChecksTest(unittest.TestCase):

    def setUp(self):
        tmp = tempfile.TemporaryDirectory()
        self.addCleanup(tmp.cleanup)
        self.root = tmp.name
        listed = sources.tracked
        sources.tracked = self.files  # no git in a sandbox
        self.addCleanup(lambda: setattr(sources, "tracked", listed))
        with open("build_defs/layers.bzl", encoding="utf-8") as f:
            layers = f.read()
        self.write("build_defs/layers.bzl", layers.split("BROKEN_TODAY = [")[0] + "BROKEN_TODAY = []\n" +
                   layers.split("BROKEN_TODAY = [")[1].split("\n]\n", 1)[1])

    def files(self, root, *patterns):
        del patterns
        return sorted(os.path.relpath(os.path.join(folder, name), root)
                      for folder, _, names in os.walk(root) for name in names)

    def write(self, path, *includes, lines=0):
        os.makedirs(os.path.join(self.root, os.path.dirname(path)), exist_ok=True)
        with open(os.path.join(self.root, path), "w", encoding="utf-8") as f:
            if path.endswith(".bzl"):
                f.write(includes[0])
                return
            f.writelines('#include "tenure/%s"\n' % name for name in includes)
            f.write("\n" * lines)

    def faults(self):
        return include_graph.faults(self.root)[0]

    def only_fault(self):
        found = self.faults()
        self.assertEqual(len(found), 1, found)
        return found[0]

    def test_includes_that_lead_down_are_no_fault(self):
        self.write("base/ids.h")
        self.write("base/ids.cc", "base/ids.h")
        self.write("runtime/buffer.h", "base/ids.h")
        self.write("runtime/buffer_inl.h", "runtime/buffer.h")
        self.write("tools/tenure.cc", "runtime/buffer.h", "base/ids.h")
        self.assertEqual(self.faults(), [])

    def test_an_include_that_leads_up(self):
        self.write("runtime/buffer.h")
        self.write("base/ids.cc", "runtime/buffer.h")
        self.assertIn("upward: base/ids.cc includes runtime/buffer.h", self.only_fault())

    def test_packing_needs_base_alone(self):
        self.write("allocator/allocator.h")
        self.write("planner/packing/solver.h", "allocator/allocator.h")
        self.assertIn("the layer 'packing' uses only 'base'", self.only_fault())

    def test_drivers_do_not_use_each_other(self):
        self.write("allocator/cpu/cpu_allocator.h")
        self.write("allocator/mmap/mmap_allocator.cc", "allocator/cpu/cpu_allocator.h")
        self.assertIn("do not use each other", self.only_fault())

    def test_a_folder_that_belongs_to_no_layer(self):
        self.write("base/ids.h")
        self.write("elsewhere/x.cc", "base/ids.h")
        self.assertIn("elsewhere/x belongs to no layer", self.only_fault())

    def test_a_circle_of_folders(self):
        self.write("allocator/copy/a.h", "allocator/pool/b.h")
        self.write("allocator/pool/b.h")
        self.write("allocator/pool/c.h", "allocator/copy/a.h")
        self.assertIn("circle of folders: allocator/copy, allocator/pool", self.only_fault())

    def test_a_file_that_stands_above_its_folder(self):
        self.write("allocator/allocator.h")
        self.write("allocator/cpu/cpu_allocator.h", "allocator/allocator.h")
        self.write("allocator/registry.cc", "allocator/cpu/cpu_allocator.h", "allocator/allocator.h")
        self.assertEqual(self.faults(), [])
        self.write("allocator/allocator.cc", "allocator/allocator.h", "allocator/cpu/cpu_allocator.h")
        self.assertEqual([f.split(":")[0] for f in self.faults()], ["upward", "circle of folders"])

    def test_a_header_that_includes_the_header_of_its_caller(self):
        self.write("planner/planner.h")
        self.write("planner/planner.cc", "planner/planner.h", "planner/packer.h")
        self.write("planner/packer.h", "planner/planner.h")
        self.assertIn("circle of files: planner/packer, planner/planner", self.only_fault())

    def test_a_source_includes_its_own_header_first(self):
        self.write("base/a.h")
        self.write("base/b.h")
        self.write("base/b.cc", "base/a.h", "base/b.h")
        self.assertIn("base/b.cc does not include base/b.h first", self.only_fault())

    def test_an_entry_of_the_broken_that_is_broken_no_more(self):
        with open(os.path.join(self.root, "build_defs/layers.bzl"), "a", encoding="utf-8") as f:
            f.write('\nBROKEN_TODAY = [("base", "runtime")]\n')
        self.write("runtime/buffer.h")
        self.write("base/ids.cc", "runtime/buffer.h")
        self.assertIn("upward", self.only_fault())
        self.write("base/ids.cc")
        self.assertIn("take the entry out", self.only_fault())

    def test_lengths(self):
        for path, most in [("base/a.h", 300), ("base/a.cc", 600), ("tests/base/a_test.cc", 800), ("tests/a.h", 300)]:
            self.write(path, lines=most)
            self.assertEqual(line_limits.faults(self.root)[0], [])
            self.write(path, lines=most + 1)
            found = line_limits.faults(self.root)[0]
            self.assertTrue(len(found) == 1 and found[0].startswith("%s has %d lines" % (path, most + 1)), found)
            self.write(path)

    def test_what_a_change_makes_worth_reading_again(self):
        includes = {
            "base/a.h": [], "base/a.cc": ["base/a.h"], "base/alone.h": [], "base/by_way.h": ["base/alone.h"],
            "runtime/x.cc": ["base/by_way.h", "base/a.h"], "tests/x_test.cc": ["base/alone.h"],
            "bench/a.cc": ["base/alone.h"],
        }
        every = ["base/a.cc", "runtime/x.cc"]
        self.assertEqual(changed_sources.select(set(), includes), [])
        self.assertEqual(changed_sources.select({"README.md", "tests/x_test.cc"}, includes), [])
        self.assertEqual(changed_sources.select({"runtime/x.cc"}, includes), ["runtime/x.cc"])
        self.assertEqual(changed_sources.select({"base/a.h"}, includes), ["base/a.cc"])
        self.assertEqual(changed_sources.select({"base/alone.h"}, includes), ["runtime/x.cc"])
        self.assertEqual(changed_sources.select({".clang-tidy"}, includes), every)

    def test_what_changed_is_told_by_contents(self):
        before = changed_sources.parse("11 a.cc\n22 b.h\n33 gone.cc\n")
        now = {"a.cc": "11", "b.h": "2f", "new.cc": "44"}
        self.assertEqual(changed_sources.changed(before, now), {"b.h", "gone.cc", "new.cc"})
        self.assertEqual(changed_sources.changed(before, before), set())


if __name__ == "__main__":
    unittest.main()
