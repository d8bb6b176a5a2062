"""joined_source: one source that includes several, so that what they all include is compiled once."""

def _joined_source_impl(ctx):
    ctx.actions.write(ctx.outputs.out, "".join(["#include \"%s\"\n" % s.path for s in ctx.files.srcs]))

joined_source = rule(
    implementation = _joined_source_impl,
    attrs = {
        "out": attr.output(mandatory = True),
        "srcs": attr.label_list(mandatory = True, allow_files = [".cc"]),
    },
)
