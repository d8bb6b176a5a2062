"""DLPack with numpy, PyTorch and JAX, both ways, in every dtype that they have; and with made-up producers."""

import ctypes
import gc
import os
import unittest

import numpy as np
import tenure
from dlpack_c import COPIED, READ_ONLY, Producer, Versioned, end, look, name_of, take

try:
    import torch
except ImportError:
    torch = None
# The matrix is one of host memory, also on a machine with a GPU.
os.environ["JAX_PLATFORMS"] = "cpu"
try:
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
except ImportError:
    jax = None

NUMPY = "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 complex64 complex128".split()
SMALL = "bfloat16 float8_e4m3fn float8_e5m2 float8_e4m3fnuz float8_e5m2fnuz float8_e8m0fnu".split()
SHAPES = [(), (0,), (3,), (2, 3), (1, 4, 1), (2, 0, 3)]


def elements(shape):
    return int(np.prod(shape, dtype="int64"))


class Unsafe:
    """Gives a buffer's own bytes to a consumer, also those that are read-only."""

    def __init__(self, buffer):
        self.buffer = buffer

    def __dlpack_device__(self):
        return self.buffer.__dlpack_device__()

    def __dlpack__(self, **arguments):
        return self.buffer.__dlpack__(unsafe=True, **arguments)


class Numpy(unittest.TestCase):
    def test_from_numpy(self):
        for dtype in NUMPY:
            for shape in SHAPES:
                with self.subTest(dtype=dtype, shape=shape):
                    a = np.ones(shape, dtype)
                    b = tenure.from_dlpack(a, name="a")
                    self.assertEqual((b.dtype, b.shape, b.name), (dtype, shape, "a"))
                    if a.size:
                        self.assertEqual(b.host_pointer, a.ctypes.data)
                        b.fill(0)
                        self.assertFalse(a.any())

    def test_to_numpy(self):
        for dtype in NUMPY:
            for shape in SHAPES:
                with self.subTest(dtype=dtype, shape=shape):
                    b = tenure.zeros(shape, dtype)
                    for a in (np.from_dlpack(b), b.numpy(), np.asarray(b)):
                        self.assertEqual((a.dtype, a.shape), (np.dtype(dtype), shape))
                        self.assertTrue(a.flags.writeable)
                        if a.size:
                            self.assertEqual(a.ctypes.data, b.host_pointer)

    def test_views_are_where_they_are(self):
        b = tenure.empty((4, 6), "int16")
        self.assertEqual(np.from_dlpack(b[2]).ctypes.data, b.host_pointer + 24)
        a = np.arange(24, dtype="int16").reshape(4, 6)
        self.assertEqual(tenure.from_dlpack(a[1:3]).host_pointer, a.ctypes.data + 12)

    def test_read_only_comes_in(self):
        a = np.zeros(4)
        a.flags.writeable = False
        b = tenure.from_dlpack(a)
        self.assertTrue(b.is_read_only)
        with self.assertRaises(tenure.Error):
            b.fill(1)

    def test_gaps_are_refused(self):
        for a in (np.zeros((4, 4))[:, ::2], np.zeros((2, 3)).T):
            with self.assertRaises(BufferError):
                tenure.from_dlpack(a)

    def test_device_and_copy(self):
        b = tenure.zeros(4, "int32")
        a = np.from_dlpack(b, device="cpu", copy=True)
        self.assertNotEqual(a.ctypes.data, b.host_pointer)
        self.assertEqual(np.from_dlpack(b, copy=False).ctypes.data, b.host_pointer)

    def test_sealed_is_copied(self):
        b = tenure.zeros(4, "int32")
        b.seal()
        a = np.from_dlpack(b)
        self.assertNotEqual(a.ctypes.data, b.host_pointer)
        a[:] = 5
        self.assertEqual(b.numpy().tolist(), [0] * 4)
        with self.assertRaises(BufferError):
            np.from_dlpack(b, copy=False)
        own = np.from_dlpack(Unsafe(b))
        self.assertEqual(own.ctypes.data, b.host_pointer)
        self.assertFalse(own.flags.writeable)


@unittest.skipIf(torch is None, "PyTorch is not installed")
class Torch(unittest.TestCase):
    # torch has no float8_e8m0fnu before 2.7, and no numpy.uint32 arithmetic matters here.
    def dtypes(self):
        return [dtype for dtype in NUMPY + SMALL if hasattr(torch, dtype)]

    def test_from_torch(self):
        self.assertGreaterEqual(len(self.dtypes()), 17)
        for dtype in self.dtypes():
            for shape in SHAPES:
                with self.subTest(dtype=dtype, shape=shape):
                    t = torch.zeros(shape, dtype=getattr(torch, dtype))
                    b = tenure.from_dlpack(t)
                    self.assertEqual((b.dtype, b.shape), (dtype, shape))
                    self.assertFalse(b.is_read_only)
                    if t.numel():
                        self.assertEqual(b.host_pointer, t.data_ptr())
                        b.fill(1)
                        self.assertEqual(t.to(torch.complex128 if t.is_complex() else torch.float64).sum(), t.numel())

    def test_to_torch(self):
        for dtype in self.dtypes():
            for shape in SHAPES:
                with self.subTest(dtype=dtype, shape=shape):
                    b = tenure.zeros(shape, dtype)
                    t = torch.from_dlpack(b)
                    self.assertEqual((str(t.dtype), tuple(t.shape)), ("torch." + dtype, shape))
                    if t.numel():
                        self.assertEqual(t.data_ptr(), b.host_pointer)

    def test_sealed_is_copied_because_torch_ignores_read_only(self):
        b = tenure.zeros(4, "float32")
        b.seal()
        t = torch.from_dlpack(b)
        t.fill_(7)
        self.assertEqual(b.numpy().tolist(), [0] * 4)
        own = torch.from_dlpack(b.__dlpack__(max_version=(1, 3), unsafe=True))
        self.assertEqual(own.data_ptr(), b.host_pointer)

    def test_gaps_and_gradients(self):
        with self.assertRaises(BufferError):
            tenure.from_dlpack(torch.zeros(3, 4).T)
        self.assertEqual(tenure.from_dlpack(torch.zeros(3, requires_grad=True).detach()).shape, (3,))

    def test_dtypes_by_object(self):
        for dtype in self.dtypes():
            self.assertEqual(tenure.empty(2, getattr(torch, dtype)).dtype, dtype)

    def test_copy_from(self):
        b = tenure.empty((2, 2), "bfloat16")
        b.copy_from(torch.ones(2, 2, dtype=torch.bfloat16))
        self.assertEqual(torch.from_dlpack(b).sum(), 4)


@unittest.skipIf(jax is None, "JAX is not installed")
class Jax(unittest.TestCase):
    def dtypes(self):
        return NUMPY + SMALL

    def test_from_jax(self):
        refused = []
        for dtype in self.dtypes():
            for shape in SHAPES:
                with self.subTest(dtype=dtype, shape=shape):
                    x = jnp.ones(shape, dtype)
                    try:
                        x.__dlpack__()
                    except Exception as error:  # a type that JAX gives nobody
                        refused.append((dtype, str(error)[:80]))
                        continue
                    b = tenure.from_dlpack(x)
                    self.assertEqual((b.dtype, b.shape), (dtype, shape))
                    self.assertTrue(b.is_read_only or not x.size)  # arrays of JAX never change
                    if x.size:
                        self.assertEqual(b.host_pointer, x.unsafe_buffer_pointer())
        self.assertLessEqual({dtype for dtype, _ in refused}, set(SMALL), refused)

    def test_to_jax(self):
        refused = set()
        for dtype in self.dtypes():
            for shape in SHAPES:
                with self.subTest(dtype=dtype, shape=shape):
                    b = tenure.empty(shape, dtype, alignment=64)
                    if elements(shape):
                        b.fill(1)
                    try:
                        x = jax.dlpack.from_dlpack(b)
                    except Exception:
                        if dtype not in SMALL:
                            raise
                        refused.add(dtype)
                        continue
                    self.assertEqual((str(x.dtype), x.shape), (dtype, shape))
                    self.assertTrue((np.asarray(x).astype("complex128") == 1).all())
        print("JAX refuses", refused)

    def test_sealed_without_a_copy(self):
        b = tenure.zeros(64, "float32")
        b.seal()
        x = jax.dlpack.from_dlpack(Unsafe(b))
        self.assertEqual(x.unsafe_buffer_pointer(), b.host_pointer)


class Protocol(unittest.TestCase):
    def test_versions(self):
        b = tenure.zeros((2, 3), "int32")
        old = b.__dlpack__()
        self.assertEqual(name_of(old), b"dltensor")
        for version in ((1, 0), (1, 3), (2, 0)):
            new = b.__dlpack__(max_version=version)
            self.assertEqual(name_of(new), b"dltensor_versioned")
            struct = look(new)
            self.assertEqual((struct.major, struct.flags), (1, 0))
        self.assertEqual(name_of(b.__dlpack__(max_version=(0, 8))), b"dltensor")
        tensor = look(old).tensor
        self.assertEqual((tensor.ndim, tensor.shape[:2], tensor.strides[:2]), (2, [2, 3], [3, 1]))
        self.assertEqual((tensor.device_type, tensor.byte_offset), (1, 0))

    def test_nothing_has_no_address_and_has_strides(self):
        tensor = look(tenure.empty((2, 0), "int8").__dlpack__(max_version=(1, 0))).tensor
        self.assertIsNone(tensor.data)
        self.assertTrue(tensor.strides)

    def test_flags(self):
        b = tenure.zeros(4)
        self.assertEqual(look(b.__dlpack__(max_version=(1, 0), copy=True)).flags, COPIED)
        b.seal()
        self.assertEqual(look(b.__dlpack__(max_version=(1, 0))).flags, COPIED)
        self.assertEqual(look(b.__dlpack__(max_version=(1, 0), unsafe=True)).flags, READ_ONLY)
        self.assertEqual(look(b.__dlpack__(unsafe=True)).tensor.data, b.host_pointer)
        for version in (None, (1, 0)):
            with self.assertRaises(BufferError):
                b.__dlpack__(max_version=version, copy=False)
            b.__dlpack__(max_version=version, copy=False, unsafe=True)

    def test_files_are_copied(self):
        import os
        import tempfile

        with tempfile.NamedTemporaryFile() as file:
            file.write(bytes(range(64)))
            file.flush()
            w = tenure.map_file(file.name, 64, "uint8")
            a = np.from_dlpack(w)
            a[:] = 0
            self.assertEqual(bytes(w), bytes(range(64)))
            with self.assertRaises(BufferError):
                w.__dlpack__(copy=False)
            self.assertEqual(look(w.__dlpack__(unsafe=True, max_version=(1, 0))).flags, READ_ONLY)
            self.assertTrue(os.path.exists(file.name))

    def test_devices_and_streams(self):
        b = tenure.zeros(4)
        self.assertEqual(b.__dlpack_device__(), (1, 0))
        for stream in (None, -1):
            b.__dlpack__(stream=stream, dl_device=(1, 0))
        for stream in (0, 1, 2, 12345):
            with self.assertRaises(BufferError):
                b.__dlpack__(stream=stream)
        with self.assertRaises(BufferError):
            b.__dlpack__(dl_device=(2, 0), copy=False)
        with self.assertRaises(BufferError):
            b.__dlpack__(dl_device=(99, 0))
        with self.assertRaises(BufferError):
            tenure.empty(4, space="null").__dlpack_device__()
        self.assertFalse(hasattr(b, "__cuda_array_interface__"))

    def test_while_it_may_be_written_it_cannot_be_sealed(self):
        b = tenure.zeros(4)
        capsule = b.__dlpack__(max_version=(1, 0))
        with self.assertRaises(tenure.FailedPrecondition):
            b.seal()
        del capsule
        b.seal()


class Importing(unittest.TestCase):
    def test_asks_for_a_version_and_then_without(self):
        new = Producer()
        tenure.from_dlpack(new).fill(1.0)
        self.assertEqual(new.asked, [{"max_version": (1, 3)}])
        self.assertEqual(np.frombuffer(new.data, "float32").tolist(), [1] * 4)
        old = Producer(versioned=False, capsules_without_version=True)
        b = tenure.from_dlpack(old)
        self.assertEqual(old.asked, [{"max_version": (1, 3)}, {}])
        self.assertTrue(b.is_read_only)
        other = Producer(versioned=False)
        b = tenure.from_dlpack(other, writable=True)
        b.fill(2.0)
        del b
        gc.collect()
        self.assertEqual((new.ended, other.ended), (1, 1))

    def test_read_only(self):
        self.assertTrue(tenure.from_dlpack(Producer(flags=READ_ONLY)).is_read_only)

    def test_what_is_refused_is_ended_once(self):
        cases = [
            Producer(major=2),
            Producer(fields={"device_type": 77}),
            Producer(fields={"lanes": 4}),
            Producer(fields={"code": 99}),
            Producer(fields={"ndim": 9}),
            Producer(fields={"ndim": -1}),
            Producer(fields={"data": None}),
            Producer(versioned=False, fields={"lanes": 0}),
        ]
        for number, case in enumerate(cases):
            with self.subTest(number):
                with self.assertRaises(BufferError):
                    tenure.from_dlpack(case)
                gc.collect()
                self.assertEqual(case.ended, 1)

    def test_byte_offset(self):
        producer = Producer(fields={"byte_offset": 4})
        producer._shape[0] = 3
        b = tenure.from_dlpack(producer)
        self.assertEqual(b.host_pointer, ctypes.addressof(producer._memory) + 4)

    def test_capsules_are_taken_once(self):
        b = tenure.zeros(4, "int32")
        capsule = b.__dlpack__(max_version=(1, 0))
        again = tenure.from_dlpack(capsule)
        self.assertEqual(again.host_pointer, b.host_pointer)
        self.assertEqual(name_of(capsule), b"used_dltensor_versioned")
        with self.assertRaises(BufferError):
            tenure.from_dlpack(capsule)

    def test_errors_of_the_producer_come_through(self):
        class Broken:
            def __dlpack_device__(self):
                return (1, 0)

            def __dlpack__(self, **arguments):
                raise BufferError("not today")

        with self.assertRaisesRegex(BufferError, "not today"):
            tenure.from_dlpack(Broken())
        with self.assertRaises(TypeError):
            tenure.from_dlpack(7)


class Table(unittest.TestCase):
    """The functions behind __dlpack_c_exchange_api__."""

    class Struct(ctypes.Structure):
        _fields_ = [
            ("major", ctypes.c_uint32),
            ("minor", ctypes.c_uint32),
            ("older", ctypes.c_void_p),
            ("allocate", ctypes.c_void_p),
            ("from_object", ctypes.c_void_p),
            ("to_object", ctypes.c_void_p),
            ("borrow", ctypes.c_void_p),
            ("current_stream", ctypes.c_void_p),
        ]

    def setUp(self):
        get = ctypes.pythonapi.PyCapsule_GetPointer
        address = get(tenure.Buffer.__dlpack_c_exchange_api__, b"dlpack_exchange_api")
        self.table = self.Struct.from_address(address)
        self.from_object = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.POINTER(ctypes.c_void_p))(
            self.table.from_object
        )
        self.to_object = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(ctypes.py_object))(
            self.table.to_object
        )

    def test_there_and_back(self):
        self.assertEqual((self.table.major, self.table.minor, self.table.older), (1, 3, None))
        before = tenure.stats("cpu").in_use_count
        b = tenure.zeros((2, 3), "int16")
        out, back = ctypes.c_void_p(), ctypes.py_object()
        self.assertEqual(self.from_object(b, out), 0)
        self.assertEqual(self.to_object(out, back), 0)
        self.assertEqual((back.value.shape, back.value.host_pointer), ((2, 3), b.host_pointer))
        back.value.fill(4)
        self.assertEqual(b.numpy().sum(), 24)
        count = ctypes.c_ssize_t.from_address(id(back.value)).value
        ctypes.pythonapi.Py_DecRef(back)  # the reference that the table gave
        self.assertGreater(count, 0)
        del b, back
        gc.collect()
        self.assertEqual(tenure.stats("cpu").in_use_count, before)

    def test_sealed_is_copied(self):
        b = tenure.zeros(4)
        b.seal()
        out = ctypes.c_void_p()
        self.from_object(b, out)
        struct = Versioned.from_address(out.value)
        self.assertEqual(struct.flags, COPIED)
        end(struct)

    def test_what_is_no_buffer(self):
        with self.assertRaises(Exception):
            self.from_object(7, ctypes.c_void_p())

    def test_allocate(self):
        set_error_type = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p)
        allocate = ctypes.CFUNCTYPE(
            ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(ctypes.c_void_p), ctypes.c_void_p, set_error_type
        )(self.table.allocate)
        errors = []
        set_error = set_error_type(lambda context, kind, text: errors.append((kind, text)))
        out = ctypes.c_void_p()
        producer = Producer()
        like = ctypes.addressof(producer.struct) + Versioned.tensor.offset
        self.assertEqual(allocate(like, out, None, set_error), 0)
        struct = Versioned.from_address(out.value)
        self.assertEqual((struct.tensor.shape[0], struct.tensor.bits), (4, 32))
        self.assertNotEqual(struct.tensor.data, producer.struct.tensor.data)
        end(struct)
        producer.struct.tensor.device_type = 50
        self.assertNotEqual(allocate(like, out, None, set_error), 0)
        self.assertEqual(errors[0][0], b"BufferError")

    def test_current_stream(self):
        stream = ctypes.c_void_p(5)
        current = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int32, ctypes.c_int32, ctypes.POINTER(ctypes.c_void_p))(
            self.table.current_stream
        )
        self.assertEqual((current(2, 0, stream), stream.value), (0, None))


class Leaks(unittest.TestCase):
    def test_every_way_gives_all_back(self):
        gc.collect()
        before = tenure.stats("cpu")
        b = tenure.zeros((8, 8), "float32")
        sealed = tenure.zeros((8, 8), "float32")
        sealed.seal()
        for _ in range(20):
            for buffer in (b, sealed):
                for version in (None, (1, 3)):
                    buffer.__dlpack__(max_version=version)  # nobody takes it
                    buffer.__dlpack__(max_version=version, unsafe=True)
                    tenure.from_dlpack(buffer.__dlpack__(max_version=version))
                    end(take(buffer.__dlpack__(max_version=version)))
                np.from_dlpack(buffer)
                buffer.numpy()
                memoryview(buffer)
                buffer[1:3][0].view("uint8").numpy()
                if torch:
                    torch.from_dlpack(buffer)
                if jax:
                    jax.dlpack.from_dlpack(buffer).block_until_ready()
            tenure.from_dlpack(np.zeros(4)).to("cpu")
        del b, sealed, buffer
        gc.collect()
        after = tenure.stats("cpu")
        self.assertEqual((after.in_use_bytes, after.in_use_count), (before.in_use_bytes, before.in_use_count))

    def test_deleters_of_producers_are_called_once(self):
        for producer in [Producer() for _ in range(10)] + [Producer(versioned=False) for _ in range(10)]:
            b = tenure.from_dlpack(producer)
            rows = [b[0:2], b.view("uint8"), np.from_dlpack(b)]
            del b
            gc.collect()
            self.assertEqual(producer.ended, 0)
            del rows
            gc.collect()
            self.assertEqual(producer.ended, 1)


if __name__ == "__main__":
    unittest.main()
