"""header_examples: C++ sources made of templates and the examples that stand in headers' comments."""

def _impl(ctx):
    headers = depset(transitive = [d[CcInfo].compilation_context.headers for d in ctx.attr.deps])
    ours = [
        h
        for h in headers.to_list()
        if "/_virtual_includes/" in h.path and "/tenure/" in h.path and not h.short_path.startswith("..")
    ]
    sources = [
        ctx.actions.declare_file(t.basename[:-len(".in")])
        for t in ctx.files.templates
    ]
    arguments = ctx.actions.args()
    for template, source in zip(ctx.files.templates, sources):
        arguments.add_all("--template", [template, source])
    for header in ctx.attr.not_compiled:
        arguments.add("--not-compiled", header)
    arguments.add_all("--headers", ours)
    arguments.use_param_file("@%s")
    arguments.set_param_file_format("multiline")
    ctx.actions.run(
        executable = ctx.executable._extract,
        arguments = [arguments],
        inputs = ctx.files.templates + ours,
        outputs = sources,
        mnemonic = "HeaderExamples",
    )
    return [DefaultInfo(files = depset(sources))]

header_examples = rule(
    implementation = _impl,
    attrs = {
        "templates": attr.label_list(allow_files = [".cc.in"]),
        "deps": attr.label_list(providers = [CcInfo]),
        "not_compiled": attr.string_dict(),
        "_extract": attr.label(
            default = Label("//tests/header_examples:extract"),
            executable = True,
            cfg = "host",
        ),
    },
)
