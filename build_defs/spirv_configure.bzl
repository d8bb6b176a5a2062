"""spirv_configure: a compiler of GLSL to SPIR-V, if there is one.

It is glslangValidator (Debian's glslang-tools) or glslc, in VULKAN_SDK or PATH. TENURE_SPIRV=0 uses neither.
"""

_ENV = ["TENURE_SPIRV", "VULKAN_SDK"]

_COMPILERS = {
    "glslangValidator": ["--quiet", "--target-env", "vulkan1.2"],
    "glslc": ["--target-env=vulkan1.2", "-O"],
}

_PROBE = """#version 460
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require
layout(local_size_x = 1) in;
layout(buffer_reference, std430) buffer Word { uint64_t value; };
layout(push_constant) uniform Push { uint64_t address; };
void main() { Word(address).value = 1; }
"""

def _first_line(text):
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    return lines[0] if lines else ""

def _find(ctx, name):
    sdk = ctx.os.environ.get("VULKAN_SDK", "")
    path = ctx.path(sdk + "/bin/" + name) if sdk else None
    return path if path and path.exists else ctx.which(name)

def _find_compiler(ctx):
    """A struct of program, version and options; or of why_missing alone."""
    if ctx.os.environ.get("TENURE_SPIRV", "") == "0":
        return struct(why_missing = "TENURE_SPIRV=0 was set")
    why = "neither glslangValidator nor glslc was found (looked in VULKAN_SDK and PATH)"
    ctx.file("probe.comp", _PROBE)
    for name, options in _COMPILERS.items():
        program = _find(ctx, name)
        if not program:
            continue

        # A compiler that is there may be too old for buffer references.
        probe = ctx.execute([program] + options + ["-o", "probe.spv", "probe.comp"])
        if probe.return_code != 0:
            why = "%s does not work here: %s" % (program, _first_line(probe.stderr + probe.stdout))
            continue
        version = _first_line(ctx.execute([program, "--version"]).stdout)
        return struct(program = program, version = version, options = options, why_missing = "")
    return struct(why_missing = why)

def _spirv_configure_impl(ctx):
    compiler = _find_compiler(ctx)
    have = compiler.why_missing == ""

    # The version is here so that another compiler at the same place compiles anew. What the compiler says is shown
    # only if it fails, because glslangValidator names every source.
    ctx.file("glsl.sh", "#!/bin/sh\n# {version}\nout=$('{program}' \"$@\" 2>&1) || {{ echo \"$out\" >&2; exit 1; }}\n".format(
        program = compiler.program,
        version = compiler.version,
    ) if have else "#!/bin/sh\nexit 1\n", executable = True)
    ctx.file("WORKSPACE", "workspace(name = \"%s\")\n" % ctx.name)
    ctx.file("defs.bzl", "HAVE_SPIRV = %s\nSPIRV_OPTIONS = %s\nWHY_NO_SPIRV = %s\n" % (
        have,
        repr(compiler.options if have else []),
        repr(compiler.why_missing),
    ))
    ctx.file("BUILD.bazel", "exports_files([\"glsl.sh\"])\n")

spirv_configure = repository_rule(
    implementation = _spirv_configure_impl,
    local = True,
    configure = True,
    environ = _ENV,
)
