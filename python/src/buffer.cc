#include "tenure/python/src/buffer.h"

#include <nanobind/stl/string.h>

#include <algorithm>
#include <vector>

namespace tenure::python {
namespace {

using namespace nb::literals;  // NOLINT(google-build-using-namespace)

uint64_t Elements(const tenure_buffer_info& info) {
  uint64_t count = 1;
  for (int axis = 0; axis < info.rank; ++axis) count *= static_cast<uint64_t>(info.shape[axis]);
  return count;
}

// --- Bytes of Python objects

// A view of an object's bytes, for the time of a call.
class Bytes {
 public:
  // Fails as PyObject_GetBuffer does.
  Bytes(nb::handle object, int flags) {
    if (PyObject_GetBuffer(object.ptr(), &view_, flags) != 0) throw nb::python_error();
  }
  Bytes(const Bytes&) = delete;
  Bytes& operator=(const Bytes&) = delete;
  ~Bytes() { PyBuffer_Release(&view_); }

  const Py_buffer& view() const { return view_; }
  void* data() const { return view_.buf; }
  uint64_t size() const { return static_cast<uint64_t>(view_.len); }

 private:
  Py_buffer view_;
};

// Plain bytes go with every dtype, and everything goes with a buffer of bytes.
void CheckFormat(const Py_buffer& view, const tenure_buffer_info& info, nb::handle object) {
  const std::string format = Plain(view);
  const char* const own = FormatOf(info.dtype);
  if (format == "B" || info.dtype == TENURE_UINT8 || (own != nullptr && format == own)) return;
  RaiseError("InvalidArgument", "the buffer is of " + std::string(tenure_dtype_name(info.dtype)) +
                                    ", and the other side (" +
                                    nb::cast<std::string>(nb::str(object.type())) +
                                    ", elements of format '" + format +
                                    "') is not; convert it first, or give its bytes");
}

void CheckSize(uint64_t theirs, const tenure_buffer_info& info) {
  if (theirs == info.size) return;
  RaiseError("InvalidArgument", "the buffer has " + std::to_string(info.size) +
                                    " bytes, and the other side has " + std::to_string(theirs));
}

bool HasMethod(nb::handle object, const char* name) { return nb::hasattr(object, name); }

void CopyFrom(const Buffer& self, nb::object source) {
  const tenure_buffer_info info = self.Info();
  if (!nb::isinstance<Buffer>(source) && !PyObject_CheckBuffer(source.ptr()) &&
      HasMethod(source, "__dlpack__")) {
    source = nb::module_::import_("tenure").attr("from_dlpack")(source);
  }
  if (nb::isinstance<Buffer>(source)) {
    const Buffer& from = nb::cast<const Buffer&>(source);
    const tenure_buffer_info other = from.Info();
    CheckSize(other.size, info);
    if (other.dtype != info.dtype && other.dtype != TENURE_UINT8 && info.dtype != TENURE_UINT8) {
      RaiseError("InvalidArgument", "a buffer of " + std::string(tenure_dtype_name(other.dtype)) +
                                        " can't be copied to one of " +
                                        tenure_dtype_name(info.dtype) + "; view it first");
    }
    Check(WithoutGil([&] { return tenure_buffer_copy(self.get(), 0, from.get(), 0, info.size); }));
    return;
  }
  source = Help("exportable", source, tenure_dtype_name(info.dtype));
  const Bytes bytes(source, PyBUF_FULL_RO);
  CheckFormat(bytes.view(), info, source);
  CheckSize(bytes.size(), info);
  const Py_buffer& view = bytes.view();
  if (PyBuffer_IsContiguous(&view, 'C') != 0) {
    Check(WithoutGil(
        [&] { return tenure_buffer_copy_in(self.get(), 0, bytes.data(), bytes.size()); }));
    return;
  }
  std::vector<char> dense(bytes.size());
  if (PyBuffer_ToContiguous(dense.data(), &view, view.len, 'C') != 0) throw nb::python_error();
  Check(
      WithoutGil([&] { return tenure_buffer_copy_in(self.get(), 0, dense.data(), dense.size()); }));
}

void CopyTo(const Buffer& self, nb::object target) {
  if (nb::isinstance<Buffer>(target)) {
    CopyFrom(nb::cast<const Buffer&>(target), nb::find(self));
    return;
  }
  const tenure_buffer_info info = self.Info();
  target = Help("exportable", target, tenure_dtype_name(info.dtype));
  const Bytes bytes(target, PyBUF_WRITABLE | PyBUF_C_CONTIGUOUS | PyBUF_FORMAT);
  CheckFormat(bytes.view(), info, target);
  CheckSize(bytes.size(), info);
  Check(WithoutGil(
      [&] { return tenure_buffer_copy_out(self.get(), 0, bytes.data(), bytes.size()); }));
}

void Fill(const Buffer& self, nb::object value) {
  const tenure_buffer_info info = self.Info();
  if (!PyBytes_Check(value.ptr())) {
    value = Help("pattern", value, tenure_dtype_name(info.dtype));
  }
  const nb::bytes pattern = nb::cast<nb::bytes>(value);
  Check(WithoutGil([&] { return tenure_buffer_fill(self.get(), pattern.data(), pattern.size()); }));
}

// --- Views

Buffer Viewed(const Buffer& self, uint64_t offset, tenure_dtype dtype, const Dims& dims) {
  return Made([&](tenure_buffer** made) {
    return tenure_buffer_view(self.get(), offset, dtype, dims.rank, dims.dims.data(), made);
  });
}

Buffer View(const Buffer& self, nb::handle dtype, nb::handle shape, uint64_t offset) {
  const tenure_buffer_info info = self.Info();
  const tenure_dtype type = dtype.is_none() ? info.dtype : DTypeOf(dtype);
  if (!shape.is_none()) return Viewed(self, offset, type, DimsOf(shape));
  if (offset != 0) RaiseError("InvalidArgument", "a view with an offset needs a shape");
  Dims dims{info.rank, {}};
  std::copy_n(info.shape, info.rank, dims.dims.begin());
  const int64_t old_bits = tenure_dtype_bits(info.dtype), bits = tenure_dtype_bits(type);
  if (old_bits != bits) {
    // As with numpy, the last dimension has as many elements as its bytes are.
    int64_t total = 0;
    if (info.rank == 0 || __builtin_mul_overflow(info.shape[info.rank - 1], old_bits, &total) ||
        total % bits != 0) {
      RaiseError("InvalidArgument", "the last dimension can't be divided into elements of " +
                                        std::string(tenure_dtype_name(type)) +
                                        "; give a shape too");
    }
    dims.dims[static_cast<size_t>(info.rank - 1)] = total / bits;
  }
  return Viewed(self, 0, type, dims);
}

Buffer Reshape(const Buffer& self, nb::args shape) {
  const tenure_buffer_info info = self.Info();
  Dims dims = shape.size() == 1 ? DimsOf(shape[0]) : DimsOf(shape);
  int unknown = -1;
  uint64_t known = 1;
  for (int axis = 0; axis < dims.rank; ++axis) {
    const int64_t dim = dims.dims[static_cast<size_t>(axis)];
    if (dim == -1 && unknown < 0) {
      unknown = axis;
    } else if (dim < 0 || __builtin_mul_overflow(known, static_cast<uint64_t>(dim), &known)) {
      RaiseError("InvalidArgument", "a shape has dimensions of 0 or more, and at most one -1");
    }
  }
  const uint64_t elements = Elements(info);
  if (unknown >= 0 && known > 0 && elements % known == 0) {
    dims.dims[static_cast<size_t>(unknown)] = static_cast<int64_t>(elements / known);
  } else if (unknown >= 0 || known != elements) {
    RaiseError("InvalidArgument", "the new shape does not have the buffer's " +
                                      std::to_string(elements) + " elements");
  }
  return Viewed(self, 0, info.dtype, dims);
}

Buffer Sliced(const Buffer& self, int64_t begin, int64_t end) {
  return Made(
      [&](tenure_buffer** made) { return tenure_buffer_slice(self.get(), begin, end, made); });
}

int64_t Length(const Buffer& self) {
  const tenure_buffer_info info = self.Info();
  if (info.rank == 0) throw nb::type_error("a buffer without dimensions has no length");
  return info.shape[0];
}

Buffer Item(const Buffer& self, nb::handle index) {
  const int64_t length = Length(self);
  if (PySlice_Check(index.ptr())) {
    Py_ssize_t begin = 0, end = 0, step = 0;
    if (PySlice_Unpack(index.ptr(), &begin, &end, &step) != 0) throw nb::python_error();
    if (step != 1) RaiseError("InvalidArgument", "slices have the step 1: windows have no gaps");
    PySlice_AdjustIndices(length, &begin, &end, step);
    return Sliced(self, begin, std::max(begin, end));
  }
  if (PyIndex_Check(index.ptr()) == 0) {
    throw nb::type_error("the first dimension is indexed by an int or a slice");
  }
  int64_t number = PyNumber_AsSsize_t(index.ptr(), PyExc_IndexError);
  if (number == -1 && PyErr_Occurred() != nullptr) throw nb::python_error();
  if (number < 0) number += length;
  if (number < 0 || number >= length) {
    const std::string text = "there is no index " + nb::cast<std::string>(nb::str(index)) +
                             ": the first dimension has " + std::to_string(length);
    throw nb::index_error(text.c_str());
  }
  const Buffer row = Sliced(self, number, number + 1);
  const tenure_buffer_info info = row.Info();
  Dims dims{info.rank - 1, {}};
  std::copy_n(info.shape + 1, dims.rank, dims.dims.begin());
  return Viewed(row, 0, info.dtype, dims);
}

// --- Texts

std::string Repr(const Buffer& self) {
  const tenure_buffer_info info = self.Info();
  std::string text = "<tenure.Buffer ";
  if (*info.name != '\0') text += "'" + std::string(info.name) + "' ";
  text += std::string(tenure_dtype_name(info.dtype)) + "[";
  for (int axis = 0; axis < info.rank; ++axis) {
    text += (axis == 0 ? "" : ", ") + std::to_string(info.shape[axis]);
  }
  text += "] in " + std::string(info.space) + ", storage " + std::to_string(info.storage_id);
  if (info.offset != 0) text += " + " + std::to_string(info.offset);
  if (info.allocated == 0) text += ", not allocated";
  if (info.sealed != 0) {
    text += ", sealed";
  } else if (info.read_only != 0) {
    text += ", read-only";
  }
  return text + ">";
}

Buffer To(const Buffer& self, const std::string& space, nb::handle name) {
  const tenure_buffer_info info = self.Info();
  const std::string text = name.is_none() ? info.name : nb::cast<std::string>(name);
  tenure_buffer_options options = TENURE_BUFFER_OPTIONS_INIT;
  options.name = text.c_str();
  Buffer copy = Made([&](tenure_buffer** made) {
    return tenure_buffer_create(space.c_str(), info.dtype, info.rank, info.shape, &options, made);
  });
  Check(WithoutGil([&] { return tenure_buffer_copy(copy.get(), 0, self.get(), 0, info.size); }));
  return copy;
}

uint64_t HostPointer(const Buffer& self) {
  const void* data = nullptr;
  Check(WithoutGil([&] { return tenure_buffer_host_pointer(self.get(), &data); }));
  return reinterpret_cast<uint64_t>(data);
}

uint64_t DevicePointer(const Buffer& self) {
  uint64_t address = 0;
  Check(WithoutGil([&] { return tenure_buffer_device_address(self.get(), 0, &address); }));
  return address;
}

}  // namespace

nb::object Helpers() { return nb::module_::import_("tenure._dtypes"); }

std::string Plain(const Py_buffer& view) {
  std::string format = view.format == nullptr ? "B" : view.format;
  if (!format.empty() && (format[0] == '<' || format[0] == '=' || format[0] == '@' ||
                          (format[0] == '>' && view.itemsize == 1))) {
    format.erase(0, 1);
  }
  if (format == "l") format = view.itemsize == 8 ? "q" : "i";
  if (format == "L") format = view.itemsize == 8 ? "Q" : "I";
  if (format == "c") format = "B";
  return format;
}

Dims DimsOf(nb::handle shape) {
  Dims dims;
  if (PyIndex_Check(shape.ptr()) != 0) {
    dims.rank = 1;
    dims.dims[0] = nb::cast<int64_t>(nb::int_(nb::borrow(shape)));
    return dims;
  }
  for (const nb::handle dim : nb::borrow(shape)) {
    if (dims.rank == TENURE_MAX_RANK) {
      RaiseError("InvalidArgument", "buffers have at most 8 dimensions");
    }
    dims.dims[static_cast<size_t>(dims.rank++)] = nb::cast<int64_t>(nb::int_(nb::borrow(dim)));
  }
  return dims;
}

tenure_dtype DTypeOf(nb::handle dtype) {
  const nb::object name =
      PyUnicode_Check(dtype.ptr()) != 0 ? nb::borrow(dtype) : Help("name_of", dtype);
  const std::string text = nb::cast<std::string>(name);
  tenure_dtype parsed = TENURE_UINT8;
  Check(tenure_dtype_parse(text.c_str(), &parsed));
  return parsed;
}

nb::tuple ShapeTuple(const tenure_buffer_info& info) {
  nb::list dims;
  for (int axis = 0; axis < info.rank; ++axis) dims.append(info.shape[axis]);
  return nb::tuple(dims);
}

const char* FormatOf(tenure_dtype dtype) {
  switch (dtype) {
    case TENURE_FLOAT64:
      return "d";
    case TENURE_FLOAT32:
      return "f";
    case TENURE_FLOAT16:
      return "e";
    case TENURE_INT64:
      return "q";
    case TENURE_INT32:
      return "i";
    case TENURE_INT16:
      return "h";
    case TENURE_INT8:
      return "b";
    case TENURE_UINT64:
      return "Q";
    case TENURE_UINT32:
      return "I";
    case TENURE_UINT16:
      return "H";
    case TENURE_UINT8:
      return "B";
    case TENURE_BOOL:
      return "?";
    case TENURE_COMPLEX64:
      return "Zf";
    case TENURE_COMPLEX128:
      return "Zd";
    default:
      return nullptr;
  }
}

nb::class_<Buffer> BindBuffer(nb::module_& m) {
  nb::class_<Buffer> buffer(m, "Buffer", nb::type_slots(kBufferSlots), nb::is_weak_referenceable(),
                            R"(A handle on bytes: a window of a storage in some memory space.

Making one takes no memory: the storage is allocated when its bytes are first needed. Views
(indexing, slicing, view, reshape) are buffers of the same storage, with the same storage_id.

    >>> import tenure
    >>> x = tenure.empty((4, 3), "float32", name="x")
    >>> x.is_allocated
    False
    >>> x.fill(1.5)
    >>> x[1:3].shape
    (2, 3)
    >>> x[0].storage_id == x.storage_id
    True

numpy, PyTorch and JAX share its bytes through DLPack, and everything that knows Python's buffer
protocol does too: numpy.asarray(x), memoryview(x), bytes(x).)");
  buffer
      .def_prop_ro(
          "shape", [](const Buffer& b) { return ShapeTuple(b.Info()); },
          nb::sig("def shape(self) -> tuple[int, ...]"))
      .def_prop_ro("ndim", [](const Buffer& b) { return b.Info().rank; })
      .def_prop_ro(
          "dtype", [](const Buffer& b) { return std::string(tenure_dtype_name(b.Info().dtype)); },
          "The name of the elements' type, such as 'float32' or 'bfloat16'.")
      .def_prop_ro(
          "space", [](const Buffer& b) { return std::string(b.Info().space); },
          "The memory space, such as 'cpu' or 'cuda:0'.")
      .def_prop_ro("name", [](const Buffer& b) { return std::string(b.Info().name); })
      .def_prop_ro(
          "id", [](const Buffer& b) { return b.Info().id; }, "The number of this handle.")
      .def_prop_ro(
          "storage_id", [](const Buffer& b) { return b.Info().storage_id; },
          "Buffers that share bytes have the same one.")
      .def_prop_ro(
          "offset", [](const Buffer& b) { return b.Info().offset; },
          "Of this window in its storage, in bytes.")
      .def_prop_ro("nbytes", [](const Buffer& b) { return b.Info().size; })
      .def_prop_ro("is_allocated", [](const Buffer& b) { return b.Info().allocated != 0; })
      .def_prop_ro("is_sealed", [](const Buffer& b) { return b.Info().sealed != 0; })
      .def_prop_ro(
          "is_read_only", [](const Buffer& b) { return b.Info().read_only != 0; },
          "It is sealed, or its memory may not be written to.")
      .def_prop_ro("host_pointer", HostPointer,
                   "The host's address of the bytes, as an int. Allocates if needed.")
      .def_prop_ro("device_pointer", DevicePointer,
                   "The device's address of the bytes, as an int. Allocates if needed.")
      .def("__len__", Length)
      .def("__getitem__", Item, "index"_a,
           nb::sig("def __getitem__(self, index: int | slice) -> Buffer"),
           "A view of one element of the first dimension, or of a range of them.")
      .def("view", View, "dtype"_a.none() = nb::none(), "shape"_a.none() = nb::none(),
           "offset"_a = 0,
           nb::sig("def view(self, dtype: object = None, shape: object = None, offset: int = 0) -> "
                   "Buffer"),
           R"(The bytes from `offset` on as another dtype or shape, without a copy.

Without a shape the last dimension becomes longer or shorter, as with numpy.)")
      .def("reshape", Reshape, nb::sig("def reshape(self, *shape: object) -> Buffer"),
           "A view with other dimensions; one of them may be -1.")
      .def("copy_from", CopyFrom, "source"_a,
           nb::sig("def copy_from(self, source: object) -> None"),
           R"(Copies all bytes from a Buffer of any space, bytes, an array, or a DLPack tensor.

Sizes must be the same, and so must dtypes. Bytes (uint8) on either side go with every dtype.)")
      .def("copy_to", CopyTo, "target"_a, nb::sig("def copy_to(self, target: object) -> None"),
           "Copies all bytes to a Buffer of any space, an array, or a bytearray.")
      .def("to", To, "space"_a, "name"_a.none() = nb::none(),
           nb::sig("def to(self, space: str, name: str | None = None) -> Buffer"),
           "A copy in a memory space.")
      .def("fill", Fill, "value"_a, nb::sig("def fill(self, value: object) -> None"),
           "Sets all elements to a number, or repeats a pattern of bytes.")
      .def(
          "allocate",
          [](const Buffer& b) {
            Check(WithoutGil([&] { return tenure_buffer_allocate(b.get()); }));
          },
          "Allocates now what would be allocated at the first use.")
      .def(
          "seal",
          [](const Buffer& b) { Check(WithoutGil([&] { return tenure_buffer_seal(b.get()); })); },
          R"(From now on nothing may write to the storage.

Refused while an array or a tensor that may write to it lives.)")
      .def(
          "wait",
          [](const Buffer& b, bool for_writing, nb::handle timeout) {
            const double seconds = TimeoutOf(timeout);
            Check(WithoutGil(
                [&] { return tenure_buffer_wait(b.get(), for_writing ? 1 : 0, seconds); }));
          },
          "for_writing"_a = false, "timeout"_a.none() = nb::none(),
          nb::sig("def wait(self, for_writing: bool = False, timeout: float | None = None) -> "
                  "None"),
          "Waits for the work of devices that still writes, or for writing also reads.")
      .def(
          "record_use",
          [](const Buffer& b, uint64_t stream, bool writes) {
            Check(WithoutGil([&] {
              return tenure_buffer_record_cuda_use(b.get(), -1, stream, writes ? 1 : 0);
            }));
          },
          "stream"_a, "writes"_a,
          R"(Says that work which a CUDA stream has been given uses the buffer.

The stream is an int, such as torch.cuda.current_stream().cuda_stream. Call it after the launch,
so that the library waits for the kernel before it reads or reuses the bytes.)")
      .def(
          "numpy", [](nb::handle self) { return Help("to_numpy", self); },
          nb::sig("def numpy(self) -> numpy.typing.NDArray"),
          R"(The elements as a numpy array.

Of host memory it is the bytes themselves, read-only if the buffer is; of a device it is a copy.
For types that numpy lacks, such as bfloat16, the package ml_dtypes must be there.)")
      .def(
          "__array__",
          [](nb::handle self, nb::handle dtype, nb::handle copy) {
            return Help("to_array", self, dtype, copy);
          },
          "dtype"_a.none() = nb::none(), "copy"_a.none() = nb::none(),
          nb::sig("def __array__(self, dtype: object = None, copy: bool | None = None) -> "
                  "numpy.typing.NDArray"))
      .def("__repr__", Repr);
  return buffer;
}

}  // namespace tenure::python
