#include "tenure/allocator/cuda/cuda.h"
#include "tenure/allocator/cuda/spaces.h"
#include "tenure/allocator/registry.h"
#include "tenure/c/c_api.h"
#include "tenure/runtime/hazards.h"
#include "tenure/runtime/interop/dlpack.h"

using namespace tenure;     // NOLINT(google-build-using-namespace): these sources are a way into it
using namespace tenure::c;  // NOLINT(google-build-using-namespace)

namespace {

absl::StatusOr<Allocator*> AllocatorOfTensor(const MemorySpace& space) {
  return Registry::Default().Get(space);
}

// The caller's stream. Without a device, it is that of the allocator's memory.
absl::StatusOr<std::shared_ptr<Queue>> StreamOf(int32_t device, const Allocator& allocator,
                                                uint64_t handle) {
  const MemorySpace& space = allocator.space();
  if (device < 0 && space.kind().driver() != cuda::kDriverName) {
    return absl::InvalidArgumentError(absl::StrCat(
        "memory of ", space.ToString(), " belongs to no CUDA device; name the stream's device"));
  }
  return cuda::Stream::Wrap(device < 0 ? space.ordinal() : static_cast<uint32_t>(device), handle);
}

// Runs `give` with the options as the library has them.
template <typename Out, typename Function>
tenure_status Exported(const tenure_buffer* buffer, const tenure_to_dlpack_options* options,
                       Out** tensor, const Function& give) {
  return Call([&]() -> absl::Status {
    TENURE_RETURN_IF_ERROR(NotNull(buffer, "buffer"));
    TENURE_RETURN_IF_ERROR(NotNull(tensor, "tensor"));
    TENURE_ASSIGN_OR_RETURN(
        const tenure_to_dlpack_options known,
        Known(options, tenure_to_dlpack_options TENURE_TO_DLPACK_OPTIONS_INIT, "options"));
    ToDLPackOptions made;
    TENURE_ASSIGN_OR_RETURN(
        made.read_only,
        (EnumOf<ReadOnlyTensor>(known.read_only, TENURE_READ_ONLY_REFUSED, "read_only")));
    made.copy = known.copy != 0;
    made.timeout = TimeoutOf(known.timeout_seconds);
    if (known.copy_to != nullptr) {
      TENURE_ASSIGN_OR_RETURN(made.copy_to, AllocatorOfSpace(known.copy_to));
    }
    std::shared_ptr<Queue> stream;
    if (known.has_cuda_stream != 0) {
      const Allocator& where =
          made.copy && made.copy_to != nullptr ? *made.copy_to : buffer->value.allocator();
      TENURE_ASSIGN_OR_RETURN(stream, StreamOf(known.cuda_device, where, known.cuda_stream));
      made.queue = stream.get();
    }
    TENURE_ASSIGN_OR_RETURN(*tensor, give(buffer->value, made));
    return absl::OkStatus();
  });
}

}  // namespace

tenure_status tenure_dtype_from_dlpack(uint8_t code, uint8_t bits, uint16_t lanes,
                                       tenure_dtype* dtype) {
  return Call([&]() -> absl::Status {
    TENURE_RETURN_IF_ERROR(NotNull(dtype, "dtype"));
    TENURE_ASSIGN_OR_RETURN(const DType known, DTypeOfDLPack(code, bits, lanes));
    *dtype = static_cast<tenure_dtype>(known);
    return absl::OkStatus();
  });
}

tenure_status tenure_buffer_to_dlpack(const tenure_buffer* buffer,
                                      const tenure_to_dlpack_options* options,
                                      DLManagedTensorVersioned** tensor) {
  return Exported(buffer, options, tensor, ToDLPack);
}

tenure_status tenure_buffer_to_unversioned_dlpack(const tenure_buffer* buffer,
                                                  const tenure_to_dlpack_options* options,
                                                  DLManagedTensor** tensor) {
  return Exported(buffer, options, tensor, ToUnversionedDLPack);
}

tenure_status tenure_buffer_from_dlpack(DLManagedTensorVersioned* tensor, const char* name,
                                        tenure_buffer** buffer) {
  // The tensor is owned from here on, so it is imported even where its buffer has nowhere to go.
  return Call([&]() -> absl::Status {
    absl::StatusOr<Buffer> made =
        FromDLPack(tensor, AllocatorOfTensor, {.name = name == nullptr ? "" : name});
    TENURE_RETURN_IF_ERROR(NotNull(buffer, "buffer"));
    return GiveBuffer(std::move(made), buffer);
  });
}

tenure_status tenure_buffer_from_unversioned_dlpack(DLManagedTensor* tensor, int32_t writable,
                                                    const char* name, tenure_buffer** buffer) {
  return Call([&]() -> absl::Status {
    absl::StatusOr<Buffer> made = FromUnversionedDLPack(
        tensor, AllocatorOfTensor,
        {.name = name == nullptr ? "" : name, .unversioned_is_writable = writable != 0});
    TENURE_RETURN_IF_ERROR(NotNull(buffer, "buffer"));
    return GiveBuffer(std::move(made), buffer);
  });
}

tenure_status tenure_buffer_dlpack_device(const tenure_buffer* buffer, int32_t* type,
                                          int32_t* number) {
  return Call([&]() -> absl::Status {
    TENURE_RETURN_IF_ERROR(NotNull(buffer, "buffer"));
    TENURE_RETURN_IF_ERROR(NotNull(type, "type"));
    TENURE_RETURN_IF_ERROR(NotNull(number, "number"));
    const MemorySpace& space = buffer->value.allocator().space();
    if (space.kind().dlpack_device_type() == 0) {
      return absl::UnimplementedError(absl::StrCat("other libraries do not know memory of ",
                                                   space.ToString(),
                                                   "; copy it to 'cpu' or 'cuda:N'"));
    }
    *type = space.kind().dlpack_device_type();
    *number = static_cast<int32_t>(space.ordinal());
    return absl::OkStatus();
  });
}

tenure_status tenure_buffer_record_cuda_use(const tenure_buffer* buffer, int32_t cuda_device,
                                            uint64_t cuda_stream, int32_t writes) {
  return Call([&]() -> absl::Status {
    TENURE_RETURN_IF_ERROR(NotNull(buffer, "buffer"));
    TENURE_ASSIGN_OR_RETURN(const std::shared_ptr<Queue> stream,
                            StreamOf(cuda_device, buffer->value.allocator(), cuda_stream));
    TENURE_ASSIGN_OR_RETURN(const Fence done, stream->Record());
    return RecordUses({{&buffer->value, writes != 0 ? Access::kWrite : Access::kRead}}, done);
  });
}
