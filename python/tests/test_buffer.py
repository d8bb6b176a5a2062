"""Buffers: what they tell, views, copies, fills, sealing, files, errors."""

import array
import ctypes
import gc
import os
import sys
import tempfile
import unittest

import numpy as np
import tenure

try:
    import ml_dtypes
except ImportError:
    ml_dtypes = None


class Making(unittest.TestCase):
    def test_tells_what_it_is(self):
        b = tenure.empty((2, 3), "float32", name="x")
        self.assertEqual((b.shape, b.ndim, b.dtype, b.space, b.name), ((2, 3), 2, "float32", "cpu", "x"))
        self.assertEqual((b.nbytes, b.offset, len(b)), (24, 0, 2))
        self.assertFalse(b.is_sealed or b.is_read_only)
        self.assertIn("'x' float32[2, 3] in cpu", repr(b))

    def test_is_lazy(self):
        before = tenure.stats("cpu").in_use_bytes
        b = tenure.empty((1 << 40,), "uint8")
        self.assertFalse(b.is_allocated)
        self.assertEqual(tenure.stats("cpu").in_use_bytes, before)
        small = tenure.empty(64, "uint8")
        small.allocate()
        self.assertTrue(small.is_allocated)
        self.assertGreaterEqual(tenure.stats("cpu").in_use_bytes, before + 64)
        del small
        gc.collect()
        self.assertEqual(tenure.stats("cpu").in_use_bytes, before)

    def test_scalars_and_nothing(self):
        self.assertEqual(tenure.empty((), "int64").nbytes, 8)
        self.assertEqual(tenure.empty((0, 5)).numpy().shape, (0, 5))
        with self.assertRaises(TypeError):
            len(tenure.empty(()))

    def test_zeros(self):
        self.assertEqual(tenure.zeros((2, 2), "int32").numpy().tolist(), [[0, 0], [0, 0]])

    def test_dtypes_of_other_libraries(self):
        for dtype in (np.float32, np.dtype("float32"), "f32", "float32"):
            self.assertEqual(tenure.empty(1, dtype).dtype, "float32")
        self.assertEqual(tenure.empty(1, float).dtype, "float64")
        self.assertEqual(tenure.empty(1, np.bool_).dtype, "bool")
        self.assertEqual(tenure.empty(1, "bf16").dtype, "bfloat16")

    def test_alignment(self):
        b = tenure.empty(8, "uint8", alignment=4096)
        self.assertEqual(b.host_pointer % 4096, 0)

    def test_space_without_bytes(self):
        b = tenure.empty(1 << 50, "uint8", space="null")
        self.assertEqual(b.space, "null")
        with self.assertRaises(tenure.Error):
            bytes(b)


class Views(unittest.TestCase):
    def setUp(self):
        self.b = tenure.empty((4, 3), "int32")
        self.b.copy_from(np.arange(12, dtype="int32").reshape(4, 3))

    def test_indexing(self):
        self.assertEqual(self.b[2].numpy().tolist(), [6, 7, 8])
        self.assertEqual(self.b[-1].numpy().tolist(), [9, 10, 11])
        self.assertEqual(self.b[1][2].numpy(), 5)
        self.assertEqual(self.b[np.int64(1)].shape, (3,))
        for index in (4, -5):
            with self.assertRaises(IndexError):
                self.b[index]
        with self.assertRaises(TypeError):
            self.b["a"]

    def test_slicing(self):
        self.assertEqual(self.b[1:3].numpy().tolist(), [[3, 4, 5], [6, 7, 8]])
        self.assertEqual(self.b[1:].offset, 12)
        self.assertEqual(self.b[3:1].shape, (0, 3))
        self.assertEqual(self.b[:100].shape, (4, 3))
        with self.assertRaises(tenure.InvalidArgument):
            self.b[::2]

    def test_rows(self):
        self.assertEqual([row.numpy().sum() for row in self.b], [3, 12, 21, 30])

    def test_they_share_the_storage(self):
        self.b[1].fill(0)
        self.assertEqual(self.b.numpy()[1].tolist(), [0, 0, 0])
        self.assertEqual(self.b[1].storage_id, self.b.storage_id)
        self.assertNotEqual(self.b[1].id, self.b.id)

    def test_they_outlive_the_buffer(self):
        row = self.b[3]
        del self.b
        gc.collect()
        self.assertEqual(row.numpy().tolist(), [9, 10, 11])

    def test_view(self):
        self.assertEqual(self.b.view("uint8").shape, (4, 12))
        self.assertEqual(self.b.view("float32").shape, (4, 3))
        self.assertEqual(self.b.view("int16", (2, 12)).shape, (2, 12))
        self.assertEqual(self.b.view("int32", (2,), offset=8).numpy().tolist(), [2, 3])
        with self.assertRaises(tenure.InvalidArgument):
            self.b.view("int64")
        with self.assertRaises(tenure.Error):
            self.b.view("uint8", (49,))

    def test_reshape(self):
        self.assertEqual(self.b.reshape(2, -1).shape, (2, 6))
        self.assertEqual(self.b.reshape((12,)).shape, (12,))
        self.assertEqual(self.b.reshape(3, 4).numpy()[1].tolist(), [4, 5, 6, 7])
        for shape in ((5, -1), (13,), (-1, -1), (-2, 6)):
            with self.assertRaises(tenure.InvalidArgument):
                self.b.reshape(shape)


class Copies(unittest.TestCase):
    def test_from_bytes_and_arrays(self):
        b = tenure.empty(4, "int16")
        b.copy_from(b"\1\0\2\0\3\0\4\0")
        self.assertEqual(b.numpy().tolist(), [1, 2, 3, 4])
        b.copy_from(array.array("h", [5, 6, 7, 8]))
        self.assertEqual(bytes(b), b"\5\0\6\0\7\0\x08\0")
        b.copy_from(np.arange(8, dtype="int16")[::2])  # with gaps
        self.assertEqual(b.numpy().tolist(), [0, 2, 4, 6])
        other = tenure.empty(4, "int16")
        other.copy_from(b)
        self.assertEqual(other.numpy().tolist(), [0, 2, 4, 6])

    def test_to_arrays_and_bytes(self):
        b = tenure.empty(3, "float64")
        b.copy_from(np.array([1.0, 2.0, 3.0]))
        a = np.zeros(3)
        b.copy_to(a)
        self.assertEqual(a.tolist(), [1, 2, 3])
        raw = bytearray(24)
        b.copy_to(raw)
        self.assertEqual(raw, a.tobytes())
        other = b.to("cpu", name="copy")
        self.assertEqual((other.name, other.numpy().tolist()), ("copy", [1, 2, 3]))
        with self.assertRaises(BufferError):
            b.copy_to(bytes(24))

    def test_what_does_not_go_together(self):
        b = tenure.empty(4, "int32")
        for source in (np.zeros(4, "float32"), np.zeros(3, "int32"), b"123", tenure.empty(4, "float32")):
            with self.assertRaises(ValueError):
                b.copy_from(source)
        with self.assertRaises(TypeError):
            b.copy_from(7)

    @unittest.skipIf(ml_dtypes is None, "ml_dtypes is not installed")
    def test_types_of_ml_dtypes(self):
        for name in ("bfloat16", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e8m0fnu"):
            dtype = np.dtype(getattr(ml_dtypes, name))
            a = np.array([1, 2, 0.5, 4], dtype)
            b = tenure.empty(4, dtype)
            b.copy_from(a)
            self.assertEqual(b.numpy().dtype, dtype)
            self.assertEqual(b.numpy().tolist(), a.tolist())
            out = np.zeros(4, dtype)
            b.copy_to(out)
            self.assertEqual(out.tolist(), a.tolist())
            shared = tenure.from_numpy(a)
            self.assertEqual((shared.dtype, shared.host_pointer), (name, a.ctypes.data))


class Fills(unittest.TestCase):
    def test_every_type_of_numpy(self):
        for dtype in "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64".split():
            b = tenure.empty((3, 2), dtype)
            b.fill(1)
            self.assertEqual(b.numpy().tolist(), np.ones((3, 2), dtype).tolist())
        for dtype in ("complex64", "complex128"):
            b = tenure.empty(2, dtype)
            b.fill(1 - 2j)
            self.assertEqual(b.numpy().tolist(), [1 - 2j] * 2)

    def test_patterns(self):
        b = tenure.empty(4, "uint16")
        b.fill(b"\1\2\3\4")
        self.assertEqual(bytes(b), b"\1\2\3\4" * 2)

    def test_narrow_types(self):
        b = tenure.empty(4, "int4")
        b.fill(-3)
        self.assertEqual(bytes(b.view("uint8", (2,))), b"\xdd\xdd")
        b = tenure.empty(8, "uint2")
        b.fill(2)
        self.assertEqual(bytes(b.view("uint8", (2,))), b"\xaa\xaa")

    def test_what_does_not_fit(self):
        for dtype, value in (("int8", 128), ("uint8", -1), ("int4", 8), ("float8_e4m3fn", 1e9), ("float16", 1e9)):
            with self.assertRaises(tenure.InvalidArgument, msg=dtype):
                tenure.empty(2, dtype).fill(value)
        with self.assertRaises(TypeError):
            tenure.empty(2, "int8").fill("a")
        with self.assertRaises(TypeError):
            tenure.empty(2, "int8").fill(1.5)

    @unittest.skipIf(ml_dtypes is None, "ml_dtypes is not installed")
    def test_small_floats_are_those_of_ml_dtypes(self):
        from tenure import _dtypes

        values = np.concatenate(
            [
                np.random.default_rng(1).normal(size=2000) * s
                for s in (1e-9, 1e-6, 1e-3, 0.02, 1, 50, 200, 1e4)
            ]
            + [np.array([0.0, -0.0, 448.0, -448.0, 0.001953125, 0.0009765625, 2.0**-9])]
        )
        for name in ("bfloat16", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz"):
            dtype = getattr(ml_dtypes, name)
            top = float(ml_dtypes.finfo(dtype).max)
            inside = values[np.abs(values) <= top]
            # Rounded once, from the double.
            expected = [v.view("uint16" if name == "bfloat16" else "uint8") for v in inside.astype(dtype)]
            for value, code in zip(inside, expected):
                made = int.from_bytes(_dtypes.pattern(value, name), "little")
                self.assertEqual(made, int(code), (name, value))


class Sealing(unittest.TestCase):
    def test_nothing_writes(self):
        b = tenure.zeros(4, "int32")
        b[1:].seal()
        self.assertTrue(b.is_sealed and b.is_read_only)
        with self.assertRaises(tenure.FailedPrecondition):
            b.fill(1)
        with self.assertRaises(RuntimeError):
            b.copy_from(bytes(16))
        a = b.numpy()
        self.assertFalse(a.flags.writeable)
        self.assertTrue(memoryview(b).readonly)

    def test_not_while_an_array_may_write(self):
        b = tenure.zeros(4)
        a = b.numpy()
        with self.assertRaises(tenure.FailedPrecondition):
            b.seal()
        del a
        b.seal()


class Foreign(unittest.TestCase):
    def test_numpy_shares(self):
        b = tenure.empty((2, 2), "float32")
        a = b.numpy()
        self.assertEqual(a.ctypes.data, b.host_pointer)
        a[:] = [[1, 2], [3, 4]]
        self.assertEqual(b[1].numpy().tolist(), [3, 4])
        self.assertEqual(np.asarray(b).ctypes.data, b.host_pointer)
        self.assertEqual(np.array(b, dtype="int64").tolist(), [[1, 2], [3, 4]])

    def test_asbuffer(self):
        data = bytearray(range(8))
        b = tenure.asbuffer(data)
        self.assertEqual((b.dtype, b.shape), ("uint8", (8,)))
        b[0].fill(9)
        self.assertEqual(data[0], 9)
        self.assertTrue(tenure.asbuffer(b"abc").is_read_only)
        self.assertEqual(tenure.asbuffer(data, "int32").shape, (2,))
        self.assertEqual(tenure.asbuffer(data, "int16", (2, 2)).shape, (2, 2))
        for shape in ((5,), (1 << 62, 1 << 62), (-1,)):
            with self.assertRaises(ValueError):
                tenure.asbuffer(data, "int16", shape)

    def test_it_keeps_the_object(self):
        data = bytearray(8)
        b = tenure.asbuffer(data)
        with self.assertRaises(BufferError):
            data.append(1)
        b = None
        gc.collect()
        data.append(1)

    def test_from_numpy(self):
        a = np.arange(6, dtype="int16").reshape(2, 3)
        b = tenure.from_numpy(a, name="a")
        self.assertEqual((b.shape, b.dtype, b.name, b.host_pointer), ((2, 3), "int16", "a", a.ctypes.data))
        a.flags.writeable = False
        self.assertTrue(tenure.from_numpy(a).is_read_only)
        with self.assertRaises(BufferError):
            tenure.from_numpy(a.T)

    def test_bytes_in_another_order_are_refused(self):
        swapped = np.array([1.0, 2.0], ">f4")
        for make in tenure.from_numpy, tenure.asbuffer:
            with self.assertRaises(BufferError):
                make(swapped)

    def test_row_major_is_not_column_major(self):
        pointer = ctypes.create_string_buffer(80)  # a Py_buffer
        get = ctypes.pythonapi.PyObject_GetBuffer
        get.argtypes = [ctypes.py_object, ctypes.c_char_p, ctypes.c_int]
        with self.assertRaises(BufferError):
            get(tenure.zeros((2, 3)), pointer, 0x40 | 0x10 | 0x08)  # PyBUF_F_CONTIGUOUS

    def test_files(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "weights")
            np.arange(100, dtype="float32").tofile(path)
            w = tenure.map_file(path, (5, 2), "float32", offset=40)
            self.assertEqual(w.numpy()[0].tolist(), [10, 11])
            self.assertFalse(w.numpy().flags.writeable)
            with self.assertRaises(tenure.Error):
                w.fill(0)
            with self.assertRaises(tenure.OutOfRange):
                tenure.map_file(path, 100, "float32", offset=4).numpy()
            with self.assertRaises(tenure.NotFound):
                tenure.map_file(path + "2", 1, "uint8").numpy()


class Errors(unittest.TestCase):
    def test_kinds(self):
        with self.assertRaises(ValueError) as caught:
            tenure.empty(1, "float33")
        self.assertIsInstance(caught.exception, tenure.InvalidArgument)
        self.assertIn("float33", str(caught.exception))
        with self.assertRaises(tenure.Error):
            tenure.empty(1, space="nowhere")
        with self.assertRaises(MemoryError):
            tenure.empty(1 << 62, "uint8").allocate()
        with self.assertRaises(ValueError):
            tenure.empty((1,) * 9)
        with self.assertRaises(ValueError):
            tenure.empty(1).wait(timeout=-1)
        self.assertEqual(str(tenure.NotFound("no key 7")), "no key 7")

    def test_a_missing_device(self):
        try:
            tenure.empty(4, space="cuda:0").allocate()
        except tenure.Error as error:
            self.assertIsInstance(error, (tenure.Unavailable, tenure.Unimplemented))
        else:
            self.skipTest("this machine has a CUDA device")


if __name__ == "__main__":
    unittest.main()
