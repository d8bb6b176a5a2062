// DLPack: __dlpack__, from_dlpack, the table of functions of DLPack 1.3; and CUDA's array interface.

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <memory>

#include "tenure/python/src/buffer.h"
#include "tenure/python/src/dlpack_types.h"

namespace tenure::python {
namespace {

using namespace nb::literals;  // NOLINT(google-build-using-namespace)

constexpr const char* kVersionedName = "dltensor_versioned";
constexpr const char* kUnversionedName = "dltensor";

template <typename Tensor>
struct Names;
template <>
struct Names<DLManagedTensorVersioned> {
  static constexpr const char* kFresh = kVersionedName;
  static constexpr const char* kUsed = "used_dltensor_versioned";
};
template <>
struct Names<DLManagedTensor> {
  static constexpr const char* kFresh = kUnversionedName;
  static constexpr const char* kUsed = "used_dltensor";
};

std::string SpaceOfDevice(int32_t type, int32_t number) {
  switch (type) {
    case kCpu:
      return "cpu";
    case kCuda:
      return "cuda:" + std::to_string(number);
    case kCudaHost:
      return "cuda-pinned:" + std::to_string(number);
    case kCudaManaged:
      return "cuda-unified:" + std::to_string(number);
    default:
      RaiseError("ExchangeError", "buffers can't be on DLPack's device type " +
                                      std::to_string(type) + "; only on the host and with CUDA");
  }
}

// --- Out

// A tensor that nobody took ends with its capsule.
template <typename Tensor>
void EndCapsule(PyObject* capsule) {
  if (PyCapsule_IsValid(capsule, Names<Tensor>::kFresh) == 0) return;
  auto* const tensor = static_cast<Tensor*>(PyCapsule_GetPointer(capsule, Names<Tensor>::kFresh));
  if (tensor->deleter != nullptr) tensor->deleter(tensor);
}

template <typename Tensor>
nb::object CapsuleOf(Tensor* tensor) {
  PyObject* const capsule = PyCapsule_New(tensor, Names<Tensor>::kFresh, EndCapsule<Tensor>);
  if (capsule == nullptr) {
    tensor->deleter(tensor);
    throw nb::python_error();
  }
  return nb::steal(capsule);
}

// A tensor in the form before version 1, of one in the form of version 1. Only for bytes that must
// not be written to and where the caller vouches for the consumer: that form has no mark for it.
DLManagedTensor* Unmarked(DLManagedTensorVersioned* tensor) {
  return new DLManagedTensor{tensor->tensor, tensor, [](DLManagedTensor* self) {
                               auto* const owner =
                                   static_cast<DLManagedTensorVersioned*>(self->context);
                               owner->deleter(owner);
                               delete self;
                             }};
}

// Where the consumer goes on with the bytes: nowhere for the host.
void SetStream(nb::handle stream, int32_t type, tenure_to_dlpack_options& options) {
  const bool on_cuda = type == kCuda || type == kCudaManaged || type == kCudaHost;
  if (stream.is_none()) {
    // The legacy default stream, which has the number 0. A consumer of memory that the host can read
    // may go on there, as numpy does, so the host waits.
    options.has_cuda_stream = type == kCuda ? 1 : 0;
    return;
  }
  const int64_t number = nb::cast<int64_t>(stream);
  if (!on_cuda) {
    if (number == -1) return;
    RaiseError("ExchangeError", "tensors in memory of the host have no stream; give None or -1");
  }
  if (number == 0 || number < -1) {
    RaiseError("ExchangeError",
               "DLPack has no stream " + std::to_string(number) +
                   ": 1 is the legacy default stream, 2 that of the thread, others are handles");
  }
  // A stream that is another one in each thread can't be waited on from here, so the host waits.
  if (number == -1 || number == 2) return;
  options.has_cuda_stream = 1;
  options.cuda_stream = number == 1 ? 0 : static_cast<uint64_t>(number);
}

nb::object ToDLPack(const Buffer& self, nb::handle stream, nb::handle max_version,
                    nb::handle dl_device, nb::handle copy, bool unsafe) {
  tenure_to_dlpack_options options = TENURE_TO_DLPACK_OPTIONS_INIT;
  const tenure_buffer_info info = self.Info();
  int32_t type = 0, number = 0;
  const tenure_status own_device = tenure_buffer_dlpack_device(self.get(), &type, &number);
  const bool may_copy = copy.is_none() || nb::cast<bool>(copy);
  options.copy = !copy.is_none() && may_copy ? 1 : 0;
  std::string space;
  if (!dl_device.is_none()) {
    const nb::tuple device = nb::cast<nb::tuple>(dl_device);
    if (device.size() != 2) RaiseError("ExchangeError", "dl_device is (type, number)");
    // The type may be an enum's value.
    const auto wanted_type = nb::cast<int32_t>(nb::int_(device[0]));
    const auto wanted_number = nb::cast<int32_t>(nb::int_(device[1]));
    if (own_device != TENURE_OK || wanted_type != type || wanted_number != number) {
      space = SpaceOfDevice(wanted_type, wanted_number);
      if (!may_copy) {
        RaiseError("ExchangeError", "the buffer is in " + std::string(info.space) +
                                        ", and goes to " + space + " only as a copy");
      }
      options.copy = 1;
      type = wanted_type;
    }
  }
  // Copies of files, and of memory that other libraries do not know where one was asked for, are
  // the host's.
  if (space.empty() && (own_device != TENURE_OK || type == kCpu)) space = "cpu";
  options.copy_to = space.empty() ? nullptr : space.c_str();
  const bool comes_from_cuda = std::string_view(info.space).starts_with("cuda");
  tenure_to_dlpack_options with_stream = options;
  SetStream(stream, type, with_stream);
  if (comes_from_cuda) options = with_stream;  // others are copied, or have no streams
  options.read_only = unsafe     ? TENURE_READ_ONLY_MARKED
                      : may_copy ? TENURE_READ_ONLY_COPIED
                                 : TENURE_READ_ONLY_REFUSED;
  bool versioned = false;
  if (!max_version.is_none()) {
    versioned = nb::cast<int64_t>(nb::cast<nb::tuple>(max_version)[0]) >= 1;
  }
  if (versioned || unsafe) {
    DLManagedTensorVersioned* tensor = nullptr;
    CheckExchange(
        WithoutGil([&] { return tenure_buffer_to_dlpack(self.get(), &options, &tensor); }));
    return versioned ? CapsuleOf(tensor) : CapsuleOf(Unmarked(tensor));
  }
  DLManagedTensor* tensor = nullptr;
  CheckExchange(WithoutGil(
      [&] { return tenure_buffer_to_unversioned_dlpack(self.get(), &options, &tensor); }));
  return CapsuleOf(tensor);
}

nb::tuple DLPackDevice(const Buffer& self) {
  int32_t type = 0, number = 0;
  CheckExchange(tenure_buffer_dlpack_device(self.get(), &type, &number));
  return nb::make_tuple(type, number);
}

// --- In

tenure_status Import(DLManagedTensorVersioned* tensor, bool, const char* name,
                     tenure_buffer** made) {
  return tenure_buffer_from_dlpack(tensor, name, made);
}
tenure_status Import(DLManagedTensor* tensor, bool writable, const char* name,
                     tenure_buffer** made) {
  return tenure_buffer_from_unversioned_dlpack(tensor, writable ? 1 : 0, name, made);
}

// A tensor of a Python object, whose deleter is called with the GIL and never after the end of the
// interpreter.
template <typename Tensor>
Tensor* OfPython(Tensor* theirs) {
  auto* const mine = new Tensor(*theirs);
  mine->context = theirs;
  mine->deleter = [](Tensor* self) {
    RunWithPython(
        [](void* context) {
          auto* const tensor = static_cast<Tensor*>(context);
          if (tensor->deleter != nullptr) tensor->deleter(tensor);
        },
        self->context);
    delete self;
  };
  return mine;
}

template <typename Tensor>
Buffer Take(nb::handle capsule, bool writable, const std::string& name) {
  auto* const tensor =
      static_cast<Tensor*>(PyCapsule_GetPointer(capsule.ptr(), Names<Tensor>::kFresh));
  if (tensor == nullptr || PyCapsule_SetName(capsule.ptr(), Names<Tensor>::kUsed) != 0) {
    throw nb::python_error();
  }
  tenure_buffer* made = nullptr;
  if constexpr (requires { tensor->version; }) {
    // Of another major version, what stands behind the flags is not known and not copied.
    if (const uint32_t major = tensor->version.major; major != kDLPackVersion.major) {
      if (tensor->deleter != nullptr) tensor->deleter(tensor);  // with the GIL, which it may need
      RaiseError("ExchangeError", "the tensor is of version " + std::to_string(major) +
                                      " of DLPack, and version 1 can be read");
    }
  }
  Tensor* const kept = OfPython(tensor);
  CheckExchange(WithoutGil([&] { return Import(kept, writable, name.c_str(), &made); }));
  return Buffer(made);
}

Buffer TakeCapsule(nb::handle capsule, bool writable, const std::string& name) {
  if (PyCapsule_IsValid(capsule.ptr(), kVersionedName) != 0) {
    return Take<DLManagedTensorVersioned>(capsule, writable, name);
  }
  if (PyCapsule_IsValid(capsule.ptr(), kUnversionedName) != 0) {
    return Take<DLManagedTensor>(capsule, writable, name);
  }
  RaiseError("ExchangeError",
             "the capsule is not one of DLPack's, or its tensor was taken already: each is taken "
             "once");
}

Buffer FromDLPack(nb::object x, nb::handle name, bool writable) {
  const std::string text = name.is_none() ? "" : nb::cast<std::string>(name);
  if (PyCapsule_CheckExact(x.ptr()) != 0) return TakeCapsule(x, writable, text);
  if (!nb::hasattr(x, "__dlpack__") || !nb::hasattr(x, "__dlpack_device__")) {
    const std::string type = nb::cast<std::string>(nb::str(x.type()));
    throw nb::type_error((type + " has no __dlpack__; asbuffer takes what has a buffer").c_str());
  }
  const InPython scope;
  const nb::tuple device = nb::cast<nb::tuple>(x.attr("__dlpack_device__")());
  const auto type = nb::cast<int32_t>(nb::int_(device[0]));
  const bool is_cuda = type == kCuda || type == kCudaManaged;
  nb::dict arguments;
  if (is_cuda) arguments["stream"] = 1;
  arguments["max_version"] = nb::make_tuple(kDLPackVersion.major, kDLPackVersion.minor);
  nb::object capsule;
  try {
    capsule = x.attr("__dlpack__")(**arguments);
  } catch (nb::python_error& error) {
    if (!error.matches(PyExc_TypeError)) throw;
    PyDict_DelItemString(arguments.ptr(), "max_version");  // a producer from before version 1
  }
  if (!capsule.is_valid()) capsule = x.attr("__dlpack__")(**arguments);
  Buffer made = TakeCapsule(capsule, writable, text);
  // The producer lets the legacy default stream wait for its work; the library waits for that stream.
  if (is_cuda && made.Info().size > 0) {
    Check(WithoutGil([&] { return tenure_buffer_record_cuda_use(made.get(), -1, 0, 1); }));
  }
  return made;
}

// --- The table of functions

// Threads that do not hold the GIL call it too, so it uses nothing of Python.
int TableAllocate(DLTensor* like, DLManagedTensorVersioned** out, void* error_context,
                  void (*set_error)(void*, const char*, const char*)) {
  const auto failed = [&](const char* text) {
    set_error(error_context, "BufferError", text);
    return -1;
  };
  tenure_dtype dtype = TENURE_UINT8;
  const DLDataType& wanted = like->dtype;
  if (tenure_dtype_from_dlpack(wanted.code, wanted.bits, wanted.lanes, &dtype) != TENURE_OK) {
    return failed(tenure_error());
  }
  const int32_t type = like->device.type;
  if (type != kCpu && type != kCuda && type != kCudaHost && type != kCudaManaged) {
    return failed("buffers are only on the host and with CUDA");
  }
  const std::string space = SpaceOfDevice(type, like->device.number);
  tenure_buffer* made = nullptr;
  tenure_status status =
      tenure_buffer_create(space.c_str(), dtype, like->ndim, like->shape, nullptr, &made);
  if (status == TENURE_OK) status = tenure_buffer_to_dlpack(made, nullptr, out);
  tenure_buffer_release(made);
  return status == TENURE_OK ? 0 : failed(tenure_error());
}

// Runs what may throw, and leaves its error to Python.
template <typename Function>
int Guarded(const Function& function) noexcept {
  try {
    function();
    return 0;
  } catch (nb::python_error& error) {
    error.restore();
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_BufferError, error.what());
  }
  return -1;
}

int TableFromObject(void* object, DLManagedTensorVersioned** out) {
  return Guarded([&] {
    const Buffer& self = nb::cast<const Buffer&>(nb::handle(static_cast<PyObject*>(object)));
    tenure_to_dlpack_options options = TENURE_TO_DLPACK_OPTIONS_INIT;
    options.read_only = TENURE_READ_ONLY_COPIED;
    int32_t type = 0, number = 0;
    CheckExchange(tenure_buffer_dlpack_device(self.get(), &type, &number));
    if (type == kCpu) options.copy_to = "cpu";
    CheckExchange(WithoutGil([&] { return tenure_buffer_to_dlpack(self.get(), &options, out); }));
  });
}

int TableToObject(DLManagedTensorVersioned* tensor, void** object) {
  return Guarded([&] {
    if (tensor->version.major != kDLPackVersion.major) {
      if (tensor->deleter != nullptr) tensor->deleter(tensor);
      RaiseError("ExchangeError", "the tensor is of another version of DLPack than 1");
    }
    DLManagedTensorVersioned* const kept = OfPython(tensor);
    tenure_buffer* made = nullptr;
    CheckExchange(WithoutGil([&] { return tenure_buffer_from_dlpack(kept, nullptr, &made); }));
    *object = nb::cast(Buffer(made)).release().ptr();
  });
}

// Work of the library's own is waited for when a tensor is made, so any stream is right.
int TableCurrentStream(int32_t, int32_t, void** stream) {
  *stream = nullptr;
  return 0;
}

DLPackExchangeTable kTable = {kDLPackVersion, nullptr, TableAllocate,     TableFromObject,
                              TableToObject,  nullptr, TableCurrentStream};

// --- CUDA's array interface

nb::object CudaArrayInterface(const Buffer& self) {
  const tenure_buffer_info info = self.Info();
  const auto missing = [](const std::string& text) -> nb::object {
    throw nb::attribute_error(("no __cuda_array_interface__: " + text).c_str());
  };
  if (!std::string_view(info.space).starts_with("cuda")) {
    return missing("the buffer is in " + std::string(info.space));
  }
  const char* kind = nullptr;
  if (info.dtype == TENURE_BOOL) {
    kind = "|b";
  } else if (FormatOf(info.dtype) != nullptr) {
    kind = info.dtype >= TENURE_COMPLEX64 ? "<c"
           : info.dtype >= TENURE_UINT64  ? "<u"
           : info.dtype >= TENURE_INT64   ? "<i"
                                          : "<f";
  } else {
    return missing("it has no " + std::string(tenure_dtype_name(info.dtype)));
  }
  // Without a stream in the interface, the bytes must be ready.
  Check(WithoutGil([&] { return tenure_buffer_allocate(self.get()); }));
  const bool read_only = self.Info().read_only != 0;
  Check(WithoutGil(
      [&] { return tenure_buffer_wait(self.get(), read_only ? 0 : 1, TENURE_FOREVER); }));
  uint64_t address = 0;
  if (info.size > 0) {
    Check(WithoutGil([&] { return tenure_buffer_device_address(self.get(), 0, &address); }));
  }
  nb::dict made;
  made["shape"] = ShapeTuple(info);
  made["typestr"] = std::string(kind) + std::to_string(tenure_dtype_bits(info.dtype) / 8);
  made["data"] = nb::make_tuple(address, read_only);
  made["strides"] = nb::none();
  made["stream"] = nb::none();
  made["version"] = 3;
  return made;
}

}  // namespace

void BindExchange(nb::module_& m, nb::class_<Buffer>& buffer) {
  buffer
      .def("__dlpack__", ToDLPack, nb::kw_only(), "stream"_a.none() = nb::none(),
           "max_version"_a.none() = nb::none(), "dl_device"_a.none() = nb::none(),
           "copy"_a.none() = nb::none(), "unsafe"_a = false,
           nb::sig("def __dlpack__(self, *, stream: int | None = None, max_version: tuple[int, "
                   "int] | None = None, dl_device: tuple[int, int] | None = None, copy: bool | "
                   "None = None, unsafe: bool = False) -> object"),
           R"(The buffer as a tensor of DLPack, in a capsule.

A buffer that is sealed or read-only gives a copy, because some consumers write to tensors that
are marked as read-only. With unsafe=True it gives its own bytes, marked where the version allows it:

    torch.from_dlpack(weights.__dlpack__(max_version=(1, 3), unsafe=True)))")
      .def("__dlpack_device__", DLPackDevice,
           nb::sig("def __dlpack_device__(self) -> tuple[int, int]"))
      .def_prop_ro("__cuda_array_interface__", CudaArrayInterface,
                   nb::sig("def __cuda_array_interface__(self) -> dict"));
  nb::object table = nb::steal(PyCapsule_New(&kTable, "dlpack_exchange_api", nullptr));
  buffer.attr("__dlpack_c_exchange_api__") = table;
  m.def("from_dlpack", FromDLPack, "x"_a, "name"_a.none() = nb::none(), "writable"_a = false,
        nb::sig("def from_dlpack(x: object, name: str | None = None, writable: bool = False) -> "
                "Buffer"),
        R"(A buffer of the bytes of another library's tensor: of numpy, PyTorch, JAX, CuPy.

Nothing is copied. `x` has __dlpack__, or is a capsule that it gave. Tensors in the form before
version 1 do not say whether they may be written to: they may not, unless `writable` says so.

    >>> import numpy
    >>> a = numpy.arange(6, dtype="int16")
    >>> tenure.from_dlpack(a).fill(3)
    >>> a.tolist()
    [3, 3, 3, 3, 3, 3])");
}

}  // namespace tenure::python
