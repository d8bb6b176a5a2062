#!/usr/bin/env python3
"""Prints the results of benchmark programs as Markdown tables.

  bazel run -c opt //bench:copy_bench -- --benchmark_out=/tmp/copy.json
  bench/tables/bench_tables.py /tmp/copy.json ...

Medians are taken where a run has repetitions. Three kinds of programs are known
by what they report:
  - pairs of ours and a rival (bench/pair.h): sizes down, cases across; each
    cell is our GB/s and, in brackets, how many times the rival's speed that is;
  - allocators: CPU time for an allocation and its free, allocators across;
  - the rest: CPU time of each case, threads across.
"""

import argparse
import json
import re
import sys

UNITS = {"ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9}


def table(head, rows):
    """One Markdown table; the first column is text, the others are numbers."""
    lines = [head, ["---"] + ["---:"] * (len(head) - 1)] + rows
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def size_name(size):
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            return f"{size:g} {unit}"
        size /= 1024
    raise AssertionError


def ns_name(ns):
    for limit, unit in ((1e3, "ns"), (1e6, "us"), (1e9, "ms")):
        if ns < limit:
            return f"{ns * 1e3 / limit:.3g} {unit}"
    return f"{ns / 1e9:.3g} s"


def load(path):
    """The context of a run, and its rows: medians if there are any."""
    with open(path, encoding="utf-8") as file:
        data = json.load(file)
    rows = [r for r in data["benchmarks"] if not r.get("error_occurred")]
    for row in data["benchmarks"]:
        if row.get("error_occurred"):
            print(f"{path}: {row['name']}: {row['error_message']}", file=sys.stderr)
    medians = [r for r in rows if r.get("aggregate_name") == "median"]
    return data["context"], medians or [r for r in rows if r["run_type"] == "iteration"]


def parts(row):
    """'BM_X/bytes:64/real_time/threads:2' -> ['X'], {'bytes': '64', 'threads': '2'}."""
    words, named = [], {}
    for word in row["run_name"].split("/"):
        if ":" in word:
            name, value = word.split(":")
            named[name] = value
        elif word not in ("real_time", "manual_time", "process_time"):
            words.append(re.sub("^BM_", "", word))
    return words, named


def pivot(rows, down, across, cell):
    """head and lines of a table; keys in the order of their first appearance."""
    downs, acrosses, cells = [], [], {}
    for row in rows:
        d, a = down(row), across(row)
        if d not in downs:
            downs.append(d)
        if a not in acrosses:
            acrosses.append(a)
        cells[d, a] = cell(row)
    return acrosses, [[d] + [cells.get((d, a), "") for a in acrosses] for d in sorted(downs)]


def pair_tables(rows):
    sized = [r for r in rows if "bytes" in parts(r)[1]]
    for limit in sorted({parts(r)[1].get("max_threads", "") for r in sized}):
        chosen = [r for r in sized if parts(r)[1].get("max_threads", "") == limit]
        heads, lines = pivot(
            chosen,
            down=lambda r: int(parts(r)[1]["bytes"]),
            across=lambda r: parts(r)[0][0],
            cell=lambda r: f"{r['bytes_per_second'] / 1e9:.1f} ({r['of_rival']:.2f})",
        )
        if limit:
            print("max_threads = " + limit + (", as many as pay off" if limit == "0" else "") + ":\n")
        print(table(["bytes"] + heads, [[size_name(line[0])] + line[1:] for line in lines]))
    others = [r for r in rows if r not in sized]
    if others:
        print(table(["case", "ours", "times the rival's speed"],
                    [[parts(r)[0][0], ns_name(r["real_time"] * UNITS[r["time_unit"]]),
                      f"{r['of_rival']:.2f}"] for r in others]))


def allocator_tables(rows):
    threads = sorted({parts(r)[1]["threads"] for r in rows}, key=int)
    for count in threads:
        chosen = [r for r in rows if parts(r)[1]["threads"] == count]

        def down(row):
            words, _ = parts(row)
            if len(words) == 3:
                return (words[1], -1)
            return (words[1], int(words[3]))

        def cell(row):
            text = ns_name(row["cpu_time"] * UNITS[row["time_unit"]] / row["pairs"])
            kept = row.get("kept_bytes", 0)
            return text if len(parts(row)[0]) != 3 or not kept else f"{text}, keeps {size_name(round(kept / 2**20) * 2**20)}"

        heads, lines = pivot(chosen, down, lambda r: parts(r)[0][2], cell)
        print(f"{count} thread{'s' if count != '1' else ''}:\n")
        named = [[f"{'mixed' if line[0][1] < 0 else size_name(line[0][1])}, {line[0][0]} written"]
                 + line[1:] for line in lines]
        print(table(["sizes"] + heads, named))


def plain_table(rows):
    order = []
    for row in rows:
        words, named = parts(row)
        name = "/".join(words + [f"{k}:{v}" for k, v in named.items() if k != "threads"])
        if name not in order:
            order.append(name)

    def down(row):
        words, named = parts(row)
        return order.index("/".join(words + [f"{k}:{v}" for k, v in named.items() if k != "threads"]))

    heads, lines = pivot(rows, down, lambda r: parts(r)[1].get("threads", "1"),
                         lambda r: ns_name(r["cpu_time"] * UNITS[r["time_unit"]]))
    print(table(["case (CPU time of each thread)"] + [f"{h} thread{'s' if h != '1' else ''}" for h in heads],
                [[order[line[0]]] + line[1:] for line in lines]))


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("json", nargs="+", help="what --benchmark_out wrote")
    for path in parser.parse_args().json:
        context, rows = load(path)
        if not rows:
            print(f"{path}: no results", file=sys.stderr)
            continue
        program = context["executable"].split("/")[-1]
        load_average = ", ".join(f"{x:.1f}" for x in context.get("load_avg", []))
        print(f"### {program}\n")
        print(f"{context['date'][:10]}, {context['num_cpus']} CPUs of {context['mhz_per_cpu']} MHz, "
              f"load average {load_average} at the start.\n")
        if all("of_rival" in r for r in rows):
            pair_tables(rows)
        elif all("pairs" in r for r in rows):
            allocator_tables(rows)
        else:
            pairs = [r for r in rows if "of_rival" in r]
            if pairs:
                pair_tables(pairs)
            plain_table([r for r in rows if "of_rival" not in r])


if __name__ == "__main__":
    main()
