#include "tenure/runtime/interop/dlpack.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tenure/base/checked.h"
#include "tenure/base/status_macros.h"
#include "tenure/runtime/dtype.h"
#include "tenure/runtime/interop/dlpack_abi.h"
#include "tenure/runtime/shape.h"
#include "tenure/runtime/storage.h"
#include "tenure/runtime/use_list.h"

namespace tenure {
namespace {

using dlpack::Managed;
using dlpack::ManagedVersioned;

// --- Types

dlpack::DataType ToDLPackType(DType dtype) {
  const auto with = [dtype](dlpack::Code code) {
    return dlpack::DataType{code, static_cast<uint8_t>(BitWidth(dtype)), 1};
  };
  switch (dtype) {
    case DType::kFloat64:
    case DType::kFloat32:
    case DType::kFloat16:
      return with(dlpack::kFloat);
    case DType::kBFloat16:
      return with(dlpack::kBFloat);
    case DType::kFloat8E4M3FN:
      return with(dlpack::kFloat8E4M3FN);
    case DType::kFloat8E5M2:
      return with(dlpack::kFloat8E5M2);
    case DType::kFloat8E4M3FNUZ:
      return with(dlpack::kFloat8E4M3FNUZ);
    case DType::kFloat8E5M2FNUZ:
      return with(dlpack::kFloat8E5M2FNUZ);
    case DType::kFloat8E8M0FNU:
      return with(dlpack::kFloat8E8M0FNU);
    case DType::kFloat4E2M1FN:
      return with(dlpack::kFloat4E2M1FN);
    case DType::kInt64:
    case DType::kInt32:
    case DType::kInt16:
    case DType::kInt8:
    case DType::kInt4:
    case DType::kInt2:
      return with(dlpack::kInt);
    case DType::kUInt64:
    case DType::kUInt32:
    case DType::kUInt16:
    case DType::kUInt8:
    case DType::kUInt4:
    case DType::kUInt2:
      return with(dlpack::kUInt);
    case DType::kBool:
      return with(dlpack::kBool);
    case DType::kComplex64:
    case DType::kComplex128:
      return with(dlpack::kComplex);
  }
  return {};
}

// --- Out

// A tensor that goes out, with what it keeps alive.
template <typename M>
struct Export {
  M managed;
  int64_t shape[Shape::kMaxRank];
  int64_t strides[Shape::kMaxRank];
  Buffer buffer;
  WritableHold unsealed;

  static void Delete(M* managed) { delete static_cast<Export*>(managed->context); }
};

absl::Status NotExchanged(const Buffer& buffer) {
  return absl::UnimplementedError(
      absl::StrCat("buffers of ", buffer.allocator().space().ToString(),
                   " can't be given away as tensors (DLPack): other libraries do not know such "
                   "memory; copy it to 'cpu' or 'cuda:N'"));
}

bool IsReadOnly(const Buffer& buffer) {
  return buffer.is_sealed() || buffer.storage()->root().read_only;
}

absl::StatusOr<Buffer> CopyOf(const Buffer& buffer, const ToDLPackOptions& options) {
  Allocator& allocator = options.copy_to != nullptr ? *options.copy_to : buffer.allocator();
  TENURE_ASSIGN_OR_RETURN(Buffer copy, Buffer::Create(allocator, buffer.dtype(), buffer.shape(),
                                                      {.name = buffer.name()}));
  TENURE_RETURN_IF_ERROR(copy.CopyFrom(buffer, {.timeout = options.timeout}));
  return copy;
}

// Lets what comes next on `queue`, or on the host, run after the uses of the buffer in conflict.
absl::Status WaitForUses(const Buffer& buffer, Access access, const ToDLPackOptions& options) {
  Storage& storage = *buffer.storage();
  if (options.queue != nullptr) {
    // Or the error of a use that has ended with one.
    TENURE_ASSIGN_OR_RETURN(
        const std::vector<Fence> pending,
        storage.PendingUses(buffer.offset(), buffer.offset() + buffer.size(), access));
    if (std::all_of(pending.begin(), pending.end(),
                    [&](const Fence& fence) { return options.queue->CanWaitFor(fence); })) {
      return options.queue->WaitFor(pending);
    }
  }
  const absl::Time deadline = options.timeout == absl::InfiniteDuration()
                                  ? absl::InfiniteFuture()
                                  : absl::Now() + options.timeout;
  return storage.WaitForUses(buffer.offset(), buffer.offset() + buffer.size(), access, deadline);
}

// The address that the tensor has: the host's for host memory, the device's otherwise.
absl::StatusOr<void*> AddressOf(const Buffer& buffer) {
  if (buffer.size() == 0) return nullptr;
  const Storage& storage = *buffer.storage();
  const uint64_t offset = storage.root_offset() + buffer.offset();
  const SubRegion region{&storage.root(), offset, buffer.size()};
  const bool is_host = storage.root().host != nullptr;
  void* const address = is_host ? region.host() : reinterpret_cast<void*>(region.device_address());
  if (address == nullptr || !storage.is_coherent()) return NotExchanged(buffer);
  return address;
}

// Refuses the buffer, or takes what keeps its bytes as they are while the tensor lives.
template <typename M>
absl::StatusOr<std::unique_ptr<Export<M>>> Share(const Buffer& buffer, bool& read_only,
                                                 const ToDLPackOptions& options) {
  auto made = std::make_unique<Export<M>>();
  made->buffer = buffer;
  // Held before the question, so that no seal can come between. Bytes that are held or sealed are not
  // taken back by UnplacePlan either.
  if (absl::StatusOr<WritableHold> hold = WritableHold::Of(buffer.storage()); hold.ok()) {
    made->unsealed = *std::move(hold);
  }
  TENURE_RETURN_IF_ERROR(buffer.EnsureAllocated());
  read_only = IsReadOnly(buffer);
  if (read_only) {
    made->unsealed = WritableHold();
    if (options.read_only != ReadOnlyTensor::kMarked) return nullptr;
  }
  TENURE_RETURN_IF_ERROR(WaitForUses(buffer, read_only ? Access::kRead : Access::kWrite, options));
  return made;
}

template <typename M>
absl::StatusOr<M*> ExportTensor(const Buffer& original, const ToDLPackOptions& options,
                                uint64_t* flags) {
  if (original.is_null()) {
    return absl::FailedPreconditionError("a null buffer can't be given away as a tensor");
  }
  bool read_only = false;
  bool copied = options.copy;
  std::unique_ptr<Export<M>> made;
  if (!copied) {
    if (original.allocator().space().kind().dlpack_device_type() == 0) {
      return NotExchanged(original);
    }
    TENURE_ASSIGN_OR_RETURN(made, Share<M>(original, read_only, options));
    if (made == nullptr && options.read_only == ReadOnlyTensor::kRefused) {
      return absl::FailedPreconditionError(
          absl::StrCat("storage ", original.storage_id().value(), " '", original.name(),
                       "' is sealed or read-only, and the consumer may ignore that; give it a "
                       "copy, or ask for a tensor that is marked as read-only"));
    }
    copied = made == nullptr;
  }
  if (copied) {
    TENURE_ASSIGN_OR_RETURN(const Buffer copy, CopyOf(original, options));
    if (copy.allocator().space().kind().dlpack_device_type() == 0) return NotExchanged(copy);
    TENURE_ASSIGN_OR_RETURN(made, Share<M>(copy, read_only, options));
  }
  const Buffer& buffer = made->buffer;
  TENURE_ASSIGN_OR_RETURN(void* const address, AddressOf(buffer));
  const MemorySpace& space = buffer.allocator().space();
  const Shape& shape = buffer.shape();
  int64_t stride = 1;
  for (int axis = shape.rank() - 1; axis >= 0; --axis) {
    made->shape[axis] = shape.dim(axis);
    made->strides[axis] = stride;
    // Can't wrap: the product of all dimensions that are not 0 is checked when a buffer is made,
    // unless one of them is 0, and then no element is ever reached.
    stride = static_cast<int64_t>(static_cast<uint64_t>(stride) *
                                  static_cast<uint64_t>(std::max<int64_t>(shape.dim(axis), 1)));
  }
  made->managed.tensor = {
      .data = address,
      .device = {space.kind().dlpack_device_type(), static_cast<int32_t>(space.ordinal())},
      .ndim = shape.rank(),
      .dtype = ToDLPackType(buffer.dtype()),
      .shape = made->shape,
      .strides = made->strides,
      .byte_offset = 0};
  made->managed.context = made.get();
  made->managed.deleter = &Export<M>::Delete;
  *flags = (read_only ? dlpack::kReadOnly : 0) | (copied ? dlpack::kCopied : 0);
  return &made.release()->managed;
}

// --- In

absl::StatusOr<MemorySpace> SpaceOf(const dlpack::Device& device) {
  for (const SpaceKind kind : SpaceKind::Declared()) {
    if (kind.dlpack_device_type() != device.type || kind.form() == SpaceKind::Form::kPath) continue;
    if (device.id < 0) break;
    return MemorySpace::Device(kind, static_cast<uint32_t>(device.id));
  }
  return absl::UnimplementedError(absl::StrCat(
      "the tensor is on a device that buffers do not have (DLPack's device type ", device.type,
      ", number ", device.id, "); move it to the host or to a CUDA device"));
}

absl::StatusOr<Shape> ShapeOf(const dlpack::Tensor& tensor) {
  if (tensor.ndim < 0 || tensor.ndim > Shape::kMaxRank) {
    return absl::UnimplementedError(absl::StrCat(
        "the tensor has ", tensor.ndim, " dimensions; buffers have at most ", Shape::kMaxRank));
  }
  if (tensor.ndim > 0 && tensor.shape == nullptr) {
    return absl::InvalidArgumentError("the tensor has dimensions, and its shape is null");
  }
  TENURE_ASSIGN_OR_RETURN(
      Shape shape, Shape::Of(absl::MakeConstSpan(tensor.shape, static_cast<size_t>(tensor.ndim))));
  if (tensor.strides == nullptr || shape.elements() == 0) return shape;
  uint64_t expected = 1;
  for (int axis = tensor.ndim - 1; axis >= 0; --axis) {
    const int64_t dim = shape.dim(axis);
    if (dim != 1 && static_cast<uint64_t>(tensor.strides[axis]) != expected) {
      return absl::UnimplementedError(absl::StrCat(
          "the tensor is not dense and in row-major order: its stride of dimension ", axis, " is ",
          tensor.strides[axis], " and not ", expected, "; make it contiguous first"));
    }
    expected *= static_cast<uint64_t>(dim);
  }
  return shape;
}

// Calls `release` once, now or when the buffer's bytes are no longer used.
absl::StatusOr<Buffer> Import(const dlpack::Tensor& tensor, bool read_only,
                              std::function<void()> release, AllocatorOf allocator_of,
                              const FromDLPackOptions& options) {
  absl::Cleanup released = [&release] { release(); };
  TENURE_ASSIGN_OR_RETURN(const DType dtype,
                          DTypeOfDLPack(tensor.dtype.code, tensor.dtype.bits, tensor.dtype.lanes));
  TENURE_ASSIGN_OR_RETURN(const MemorySpace space, SpaceOf(tensor.device));
  TENURE_ASSIGN_OR_RETURN(const Shape shape, ShapeOf(tensor));
  TENURE_ASSIGN_OR_RETURN(const uint64_t size, ByteSize(dtype, shape.dims()));
  TENURE_ASSIGN_OR_RETURN(Allocator* const allocator, allocator_of(space));
  const BufferOptions made{.name = options.name};
  if (size == 0) return Buffer::Create(*allocator, dtype, shape, made);
  uint64_t address = 0, end = 0;
  if (tensor.data == nullptr ||
      !CheckedAdd(reinterpret_cast<uint64_t>(tensor.data), tensor.byte_offset, &address) ||
      !CheckedAdd(address, size, &end)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the tensor has ", size, " bytes at an address where there can be none"));
  }
  ForeignMemory memory{reinterpret_cast<void*>(address), read_only, std::move(release)};
  release = [] {};
  return Buffer::Wrap(*allocator, dtype, shape, std::move(memory), size, made);
}

}  // namespace

absl::StatusOr<DType> DTypeOfDLPack(uint8_t code, uint8_t bits, uint16_t lanes) {
  for (int i = 0; i < kDTypeCount && lanes == 1; ++i) {
    const auto dtype = static_cast<DType>(i);
    const dlpack::DataType known = ToDLPackType(dtype);
    if (known.code == code && known.bits == bits) return dtype;
  }
  return absl::UnimplementedError(absl::StrCat(
      "elements of DLPack's type code ", static_cast<int>(code), " with ", static_cast<int>(bits),
      " bits and ", lanes, " lanes are of no dtype that buffers have; convert the tensor first"));
}

absl::StatusOr<DLManagedTensorVersioned*> ToDLPack(const Buffer& buffer,
                                                   const ToDLPackOptions& options) {
  uint64_t flags = 0;
  TENURE_ASSIGN_OR_RETURN(ManagedVersioned* const made,
                          ExportTensor<ManagedVersioned>(buffer, options, &flags));
  made->version = {dlpack::kMajorVersion, dlpack::kMinorVersion};
  made->flags = flags;
  return reinterpret_cast<DLManagedTensorVersioned*>(made);
}

absl::StatusOr<DLManagedTensor*> ToUnversionedDLPack(const Buffer& buffer,
                                                     const ToDLPackOptions& options) {
  uint64_t flags = 0;
  ToDLPackOptions unmarked = options;
  if (options.read_only == ReadOnlyTensor::kMarked) unmarked.read_only = ReadOnlyTensor::kRefused;
  TENURE_ASSIGN_OR_RETURN(Managed* const made, ExportTensor<Managed>(buffer, unmarked, &flags));
  return reinterpret_cast<DLManagedTensor*>(made);
}

absl::StatusOr<Buffer> FromDLPack(DLManagedTensorVersioned* tensor, AllocatorOf allocator_of,
                                  const FromDLPackOptions& options) {
  if (tensor == nullptr) return absl::InvalidArgumentError("the tensor is null");
  auto* const managed = reinterpret_cast<ManagedVersioned*>(tensor);
  auto release = [managed] {
    if (managed->deleter != nullptr) managed->deleter(managed);
  };
  // Of an unknown major version only the number and the deleter are where they were.
  if (const uint32_t major = managed->version.major; major != dlpack::kMajorVersion) {
    release();
    return absl::UnimplementedError(absl::StrCat("the tensor is of version ", major,
                                                 " of DLPack, and version ", dlpack::kMajorVersion,
                                                 " can be read; ask its owner for that"));
  }
  if ((managed->flags & dlpack::kSubbytePadded) != 0 && managed->tensor.dtype.bits % 8 != 0) {
    release();
    return absl::UnimplementedError(
        "the tensor has elements narrower than a byte in a byte each, and buffers pack them");
  }
  return Import(managed->tensor, (managed->flags & dlpack::kReadOnly) != 0, release, allocator_of,
                options);
}

absl::StatusOr<Buffer> FromUnversionedDLPack(DLManagedTensor* tensor, AllocatorOf allocator_of,
                                             const FromDLPackOptions& options) {
  if (tensor == nullptr) return absl::InvalidArgumentError("the tensor is null");
  auto* const managed = reinterpret_cast<Managed*>(tensor);
  auto release = [managed] {
    if (managed->deleter != nullptr) managed->deleter(managed);
  };
  return Import(managed->tensor, !options.unversioned_is_writable, release, allocator_of, options);
}

}  // namespace tenure
