"""The layers of the repository, and which of them a layer may use.

A place is a path without an extension: `allocator/registry` stands for the file registry.h of the folder
allocator and for the target //allocator:registry. It belongs to the layer that has the longest matching
beginning in LAYERS.

Two programs read this file: Bazel (tenure.bzl refuses dependencies between targets) and Python
(tools/dev/include_graph refuses includes between files). It therefore holds only what both languages have.
"""

# From bottom to top: the places of a layer, and the layers that it may use besides itself. The folders of a
# layer that is `apart` may not use each other.
LAYERS = {
    "base": {
        "places": ["base", "build_defs"],
        "uses": [],
    },
    "contracts": {
        "places": ["allocator", "allocator/timeline"],
        "uses": ["base"],
    },
    "parts": {
        "places": [
            "allocator/copy",
            "allocator/decorators",
            "allocator/pool",
            "allocator/support",
        ],
        "uses": ["base", "contracts"],
    },
    "drivers": {
        "places": [
            "allocator/cpu",
            "allocator/cuda",
            "allocator/mmap",
            "allocator/null",
            "allocator/vulkan",
        ],
        "uses": ["base", "contracts", "parts"],
        "apart": True,
    },
    "builtin": {
        "places": ["allocator/builtin", "allocator/registry", "allocator/registry_without_drivers"],
        "uses": ["base", "contracts", "parts", "drivers"],
    },
    # Neither the runtime nor the planner names a driver.
    "runtime": {
        "places": ["runtime"],
        "uses": ["base", "contracts", "parts"],
    },
    # What several APIs or processes share. It finds what it needs by capabilities, and names no driver either.
    "interop": {
        "places": ["runtime/interop"],
        "uses": ["base", "contracts", "parts", "runtime"],
    },
    "packing": {
        "places": ["planner/packing"],
        "uses": ["base"],
    },
    "planner": {
        "places": ["planner"],
        "uses": ["base", "contracts", "parts", "runtime", "packing"],
    },
    "execution": {
        "places": ["planner/execution"],
        "uses": ["base", "contracts", "parts", "runtime", "packing", "planner"],
    },
    "tools": {
        "places": ["c", "python", "tools"],
        "uses": ["base", "contracts", "parts", "drivers", "builtin", "runtime", "interop", "packing", "planner", "execution"],
    },
    "tests": {
        "places": ["bench", "examples", "tests"],
        "uses": ["base", "contracts", "parts", "drivers", "builtin", "runtime", "interop", "packing", "planner", "execution", "tools"],
    },
}

# Pairs of places whose targets may break the rule for now, for instance ("allocator/copy", "allocator/cuda"); their
# includes are faults all the same. An entry that is no longer needed must go: tools/dev/include_graph says so.
BROKEN_TODAY = [
]

def _within(place, beginning):
    return place == beginning or place.startswith(beginning + "/")

def layer_of(place):
    """Returns (layer, beginning) for the longest beginning of `place` in LAYERS; (None, None) without one."""
    found = (None, None)
    for layer in LAYERS:
        for beginning in LAYERS[layer]["places"]:
            if _within(place, beginning) and (found[1] == None or len(beginning) > len(found[1])):
                found = (layer, beginning)
    return found

def place_of_label(label, package):
    """Returns the place of a target named from a package; None for one of another repository."""
    if label.startswith("@"):
        return None
    if label.startswith(":"):
        return package + "/" + label[1:]
    if not label.startswith("//"):
        return package + "/" + label
    path = label[2:].split(":")
    return path[0] + "/" + (path[1] if len(path) > 1 else path[0].split("/")[-1])

def layer_fault(user, used):
    """Returns why the place `user` may not use the place `used`; None if it may."""
    upper, upper_place = layer_of(user)
    lower, lower_place = layer_of(used)
    if upper == None or lower == None:
        unknown = user if upper == None else used
        return "%s belongs to no layer of build_defs/layers.bzl: add its folder there" % unknown
    if upper == lower:
        if upper_place == lower_place or not LAYERS[upper].get("apart"):
            return None
        return "%s may not use %s: the folders of the layer '%s' do not use each other" % (user, used, upper)
    if lower in LAYERS[upper]["uses"]:
        return None
    return "%s may not use %s: the layer '%s' uses only %s" % (
        user,
        used,
        upper,
        ", ".join(["'%s'" % u for u in LAYERS[upper]["uses"]]) or "itself",
    ) + ", and that is in the layer '%s'" % lower

def is_broken_today(user, used):
    for entry in BROKEN_TODAY:
        if _within(user, entry[0]) and _within(used, entry[1]):
            return True
    return False
