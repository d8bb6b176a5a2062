// The binary layout of DLPack, as its specification (version 1.3) fixes it. Internal to dlpack.cc
// and to the ways in for other languages.
//
// Why here: the layout is all that is needed of DLPack, and it never changes within version 1. With
// types of our own, programs that include DLPack's header in any version have no conflict.
//
// Thread safety: thread-compatible values.

#ifndef TENURE_RUNTIME_INTEROP_DLPACK_ABI_H_
#define TENURE_RUNTIME_INTEROP_DLPACK_ABI_H_

#include <cstdint>

namespace tenure::dlpack {

inline constexpr uint32_t kMajorVersion = 1;
inline constexpr uint32_t kMinorVersion = 3;

// DLDeviceType, the ones that spaces of this library have.
inline constexpr int32_t kHost = 1;

// DLDataTypeCode.
enum Code : uint8_t {
  kInt = 0,
  kUInt = 1,
  kFloat = 2,
  kBFloat = 4,
  kComplex = 5,
  kBool = 6,
  kFloat8E4M3FN = 10,
  kFloat8E4M3FNUZ = 11,
  kFloat8E5M2 = 12,
  kFloat8E5M2FNUZ = 13,
  kFloat8E8M0FNU = 14,
  kFloat4E2M1FN = 17,
};

// Flags of ManagedVersioned.
inline constexpr uint64_t kReadOnly = 1;
inline constexpr uint64_t kCopied = 2;
inline constexpr uint64_t kSubbytePadded = 4;  // an element narrower than a byte takes a whole one

struct Device {
  int32_t type;
  int32_t id;
};

struct DataType {
  uint8_t code;
  uint8_t bits;
  uint16_t lanes;
};

struct Tensor {
  void* data;
  Device device;
  int32_t ndim;
  DataType dtype;
  int64_t* shape;
  int64_t* strides;  // in elements; null means row-major
  uint64_t byte_offset;
};

struct Version {
  uint32_t major;
  uint32_t minor;
};

// DLManagedTensor, of versions before 1.
struct Managed {
  Tensor tensor;
  void* context;
  void (*deleter)(Managed* self);
};

// DLManagedTensorVersioned.
struct ManagedVersioned {
  Version version;
  void* context;
  void (*deleter)(ManagedVersioned* self);
  uint64_t flags;
  Tensor tensor;
};

static_assert(sizeof(Tensor) == 48 && sizeof(Managed) == 64 && sizeof(ManagedVersioned) == 80);

}  // namespace tenure::dlpack

#endif  // TENURE_RUNTIME_INTEROP_DLPACK_ABI_H_
