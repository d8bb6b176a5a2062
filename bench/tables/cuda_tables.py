#!/usr/bin/env python3
"""The tables of docs/cuda.md, from what a bundle's script `run` left behind (tools/dev/cuda_bundle).

  bench/tables/cuda_tables.py RESULTS            prints them
  bench/tables/cuda_tables.py RESULTS --write    puts them into docs/cuda.md, between its markers
  bench/tables/cuda_tables.py RESULTS --write=docs/cuda_h100.md    into that page's, for another card

RESULTS is the folder that `run --output=RESULTS` has filled: environment.txt, summary.txt, schedules.md
and bench_cuda_bench.json.
"""
import argparse
import json
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PAGE = os.path.join(ROOT, "docs", "cuda.md")
BEGIN, END = "<!-- tables begin -->", "<!-- tables end -->"

# What PyTorch 2.11's caching allocator reserved for the same models, over weights and inputs
# (library workspaces included): the recording that the schedules come from.
TORCH_RESERVED = {
    "resnet50_infer": 155189248, "mobilenet_v3_large_infer": 77594624, "vit_b16_infer": 77594624,
    "bert_base_infer": 46137344, "gpt2_hand_train": 1509949440, "llama1b_decode_static": 20971520,
    "unet_sd15_infer": 184549376,
}
KINDS = {
    "BM_In/pageable": "pageable host memory to the device",
    "BM_In/pageable_threads": "the same by threads",
    "BM_In/pinned": "pinned to the device",
    "BM_In/unified": "pageable host memory to unified",
    "BM_Out/touched": "device to touched host memory",
    "BM_Out/touched_threads": "the same by threads",
    "BM_Out/fresh": "device to untouched host memory",
    "BM_Out/pinned": "device to pinned",
    "BM_Out/unified": "unified to touched host memory",
    "BM_Within": "device to device",
    "BM_Fill/1": "fill, 1 byte repeated", "BM_Fill/4": "fill, 4 bytes", "BM_Fill/16": "fill, 16 bytes",
    "BM_File": "file in the page cache to the device",
}


def size_name(size):
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            return "%g %s" % (size, unit)
        size /= 1024
    raise AssertionError


def table(head, rows):
    lines = [head, ["---"] + ["---:"] * (len(head) - 1)] + rows
    return "\n".join("| " + " | ".join(str(c) for c in line) + " |" for line in lines)


def read(folder, name):
    with open(os.path.join(folder, name), encoding="utf-8") as file:
        return file.read()


def medians(rows):
    """One row a case: its median where the run has repetitions."""
    found = {}
    for row in rows:
        if row.get("error_occurred"):
            continue
        if row["run_type"] == "aggregate" and row.get("aggregate_name") != "median":
            continue
        found[row["run_name"]] = row
    return found


def allocation_table(rows):
    out = []
    for name, row in rows.items():
        if not name.startswith("Allocate/"):
            continue
        pair = lambda p: ("%.0f / %.0f" % (row[p + "alloc_ns"], row[p + "free_ns"])
                          if p + "alloc_ns" in row else "not installed")
        out.append([size_name(int(name.split("/")[1])), pair(""), pair("async_"), pair("torch_")])
    return table(["size", "tenure", "cuMemAllocAsync", "PyTorch"], out)


def mixed_table(rows):
    row = rows.get("Mixed/iterations:1/manual_time")
    out = [["tenure", "%.0f" % row["step_ns"], "%.0f" % row["reserved_MiB"]]]
    if "torch_step_ns" in row:
        out.append(["PyTorch", "%.0f" % row["torch_step_ns"], "%.0f" % row["torch_reserved_MiB"]])
    return table(["", "ns a step", "MiB reserved"], out)


def copy_table(rows):
    out = []
    for name, row in rows.items():
        if "of_rival" not in row:
            continue
        parts = name.split("/")
        numbers = [p for p in parts if p.isdigit()]
        if parts[0] == "BM_Fill":
            kind, size, threads = "/".join(parts[:2]), int(parts[2]), 0
        else:
            kind = "/".join(p for p in parts if not p.isdigit() and p != "manual_time")
            size = int(numbers[0])
            threads = int(numbers[1]) if len(numbers) > 1 else 0
        what = KINDS.get(kind, kind)
        if kind.endswith("_threads"):
            what += ", %d" % threads
        out.append([what, size_name(size), "%.1f" % (row["bytes_per_second"] / 1e9),
                    "%.1f" % (row["rival"] / 1e9), "%.2f" % row["of_rival"]])
    return table(["what", "size", "GB/s", "the driver's, GB/s", "ratio"], out)


def calls_table(rows):
    out = []
    release = next((r for n, r in rows.items() if n.startswith("Release")), None)
    if release:
        out.append(["a 16 MiB buffer released behind 65 ms of kernels", "%.1f us" % release["release_us"]])
        out.append(["cuMemFree there", "%.0f us" % release["cuMemFree_us"]])
    grow = next((r for n, r in rows.items() if n.startswith("Grow")), None)
    if grow:
        out.append(["the pool grows by 256 MiB, behind 65 ms of kernels", "%.0f us" % grow["grow_us"]])
        out.append(["it gives them back there", "%.0f us" % grow["trim_us"]])
    names = {"BM_Fence": "fence recorded", "BM_Scope/context_current": "context entered, current already"}
    names["BM_ManyIn/one_by_one"] = "100 copies of 256 bytes to the device, one by one"
    names["BM_ManyIn/together"] = "the same by CopyInMany"
    for name, row in rows.items():
        if name in names:
            out.append([names[name], "%.0f ns" % row["real_time"]])
        small = re.match(r"BM_SmallCopy/(\w+)/(\d+)", name)
        if small:
            who = {"driver_synchronous": "cuMemcpyHtoD (returns when it has taken the bytes)",
                   "driver_stream": "cuMemcpyHtoDAsync and cuStreamSynchronize",
                   "driver_polled": "cuMemcpyHtoDAsync, cuStreamQuery until done",
                   "ours": "Buffer::CopyIn"}[small[1]]
            out.append(["%s of pageable memory: %s" % (size_name(int(small[2])), who),
                        "%.2f us" % (row["real_time"] / 1e3)])
    return table(["", "time"], out)


def torch_table(schedules):
    rows, ours_sum, torch_sum = [], 0, 0
    for line in schedules.splitlines()[2:]:
        cells = [c.strip() for c in line.strip("|").split("|")]
        name, space, arena, bound = cells[0], cells[1], int(cells[4]), int(cells[5])
        if space != "cuda:0" or name not in TORCH_RESERVED:
            continue
        torch = TORCH_RESERVED[name]
        ours_sum += arena
        torch_sum += torch
        rows.append([name, arena, bound, torch, "%.3f" % (arena / torch)])
    rows.append(["sum", ours_sum, "", torch_sum, "%.3f" % (ours_sum / torch_sum)])
    return table(["schedule", "arena bytes", "lower bound", "PyTorch reserved", "ratio"], rows)


def page(folder):
    with open(os.path.join(folder, "bench_cuda_bench.json"), encoding="utf-8") as file:
        rows = medians(json.load(file)["benchmarks"])
    environment = read(folder, "environment.txt").split("tenure devices")[0].strip()
    summary = [l for l in read(folder, "summary.txt").splitlines()
               if re.match(r"(PASS|FAIL|SKIP) ", l) and "digests equal" not in l]
    closing = read(folder, "summary.txt").strip().splitlines()[-1]
    schedules = read(folder, "schedules.md").strip()
    return "\n\n".join([
        "```\n" + environment + "\n```",
        "## Tests\n\n```\n" + "\n".join(summary) + "\n" + closing + "\n```",
        "## Allocation and free of cached memory, ns\n\n" + allocation_table(rows),
        "Mixed: sizes from 512 B to 16 MiB, each doubling as likely, 500 alive; a step frees one at "
        "random and allocates another.\n\n" + mixed_table(rows),
        "## Copies\n\n" + copy_table(rows),
        "## Calls\n\n" + calls_table(rows),
        "## Schedules\n\n" + schedules,
        "Arenas beside what PyTorch's caching allocator reserved for the same models (over weights and "
        "inputs; with workspaces of libraries and with outputs, which arenas do not hold):\n\n" +
        torch_table(schedules),
    ]) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results")
    parser.add_argument("--write", nargs="?", const=PAGE, metavar="PAGE")
    args = parser.parse_args()
    try:
        text = page(args.results)
    except (OSError, KeyError, ValueError) as error:
        sys.exit("bench/tables/cuda_tables.py: %s: %s" % (args.results, error))
    if not args.write:
        print(text)
        return
    with open(args.write, encoding="utf-8") as file:
        old = file.read()
    head, rest = old.split(BEGIN)
    with open(args.write, "w", encoding="utf-8") as file:
        file.write(head + BEGIN + "\n" + text + END + rest.split(END)[1])


if __name__ == "__main__":
    main()
