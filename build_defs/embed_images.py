#!/usr/bin/env python3
"""Writes the header and the source of a library that holds compiled kernels (cuda_fatbin.bzl, spirv.bzl)."""
import argparse

HEADER = """// Generated from the sources of kernels.

#ifndef {guard}
#define {guard}

#include "tenure/build_defs/embedded_image.h"

namespace {namespace} {{

{functions}

}}  // namespace {namespace}

#endif  // {guard}
"""

SOURCE = """#include "{include}"

namespace {namespace} {{

{functions}

}}  // namespace {namespace}
"""

FUNCTION = """const EmbeddedImage& {name}() {{
{data}  return kImage;
}}"""


def c_string(text):
    """As a C++ literal, on one line."""
    out = []
    for byte in " ".join(text.split()).encode():
        plain = 32 <= byte < 127 and chr(byte) not in '"\\?'
        out.append(chr(byte) if plain else "\\%03o" % byte)
    return '"%s"' % "".join(out)


def data(path, why_missing):
    if why_missing is not None:
        return "  static constexpr EmbeddedImage kImage = {nullptr, 0,\n      %s};\n" % c_string(why_missing)
    with open(path, "rb") as file:
        image = file.read()
    if not image:
        raise SystemExit("%s is empty" % path)
    lines = ["  alignas(16) static constexpr unsigned char kBytes[] = {\n"]
    for at in range(0, len(image), 16):
        lines.append("      %s,\n" % ", ".join("%d" % b for b in image[at:at + 16]))
    lines.append("  };\n  static constexpr EmbeddedImage kImage = {kBytes, sizeof(kBytes), \"\"};\n")
    return "".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for option in ["header", "source", "include"]:
        parser.add_argument("--" + option, required=True)
    parser.add_argument("--namespace", default="tenure")
    parser.add_argument("--why_missing", help="why there are no images; the functions are there all the same")
    parser.add_argument("images", nargs="+", metavar="FUNCTION=FILE", help="a function and the image that it returns")
    args = parser.parse_args()

    images = [image.partition("=")[::2] for image in args.images]
    guard = args.include.upper().replace("/", "_").replace(".", "_").replace("-", "_") + "_"
    with open(args.header, "w") as file:
        file.write(HEADER.format(
            guard=guard,
            namespace=args.namespace,
            functions="\n".join("const EmbeddedImage& %s();" % name for name, _ in images)))
    with open(args.source, "w") as file:
        file.write(SOURCE.format(
            include=args.include,
            namespace=args.namespace,
            functions="\n\n".join(FUNCTION.format(name=name, data=data(path, args.why_missing)) for name, path in images)))


if __name__ == "__main__":
    main()
