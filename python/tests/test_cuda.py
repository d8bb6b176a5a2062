"""CUDA: DLPack with PyTorch and CuPy, streams, the array interface. Skipped without a device."""

import gc
import unittest

import numpy as np
import tenure
from dlpack_c import COPIED, look

try:
    import torch
except ImportError:
    torch = None
try:
    import cupy
except ImportError:
    cupy = None


def has_device():
    try:
        tenure.empty(4, space="cuda:0").allocate()
    except tenure.Error:
        return False
    return True


@unittest.skipUnless(has_device(), "there is no CUDA device")
class Cuda(unittest.TestCase):
    def test_buffers(self):
        b = tenure.empty((4, 3), "float32", "cuda:0")
        b.fill(2)
        self.assertEqual(b.numpy().tolist(), [[2.0] * 3] * 4)
        self.assertEqual(np.asarray(b[1]).tolist(), [2.0] * 3)
        self.assertEqual(b.to("cpu")[1:].numpy().sum(), 18)
        b.copy_from(np.arange(12, dtype="float32").reshape(4, 3))
        self.assertEqual(b[3].numpy().tolist(), [9, 10, 11])
        self.assertGreater(b.device_pointer, 0)
        with self.assertRaises(BufferError):
            memoryview(b)

    def test_host_memory_of_cuda(self):
        for space, device in (("cuda-pinned:0", 3), ("cuda-unified:0", 13)):
            b = tenure.zeros(4, "int32", space)
            self.assertEqual(b.__dlpack_device__(), (device, 0))
            b.numpy()[:] = 5
            self.assertEqual(bytes(b), b"\5\0\0\0" * 4)

    def test_devices_and_streams(self):
        b = tenure.zeros(4, "int32", "cuda:0")
        self.assertEqual(b.__dlpack_device__(), (2, 0))
        for stream in (None, -1, 1, 2):
            self.assertEqual(look(b.__dlpack__(stream=stream, max_version=(1, 0))).flags, 0)
        for stream in (0, -2):
            with self.assertRaises(BufferError):
                b.__dlpack__(stream=stream)
        to_host = look(b.__dlpack__(dl_device=(1, 0), max_version=(1, 0)))
        self.assertEqual((to_host.flags, to_host.tensor.device_type), (COPIED, 1))
        with self.assertRaises(BufferError):
            b.__dlpack__(dl_device=(1, 0), copy=False)
        up = look(tenure.zeros(4).__dlpack__(dl_device=(2, 0), max_version=(1, 0)))
        self.assertEqual((up.flags, up.tensor.device_type), (COPIED, 2))

    def test_array_interface(self):
        b = tenure.zeros((2, 3), "uint16", "cuda:0")
        told = b.__cuda_array_interface__
        self.assertEqual((told["shape"], told["typestr"], told["version"]), ((2, 3), "<u2", 3))
        self.assertEqual(told["data"], (b.device_pointer, False))
        for dtype, text in (("bool", "|b1"), ("int8", "<i1"), ("float16", "<f2"), ("complex64", "<c8")):
            self.assertEqual(tenure.zeros(2, dtype, "cuda:0").__cuda_array_interface__["typestr"], text)
        self.assertFalse(hasattr(tenure.zeros(2, "bfloat16", "cuda:0"), "__cuda_array_interface__"))
        b.seal()
        self.assertTrue(b.__cuda_array_interface__["data"][1])

    def test_placing(self):
        s = tenure.Schedule()
        for key in "abc":
            s.add(key, 1024, space="cuda:0")
        s.input("a")
        s.step("1", ["a"], ["b"])
        s.step("2", ["b"], ["c"])
        with s.plan().place():
            s.buffer("b").fill(3)
            self.assertEqual(s.buffer("b").numpy().sum(), 3 * 1024)

    @unittest.skipIf(torch is None or not torch.cuda.is_available(), "PyTorch has no CUDA here")
    def test_torch(self):
        gc.collect()
        before = tenure.stats("cuda:0").in_use_count
        for dtype in ("float32", "bfloat16", "int64", "bool", "float8_e4m3fn"):
            b = tenure.zeros((8, 16), dtype, "cuda:0")
            t = torch.from_dlpack(b)
            self.assertEqual((t.data_ptr(), str(t.dtype)), (b.device_pointer, "torch." + dtype))
            other = torch.zeros(8, 16, device="cuda").to(getattr(torch, dtype))
            back = tenure.from_dlpack(other)
            self.assertEqual(back.device_pointer, other.data_ptr())
            back.fill(1)
            torch.cuda.synchronize()
            self.assertEqual(other.to(torch.float32).sum().item(), 128)
        del b, t, other, back
        gc.collect()
        self.assertEqual(tenure.stats("cuda:0").in_use_count, before)

    @unittest.skipIf(torch is None or not torch.cuda.is_available(), "PyTorch has no CUDA here")
    def test_order_on_streams(self):
        stream = torch.cuda.Stream()
        n = 1 << 26
        b = tenure.zeros(n, "float32", "cuda:0")
        with torch.cuda.stream(stream):
            t = torch.from_dlpack(b)  # the stream waits for what the library does
            for _ in range(50):
                t.add_(1)
            b.record_use(stream.cuda_stream, writes=True)
        # The library waits for the kernels, which nobody has waited for yet.
        self.assertEqual(float(b[n - 4 :].numpy().sum()), 200)
        with torch.cuda.stream(stream):
            u = torch.zeros(n, device="cuda")
            for _ in range(50):
                u.add_(2)
            imported = tenure.from_dlpack(u)
        self.assertEqual(float(imported[n - 1 :].numpy()[0]), 100)

    @unittest.skipIf(cupy is None, "CuPy is not installed")
    def test_cupy(self):
        b = tenure.zeros((4, 4), "float32", "cuda:0")
        for made in (cupy.from_dlpack(b), cupy.asarray(b)):
            self.assertEqual(made.data.ptr, b.device_pointer)
            made += 1
        cupy.cuda.runtime.deviceSynchronize()
        self.assertEqual(b.numpy().sum(), 32)
        a = cupy.arange(6, dtype="int16")
        self.assertEqual(tenure.from_dlpack(a).device_pointer, a.data.ptr)
        self.assertEqual(tenure.from_dlpack(a).numpy().tolist(), list(range(6)))


if __name__ == "__main__":
    unittest.main()
