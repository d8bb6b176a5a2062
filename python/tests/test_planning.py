"""Packing, schedules, plans, placing, traces."""

import array
import gzip
import itertools
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import numpy as np
import tenure

ROOT = os.environ.get("TENURE_ROOT", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
TRACE = os.path.join(ROOT, "tools", "demo_schedules", "tiny_transformer.json.gz")


def check_packing(test, first, last, size, alignment, offsets, height):
    items = list(zip(first, last, size, [int(offset) for offset in offsets]))
    for number, (_, _, length, offset) in enumerate(items):
        test.assertEqual(offset % alignment, 0)
        test.assertLessEqual(offset + length, height)
    for a, b in itertools.combinations(items, 2):
        if a[0] < b[1] and b[0] < a[1]:
            test.assertTrue(a[3] + a[2] <= b[3] or b[3] + b[2] <= a[3])


class Packing(unittest.TestCase):
    def setUp(self):
        random = np.random.default_rng(3)
        self.first = random.integers(0, 50, 100)
        self.last = self.first + random.integers(1, 9, 100)
        self.size = random.integers(1, 1000, 100).astype("uint64")

    def test_every_kind_of_sequence(self):
        made = [
            tenure.pack(convert(self.first), convert(self.last), unsigned(self.size), alignment=8)
            for convert, unsigned in (
                (lambda a: a, lambda a: a),
                (lambda a: a.tolist(), lambda a: a.tolist()),
                (lambda a: tuple(a), lambda a: tuple(a)),
                (lambda a: array.array("q", a.tolist()), lambda a: array.array("Q", a.tolist())),
                (lambda a: a.astype("int32"), lambda a: a.astype("int64")),
                (lambda a: np.repeat(a, 2)[::2], lambda a: np.repeat(a, 2)[::2]),
            )
        ]
        for answer in made:
            self.assertEqual(answer.offsets.tolist(), made[0].offsets.tolist())
            self.assertEqual(answer.offsets.dtype, np.uint64)
            self.assertLessEqual(answer.lower_bound, answer.height)
            check_packing(self, self.first, self.last, self.size.tolist(), 8, answer.offsets, answer.height)

    def test_efforts(self):
        heights = [tenure.pack(self.first, self.last, self.size, effort=e, max_nodes=1000).height for e in
                   ("fast", "balanced", "optimal")]
        self.assertGreaterEqual(heights[0], heights[1])
        self.assertGreaterEqual(heights[1], heights[2])
        with self.assertRaises(ValueError):
            tenure.pack([0], [1], [1], effort="hard")

    def test_fixed_and_aligned(self):
        answer = tenure.pack([0, 0, 0], [1, 1, 1], [10, 10, 10], alignment=[1, 16, 1], fixed=[None, None, 32])
        self.assertEqual(answer.offsets[2], 32)
        self.assertEqual(answer.offsets[1] % 16, 0)

    def test_nothing_fits(self):
        answer = tenure.pack([0, 0], [1, 1], [10, 10], capacity=19)
        self.assertEqual((answer.outcome, answer.offsets), ("infeasible", None))
        self.assertEqual(tenure.pack([0, 0], [1, 1], [10, 10], capacity=20).height, 20)
        self.assertEqual(tenure.pack([], [], []).height, 0)

    def test_wrong_arguments(self):
        for arguments in (
            ([0], [1], [1, 2]),
            ([0], [1], [-1]),
            ([0], [1 << 70], [1]),
            ([2], [1], [1]),
        ):
            with self.assertRaises(ValueError):
                tenure.pack(*arguments)
        with self.assertRaises(TypeError):
            tenure.pack([0], [1], ["a"])
        with self.assertRaises(TypeError):
            tenure.pack([0], [1], [1.5])
        with self.assertRaises(ValueError):
            tenure.pack([0], [1], [1], timeout=-2)

    def test_a_refused_array_is_let_go(self):
        first = bytearray(np.array([-1], "int32").tobytes())
        with self.assertRaises(ValueError):
            tenure.pack([0], [1], memoryview(first).cast("i"))
        first.append(0)  # not possible while its bytes are exported

    def test_other_threads_run_meanwhile(self):
        random = np.random.default_rng(5)
        first = random.integers(0, 3000, 6000)
        last = first + random.integers(1, 300, 6000)
        size = random.integers(1, 10**9, 6000).astype("uint64")
        counted = []
        done = threading.Event()

        def count():
            while not done.is_set():
                counted.append(0)
                time.sleep(0.0005)

        thread = threading.Thread(target=count)
        thread.start()
        before = len(counted)
        tenure.pack(first, last, size, effort="optimal", timeout=0.5)
        during = len(counted) - before
        done.set()
        thread.join()
        self.assertGreater(during, 5)


def mlp(order="total"):
    s = tenure.Schedule("mlp", order)
    for key in ("x", ("h", 1), ("h", 2), ("h", 3), "y"):
        s.add(key, 4096)
    s.input("x")
    s.output("y")
    previous = []
    for number, (read, write) in enumerate(
        [("x", ("h", 1)), (("h", 1), ("h", 2)), (("h", 2), ("h", 3)), (("h", 3), "y")]
    ):
        after = previous if order == "dependencies" else ()
        previous = [s.step("op%d" % number, [read], [write], after=after, payload=number)]
    return s


class Schedules(unittest.TestCase):
    def test_offsets(self):
        s = mlp()
        plan = s.plan(effort="optimal")
        self.assertEqual((plan.arena_bytes, plan.lower_bound_bytes, plan.optimal), (8192, 8192, True))
        self.assertEqual(plan.unplanned_bytes, 3 * 4096)
        self.assertEqual({plan.offset(("h", 1)), plan.offset(("h", 2))}, {0, 4096})
        self.assertEqual(plan.offset(("h", 1)), plan.offset(("h", 3)))
        self.assertEqual((plan.offset("x"), plan.placement("x").reason), (None, "input"))
        placement = plan.placement(("h", 2))
        self.assertEqual((placement.first_step, placement.last_step, placement.reason), (1, 2, "planned"))
        self.assertEqual([(arena.space, arena.size) for arena in plan.arenas], [("cpu", 8192)])
        self.assertIn("8192", plan.summary().replace(",", ""))
        self.assertEqual([step.payload for step in s.steps], [0, 1, 2, 3])
        self.assertIn(("h", 1), s)
        self.assertEqual(s.keys()[1], ("h", 1))

    def test_outputs_and_donated_inputs(self):
        s = mlp()
        s.output("y", "arena")
        plan = s.plan()
        self.assertIsNotNone(plan.offset("y"))
        s = mlp()
        s.input("x", donated=True)
        plan = s.plan()
        self.assertLessEqual(plan.arena_bytes, 8192)
        self.assertIn("x", [arena.memory_of for arena in plan.arenas])
        with self.assertRaises(ValueError):
            s.output("y", "elsewhere")

    def test_in_place(self):
        s = tenure.Schedule()
        for key in "abcd":
            s.add(key, 1000)
        s.input("a")
        s.output("d")
        s.step("1", ["a"], ["b"])
        s.step("2", ["b"], ["c"], in_place=[("b", "c")])
        s.step("3", ["c"], ["d"])
        plan = s.plan()
        self.assertEqual(plan.in_place, [(1, "b", "c")])
        self.assertEqual(plan.offset("b"), plan.offset("c"))
        with self.assertRaises(ValueError):
            s.step("4", ["c"], ["d"], in_place=[("a", "d")])

    def test_views(self):
        s = tenure.Schedule()
        s.add("qkv", 3000)
        s.view("k", "qkv", 1000, 1000)
        s.add("out", 1000)
        s.output("out")
        s.step("make", [], ["qkv"])
        s.step("use", ["k"], ["out"])
        plan = s.plan()
        self.assertEqual(plan.offset("k"), plan.offset("qkv") + 1000)
        with self.assertRaises(tenure.OutOfRange):
            s.view("beyond", "qkv", 2500, 1000)

    def test_zeroed_and_fills(self):
        s = tenure.Schedule()
        s.add("sum", 64, zeroed=True)
        s.add("out", 64)
        s.output("out")
        s.step("add", ["sum"], ["sum"])
        s.step("use", ["sum"], ["out"])
        self.assertEqual(s.plan(fill_zeroed=True).fills, [(0, "sum")])
        self.assertEqual(s.plan().offset("sum"), None)

    def test_dependencies_and_reuse_edges(self):
        plan = mlp("dependencies").plan()
        for before, after in plan.reuse_edges:
            self.assertLess(before, after)

    def test_keys(self):
        s = tenure.Schedule()
        s.add("a", 1)
        with self.assertRaises(tenure.AlreadyExists):
            s.add("a", 1)
        for call in (lambda: s.step("x", ["b"], []), lambda: s.view("c", "b", 0, 1), lambda: s.output("b"),
                     lambda: s.buffer("b"), lambda: s.plan().offset("b"), lambda: s.plan().offset("a")):
            with self.assertRaises(KeyError) as caught:
                call()
            self.assertIn("key '", str(caught.exception))
        with self.assertRaises(ValueError):
            s.plan(quickly=True)
        with self.assertRaises(ValueError):
            tenure.Schedule(order="some")

    def test_a_failed_add_leaves_the_key_free(self):
        s = tenure.Schedule()
        with self.assertRaises(ValueError):
            s.add("a", 8, space="nowhere")
        s.add("a", 8)

    def test_capacity(self):
        s = mlp()
        with self.assertRaises(MemoryError):
            s.plan(capacity=8191)
        self.assertIn("h", s.explain(8191))
        self.assertIn("fits", s.explain(8192))

    def test_spaces_that_this_machine_lacks(self):
        s = tenure.Schedule()
        s.add("a", 64, space="cuda:7")
        s.add("b", 64, space="cuda:7")
        s.step("1", [], ["a"])
        s.step("2", ["a"], ["b"])
        plan = s.plan()
        self.assertEqual(plan.arenas[0].space, "cuda:7")
        with self.assertRaises(tenure.Error):
            plan.place()

    def test_save_load_and_draw(self):
        s = mlp()
        plan = s.plan()
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "plan.json")
            plan.save(path)
            for source in (path, plan.to_json()):
                again = tenure.Plan.load(s, source)
                self.assertEqual(again.offset(("h", 3)), plan.offset(("h", 3)))
            page = plan.to_html(os.path.join(folder, "plan.html"))
            with open(os.path.join(folder, "plan.html"), encoding="utf-8") as file:
                self.assertEqual(file.read(), page)
        self.assertIn("<canvas", page)
        other = tenure.Schedule()
        with self.assertRaises(tenure.Error):
            tenure.Plan.load(other, plan.to_json())

    def test_trace(self):
        trace = json.loads(mlp().trace())
        self.assertEqual(len(trace["ops"]), 4)


class Placing(unittest.TestCase):
    def run_it(self, s):
        values = s.buffer("x", "float32", (32, 32))
        values.copy_from(np.full((32, 32), 3, "float32"))
        for step in s.steps:
            read = s.buffer(step.reads[0], "float32", (32, 32)).numpy()
            s.buffer(step.writes[0], "float32", (32, 32)).numpy()[:] = 2 * read
            del read
        return s.buffer("y", "float32", (32, 32)).numpy().copy()

    def test_again_and_again(self):
        s = mlp()
        plan = s.plan()
        for _ in range(3):
            with plan.place() as placed:
                self.assertEqual(s.buffer(("h", 1)).storage_id, s.buffer(("h", 1)).storage_id)
                self.assertEqual([arena.nbytes for arena in placed.arenas], [8192])
                at = placed.arenas[0].host_pointer
                self.assertEqual(s.buffer(("h", 2)).host_pointer, at + plan.offset(("h", 2)))
                self.assertTrue((self.run_it(s) == 48).all())
            self.assertFalse(s.buffer(("h", 1)).is_allocated)

    def test_into_a_buffer(self):
        s = mlp()
        plan = s.plan()
        arena = tenure.empty(8192, "uint8", alignment=64)
        for _ in range(2):
            with plan.place(arena):
                self.assertEqual(s.buffer(("h", 1)).host_pointer, arena.host_pointer + plan.offset(("h", 1)))
                self.assertTrue((self.run_it(s) == 48).all())
        with self.assertRaises(tenure.Error):
            plan.place(tenure.empty(100, "uint8"))

    def test_not_while_an_array_may_write(self):
        s = mlp()
        plan = s.plan()
        with self.assertRaises(tenure.FailedPrecondition):
            with plan.place():
                kept = s.buffer(("h", 1)).numpy()
                kept[:] = 7
        self.assertTrue((kept == 7).all())  # the arena lives with it

    def test_what_was_in_use_is_unplaced_later(self):
        s = mlp()
        plan = s.plan()
        placed = plan.place()
        kept = s.buffer(("h", 1)).numpy()
        for _ in range(2):
            with self.assertRaises(tenure.FailedPrecondition):
                placed.unplace()
        del kept
        placed.unplace()
        placed.unplace()  # nothing is left to do
        with plan.place():
            self.assertTrue((self.run_it(s) == 48).all())

    def test_a_schedule_grows_while_it_is_planned(self):
        s = tenure.Schedule("many")
        s.add("in", 64)
        s.input("in")
        stop = threading.Event()
        faults = []

        def grow(name):
            try:
                for i in range(200):
                    s.add((name, i), 64)
                    s.step("s", ["in"], [(name, i)])
            except Exception as fault:
                faults.append(fault)

        def plan():
            try:
                while not stop.is_set():
                    s.plan()
                    s.trace()
            except Exception as fault:
                faults.append(fault)

        threads = [threading.Thread(target=grow, args=("a",))]  # one thread at a time may change a schedule
        planner = threading.Thread(target=plan)
        for thread in threads + [planner]:
            thread.start()
        for thread in threads:
            thread.join()
        stop.set()
        planner.join()
        self.assertEqual(faults, [])

    def test_the_error_of_the_block_is_the_one_that_is_told(self):
        s = mlp()
        plan = s.plan()
        with self.assertRaisesRegex(ZeroDivisionError, "division"):
            with plan.place():
                kept = s.buffer(("h", 1)).numpy()
                kept[0] = 1 / 0

    def test_add_buffer(self):
        weights = tenure.asbuffer(np.full(1024, 2, "float32"))
        s = tenure.Schedule()
        s.add_buffer("w", weights)
        s.add("y", 4096)
        s.input("w")
        s.output("y")
        s.step("copy", ["w"], ["y"])
        with s.plan().place():
            s.buffer("y").copy_from(s.buffer("w"))
        self.assertEqual(s.buffer("y", "float32", 1024).numpy().sum(), 2048)
        self.assertEqual(s.buffer("w").storage_id, weights.storage_id)


class Traces(unittest.TestCase):
    def test_a_recorded_schedule(self):
        with gzip.open(TRACE) as file:
            trace = json.load(file)
        plan = tenure.plan_trace(TRACE, effort="balanced")
        self.assertGreater(plan.arena_bytes, 0)
        self.assertGreaterEqual(plan.arena_bytes, plan.lower_bound_bytes)
        bases = [b for b in trace["buffers"] if b.get("alias_of") is None]
        used = {b: [] for b in range(len(trace["buffers"]))}
        for number, op in enumerate(trace["ops"]):
            for i in op["reads"] + op["writes"]:
                alias = trace["buffers"][i].get("alias_of")
                used[i if alias is None else alias].append(number)
        first, last, size, offsets = [], [], [], []
        for base in bases:
            if base["kind"] != "intermediate" or not used[base["id"]]:
                continue
            placement = plan.placement(base["id"])
            if not placement.placed:
                continue
            self.assertEqual((placement.first_step, placement.last_step),
                             (min(used[base["id"]]), max(used[base["id"]])))
            first.append(placement.first_step)
            last.append(placement.last_step + 1)
            size.append(base["bytes"])
            offsets.append(placement.offset)
        self.assertGreater(len(offsets), 20)
        # In-place writes may share bytes with what they read, in the last step of the one and the first of the other.
        shared = {(read, write) for _, read, write in plan.in_place}
        self.assertFalse(shared)
        check_packing(self, first, last, size, 64, offsets, plan.arena_bytes)
        self.assertIn(bases[0]["id"], plan.schedule)

    def test_faults_are_named(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "trace.json")
            with open(path, "w", encoding="utf-8") as file:
                file.write('{"format": "tensor-trace-1", "name": "x", "buffers": [7], "ops": []}')
            with self.assertRaises(ValueError) as caught:
                tenure.plan_trace(path)
            self.assertIn("trace.json", str(caught.exception))
            with self.assertRaises(KeyError):
                tenure.plan_trace(path + "2")


class WithoutNumpy(unittest.TestCase):
    def test_all_but_numpy_works(self):
        code = """
import sys
sys.modules["numpy"] = None
import tenure
answer = tenure.pack([0, 1], [2, 3], [8, 8])
assert list(answer.offsets) in ([0, 8], [8, 0]), answer
b = tenure.empty((2, 2), "float32")
b.fill(1)
assert memoryview(b).tolist() == [[1, 1], [1, 1]]
b.copy_from(b"\\0" * 16)
try:
    b.numpy()
except ImportError:
    print("fine")
"""
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "fine\n", ""))


if __name__ == "__main__":
    unittest.main()
