"""DLPack's structs in ctypes, to look into capsules and to make some."""

import ctypes


class Tensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_number", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]


DELETER = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class Unversioned(ctypes.Structure):
    _fields_ = [("tensor", Tensor), ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p)]


class Versioned(ctypes.Structure):
    _fields_ = [
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("context", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
        ("flags", ctypes.c_uint64),
        ("tensor", Tensor),
    ]


READ_ONLY, COPIED = 1, 2

_api = ctypes.pythonapi
_api.PyCapsule_GetPointer.restype = ctypes.c_void_p
_api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
_api.PyCapsule_GetName.restype = ctypes.c_char_p
_api.PyCapsule_GetName.argtypes = [ctypes.py_object]
_api.PyCapsule_SetName.argtypes = [ctypes.py_object, ctypes.c_char_p]
_api.PyCapsule_New.restype = ctypes.py_object
_api.PyCapsule_New.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]

_NAMES = {b"dltensor_versioned": Versioned, b"dltensor": Unversioned}
_kept = []  # PyCapsule_SetName keeps the address of the name


def name_of(capsule):
    return _api.PyCapsule_GetName(capsule)


def look(capsule):
    """The struct in a fresh capsule."""
    name = name_of(capsule)
    made = _NAMES[name].from_address(_api.PyCapsule_GetPointer(capsule, name))
    made.capsule = capsule  # which owns it
    return made


def take(capsule):
    """The struct in a capsule, which from now on has to be ended with end()."""
    made = look(capsule)
    name = b"used_" + name_of(capsule)
    _kept.append(name)
    _api.PyCapsule_SetName(capsule, name)
    return made


def end(struct):
    DELETER(struct.deleter)(ctypes.addressof(struct))


class Producer:
    """A library whose tensor is 4 float32 in a bytearray, and which counts the calls of its deleter."""

    def __init__(self, versioned=True, major=1, flags=0, fields=None, capsules_without_version=False):
        self.ended = 0
        self.data = bytearray(16)
        self._memory = (ctypes.c_char * 16).from_buffer(self.data)
        self._shape = (ctypes.c_int64 * 1)(4)
        self.asked = []
        self.old = capsules_without_version
        self.struct = Versioned() if versioned else Unversioned()
        if versioned:
            self.struct.major, self.struct.flags = major, flags
        tensor = self.struct.tensor
        tensor.data, tensor.ndim = ctypes.addressof(self._memory), 1
        tensor.device_type, tensor.code, tensor.bits, tensor.lanes = 1, 2, 32, 1
        tensor.shape = ctypes.cast(self._shape, ctypes.POINTER(ctypes.c_int64))
        for name, value in (fields or {}).items():
            setattr(tensor, name, value)

        def ended(_):
            self.ended += 1

        self._deleter = DELETER(ended)
        self.struct.deleter = ctypes.cast(self._deleter, ctypes.c_void_p)
        _kept.append(self)  # what C holds is never freed

    def __dlpack_device__(self):
        return (self.struct.tensor.device_type, 0)

    def __dlpack__(self, **arguments):
        self.asked.append(arguments)
        if self.old and "max_version" in arguments:
            raise TypeError("__dlpack__() got an unexpected keyword argument 'max_version'")
        name = b"dltensor_versioned" if isinstance(self.struct, Versioned) else b"dltensor"
        _kept.append(name)
        return _api.PyCapsule_New(ctypes.addressof(self.struct), name, None)
