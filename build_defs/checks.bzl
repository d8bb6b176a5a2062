"""Checks of our sources as Bazel actions: cached, parallel, repeated only for what has changed.

  headers_aspect   the headers of libraries compile by themselves, with more warnings than our own
                   sources get: they stand in other people's programs, under their warnings
  tidy_aspect      clang-tidy (.clang-tidy at the top) over each source, tests and benchmarks apart
  warnings_aspect  the compiler's warnings over each source, without compiling what it depends on

    bazel build //... --aspects=//build_defs:checks.bzl%headers_aspect --output_groups=checks

The results of one source are also an output group of its own, `tidy/` and the source's path with `:` for `/`.
tools/dev/tidy and .ci/run use them.
"""

load("@bazel_tools//tools/build_defs/cc:action_names.bzl", "ACTION_NAMES")
load("@bazel_tools//tools/cpp:toolchain_utils.bzl", "find_cpp_toolchain")

# -Wconversion and what else a careful user of a header may have on.
_HEADER_COPTS = [
    "-Wall",
    "-Wextra",
    "-Wconversion",
    "-Wshadow",
    "-Wpedantic",
    "-Wold-style-cast",
    "-Werror",
]

def _ours(target, ctx):
    if ctx.rule.kind not in ["cc_binary", "cc_library"] or CcInfo not in target:
        return False
    return not target.label.workspace_name and not ctx.rule.attr.testonly

def _compiler(target, ctx, copts):
    """The compiler and its command line for a source of the target; third-party headers are system headers."""
    toolchain = find_cpp_toolchain(ctx)
    features = cc_common.configure_features(
        ctx = ctx,
        cc_toolchain = toolchain,
        requested_features = ctx.features,
        unsupported_features = ctx.disabled_features,
    )
    compilation = target[CcInfo].compilation_context
    quote = compilation.quote_includes.to_list()
    theirs = [d for d in quote if "external/" in d]
    variables = cc_common.create_compile_variables(
        feature_configuration = features,
        cc_toolchain = toolchain,
        user_compile_flags = ctx.fragments.cpp.copts + ctx.fragments.cpp.cxxopts + copts,
        include_directories = compilation.includes,
        quote_include_directories = depset([d for d in quote if d not in theirs]),
        system_include_directories = depset(theirs, transitive = [compilation.system_includes]),
        preprocessor_defines = depset(
            getattr(ctx.rule.attr, "local_defines", []),
            transitive = [compilation.defines],
        ),
    )
    return struct(
        name = toolchain.compiler,
        program = cc_common.get_tool_for_action(
            feature_configuration = features,
            action_name = ACTION_NAMES.cpp_compile,
        ),
        flags = cc_common.get_memory_inefficient_command_line(
            feature_configuration = features,
            action_name = ACTION_NAMES.cpp_compile,
            variables = variables,
        ),
        files = toolchain.all_files,
        headers = compilation.headers,
    )

def _headers_impl(target, ctx):
    if not _ours(target, ctx) or target.label.package.startswith("tools"):
        return [OutputGroupInfo()]
    prefix = getattr(ctx.rule.attr, "include_prefix", "")
    headers = [f for h in getattr(ctx.rule.attr, "hdrs", []) for f in h.files.to_list() if f.extension == "h"]
    if not prefix or not headers:
        return [OutputGroupInfo()]
    compiler = _compiler(target, ctx, _HEADER_COPTS)

    # All headers of a target together, for their warnings. Whether a header includes what it needs is the same
    # question to every compiler, so that clang, the faster one, is asked of each header alone. A header x.h
    # with a source x.cc needs no such question: the source includes it first (tools/dev/include_graph
    # sees to that), so that compiling the source has answered it.
    units = {"headers": headers}
    if compiler.name == "clang":
        stems = [f.basename[:-len(".cc")] for s in ctx.rule.attr.srcs for f in s.files.to_list() if f.extension == "cc"]
        units.update({h.basename: [h] for h in headers if h.basename[:-len(".h")] not in stems and len(headers) > 1})
    done = []
    for name, members in units.items():
        stem = "%s.checks/%s" % (target.label.name, name)
        source = ctx.actions.declare_file(stem + ".cc")
        includes = ["#include \"%s/%s\"\n" % (prefix, h.basename) for h in members]
        ctx.actions.write(source, "".join(includes + includes))  # twice: for the guard
        stamp = ctx.actions.declare_file(stem + ".ok")
        ctx.actions.run_shell(
            outputs = [stamp],
            inputs = depset([source], transitive = [compiler.headers, compiler.files]),
            command = "stamp=$1; shift; \"$@\" && : >$stamp",
            arguments = [stamp.path, compiler.program] + compiler.flags + ["-fsyntax-only", source.path],
            mnemonic = "CheckHeaders",
            progress_message = "Checking headers of %s: %s" % (target.label, name),
        )
        done.append(stamp)
    return [OutputGroupInfo(checks = depset(done))]

def _tidy_impl(target, ctx):
    if not _ours(target, ctx):
        return [OutputGroupInfo()]
    sources = [f for s in ctx.rule.attr.srcs for f in s.files.to_list() if f.extension == "cc" and f.is_source]
    if not sources:
        return [OutputGroupInfo()]
    compiler = _compiler(target, ctx, ctx.rule.attr.copts)
    own_headers = [f for s in ctx.rule.attr.srcs for f in s.files.to_list() if f.extension == "h"]
    done = []
    of_source = {}
    for source in sources:
        stamp = ctx.actions.declare_file("%s.checks/%s.tidy" % (target.label.name, source.basename))
        ctx.actions.run_shell(
            outputs = [stamp],
            inputs = depset(
                [source, ctx.file._config] + own_headers,
                transitive = [compiler.headers, compiler.files],
            ),
            # Its count of suppressed warnings is of no use; headers are named by where they lie.
            command = """
stamp=$1 config=$2 source=$3; shift 3
if said=$(clang-tidy --quiet --config-file="$config" "$source" -- "$@" 2>&1); then : >"$stamp"; exit; fi
sed -E '/^[0-9]+ warnings? /d; /^Suppressed /d
  s#[^ ]*/_virtual_includes/[^/]*/tenure/##; s#'"$PWD"'/##' <<<"$said" >&2
exit 1
""",
            arguments = [stamp.path, ctx.file._config.path, source.path] + compiler.flags,
            mnemonic = "ClangTidy",
            progress_message = "Running clang-tidy on %s" % source.short_path,
            use_default_shell_env = True,
        )
        done.append(stamp)
        of_source["tidy/" + source.short_path.replace("/", ":")] = depset([stamp])
    return [OutputGroupInfo(checks = depset(done), **of_source)]

def _warnings_impl(target, ctx):
    if ctx.rule.kind not in ["cc_binary", "cc_library"] or CcInfo not in target or target.label.workspace_name:
        return [OutputGroupInfo()]
    files = [f for s in ctx.rule.attr.srcs for f in s.files.to_list()]
    compiler = _compiler(target, ctx, ctx.rule.attr.copts)
    done = []
    for source in [f for f in files if f.extension == "cc"]:
        stamp = ctx.actions.declare_file("%s.checks/%s.warnings" % (target.label.name, source.basename))
        ctx.actions.run_shell(
            outputs = [stamp],
            inputs = depset(
                [source] + [f for f in files if f.extension in ["h", "inc"]],
                transitive = [compiler.headers, compiler.files],
            ),
            command = "stamp=$1; shift; \"$@\" && : >$stamp",
            arguments = [stamp.path, compiler.program] + compiler.flags + ["-fsyntax-only", source.path],
            mnemonic = "CheckWarnings",
            progress_message = "Checking warnings of %s" % source.short_path,
        )
        done.append(stamp)
    return [OutputGroupInfo(checks = depset(done))]

_TOOLCHAIN = {
    "_cc_toolchain": attr.label(default = Label("@bazel_tools//tools/cpp:current_cc_toolchain")),
}

headers_aspect = aspect(
    implementation = _headers_impl,
    attrs = _TOOLCHAIN,
    fragments = ["cpp"],
    toolchains = ["@bazel_tools//tools/cpp:toolchain_type"],
)

tidy_aspect = aspect(
    implementation = _tidy_impl,
    attrs = dict(
        _TOOLCHAIN,
        _config = attr.label(default = Label("//:.clang-tidy"), allow_single_file = True),
    ),
    fragments = ["cpp"],
    toolchains = ["@bazel_tools//tools/cpp:toolchain_type"],
)

warnings_aspect = aspect(
    implementation = _warnings_impl,
    attrs = _TOOLCHAIN,
    fragments = ["cpp"],
    toolchains = ["@bazel_tools//tools/cpp:toolchain_type"],
)
