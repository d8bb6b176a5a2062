"""Threads that Python does not know, and the end of the interpreter."""

import ctypes
import gc
import os
import subprocess
import sys
import threading
import unittest

import numpy as np
import tenure
from dlpack_c import Producer, take

HERE = __file__.rpartition("/")[0]
C = ctypes.CDLL(None)


def on_a_foreign_thread(struct):
    """Calls the deleter of a tensor on a thread that is not Python's."""
    thread = ctypes.c_void_p()
    start = ctypes.c_void_p(struct.deleter)
    assert C.pthread_create(ctypes.byref(thread), None, start, ctypes.c_void_p(ctypes.addressof(struct))) == 0
    assert C.pthread_join(thread, None) == 0


class ForeignThreads(unittest.TestCase):
    def test_what_tenure_gave(self):
        gc.collect()
        before = tenure.stats("cpu").in_use_count
        for version in (None, (1, 0)):
            b = tenure.zeros(100)
            struct = take(b.__dlpack__(max_version=version))
            del b
            on_a_foreign_thread(struct)
        gc.collect()
        self.assertEqual(tenure.stats("cpu").in_use_count, before)

    def test_what_tenure_took(self):
        for versioned in (True, False):
            producer = Producer(versioned=versioned)
            b = tenure.from_dlpack(producer)
            struct = take(b.__dlpack__(max_version=(1, 0), unsafe=True))
            del b
            gc.collect()
            self.assertEqual(producer.ended, 0)
            on_a_foreign_thread(struct)  # it is the last use, so the producer's deleter runs there
            self.assertEqual(producer.ended, 1)

    def test_memory_of_python_objects(self):
        data = bytearray(16)
        b = tenure.asbuffer(data)
        struct = take(b.__dlpack__(max_version=(1, 0)))
        del b
        gc.collect()
        with self.assertRaises(BufferError):
            data.append(1)
        on_a_foreign_thread(struct)
        data.append(1)

    def test_many_at_once(self):
        a = np.zeros(1000)
        count = sys.getrefcount(a)

        def work():
            for _ in range(200):
                b = tenure.from_dlpack(a)
                c = tenure.from_numpy(a)
                np.from_dlpack(b)[0:1].sum()
                tenure.empty(100).fill(1)
                c[0:10].numpy()
                del b, c

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        gc.collect()
        self.assertEqual(sys.getrefcount(a), count)


class TheEnd(unittest.TestCase):
    def ends_well(self, code):
        done = subprocess.run(
            [sys.executable, "-c", "import sys\nsys.path.insert(0, %r)\n%s" % (HERE, code)],
            capture_output=True,
            text=True,
            timeout=120,
        )
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "done\n", ""))

    # Calls a deleter when the process exits, after the interpreter has ended.
    LATE = """
import ctypes
from dlpack_c import take
def at_exit(struct):
    C = ctypes.CDLL(None)
    C.__cxa_atexit(ctypes.c_void_p(struct.deleter), ctypes.c_void_p(ctypes.addressof(struct)), None)
"""

    def test_arrays_and_buffers_live(self):
        self.ends_well(
            """
import numpy as np, tenure
b = tenure.zeros(1000)
arrays = [b.numpy(), np.from_dlpack(b), memoryview(b)]
taken = [tenure.from_dlpack(np.ones(10)), tenure.asbuffer(bytearray(10))]
cycle = [b, taken]
cycle.append(cycle)
s = tenure.Schedule()
s.add("a", 10)
s.step("1", [], ["a"])
placed = s.plan().place()
print("done")
"""
        )

    def test_a_capsule_lives(self):
        self.ends_well(
            """
import tenure
capsules = [tenure.zeros(10).__dlpack__(), tenure.zeros(10).__dlpack__(max_version=(1, 0))]
print("done")
"""
        )

    def test_a_consumer_outlives_the_interpreter(self):
        self.ends_well(
            self.LATE
            + """
import tenure
at_exit(take(tenure.zeros(10).__dlpack__(max_version=(1, 0))))
at_exit(take(tenure.zeros(10).__dlpack__()))
print("done")
"""
        )

    def test_memory_of_python_outlives_the_interpreter(self):
        self.ends_well(
            self.LATE
            + """
import numpy as np, tenure
from dlpack_c import Producer
at_exit(take(tenure.from_dlpack(np.zeros(10)).__dlpack__(max_version=(1, 0))))
at_exit(take(tenure.asbuffer(bytearray(10)).__dlpack__(max_version=(1, 0))))
at_exit(take(tenure.from_dlpack(Producer()).__dlpack__(max_version=(1, 0))))
print("done")
"""
        )

    @unittest.skipUnless(hasattr(os, "fork"), "there is no fork")
    def test_a_child_of_a_fork_ends_too(self):
        self.ends_well(
            """
import os, threading, warnings
import numpy as np, tenure
warnings.simplefilter("ignore")  # newer Pythons warn of a fork with threads
a = np.zeros(100)
go_on = True
def work():
    while go_on:
        tenure.from_dlpack(a).numpy()
        tenure.empty(10).fill(1)
threads = [threading.Thread(target=work) for _ in range(3)]
for thread in threads:
    thread.start()
for _ in range(20):
    child = os.fork()
    if child == 0:
        break
    assert os.waitpid(child, 0)[1] == 0
go_on = False
if child:
    for thread in threads:
        thread.join()
    print("done")
"""
        )

    def test_threads_work_until_the_end(self):
        self.ends_well(
            """
import threading, time
import numpy as np, tenure
a = np.zeros(100)
def work():
    while True:
        tenure.from_dlpack(a).numpy()
        tenure.empty(10).fill(1)
for _ in range(3):
    threading.Thread(target=work, daemon=True).start()
time.sleep(0.2)
print("done")
"""
        )


if __name__ == "__main__":
    unittest.main()
