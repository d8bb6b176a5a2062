// Buffers of new memory, of files and of Python's objects; and their bytes for Python's buffer protocol.

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <string>

#include "tenure/python/src/buffer.h"
#include "tenure/python/src/dlpack_types.h"

namespace tenure::python {
namespace {

using namespace nb::literals;  // NOLINT(google-build-using-namespace)

// --- The buffer protocol

struct Exported {
  Py_ssize_t shape[TENURE_MAX_RANK], strides[TENURE_MAX_RANK];
  DLManagedTensorVersioned* tensor;
};

int GetBuffer(PyObject* object, Py_buffer* view, int flags) {
  view->obj = nullptr;
  try {
    const Buffer& self = nb::cast<const Buffer&>(nb::handle(object));
    const tenure_buffer_info info = self.Info();
    if ((flags & PyBUF_F_CONTIGUOUS) == PyBUF_F_CONTIGUOUS && info.rank > 1) {
      RaiseError("ExchangeError",
                 "buffers are in row-major order, and column-major order was asked for");
    }
    const char* const format = FormatOf(info.dtype);
    if (format == nullptr) {
      RaiseError("ExchangeError", "Python's buffers have no " +
                                      std::string(tenure_dtype_name(info.dtype)) +
                                      "; use numpy(), or view it as uint8 or uint16");
    }
    int32_t type = 0, number = 0;
    CheckExchange(tenure_buffer_dlpack_device(self.get(), &type, &number));
    if (type == kCuda) {
      RaiseError("ExchangeError", "the host can't read memory of " + std::string(info.space) +
                                      "; copy it with numpy() or to('cpu')");
    }
    // A tensor keeps the bytes, and keeps them from being sealed while they may be written.
    DLManagedTensorVersioned* tensor = nullptr;
    CheckExchange(
        WithoutGil([&] { return tenure_buffer_to_dlpack(self.get(), nullptr, &tensor); }));
    const bool read_only = (tensor->flags & kReadOnlyFlag) != 0;
    if (read_only && (flags & PyBUF_WRITABLE) != 0) {
      tensor->deleter(tensor);
      RaiseError("ExchangeError", "the buffer is sealed or read-only, and can't be written to");
    }
    auto* const kept = new Exported;
    kept->tensor = tensor;
    for (int axis = 0; axis < info.rank; ++axis) {
      kept->shape[axis] = static_cast<Py_ssize_t>(tensor->tensor.shape[axis]);
      kept->strides[axis] =
          static_cast<Py_ssize_t>(static_cast<uint64_t>(tensor->tensor.strides[axis]) *
                                  (tenure_dtype_bits(info.dtype) / 8));
    }
    static char nothing = 0;
    view->buf = tensor->tensor.data == nullptr ? &nothing : tensor->tensor.data;
    view->len = static_cast<Py_ssize_t>(info.size);
    view->itemsize = tenure_dtype_bits(info.dtype) / 8;
    view->readonly = read_only ? 1 : 0;
    view->format = (flags & PyBUF_FORMAT) != 0 ? const_cast<char*>(format) : nullptr;
    view->ndim = info.rank;
    view->shape = (flags & PyBUF_ND) == PyBUF_ND ? kept->shape : nullptr;
    view->strides = (flags & PyBUF_STRIDES) == PyBUF_STRIDES ? kept->strides : nullptr;
    view->suboffsets = nullptr;
    view->internal = kept;
    view->obj = object;
    Py_INCREF(object);
    return 0;
  } catch (nb::python_error& error) {
    error.restore();
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_BufferError, error.what());
  }
  return -1;
}

void ReleaseBuffer(PyObject*, Py_buffer* view) {
  auto* const kept = static_cast<Exported*>(view->internal);
  const ReleasedGil released;
  kept->tensor->deleter(kept->tensor);
  delete kept;
}

// --- Memory of Python objects

void EndView(void* context) {
  auto* const view = static_cast<Py_buffer*>(context);
  PyBuffer_Release(view);
  delete view;
}

Buffer FromBytes(nb::object object, nb::handle dtype, nb::handle shape, nb::handle name) {
  const std::string text = name.is_none() ? "" : nb::cast<std::string>(name);
  const nb::object with_bytes = Help("exportable", object, nb::none());
  auto* const view = new Py_buffer;
  if (PyObject_GetBuffer(with_bytes.ptr(), view, PyBUF_FULL_RO) != 0) {
    delete view;
    throw nb::python_error();
  }
  // Whoever fails from here on gives the view back.
  struct Hold {
    Py_buffer* view;
    ~Hold() {
      if (view != nullptr) EndView(view);
    }
  } hold{view};
  if (PyBuffer_IsContiguous(view, 'C') == 0) {
    RaiseError("ExchangeError", "the array is not contiguous in row-major order; make it so first");
  }
  tenure_dtype type = TENURE_UINT8;
  Dims dims;
  if (!dtype.is_none()) {
    type = DTypeOf(dtype);
    dims = shape.is_none() ? Dims{1, {view->len * 8 / tenure_dtype_bits(type)}} : DimsOf(shape);
  } else {
    const nb::object own = Help("dtype_of", object, Plain(*view));
    type = DTypeOf(own);
    if (view->ndim > TENURE_MAX_RANK) {
      RaiseError("ExchangeError", "buffers have at most 8 dimensions");
    }
    dims.rank = view->ndim;
    for (int axis = 0; axis < view->ndim; ++axis) {
      dims.dims[static_cast<size_t>(axis)] = view->shape[axis];
    }
    if (!shape.is_none()) dims = DimsOf(shape);
  }
  int64_t bits = tenure_dtype_bits(type);
  for (int axis = 0; axis < dims.rank; ++axis) {
    if (__builtin_mul_overflow(bits, dims.dims[static_cast<size_t>(axis)], &bits) || bits < 0) {
      RaiseError("InvalidArgument", "the shape is larger than the memory of the object");
    }
  }
  if ((bits + 7) / 8 > view->len) {
    RaiseError("InvalidArgument", "the shape takes " + std::to_string((bits + 7) / 8) +
                                      " bytes, and the object has " + std::to_string(view->len));
  }
  tenure_buffer_options options = TENURE_BUFFER_OPTIONS_INIT;
  options.name = text.c_str();
  hold.view = nullptr;  // the library gives it back now, even if it fails
  return Made([&](tenure_buffer** made) {
    return tenure_buffer_wrap(
        "cpu", type, dims.rank, dims.dims.data(), view->buf, view->readonly,
        [](void* context) { RunWithPython(EndView, context); }, view, &options, made);
  });
}

Buffer Empty(nb::handle shape, nb::handle dtype, const std::string& space, nb::handle name,
             uint64_t alignment, bool zeroed) {
  const std::string text = name.is_none() ? "" : nb::cast<std::string>(name);
  const Dims dims = DimsOf(shape);
  const tenure_dtype type = DTypeOf(dtype);
  tenure_buffer_options options = TENURE_BUFFER_OPTIONS_INIT;
  options.name = text.c_str();
  options.alignment = alignment;
  options.zeroed = zeroed ? 1 : 0;
  return Made([&](tenure_buffer** made) {
    return tenure_buffer_create(space.c_str(), type, dims.rank, dims.dims.data(), &options, made);
  });
}

Buffer MapFile(nb::handle path, nb::handle shape, nb::handle dtype, uint64_t offset,
               nb::handle name) {
  const std::string file = nb::cast<std::string>(nb::module_::import_("os").attr("fspath")(path));
  const std::string text = name.is_none() ? "" : nb::cast<std::string>(name);
  const Dims dims = DimsOf(shape);
  const tenure_dtype type = DTypeOf(dtype);
  tenure_buffer_options options = TENURE_BUFFER_OPTIONS_INIT;
  options.name = text.c_str();
  return Made([&](tenure_buffer** made) {
    return tenure_buffer_map_file(file.c_str(), offset, type, dims.rank, dims.dims.data(), &options,
                                  made);
  });
}

}  // namespace

PyType_Slot kBufferSlots[] = {{Py_bf_getbuffer, reinterpret_cast<void*>(GetBuffer)},
                              {Py_bf_releasebuffer, reinterpret_cast<void*>(ReleaseBuffer)},
                              {0, nullptr}};

void BindMemory(nb::module_& m) {
  m.def("empty", Empty, "shape"_a, "dtype"_a = "float32", "space"_a = "cpu",
        "name"_a.none() = nb::none(), "alignment"_a = 0, "zeroed"_a = false,
        nb::sig("def empty(shape: int | collections.abc.Sequence[int], dtype: object = 'float32', "
                "space: str = 'cpu', name: str | None = None, alignment: int = 0, zeroed: bool = "
                "False) -> Buffer"),
        R"(A new buffer, which takes no memory until it is used.

The space is 'cpu', 'null', 'cuda:0', 'cuda-unified:0', 'cuda-pinned:0', 'vulkan:0',
'vulkan-upload:0' or 'vulkan-readback:0'. With `zeroed` it reads as zeros until it is written.

    >>> tenure.empty((2, 3), "bfloat16", name="weights").nbytes
    12)");
  m.def("map_file", MapFile, "path"_a, "shape"_a, "dtype"_a, "offset"_a = 0,
        "name"_a.none() = nb::none(),
        nb::sig("def map_file(path: str | os.PathLike, shape: int | "
                "collections.abc.Sequence[int], dtype: object, offset: int = 0, name: str | None = "
                "None) -> Buffer"),
        R"(A read-only window of a file, from the byte `offset` on.

The file is mapped once for all its buffers, and read when the bytes are used.)");
  m.def("asbuffer", FromBytes, "object"_a, "dtype"_a.none() = nb::none(),
        "shape"_a.none() = nb::none(), "name"_a.none() = nb::none(),
        nb::sig("def asbuffer(object: object, dtype: object = None, shape: object = None, name: "
                "str | None = None) -> Buffer"),
        R"(A buffer of the bytes of an array, a bytearray, bytes, a memoryview, an mmap.

Nothing is copied, and the object is kept. Read-only objects give buffers that refuse writes.
Without a dtype and a shape it has those of the object.

    >>> data = bytearray(8)
    >>> tenure.asbuffer(data, "int32").fill(7)
    >>> data[4]
    7)");
  m.def(
      "stats",
      [](const std::string& space) {
        tenure_stats stats = TENURE_STATS_INIT;
        Check(WithoutGil([&] { return tenure_space_stats(space.c_str(), &stats); }));
        return nb::make_tuple(stats.in_use_bytes, stats.in_use_count, stats.peak_in_use_bytes,
                              stats.reserved_bytes, stats.cached_bytes, stats.deferred_bytes);
      },
      "space"_a);
  m.def(
      "trim",
      [](const std::string& space) {
        Check(WithoutGil([&] { return tenure_space_trim(space.c_str()); }));
      },
      "space"_a = "cpu", "Gives memory that a space keeps for later back to the system.");
}

}  // namespace tenure::python
