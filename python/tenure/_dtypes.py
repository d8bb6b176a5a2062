"""Types of elements: what other libraries call them, and how numbers are written in them."""

import math
import struct

from . import _errors

# Those that Python's struct module and numpy have: name, format.
FORMATS = {
    "float64": "d",
    "float32": "f",
    "float16": "e",
    "int64": "q",
    "int32": "i",
    "int16": "h",
    "int8": "b",
    "uint64": "Q",
    "uint32": "I",
    "uint16": "H",
    "uint8": "B",
    "bool": "?",
    "complex64": "Zf",
    "complex128": "Zd",
}
_OF_FORMAT = {text: name for name, text in FORMATS.items()}
_PYTHON = {float: "float64", int: "int64", bool: "bool", complex: "complex128"}
_WORDS = {8: "uint8", 16: "uint16"}

# Small floating-point types: bits of the exponent and of the mantissa, bias, and what the largest exponent
# means: "ieee" (infinities and NaN), "fn" (NaN is all ones, the rest are numbers), "fnuz" (NaN is minus zero),
# "none" (only numbers).
_SMALL = {
    "bfloat16": (8, 7, 127, "ieee"),
    "float8_e4m3fn": (4, 3, 7, "fn"),
    "float8_e5m2": (5, 2, 15, "ieee"),
    "float8_e4m3fnuz": (4, 3, 8, "fnuz"),
    "float8_e5m2fnuz": (5, 2, 16, "fnuz"),
    "float4_e2m1fn": (2, 1, 1, "none"),
}
_NARROW = {"int4": (-8, 7, 4), "uint4": (0, 15, 4), "int2": (-2, 1, 2), "uint2": (0, 3, 2)}


def name_of(dtype):
    """The name of a dtype of Python, numpy, PyTorch, JAX or ml_dtypes."""
    if isinstance(dtype, type) and dtype in _PYTHON:
        return _PYTHON[dtype]
    for attribute in ("name", "__name__"):
        name = getattr(dtype, attribute, None)
        if isinstance(name, str):
            return name.rstrip("_")
    name = getattr(getattr(dtype, "dtype", None), "name", None)  # jax.numpy.float32
    return name if isinstance(name, str) else str(dtype).rpartition(".")[2]


def _small(value, dtype):
    exponent_bits, mantissa_bits, bias, kind = _SMALL[dtype]
    width = 1 + exponent_bits + mantissa_bits
    sign = (math.copysign(1, value) < 0) << (width - 1)
    ones = (1 << (width - 1)) - 1
    infinity = ((1 << exponent_bits) - 1) << mantissa_bits
    largest = {"ieee": infinity - 1, "fn": ones - 1}.get(kind, ones)
    if math.isnan(value):
        if kind == "none":
            raise _errors.InvalidArgument("%s has no NaN" % dtype)
        return {"ieee": infinity | 1 << (mantissa_bits - 1), "fn": ones, "fnuz": 1 << (width - 1)}[kind]
    if math.isinf(value):
        if kind != "ieee":
            raise _errors.InvalidArgument("%s has no infinity" % dtype)
        return sign | infinity
    # In steps of the last bit, rounded to even; Python's round does that.
    _, exponent = math.frexp(abs(value))  # abs(value) = fraction * 2**exponent, the fraction from 0.5 on
    exponent = max(exponent - 1, 1 - bias) if value else 1 - bias
    steps = round(math.ldexp(abs(value), mantissa_bits - exponent))
    # A mantissa that was rounded up to the next power of two carries over into the exponent.
    code = steps + ((exponent + bias - 1) << mantissa_bits)
    if code > largest:
        if kind == "ieee":
            return sign | infinity
        raise _errors.InvalidArgument("%s is too large for %s" % (value, dtype))
    return 0 if kind == "fnuz" and code == 0 else sign | code


def pattern(value, dtype):
    """The bytes of one element; of two or four that are narrower than a byte."""
    try:
        if dtype in ("complex64", "complex128"):
            value = complex(value)
            return struct.pack("<2" + FORMATS[dtype][1], value.real, value.imag)
        if dtype in ("float64", "float32", "float16"):
            return struct.pack("<" + FORMATS[dtype], float(value))
        if dtype == "float8_e8m0fnu":  # powers of two
            value = float(value)
            if math.isnan(value):
                return b"\xff"
            fraction, exponent = math.frexp(value)
            if fraction != 0.5 or not -127 <= exponent - 1 <= 127:
                raise _errors.InvalidArgument("%s is not a power of two that float8_e8m0fnu has" % value)
            return bytes([exponent + 126])
        if dtype in _SMALL:
            code = _small(float(value), dtype)
            if dtype == "float4_e2m1fn":
                return bytes([code | code << 4])
            return code.to_bytes(2 if dtype == "bfloat16" else 1, "little")
        if dtype in _NARROW:
            smallest, largest, bits = _NARROW[dtype]
            number = value.__index__()
            if not smallest <= number <= largest:
                raise _errors.InvalidArgument("%s has the numbers from %d to %d" % (dtype, smallest, largest))
            number &= (1 << bits) - 1
            return bytes([sum(number << shift for shift in range(0, 8, bits))])
        if dtype == "bool":
            return struct.pack("?", bool(value))
        return struct.pack("<" + FORMATS[dtype], value.__index__())
    except (struct.error, OverflowError) as error:
        raise _errors.InvalidArgument("%s can't be a %s: %s" % (value, dtype, error)) from None
    except (AttributeError, TypeError, ValueError) as error:
        if isinstance(error, _errors.Error):
            raise
        raise TypeError("%r can't be a %s" % (value, dtype)) from None


def exportable(source, dtype):
    """The object, as one whose bytes Python's buffer protocol gives. Arrays of types that it lacks go as words."""
    name = getattr(getattr(source, "dtype", None), "name", None)
    if name is None or name in FORMATS or not hasattr(source, "itemsize"):
        return source
    if dtype not in (None, "uint8") and name != dtype:
        raise _errors.InvalidArgument("the buffer is of %s, and the array of %s; convert it first" % (dtype, name))
    if dtype is None and (name in _NARROW or name == "float4_e2m1fn"):
        raise _errors.ExchangeError("the array has a byte for each %s, and buffers pack them: convert it" % name)
    if dtype is not None:  # plain bytes go with every dtype
        import numpy

        return numpy.ascontiguousarray(source).view("uint8") if source.ndim else source.reshape(1).view("uint8")
    return source.view(_WORDS[8 * source.itemsize]) if 8 * source.itemsize in _WORDS else source


def dtype_of(source, format):
    """The dtype of an object whose buffer has this format."""
    name = getattr(getattr(source, "dtype", None), "name", None)
    if isinstance(name, str):
        if FORMATS.get(name, format) != format:
            raise _errors.ExchangeError("the array's %s is not in the byte order of this machine: convert it" % name)
        return name
    if format not in _OF_FORMAT:
        raise _errors.ExchangeError("buffers have no elements of the format '%s'; say which dtype they are" % format)
    return _OF_FORMAT[format]


def _numpy_dtype(numpy, dtype):
    if dtype in FORMATS:
        return numpy.dtype(dtype)
    try:
        import ml_dtypes

        found = numpy.dtype(getattr(ml_dtypes, dtype))
    except (ImportError, AttributeError, TypeError):
        raise _errors.Unimplemented(
            "numpy has no %s: install the package ml_dtypes, or view the buffer as uint8 or uint16" % dtype
        ) from None
    return found


def to_numpy(buffer):
    import numpy

    dtype = buffer.dtype
    if dtype in _NARROW or dtype == "float4_e2m1fn":
        raise _errors.Unimplemented("numpy has no elements narrower than a byte, such as %s: view it as uint8" % dtype)
    target = _numpy_dtype(numpy, dtype)
    if not _is_of_host(buffer):
        made = numpy.empty(buffer.shape, target)
        if made.size:
            buffer.copy_to(made)
        return made
    words = buffer if dtype in FORMATS else buffer.view(_WORDS[8 * target.itemsize])
    # By way of a memoryview, which says whether the bytes may be written to.
    made = numpy.asarray(memoryview(words))
    return made if dtype in FORMATS else made.view(target)


def _is_of_host(buffer):
    try:
        return buffer.__dlpack_device__()[0] != 2
    except _errors.ExchangeError:
        return False


def to_array(buffer, dtype, copy):
    if copy is False and not _is_of_host(buffer):
        raise ValueError("an array of %s is always a copy" % buffer.space)
    made = to_numpy(buffer)
    if dtype is not None and made.dtype != dtype:
        if copy is False:
            raise ValueError("another dtype needs a copy")
        return made.astype(dtype)
    return made.copy() if copy else made
