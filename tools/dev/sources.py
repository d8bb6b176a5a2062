"""The C++ sources of the repository and what they include, for the scripts of this folder."""
import os
import re
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

EXTENSIONS = (".h", ".cc", ".cu", ".inc")

_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*["<]([^">]+)[">]', re.M)


def tracked(root=ROOT, *patterns):
    """Paths of the files that git tracks, and of new ones that it does not ignore, if they are there."""
    said = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns],
                          cwd=root, check=True, stdout=subprocess.PIPE).stdout.decode()
    return sorted({p for p in said.split("\0") if p and os.path.isfile(os.path.join(root, p))})


def cpp_sources(root=ROOT):
    return [p for p in tracked(root) if p.endswith(EXTENSIONS)]


def read(path, root=ROOT):
    with open(os.path.join(root, path), encoding="utf-8") as f:
        return f.read()


def without_prefix(name):
    """`tenure/base/ids.h`, as it is included, is the file base/ids.h."""
    return name[len("tenure/"):] if name.startswith("tenure/") else name


def all_includes(path, root=ROOT):
    """What a source includes, in its order: paths of the repository, and names of other headers as they are."""
    return [without_prefix(name) for name in _INCLUDE.findall(read(path, root))]


def include_graph(paths, root=ROOT):
    """Maps each path to those of `paths` that it includes."""
    known = set(paths)
    return {path: [name for name in all_includes(path, root) if name in known] for path in paths}


def main_header(path, known):
    """The header x.h beside the source x.cc; None if there is none."""
    header = os.path.splitext(path)[0] + ".h"
    return header if path.endswith(".cc") and header in known else None
