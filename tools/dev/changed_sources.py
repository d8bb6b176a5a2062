#!/usr/bin/env python3
"""Names the sources that a check has to read again because of what changed since all were clean, a line each.

  tools/dev/changed_sources.py FILE           FILE says what all sources held when they were clean
  tools/dev/changed_sources.py --write FILE   writes it: all sources are clean as they are now

A line of the file is git's hash of a source's contents, and its path. So it says the same in every clone and after
commits have been rewritten.

These are the changed sources themselves and, for each changed header, the source x.cc beside x.h or else one that
includes it. If the rules of the checks changed, all sources are named. Sources in tests/ and bench/,
which clang-tidy does not read, are not.
"""
import os
import subprocess
import sys

import sources

# What decides how every source is read.
RULES = (".clang-tidy", "build_defs/checks.bzl", "build_defs/tenure.bzl", "third_party/sources.bzl")


def select(changed, includes):
    """The sources to read again. `includes` maps each source of the repository to what it includes."""
    programs = sorted(p for p in includes if p.endswith(".cc") and not p.startswith(("tests/", "bench/")))
    if any(rule in changed for rule in RULES):
        return programs
    selected = {p for p in programs if p in changed}
    for path in sorted(changed):
        if path not in includes or path.endswith(".cc"):
            continue
        beside = os.path.splitext(path)[0] + ".cc"
        if beside in programs:
            selected.add(beside)
            continue
        # One that includes it, if need be by way of other headers.
        reached, waiting = {path}, [path]
        while waiting:
            wanted = waiting.pop(0)
            users = sorted(p for p in includes if wanted in includes[p] and p not in reached)
            found = [p for p in users if p in programs]
            if found:
                selected.add(found[0])
                break
            reached.update(users)
            waiting += users
    return sorted(selected)


def contents(root=sources.ROOT):
    """Maps each source, and each file that decides how sources are read, to a hash of what it holds."""
    paths = sources.cpp_sources(root) + [p for p in RULES if os.path.isfile(os.path.join(root, p))]
    hashes = subprocess.run(["git", "hash-object", "--stdin-paths"], cwd=root, check=True, stdout=subprocess.PIPE,
                            input="\n".join(paths).encode()).stdout.decode().split()
    return dict(zip(paths, hashes))


def parse(text):
    """What contents() gave when the text was written."""
    return {path: digest for digest, path in (line.split(None, 1) for line in text.splitlines() if line.strip())}


def changed(before, now):
    """The paths whose contents differ, new ones and those that are gone included."""
    return {path for path in before.keys() | now.keys() if before.get(path) != now.get(path)}


def main(arguments):
    if len(arguments) == 2 and arguments[0] == "--write":
        with open(arguments[1], "w", encoding="utf-8") as f:
            f.writelines("%s %s\n" % (digest, path) for path, digest in sorted(contents().items()))
        return 0
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print(__doc__)
        return 2
    with open(arguments[0], encoding="utf-8") as f:
        before = parse(f.read())
    includes = sources.include_graph(sources.cpp_sources())
    print("\n".join(select(changed(before, contents()), includes)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
