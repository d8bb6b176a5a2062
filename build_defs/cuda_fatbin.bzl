"""cuda_fatbin: CUDA kernels as data of the program."""

load("@local_config_cuda//:defs.bzl", "HAVE_NVCC", "NVCC_OPTIONS", "WHY_NO_NVCC")
load(":embedded_images.bzl", "camel_case", "embedded_images")

def cuda_fatbin(name, src, hdrs = [], nvcc_options = [], **kwargs):
    """Compiles `src` for every architecture that is asked for (cuda_configure.bzl) and embeds the outcome.

    Gives a library with the header "tenure/<package>/<name>.h", which declares, for the name `my_kernels`:

        const tenure::EmbeddedImage& MyKernels();

    Without a working nvcc the library is there all the same; the image is empty then, and says why.

    Args:
      name: of the library, in snake_case.
      src: the .cu file.
      hdrs: what it includes, of this repository; by paths from its top.
      nvcc_options: more options.
      **kwargs: of the library.
    """
    image = []
    if HAVE_NVCC:
        image = [name + ".fatbin"]
        native.genrule(
            name = name + "_fatbin",
            srcs = [src] + hdrs,
            outs = image,
            # Not compressed: older drivers can't read what newer compilers compress with.
            cmd = " ".join(["$(execpath @local_config_cuda//:nvcc.sh)", "-fatbin", "-no-compress", "-std=c++17", "-O3"] +
                           ["-I.", "-Werror=all-warnings"] + NVCC_OPTIONS + nvcc_options +
                           ["-o $@", "$(execpath %s)" % src]),
            message = "Compiling CUDA kernels",
            tools = ["@local_config_cuda//:nvcc.sh"],
        )
    embedded_images(
        name = name,
        images = {camel_case(name): image[0] if image else ""},
        why_missing = WHY_NO_NVCC,
        **kwargs
    )
