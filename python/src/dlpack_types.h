// The structs of DLPack 1.3, which other libraries exchange tensors with: their layout is fixed by
// DLPack, and so are the numbers.

#ifndef TENURE_PYTHON_SRC_DLPACK_TYPES_H_
#define TENURE_PYTHON_SRC_DLPACK_TYPES_H_

#include <cstdint>

struct DLPackVersion {
  uint32_t major;
  uint32_t minor;
};

struct DLDevice {
  int32_t type;
  int32_t number;
};

struct DLDataType {
  uint8_t code;
  uint8_t bits;
  uint16_t lanes;
};

struct DLTensor {
  void* data;
  DLDevice device;
  int32_t ndim;
  DLDataType dtype;
  int64_t* shape;
  int64_t* strides;
  uint64_t byte_offset;
};

struct DLManagedTensor {
  DLTensor tensor;
  void* context;
  void (*deleter)(DLManagedTensor* self);
};

struct DLManagedTensorVersioned {
  DLPackVersion version;
  void* context;
  void (*deleter)(DLManagedTensorVersioned* self);
  uint64_t flags;
  DLTensor tensor;
};

// The table of functions behind the type's attribute __dlpack_c_exchange_api__.
struct DLPackExchangeTable {
  DLPackVersion version;
  void* older;
  int (*allocate)(DLTensor* like, DLManagedTensorVersioned** out, void* error_context,
                  void (*set_error)(void* error_context, const char* kind, const char* text));
  int (*from_object)(void* object, DLManagedTensorVersioned** out);
  int (*to_object)(DLManagedTensorVersioned* tensor, void** object);
  int (*borrow_from_object)(void* object, DLTensor* out);
  int (*current_stream)(int32_t device_type, int32_t device_number, void** stream);
};

namespace tenure::python {

inline constexpr DLPackVersion kDLPackVersion = {1, 3};
inline constexpr uint64_t kReadOnlyFlag = 1;

enum DeviceType : int32_t { kCpu = 1, kCuda = 2, kCudaHost = 3, kCudaManaged = 13 };

}  // namespace tenure::python

#endif  // TENURE_PYTHON_SRC_DLPACK_TYPES_H_
