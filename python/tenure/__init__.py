"""Tensor buffers in any memory space, and a planner that packs a compiler's buffers into one arena.

Buffers are lazy handles, which numpy, PyTorch and JAX share without a copy:

    >>> import tenure
    >>> x = tenure.empty((2, 3), "float32")     # takes no memory yet
    >>> x.fill(1)
    >>> a = x.numpy()                           # the same bytes
    >>> a[0, 0] = 5
    >>> x[0].numpy().tolist()
    [5.0, 1.0, 1.0]

  empty, zeros                  new ones, in 'cpu', 'cuda:0', 'vulkan:0', ...
  from_dlpack, from_numpy       of another library's tensor
  asbuffer                      of anything that has bytes
  map_file                      of a file
  Buffer                        what can be done with them

Planning needs no buffers, only sizes and lifetimes, or the steps of a schedule:

  pack                          lifetimes in, offsets out
  Schedule, Plan                a schedule by keys of your own; where everything goes; placing it
  plan_trace                    plans a recorded schedule

Errors are subclasses of tenure.Error, and of the exception that Python has for such a case: tenure.OutOfMemory is a
MemoryError. stats(space) tells what memory is in use.
"""

from typing import NamedTuple

from . import _tenure
from ._errors import (
    Aborted,
    AlreadyExists,
    Cancelled,
    DataLoss,
    Error,
    ExchangeError,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    NotFound,
    OutOfMemory,
    OutOfRange,
    PermissionDenied,
    Timeout,
    Unavailable,
    Unimplemented,
)
from ._packing import Packing, pack
from ._schedule import Arena, Placed, Placement, Plan, Schedule, Step, plan_trace
from ._tenure import Buffer, asbuffer, empty, from_dlpack, map_file, trim

__version__ = _tenure.version


def zeros(shape, dtype: object = "float32", space: str = "cpu", name=None, alignment: int = 0) -> Buffer:
    """A new buffer that reads as zeros until it is written. It takes no memory until it is used."""
    return empty(shape, dtype, space, name, alignment, True)


def from_numpy(array, name=None) -> Buffer:
    """A buffer of the bytes of a numpy array, without a copy. The array is kept.

    Types of ml_dtypes, such as bfloat16, work as well. An array that is read-only gives a buffer that refuses writes.
    """
    return asbuffer(array, name=name)


class Stats(NamedTuple):
    """The memory of a space, in bytes."""

    in_use_bytes: int
    in_use_count: int
    peak_in_use_bytes: int
    reserved_bytes: int  # taken from the system or the driver
    cached_bytes: int  # reserved and not in use
    deferred_bytes: int  # freed, and still used by a device


def stats(space: str = "cpu") -> Stats:
    """What memory of a space is in use.

    >>> import tenure
    >>> tenure.stats("cpu").in_use_bytes >= 0
    True
    """
    return Stats(*_tenure.stats(space))


for _object in (Buffer, asbuffer, empty, from_dlpack, map_file, trim):
    try:
        _object.__module__ = __name__
    except (AttributeError, TypeError):
        pass  # functions of the extension may not allow it
del _object

__all__ = [name for name in globals() if not name.startswith("_") and name != "NamedTuple"]
