// The Python class Buffer: a handle of the library's.

#ifndef TENURE_PYTHON_SRC_BUFFER_H_
#define TENURE_PYTHON_SRC_BUFFER_H_

#include <array>
#include <string>
#include <utility>

#include "tenure/python/src/support.h"

namespace tenure::python {

class Buffer {
 public:
  explicit Buffer(tenure_buffer* owned) : handle_(owned) {}
  Buffer(Buffer&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() {
    if (handle_ == nullptr) return;
    // The last handle may wait for another thread that is giving memory back to Python.
    const ReleasedGil released;
    tenure_buffer_release(handle_);
  }

  tenure_buffer* get() const { return handle_; }
  tenure_buffer_info Info() const {
    tenure_buffer_info info = TENURE_BUFFER_INFO_INIT;
    Check(tenure_buffer_get_info(handle_, &info));
    return info;
  }

 private:
  tenure_buffer* handle_;
};

// Dimensions from an int or a sequence of them.
struct Dims {
  int32_t rank = 0;
  std::array<int64_t, TENURE_MAX_RANK> dims = {};
};
Dims DimsOf(nb::handle shape);
// "float32", or a dtype of numpy, PyTorch, JAX or ml_dtypes.
tenure_dtype DTypeOf(nb::handle dtype);
nb::tuple ShapeTuple(const tenure_buffer_info& info);

// The module _dtypes.py.
nb::object Helpers();
// Calls one of its functions.
template <typename... Arguments>
nb::object Help(const char* name, Arguments&&... arguments) {
  const InPython scope;
  return Helpers().attr(name)(std::forward<Arguments>(arguments)...);
}
// The format of a view without the letters that say what is so anyway on the machines that the
// library runs on.
std::string Plain(const Py_buffer& view);
// The character that the struct module and the buffer protocol have for a dtype; null if none.
const char* FormatOf(tenure_dtype dtype);

// Calls that give a new buffer.
template <typename Function>
Buffer Made(const Function& call) {
  tenure_buffer* made = nullptr;
  Check(WithoutGil([&] { return call(&made); }));
  return Buffer(made);
}

nb::class_<Buffer> BindBuffer(nb::module_& m);
void BindMemory(nb::module_& m);
void BindExchange(nb::module_& m, nb::class_<Buffer>& buffer);
void BindPlanning(nb::module_& m);

// The slots of the class for Python's buffer protocol.
extern PyType_Slot kBufferSlots[];

}  // namespace tenure::python

#endif  // TENURE_PYTHON_SRC_BUFFER_H_
