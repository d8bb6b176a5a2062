"""embedded_images: a library that holds compiled kernels as data. cuda_fatbin and spirv_shaders end in it."""

load(":tenure.bzl", "tenure_cc_library")

def camel_case(name):
    return "".join([part.capitalize() for part in name.split("_")])

def embedded_images(name, images, why_missing, namespace = "tenure", **kwargs):
    """Gives a library with the header "tenure/<package>/<name>.h", which declares a function for each image.

    Args:
      name: of the library, in snake_case.
      images: from the name of a function to the file that holds its image; "" if there is none.
      why_missing: what the functions say where the files are missing.
      namespace: of the functions.
      **kwargs: of the library.
    """
    files = [image for image in images.values() if image]
    native.genrule(
        name = name + "_embedded",
        srcs = files,
        outs = [name + ".h", name + ".cc"],
        cmd = " ".join(
            ["$(execpath //build_defs:embed_images.py)"] +
            ["--header=$(execpath %s.h)" % name, "--source=$(execpath %s.cc)" % name] +
            ["--include=tenure/%s/%s.h" % (native.package_name(), name), "--namespace=" + namespace] +
            ([] if files else ["--why_missing='%s'" % why_missing.replace("'", "")]) +
            ["%s=%s" % (f, "$(execpath %s)" % image if image else "") for f, image in images.items()],
        ),
        tools = ["//build_defs:embed_images.py"],
    )
    tenure_cc_library(
        name = name,
        srcs = [name + ".cc"],
        hdrs = [name + ".h"],
        deps = ["//build_defs:embedded_image"],
        **kwargs
    )
