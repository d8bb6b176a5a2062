"""Errors by kind. Each is also the exception of Python that programs expect for it."""


class Error(Exception):
    """Any error of tenure. Its text says what to do."""

    def __str__(self):  # KeyError would put quotes around it
        return str(self.args[0]) if self.args else ""


class Cancelled(Error):
    """The call was cancelled."""


class InvalidArgument(Error, ValueError):
    """An argument can't be right."""


class Timeout(Error, TimeoutError):
    """A time limit has passed."""


class NotFound(Error, KeyError):
    """There is nothing of this name, key or number."""


class AlreadyExists(Error, ValueError):
    """There is something of this key already."""


class PermissionDenied(Error, PermissionError):
    """The system does not allow it."""


class OutOfMemory(Error, MemoryError):
    """There is no memory left, or it is proven that a plan does not fit into the capacity."""


class FailedPrecondition(Error, RuntimeError):
    """It can't be done in this state, such as writing to a sealed buffer."""


class Aborted(Error, RuntimeError):
    """The call was given up because of something that happened at the same time."""


class OutOfRange(Error, IndexError):
    """A range is not within the buffer or the file."""


class Unimplemented(Error, NotImplementedError):
    """This memory space, device or type can't do it."""


class Internal(Error, RuntimeError):
    """A fault of tenure, or an error of a driver."""


class Unavailable(Error, RuntimeError):
    """This machine lacks the device, or the library was built without its driver."""


class DataLoss(Error, OSError):
    """Bytes are gone, such as those of a file that was cut short."""


class ExchangeError(Error, BufferError):
    """The bytes can't be shared with another library as it was asked for."""


# By the numbers of tenure_status.
BY_STATUS = [
    Error,
    Cancelled,
    Error,
    InvalidArgument,
    Timeout,
    NotFound,
    AlreadyExists,
    PermissionDenied,
    OutOfMemory,
    FailedPrecondition,
    Aborted,
    OutOfRange,
    Unimplemented,
    Internal,
    Unavailable,
    DataLoss,
]
