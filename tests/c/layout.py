#!/usr/bin/env python3
"""Writes a C program that prints what the C library's header fixes: values, and where members of structs lie.

  layout.py HEADER >layout.c
"""
import re
import sys

header = re.sub(r"/\*.*?\*/", "", open(sys.argv[1], encoding="utf-8").read(), flags=re.S)
print("#include <stddef.h>\n#include <stdio.h>\n#include \"tenure/tenure.h\"\nint main(void) {")
for body in re.findall(r"enum \{(.*?)\}", header, re.S):
    for name in re.findall(r"(\w+)\s*=", body):
        print('  printf("value %s %%d\\n", (int)%s);' % (name, name))
for name, body in re.findall(r"typedef struct (\w+) \{(.*?)\}", header, re.S):
    print('  printf("struct %s %%zu\\n", sizeof(%s));' % (name, name))
    for member in re.findall(r"(\w+)(?:\[\w+\])?;", body):
        print('  printf("member %s.%s %%zu %%zu\\n", offsetof(%s, %s), sizeof(((%s*)0)->%s));' %
              (name, member, name, member, name, member))
print("  return 0;\n}")
