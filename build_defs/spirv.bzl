"""spirv_shaders: compute shaders as data of the program."""

load("@local_config_spirv//:defs.bzl", "HAVE_SPIRV", "SPIRV_OPTIONS", "WHY_NO_SPIRV")
load(":embedded_images.bzl", "camel_case", "embedded_images")

def spirv_shaders(name, srcs, hdrs = [], **kwargs):
    """Compiles each of `srcs` to SPIR-V for Vulkan 1.2 and embeds the outcome.

    Gives a library with the header "tenure/<package>/<name>.h", which declares, for the source `my_fill.comp`:

        const tenure::EmbeddedImage& tenure::vulkan::MyFillShader();

    Without a compiler (spirv_configure.bzl) the library is there all the same; the images are empty then, and say why.

    Args:
      name: of the library, in snake_case.
      srcs: GLSL compute shaders, named *.comp; their base names must differ.
      hdrs: labels of what they include, of this repository; by paths from its top.
      **kwargs: of the library.
    """
    # The top of this repository, also where it is a dependency of another workspace.
    repository = native.repository_name().lstrip("@")
    top = "external/" + repository if repository else "."
    images = {}
    for src in srcs:
        base = src.split("/")[-1][:-len(".comp")]
        image = name + "_" + base + ".spv"
        images[camel_case(base) + "Shader"] = image if HAVE_SPIRV else ""
        if HAVE_SPIRV:
            native.genrule(
                name = name + "_" + base + "_spirv",
                srcs = [src] + hdrs,
                outs = [image],
                cmd = " ".join(["$(execpath @local_config_spirv//:glsl.sh)"] + SPIRV_OPTIONS +
                               ["-I" + top, "-o $@", "$(execpath %s)" % src]),
                message = "Compiling a shader",
                tools = ["@local_config_spirv//:glsl.sh"],
            )
    embedded_images(
        name = name,
        images = images,
        namespace = "tenure::vulkan",
        why_missing = WHY_NO_SPIRV,
        **kwargs
    )
