#!/usr/bin/env python3
"""Unpacks third-party sources of third_party/sources.bzl for CMake, patched as Bazel has them.

An archive comes from the folder that tools/dev/fetch_sources fills, or else from its authors; always by its
sha256. What is unpacked already is left alone.
"""
import argparse
import hashlib
import importlib.machinery
import importlib.util
import os
import re
import shutil
import sys
import tarfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PATCHES = os.path.join(ROOT, "third_party", "patches")


def load_fetch_sources():
    loader = importlib.machinery.SourceFileLoader("fetch_sources", os.path.join(ROOT, "tools", "dev", "fetch_sources"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


fetch_sources = load_fetch_sources()


def archive(name, source, folders):
    """The path of the archive in one of the folders; it is downloaded into the last one if it is in none."""
    for folder in folders:
        file = fetch_sources.have(folder, source)
        if file:
            return os.path.join(folder, file)
    os.makedirs(folders[-1], exist_ok=True)
    print("tenure: downloading", flush=True)
    failed = fetch_sources.from_upstream({name: source}, folders[-1])
    if failed:
        sys.exit("tenure: %s is not in %s, and could not be downloaded: %s\ntenure: %s brings it" % (
            source["file"], folders[0], failed[name], os.path.join(ROOT, "tools", "dev", "fetch_sources")))
    return os.path.join(folders[-1], fetch_sources.have(folders[-1], source))


def unpack(path, into):
    """Unpacks an archive without the folder that all of it is in, if there is one."""
    with tarfile.open(path) as tar:
        members = tar.getmembers()
        tops = {m.name.split("/")[0] for m in members}
        top = tops.pop() if len(tops) == 1 else ""
        kept = []
        for m in members:
            m.name = m.name[len(top):].lstrip("/") if top and m.name.startswith(top) else m.name
            if m.islnk() and m.linkname.startswith(top):
                m.linkname = m.linkname[len(top):].lstrip("/")
            if m.name:
                kept.append(m)
        if hasattr(tarfile, "data_filter"):
            tar.extraction_filter = tarfile.data_filter
        tar.extractall(into, kept)


def read_from(path, name):
    """A text file of an archive."""
    with tarfile.open(path) as tar:
        return tar.extractfile(name).read().decode()


def apply_hunks(text, hunks):
    """Applies the hunks, each a pair of old and new lines and the old position, to the lines of a text."""
    lines = text.split("\n")
    shift = 0
    for at, old, new in hunks:
        expected = max(at - 1 + shift, 0)
        places = [i for i in range(len(lines) - len(old) + 1) if lines[i:i + len(old)] == old]
        if not places:
            return None
        place = min(places, key=lambda i: abs(i - expected))
        lines[place:place + len(old)] = new
        shift = place - (at - 1) + len(new) - len(old)
    return "\n".join(lines)


def parse_patch(text):
    """{path: hunks} of a unified diff with a/ and b/ before the paths; it changes files, and makes or removes none."""
    files, lines, i = {}, text.split("\n"), 0
    hunks = None
    while i < len(lines):
        if lines[i].startswith("--- a/") and lines[i + 1].startswith("+++ b/"):
            hunks = files.setdefault(lines[i + 1][len("+++ b/"):].split("\t")[0], [])
            i += 2
            continue
        match = re.match(r"@@ -(\d+)(?:,(\d+))? \+\d+(?:,(\d+))? @@", lines[i])
        i += 1
        if not match or hunks is None:
            continue
        at, old_count, new_count = [int(g) if g is not None else 1 for g in match.groups()]
        old, new = [], []
        while len(old) < old_count or len(new) < new_count:
            mark, rest = lines[i][:1], lines[i][1:]
            i += 1
            if mark == "\\":
                continue
            if mark != "+":
                old.append(rest)
            if mark != "-":
                new.append(rest)
        hunks.append((at, old, new))
    return files


def patch(folder, text, what):
    for name, hunks in parse_patch(text).items():
        path = os.path.join(folder, name)
        with open(path, encoding="utf-8") as f:
            patched = apply_hunks(f.read(), hunks)
        if patched is None:
            sys.exit("tenure: %s does not fit %s" % (what, path))
        with open(path, "w", encoding="utf-8") as f:
            f.write(patched)


def provide(name, table, folders, into):
    source = table[name]
    ours = {}
    for p in source.get("patches", []):
        with open(os.path.join(PATCHES, p), encoding="utf-8") as f:
            ours[p] = f.read()
    with open(os.path.abspath(__file__), "rb") as f:
        key = hashlib.sha256(repr((source, ours)).encode() + f.read()).hexdigest()
    folder = os.path.join(into, name)
    stamp = folder + ".stamp"
    if os.path.isdir(folder) and os.path.exists(stamp):
        with open(stamp, encoding="utf-8") as f:
            if f.read() == key:
                return
    shutil.rmtree(folder, ignore_errors=True)
    fresh = folder + ".new"
    shutil.rmtree(fresh, ignore_errors=True)
    unpack(archive(name, source, folders), fresh)
    if "debian_patches" in source:
        packaging = name + " (patches)"
        path = archive(packaging, table[packaging], folders)
        for p in source["debian_patches"]["apply"]:
            patch(fresh, read_from(path, p), p)
    for p, text in ours.items():
        patch(fresh, text, p)
    os.rename(fresh, folder)
    with open(stamp, "w", encoding="utf-8") as f:
        f.write(key)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--archives", default=fetch_sources.distdir(), help="the folder with the archives")
    parser.add_argument("--into", required=True, help="where a folder for each of the sources goes")
    parser.add_argument("names", nargs="+", help="names of third_party/sources.bzl")
    args = parser.parse_args()
    os.makedirs(args.into, exist_ok=True)
    table = fetch_sources.load_table()
    for name in args.names:
        provide(name, table, [args.archives, os.path.join(args.into, "archives")], args.into)


if __name__ == "__main__":
    main()
