#!/usr/bin/env python3
"""Writes compile_commands.json at the top of the repository, for clangd and other tools, by `bazel aquery`.

  tools/dev/compdb.py [--config=clang or other options for Bazel] [TARGETS]    all targets, if none is named

Headers included as "tenure/..." resolve to the files of the repository, not to Bazel's links to them, so
that going to a definition opens the file one edits. Third-party headers are there once Bazel has fetched
them, and the sources of tests once they have been joined: run tools/test or a build before.
"""
import json
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def bazel(*args):
    result = subprocess.run(["bazel", *args], cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if result.returncode:
        sys.exit("tools/dev/compdb.py: bazel %s failed:\n%s" % (args[0], result.stderr))
    return result.stdout


def include_folder(output_base):
    """A folder in which `tenure` is the repository."""
    folder = os.path.join(output_base, "compdb")
    link = os.path.join(folder, "tenure")
    os.makedirs(folder, exist_ok=True)
    if not os.path.islink(link) or os.readlink(link) != ROOT:
        if os.path.lexists(link):
            os.unlink(link)
        os.symlink(ROOT, link)
    return folder


def members(source, execution_root):
    """The sources of the repository that are compiled with `source`: itself, or what a joined one includes."""
    if source.endswith("_joined.cc") and source.startswith("bazel-out/"):
        try:
            with open(os.path.join(execution_root, source), encoding="utf-8") as f:
                return [line.split('"')[1] for line in f]
        except OSError:
            return []  # not built yet
    return [] if source.startswith(("external/", "bazel-out/")) else [source]


def main(args):
    if args[:1] in (["-h"], ["--help"]):
        print(__doc__)
        return 0
    options = [a for a in args if a.startswith("-")]
    targets = [a for a in args if not a.startswith("-")] or ["//..."]
    info = dict(line.split(": ", 1) for line in bazel("info", "execution_root", "output_base").splitlines())
    ours = "-I" + include_folder(info["output_base"])
    query = 'mnemonic("CppCompile", %s)' % " + ".join(targets)
    actions = json.loads(bazel("aquery", "--output=jsonproto", *options, query)).get("actions", [])
    entries = {}
    for action in actions:
        command = action["arguments"]
        source = command[command.index("-c") + 1]
        # g++'s own option, which clangd does not know.
        command = [a for a in command if a != "-fno-canonical-system-headers"]
        for member in members(source, info["execution_root"]):
            path = os.path.join(ROOT, member)
            entries[path] = {
                "directory": info["execution_root"],
                "file": path,
                "arguments": [command[0], ours] + [path if a == source else a for a in command[1:]],
            }
    path = os.path.join(ROOT, "compile_commands.json")
    with open(path + ".new", "w", encoding="utf-8") as f:
        json.dump(list(entries.values()), f, indent=1)
    os.replace(path + ".new", path)
    print("%s: %d sources" % (path, len(entries)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
