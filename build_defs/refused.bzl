"""refused_dependencies: a target that does not analyse, and says why; and the test that such a target is refused."""

def _refused_dependencies_impl(ctx):
    fail("\n" + "\n".join(ctx.attr.faults))

refused_dependencies = rule(
    implementation = _refused_dependencies_impl,
    attrs = {"faults": attr.string_list(mandatory = True)},
    provides = [CcInfo],
)

def _refusal_test_impl(ctx):
    target = ctx.attr.target[0]  # a list, because the attribute has a transition
    if AnalysisFailureInfo not in target:
        return [AnalysisTestResultInfo(success = False, message = "%s was analysed" % target.label)]
    said = "\n".join([c.message for c in target[AnalysisFailureInfo].causes.to_list()])
    return [AnalysisTestResultInfo(
        success = ctx.attr.says in said,
        message = "'%s' is not in what was said:\n%s" % (ctx.attr.says, said),
    )]

refusal_test = rule(
    doc = "Passes if the analysis of `target` fails and the message contains `says`.",
    implementation = _refusal_test_impl,
    analysis_test = True,
    attrs = {
        "says": attr.string(mandatory = True),
        "target": attr.label(
            mandatory = True,
            cfg = analysis_test_transition(settings = {"//command_line_option:allow_analysis_failures": "True"}),
        ),
    },
)
