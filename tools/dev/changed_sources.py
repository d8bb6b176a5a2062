#!/usr/bin/env python3
"""Names the sources that a check has to read again because of what changed since a commit, a line each.

  tools/dev/changed_sources.py COMMIT

These are the changed sources themselves and, for each changed header, the source x.cc beside x.h or else one that
includes it. If the rules of the checks changed, all sources are named. Sources in tests/ are not.
"""
import os
import subprocess
import sys

import sources

# What decides how every source is read.
RULES = (".clang-tidy", "build_defs/checks.bzl", "build_defs/tenure.bzl", "third_party/sources.bzl")


def select(changed, includes):
    """The sources to read again. `includes` maps each source of the repository to what it includes."""
    programs = sorted(p for p in includes if p.endswith(".cc") and not p.startswith("tests/"))
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


def changed_since(commit, root=sources.ROOT):
    """What differs between a commit and the working tree, new files included. Raises if there is no such commit."""
    def git(*args):
        return subprocess.run(["git", *args], cwd=root, check=True, stdout=subprocess.PIPE).stdout.decode().split("\0")
    return set(git("diff", "-z", "--name-only", "--no-renames", commit, "--") +
               git("ls-files", "-z", "--others", "--exclude-standard"))


def main(arguments):
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print(__doc__)
        return 2
    includes = sources.include_graph(sources.cpp_sources())
    print("\n".join(select(changed_since(arguments[0]), includes)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
