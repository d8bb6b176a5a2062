#!/usr/bin/env python3
"""Writes the repository's own schedules: tensor-trace-1 files that are small, run in well under a second, and between them do
everything that recorded schedules do.  The same bytes come out every time.

  tools/demo_schedules/generate.py                        the .json.gz files, beside this script
  tools/demo_schedules/generate.py --reference=FILE.py    and the expected digests, from a program that runs a schedule with
                                                          the reference kernel and prints them as JSON

tiny_transformer    four layers over a KV cache: views, heads that are written transposed, in-place ops, writes to inputs
tiny_convnet_train  forward, backward and an optimizer step of a residual convnet: saved activations, weights written
odd_shapes          what a run can get wrong: empty buffers, ranks 0 and 8, odd sizes and offsets, writes that leave gaps,
                    reads of what was never written, windows that overlap
"""
import argparse
import gzip
import io
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ITEM_BITS = {"float64": 64, "float32": 32, "bfloat16": 16, "float16": 16, "float8_e4m3fn": 8, "int64": 64, "int32": 32,
             "uint8": 8, "int4": 4, "bool": 8, "complex64": 64, "complex128": 128}


def product(values):
    total = 1
    for v in values:
        total *= v
    return total


def row_major(shape):
    return [product(shape[d + 1:]) for d in range(len(shape))]


class Recorder:
    """Buffers and ops in the order in which they are made; ids are indices."""

    def __init__(self, name, note, dtype):
        self.name, self.note, self.dtype = name, note, dtype
        self.buffers, self.ops = [], []

    def base(self, kind, shape, dtype=None, strides=None, size=None):
        dtype = dtype or self.dtype
        needed = (product(shape) * ITEM_BITS[dtype] + 7) // 8
        return self._add(kind, None, 0, needed if size is None else size, shape, dtype, strides)

    def weight(self, *shape, **more):
        return self.base("weight", shape, **more)

    def input(self, *shape, **more):
        return self.base("input", shape, **more)

    def alias(self, of, shape, first=0, strides=None, dtype=None, offset=None):
        """A window from element `first` of `of` (or byte `offset` of its storage)."""
        of = self.buffers[of]
        base = of["id"] if of["alias_of"] is None else of["alias_of"]
        dtype = dtype or of["dtype"]
        bits = ITEM_BITS[dtype]
        span = product(shape)
        if strides and span:
            span = 1 + sum((n - 1) * s for n, s in zip(shape, strides))
        at = of["offset_bytes"] + first * bits // 8 if offset is None else offset
        return self._add(self.buffers[base]["kind"], base, at, (span * bits + 7) // 8, shape, dtype, strides)

    def op(self, name, reads, writes):
        self.ops.append({"name": name, "reads": list(reads), "writes": list(writes)})

    def make(self, name, reads, *shape, kind="intermediate", **more):
        """An op with one new result."""
        result = self.base(kind, shape, **more)
        self.op(name, reads, [result])
        return result

    def update(self, name, target, reads=()):
        """An op in place."""
        self.op(name, [target, *reads], [target])
        return target

    def _add(self, kind, alias_of, offset, size, shape, dtype, strides):
        entry = {"id": len(self.buffers), "bytes": size, "dtype": dtype, "shape": list(shape), "kind": kind,
                 "alias_of": alias_of, "offset_bytes": offset}
        if strides is not None:
            entry["strides"] = list(strides)
        self.buffers.append(entry)
        return entry["id"]

    def text(self):
        return json.dumps({"format": "tensor-trace-1", "name": self.name, "source": "tools/demo_schedules/generate.py",
                           "device": "none", "note": self.note, "buffers": self.buffers, "ops": self.ops,
                           "stats": {"ops": len(self.ops), "buffers": len(self.buffers)}}, separators=(",", ":"))


def tiny_transformer():
    batch, seq, past, hidden, heads, wide, vocab, layers = 2, 96, 32, 192, 6, 768, 2000, 4
    head, cache = hidden // heads, 160
    r = Recorder("tiny_transformer", "four transformer layers that write a KV cache, made by hand", "float32")
    embedding, positions = r.weight(vocab, hidden), r.weight(cache, hidden)
    blocks = []
    for _ in range(layers):
        blocks.append({"norm1": r.weight(hidden), "qkv": r.weight(3 * hidden, hidden), "out": r.weight(hidden, hidden),
                       "norm2": r.weight(hidden), "gate": r.weight(wide, hidden), "up": r.weight(wide, hidden),
                       "down": r.weight(hidden, wide)})
    norm = r.weight(hidden)
    tokens = r.input(batch, seq, dtype="int64")
    caches = [(r.input(batch, heads, cache, head, dtype="bfloat16"), r.input(batch, heads, cache, head, dtype="bfloat16"))
              for _ in range(layers)]

    index = r.make("arange", [], seq, dtype="int64")
    r.update("add_", index)
    x = r.make("embedding", [embedding, tokens], batch, seq, hidden)
    where = r.make("embedding", [positions, index], seq, hidden)
    r.update("add_", x, [where])
    full = past + seq
    wide_index = r.make("arange", [], full, dtype="int64")
    column = r.alias(index, (seq, 1))
    mask = r.make("le", [wide_index, column], seq, full, dtype="bool")
    for w, (keys, values) in zip(blocks, caches):
        def normed(scale):
            square = r.make("pow", [x], batch, seq, hidden)
            mean = r.make("mean", [square], batch, seq, 1)
            r.update("rsqrt_", mean)
            return r.make("mul", [x, mean, scale], batch, seq, hidden)
        y = normed(w["norm1"])
        flat = r.alias(y, (batch * seq, hidden))
        qkv = r.make("mm", [flat, w["qkv"]], batch * seq, 3 * hidden)
        parts = [r.alias(qkv, (batch, heads, seq, head), first=hidden * k, strides=(seq * 3 * hidden, head, 3 * hidden, 1))
                 for k in range(3)]
        for k in range(2):      # queries and keys, each in place in its part of qkv
            r.op("rotary_", [parts[k], index], [parts[k]])
        for k, target in ((1, keys), (2, values)):
            window = r.alias(target, (batch, heads, seq, head), first=past * head,
                             strides=(heads * cache * head, cache * head, head, 1))
            r.op("copy_", [parts[k]], [window])
        strides = (heads * cache * head, cache * head, head, 1)
        seen = [r.alias(c, (batch, heads, full, head), strides=strides) for c in (keys, values)]
        scores = r.make("bmm", [parts[0], seen[0]], batch, heads, seq, full)
        r.update("masked_fill_", scores, [mask])
        top = r.make("amax", [scores], batch, heads, seq, 1)
        weights = r.make("exp_sub", [scores, top], batch, heads, seq, full)
        total = r.make("sum", [weights], batch, heads, seq, 1)
        r.update("div_", weights, [total])
        # As attention kernels do: heads inside, so that the result is a dense matrix without a copy.
        mixed = r.make("bmm", [weights, seen[1]], batch, heads, seq, head, strides=(seq * hidden, head, hidden, 1))
        joined = r.alias(mixed, (batch * seq, hidden))
        attended = r.make("mm", [joined, w["out"]], batch * seq, hidden)
        x = r.make("add", [x, r.alias(attended, (batch, seq, hidden))], batch, seq, hidden)
        y = normed(w["norm2"])
        flat = r.alias(y, (batch * seq, hidden))
        gate = r.make("mm", [flat, w["gate"]], batch * seq, wide)
        sigmoid = r.make("sigmoid", [gate], batch * seq, wide)
        r.update("mul_", gate, [sigmoid])
        up = r.make("mm", [flat, w["up"]], batch * seq, wide)
        r.update("mul_", gate, [up])
        down = r.make("mm", [gate, w["down"]], batch * seq, hidden)
        x = r.make("add", [x, r.alias(down, (batch, seq, hidden))], batch, seq, hidden)
    # Only the last position of each sequence goes on.
    last = r.alias(x, (batch, hidden), first=(seq - 1) * hidden, strides=(seq * hidden, 1))
    square = r.make("pow", [last], batch, hidden)
    mean = r.make("mean", [square], batch, 1)
    r.update("rsqrt_", mean)
    y = r.make("mul", [last, mean, norm], batch, hidden)
    logits = r.make("mm", [y, embedding], batch, vocab)
    r.make("argmax", [logits], batch, kind="output", dtype="int64")
    r.make("log_softmax", [logits], batch, vocab, kind="output")
    return r


def tiny_convnet_train():
    batch, classes = 8, 10
    r = Recorder("tiny_convnet_train", "forward, backward and SGD with momentum of a residual convnet, made by hand", "float32")
    plan = [(3, 16, 32), (16, 16, 32), (16, 32, 16), (32, 32, 16), (32, 64, 8), (64, 64, 8)]   # channels in, out; side
    convs, moments = [], []
    for cin, cout, _ in plan:
        convs.append({"conv": r.weight(cout, cin, 3, 3), "scale": r.weight(cout), "shift": r.weight(cout)})
        moments.append({k: r.weight(*r.buffers[v]["shape"]) for k, v in convs[-1].items()})
        convs[-1]["mean"], convs[-1]["var"] = r.weight(cout), r.weight(cout)
    fc, fc_moment = r.weight(classes, 64), r.weight(classes, 64)
    steps = r.weight(dtype="int64")
    image, label = r.input(batch, 3, 32, 32), r.input(batch, dtype="int64")

    r.update("add_", steps)
    x, saved = image, []
    for (cin, cout, side), w in zip(plan, convs):
        pooled = None
        if saved and side != saved[-1]["side"]:
            pooled = r.make("avg_pool", [x], batch, cin, side, side)
        given = x if pooled is None else pooled
        y = r.make("conv", [given, w["conv"]], batch, cout, side, side)
        mean, scale = r.base("intermediate", (cout,)), r.base("intermediate", (cout,))
        z = r.base("intermediate", (batch, cout, side, side))
        r.op("batch_norm", [y, w["scale"], w["shift"], w["mean"], w["var"]], [z, mean, scale, w["mean"], w["var"]])
        if cin == cout:
            r.update("add_", z, [given])
        r.update("relu_", z)
        saved.append({"given": given, "conv": y, "mean": mean, "scale": scale, "result": z, "side": side, "cin": cin,
                      "cout": cout, "pooled": pooled is not None})
        x = z
    pooled = r.make("mean", [x], batch, 64, 1, 1)
    features = r.alias(pooled, (batch, 64))
    logits = r.make("mm", [features, fc], batch, classes)
    probs = r.make("log_softmax", [logits], batch, classes)
    r.make("nll_loss", [probs, label], kind="output")

    d = r.make("nll_loss_backward", [probs, label], batch, classes)
    d = r.make("log_softmax_backward", [d, probs], batch, classes)
    gradients = [(fc, fc_moment, r.make("mm", [d, features], classes, 64))]
    d = r.make("mm", [d, fc], batch, 64)
    dx = r.make("mean_backward", [r.alias(d, (batch, 64, 8, 8), strides=(64, 1, 0, 0))], batch, 64, 8, 8)
    for w, moment, s in reversed(list(zip(convs, moments, saved))):
        r.update("relu_backward_", dx, [s["result"]])
        dy = r.base("intermediate", (batch, s["cout"], s["side"], s["side"]))
        dscale, dshift = r.base("intermediate", (s["cout"],)), r.base("intermediate", (s["cout"],))
        r.op("batch_norm_backward", [dx, s["conv"], w["scale"], s["mean"], s["scale"]], [dy, dscale, dshift])
        dw = r.make("conv_backward_weight", [dy, s["given"]], *r.buffers[w["conv"]]["shape"])
        gradients += [(w["conv"], moment["conv"], dw), (w["scale"], moment["scale"], dscale),
                      (w["shift"], moment["shift"], dshift)]
        if s["given"] == image:
            break
        given = r.make("conv_backward_input", [dy, w["conv"]], batch, s["cin"], s["side"], s["side"])
        if s["cin"] == s["cout"]:
            r.update("add_", given, [dx])
        if s["pooled"]:
            given = r.make("avg_pool_backward", [given], batch, s["cin"], s["side"] * 2, s["side"] * 2)
        dx = given
    # The optimizer takes tensors in groups, as "foreach" kernels do.
    r.op("foreach_mul_", [m for _, m, _ in gradients], [m for _, m, _ in gradients])
    r.op("foreach_add_", [m for _, m, _ in gradients] + [g for _, _, g in gradients], [m for _, m, _ in gradients])
    for weight, moment, _ in gradients:
        r.update("add_", weight, [moment])
    return r


def odd_shapes():
    r = Recorder("odd_shapes", "empty, scalar, rank 8, odd sizes and offsets, gaps, overlaps; made by hand", "float32")
    weight, codes = r.weight(1021, dtype="uint8"), r.weight(7, 3, dtype="bfloat16")
    nothing, scalar = r.weight(0, 5), r.weight(dtype="float64")
    untouched = r.weight(64)
    x, state = r.input(1000003, dtype="uint8"), r.input(33, 17, dtype="float32")

    # No reads, no writes, no bytes.
    zeros = r.make("zeros", [], 0, 4, 7)
    r.op("nothing", [], [])
    r.op("look", [x, nothing, zeros], [])
    r.op("copy_", [nothing], [zeros])
    r.make("empty_result", [zeros], 3, 0, kind="output")
    # Ranks 0 and 8; the same id read twice.
    s = r.make("sum", [x, x], dtype="float64")
    r.update("mul_", s, [scalar])
    eight = r.make("expand", [s, codes], 1, 2, 1, 3, 2, 1, 5, 3, dtype="complex64")
    turned = r.make("permute", [eight], 3, 1, 2, 1, 5, 2, 1, 3, dtype="bfloat16",
                    strides=(1, 180, 3, 6, 6, 90, 90, 30))
    # Odd offsets and sizes, all over one odd storage; windows narrower than a word.
    odd = r.base("intermediate", (4099,), dtype="uint8")
    for first, length in ((1, 7), (13, 1), (17, 64), (85, 1000), (2000, 2099)):
        window = r.alias(odd, (length,), first=first)
        r.op("slice_write", [r.alias(weight, (min(length, 900),), first=first % 97), turned], [window])
    # Gaps of odd were never written: they are zeros, whatever lived there before.
    gaps = r.make("read_gaps", [odd], 4099, dtype="uint8")
    r.op("read_gap", [r.alias(odd, (9,), first=1500), r.alias(odd, (3,), first=4)], [r.alias(gaps, (5,), first=4094)])
    # Never written, only read: zeros.
    fresh = r.base("intermediate", (50021,), dtype="uint8")
    part = r.make("read_fresh", [fresh, gaps], 777, dtype="float16")
    # Strided writes with holes between the rows and the elements; first use of the storage.
    holes = r.base("intermediate", (40, 64), dtype="float32")
    r.op("write_columns", [part], [r.alias(holes, (40, 5), first=3, strides=(64, 2))])
    r.op("write_block", [part], [r.alias(holes, (3, 4, 6), first=130, strides=(640, 64, 7))])
    r.update("add_", holes, [s])
    bytes_holes = r.base("intermediate", (9001,), dtype="uint8")
    r.op("write_every_third", [holes], [r.alias(bytes_holes, (3000,), first=1, strides=(3,))])
    half_holes = r.base("intermediate", (1000, 3), dtype="float16")
    r.op("write_middle", [holes, bytes_holes], [r.alias(half_holes, (1000,), first=1, strides=(3,))])
    # Reads and writes of one op that overlap, in place and shifted; two writes of one op over the same bytes.
    ring = r.make("start_ring", [half_holes], 30011, dtype="uint8")
    r.op("shift", [r.alias(ring, (30000,))], [r.alias(ring, (30000,), first=11)])
    r.op("shift_back", [r.alias(ring, (29999,), first=12), ring], [r.alias(ring, (29999,), first=3)])
    r.op("both", [ring], [r.alias(ring, (20000,), first=1), r.alias(ring, (20000,), first=10001)])
    r.op("swap", [r.alias(ring, (100,)), r.alias(ring, (100,), first=100)],
         [r.alias(ring, (100,), first=100), r.alias(ring, (100,))])
    # Two results that together cover a storage, and two that do not.
    pair = r.base("intermediate", (2, 501), dtype="bool")
    r.op("split", [ring], [r.alias(pair, (501,)), r.alias(pair, (501,), first=501)])
    torn = r.base("intermediate", (2, 501), dtype="bool")
    r.op("split_short", [pair], [r.alias(torn, (500,)), r.alias(torn, (501,), first=501)])
    # A storage larger than its shape, elements of 16 bytes, elements of half a byte.
    padded = r.base("intermediate", (10, 10), dtype="complex128", size=2053)
    r.op("pad", [torn], [padded])
    nibbles = r.make("quantize", [padded], 33, 3, dtype="int4")
    # Long gone storages leave dirt; these reuse it and must not show it.
    for size in (12345, 70001, 9):
        dirt = r.make("dirt", [nibbles], size, dtype="uint8")
        later = r.base("intermediate", (size + 13,), dtype="uint8")
        r.op("write_head", [dirt], [r.alias(later, (size // 2,))])
        r.update("use_", nibbles, [later])
    # Inputs written through a strided window, outputs written through aliases, an output that no op writes.
    r.op("write_state", [nibbles, state], [r.alias(state, (17, 33), strides=(1, 17))])
    r.op("write_state_part", [nibbles], [r.alias(state, (16, 8), first=5, strides=(34, 2))])
    r.op("write_codes", [codes, state], [r.alias(codes, (3,), first=4)])
    result = r.base("output", (6, 1001), dtype="bfloat16")
    r.op("write_rows", [state, codes], [r.alias(result, (2, 1001), first=1001)])
    r.op("write_last", [r.alias(result, (1001,), first=2002, dtype="bfloat16")],
         [r.alias(result, (1001,), first=5005)])
    r.base("output", (11,), dtype="float32")
    r.base("intermediate", (123,), dtype="float32")
    r.make("end", [result, r.alias(untouched, (8, 64), strides=(0, 1))], dtype="bool", kind="output")
    return r


def pack(text):
    """gzip without a time or a name, so that the same text gives the same bytes."""
    out = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=out, mtime=0) as f:
        f.write(text.encode())
    return out.getvalue()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--reference", help="program that prints a schedule's digests; run with the schedule's path")
    p.add_argument("--output", default=HERE, help="folder to write into (default: this script's)")
    args = p.parse_args()
    for make in (tiny_transformer, tiny_convnet_train, odd_shapes):
        recorded = make()
        path = os.path.join(args.output, recorded.name + ".json.gz")
        with open(path, "wb") as f:
            f.write(pack(recorded.text()))
        memory = sum(b["bytes"] for b in recorded.buffers if b["alias_of"] is None)
        print("%s: %d buffers, %d ops, %.1f MB in all storages" % (path, len(recorded.buffers), len(recorded.ops), memory / 1e6))
        if args.reference:
            digests = json.loads(subprocess.check_output([sys.executable, args.reference, path], text=True))
            with open(os.path.join(args.output, recorded.name + ".digests.json"), "w", encoding="utf-8") as f:
                json.dump(digests, f, indent=1)
                f.write("\n")


if __name__ == "__main__":
    main()
