"""Makes C++ sources of templates and of the examples in headers' comments.

An example begins below a line `// Example:` and is indented by three blanks. It ends where a comment line
is indented less. The line `// [example: runtime/buffer.h]` of a template stands for the example of that
header. Every header with an example must be in a template, or be named by --not-compiled.
"""
import argparse
import re
import sys

PLACE = re.compile(r"^ *// \[example: (\S+)\]$")


def example_of(text):
    """Returns the lines of the header's example and the number of the first, or None if it has none."""
    lines = text.split("\n")
    starts = [i for i, line in enumerate(lines) if re.match(r"^// Example\b.*:$", line)]
    if not starts:
        return None
    code = []
    for line in lines[starts[0] + 1:]:
        if not re.match(r"^//(   .*)?$", line):
            break
        code.append(line[5:])
    while code and not code[-1]:
        code.pop()
    return code, starts[0] + 2


def fill(template, name, examples):
    """Returns the template with its examples in place, and which those are."""
    out, used = ['#line 1 "%s"' % name], []
    for number, line in enumerate(template.split("\n"), 1):
        place = PLACE.match(line)
        if not place:
            out.append(line)
            continue
        header = place.group(1)
        if header not in examples:
            sys.exit("%s:%d: there is no example in %s" % (name, number, header))
        code, first = examples[header]
        out += ['#line %d "%s"' % (first, header)] + code + ['#line %d "%s"' % (number + 1, name)]
        used.append(header)
    return "\n".join(out), used


def main():
    parser = argparse.ArgumentParser(fromfile_prefix_chars="@")
    parser.add_argument("--template", nargs=2, action="append", default=[])
    parser.add_argument("--not-compiled", action="append", default=[])
    parser.add_argument("--headers", nargs="*", default=[])
    args = parser.parse_args()
    examples = {}
    for path in args.headers:
        with open(path, encoding="utf-8") as f:
            example = example_of(f.read())
        if example:
            examples[path.rpartition("/tenure/")[2]] = example
    used = list(args.not_compiled)
    for path, out in args.template:
        with open(path, encoding="utf-8") as f:
            text, here = fill(f.read(), path, examples)
        with open(out, "w", encoding="utf-8") as f:
            f.write(text)
        used += here
    missing = sorted(set(examples) - set(used))
    gone = sorted(set(args.not_compiled) - set(examples))
    if missing:
        sys.exit("No template in tests/header_examples has the example of: " + ", ".join(missing))
    if gone:
        sys.exit("These headers have no example any more; remove them from not_compiled: " + ", ".join(gone))


if __name__ == "__main__":
    main()
