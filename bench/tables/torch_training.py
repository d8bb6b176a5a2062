#!/usr/bin/env python3
"""Trains a small transformer with PyTorch's own allocator, with its expandable segments, and with tenure's pools, and
prints a table: the loss, the memory taken from the driver, and the time of a step.

  torch_training.py LIBTENURE_TORCH_SO [--steps=N]

Needs a GPU and PyTorch. Each row is a process of its own, with the same seed.
"""
import argparse
import ctypes
import json
import os
import subprocess
import sys
import time

ROWS = (("PyTorch's own", "native"), ("expandable segments", "expandable"), ("tenure", "tenure"))


def install(library):
    """Makes PyTorch allocate from tenure's pools; returns a function that tells the bytes these have taken."""
    import torch
    allocator = torch.cuda.memory.CUDAPluggableAllocator(library, "tenure_torch_alloc", "tenure_torch_free")
    loaded = ctypes.CDLL(library)
    record = ctypes.cast(loaded.tenure_torch_record_stream, ctypes.c_void_p).value
    allocator.allocator().set_record_stream_fn(record)
    torch.cuda.memory.change_current_allocator(allocator)
    loaded.tenure_torch_reserved_bytes.restype = ctypes.c_uint64
    return lambda: loaded.tenure_torch_reserved_bytes(0)


def train(kind, library, steps):
    if kind == "expandable":
        os.environ["PYTORCH_CUDA_ALLOC_CONF"] = "expandable_segments:True"
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    import torch
    reserved = install(library) if kind == "tenure" else torch.cuda.memory_reserved
    torch.manual_seed(7)
    # The same sums in the same order, so that the losses can be compared.
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cuda.enable_flash_sdp(False)
    torch.backends.cuda.enable_mem_efficient_sdp(False)
    torch.backends.cuda.enable_cudnn_sdp(False)
    layer = torch.nn.TransformerEncoderLayer(512, 8, 2048, dropout=0.0, batch_first=True)
    model = torch.nn.Sequential(torch.nn.Embedding(1000, 512), torch.nn.TransformerEncoder(layer, 6),
                                torch.nn.Linear(512, 1000)).cuda()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    losses, seconds, most = [], [], 0
    lengths = [64 + 61 * i % 449 for i in range(steps)]  # texts of different lengths, as in real training
    for length in lengths:
        torch.cuda.synchronize()
        start = time.perf_counter()
        words = torch.randint(0, 1000, (16, length), device="cuda")
        loss = torch.nn.functional.cross_entropy(model(words).flatten(0, 1), words.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
        losses.append(loss.item())
        most = max(most, reserved())
    del loss, words
    seconds.sort()
    print(json.dumps({"loss": losses[-1], "reserved": most, "step": seconds[len(seconds) // 2],
                      "device": torch.cuda.get_device_name(), "torch": torch.__version__}))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--row", choices=[kind for _, kind in ROWS], help="one row, in this process")
    given = parser.parse_args()
    if given.row:
        return train(given.row, os.path.abspath(given.library), given.steps)
    rows = []
    for name, kind in ROWS:
        said = subprocess.run([sys.executable, __file__, given.library, "--steps=%d" % given.steps, "--row=" + kind],
                              check=True, stdout=subprocess.PIPE).stdout
        rows.append((name, json.loads(said.splitlines()[-1])))
    print("%s, PyTorch %s, %d steps" % (rows[0][1]["device"], rows[0][1]["torch"], given.steps))
    print("| allocator | loss | reserved, MiB | step, ms |\n|---|---|---|---|")
    for name, row in rows:
        print("| %s | %.6f | %.0f | %.2f |" % (name, row["loss"], row["reserved"] / 2**20, row["step"] * 1e3))
    return 0 if len({row["loss"] for _, row in rows}) == 1 else 1


if __name__ == "__main__":
    sys.exit(main())
