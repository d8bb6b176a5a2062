#!/usr/bin/env python3
"""The binary interface of libtenure.so is that of c/abi.txt: its functions, the values and the structs of its header.

A line that is gone or different breaks programs that are built already, so it needs a new major version. New lines are
added with

  bazel run //tests/c:abi_test -- --write
"""
import os
import subprocess
import sys

LIBRARY, LAYOUT, KNOWN = (os.path.realpath(path) for path in sys.argv[1:4])


def output(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.decode()


def interface():
    functions = []
    for line in output("nm", "-D", "--defined-only", "--with-symbol-versions", LIBRARY).splitlines():
        kind, name = line.split()[1:3]
        if kind == "T":
            functions.append("function " + name.replace("@@", " "))
        elif kind != "A" and not (kind.islower() and "@" not in name):
            functions.append("symbol %s %s" % (kind, name))  # nothing else should be seen
    return sorted(functions) + output(LAYOUT).splitlines()


def needed():
    lines = output("readelf", "-d", LIBRARY).splitlines()
    names = [line.split("[")[1].split("]")[0] for line in lines if "(NEEDED)" in line]
    # What sanitizers bring is not the library's.
    return [n for n in names if "san" not in n and "clang_rt" not in n]


def main():
    now = interface()
    if "--write" in sys.argv:
        with open(KNOWN, "w", encoding="utf-8") as f:
            f.write("\n".join(now) + "\n")
        return 0
    known = open(KNOWN, encoding="utf-8").read().splitlines()
    failed = False
    for line in known:
        if line not in now:
            print("gone or changed, which breaks programs: " + line)
            failed = True
    for line in now:
        if line not in known:
            print("new, add it (see above): " + line)
            failed = True
    names = needed()
    others = [n for n in names if n.split(".so")[0] not in ("libc", "libm", "ld-linux-x86-64")]
    if "libc.so.6" not in names or ("--sanitized" not in sys.argv and others):
        print("the library needs %s, and should need libc and libm only" % names)
        failed = True
    print("%d lines" % len(now))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
