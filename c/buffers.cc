#include "tenure/allocator/memory_space.h"
#include "tenure/allocator/registry.h"
#include "tenure/c/c_api.h"
#include "tenure/runtime/storage.h"

using namespace tenure;     // NOLINT(google-build-using-namespace): these sources are a way into it
using namespace tenure::c;  // NOLINT(google-build-using-namespace)

namespace tenure::c {

absl::StatusOr<Allocator*> AllocatorOfSpace(const char* space) {
  TENURE_RETURN_IF_ERROR(NotNull(space, "space"));
  TENURE_ASSIGN_OR_RETURN(const MemorySpace parsed, MemorySpace::Parse(space));
  return Registry::Default().Get(parsed);
}

absl::StatusOr<Shape> ShapeOf(int32_t rank, const int64_t* shape) {
  if (rank < 0 || rank > Shape::kMaxRank) {
    return absl::InvalidArgumentError(
        absl::StrCat("a rank of ", rank, "; tensors have 0 to ", Shape::kMaxRank, " dimensions"));
  }
  if (rank == 0) return Shape();
  TENURE_RETURN_IF_ERROR(NotNull(shape, "shape"));
  return Shape::Of(absl::MakeConstSpan(shape, static_cast<size_t>(rank)));
}

absl::StatusOr<DType> DTypeOf(tenure_dtype dtype) {
  return EnumOf<DType>(dtype, TENURE_COMPLEX128, "dtype");
}

absl::StatusOr<BufferOptions> BufferOptionsOf(const tenure_buffer_options* options) {
  TENURE_ASSIGN_OR_RETURN(
      const tenure_buffer_options known,
      Known(options, tenure_buffer_options TENURE_BUFFER_OPTIONS_INIT, "options"));
  BufferOptions made;
  if (known.name != nullptr) made.name = known.name;
  made.alignment_bytes = known.alignment;
  made.zeroed = known.zeroed != 0;
  made.immediate = known.immediate != 0;
  return made;
}

absl::Status GiveBuffer(absl::StatusOr<Buffer> buffer, tenure_buffer** to) {
  TENURE_RETURN_IF_ERROR(buffer.status());
  *to = new tenure_buffer{*std::move(buffer)};
  return absl::OkStatus();
}

}  // namespace tenure::c

// --- Types

const char* tenure_dtype_name(tenure_dtype dtype) {
  const absl::StatusOr<DType> known = DTypeOf(dtype);
  return known.ok() ? Name(*known).data() : nullptr;
}

tenure_status tenure_dtype_parse(const char* name, tenure_dtype* dtype) {
  return Call([&]() -> absl::Status {
    TENURE_RETURN_IF_ERROR(NotNull(name, "name"));
    TENURE_RETURN_IF_ERROR(NotNull(dtype, "dtype"));
    TENURE_ASSIGN_OR_RETURN(const DType parsed, ParseDType(name));
    *dtype = static_cast<tenure_dtype>(parsed);
    return absl::OkStatus();
  });
}

uint32_t tenure_dtype_bits(tenure_dtype dtype) {
  const absl::StatusOr<DType> known = DTypeOf(dtype);
  return known.ok() ? static_cast<uint32_t>(BitWidth(*known)) : 0;
}

// --- Making and ending

tenure_status tenure_buffer_create(const char* space, tenure_dtype dtype, int32_t rank,
                                   const int64_t* shape, const tenure_buffer_options* options,
                                   tenure_buffer** buffer) {
  return Call([&]() -> absl::Status {
    TENURE_RETURN_IF_ERROR(NotNull(buffer, "buffer"));
    TENURE_ASSIGN_OR_RETURN(const DType type, DTypeOf(dtype));
    TENURE_ASSIGN_OR_RETURN(const Shape dims, ShapeOf(rank, shape));
    TENURE_ASSIGN_OR_RETURN(const BufferOptions made, BufferOptionsOf(options));
    TENURE_ASSIGN_OR_RETURN(Allocator* const allocator, AllocatorOfSpace(space));
    return GiveBuffer(Buffer::Create(*allocator, type, dims, made), buffer);
  });
}

tenure_status tenure_buffer_wrap(const char* space, tenure_dtype dtype, int32_t rank,
                                 const int64_t* shape, void* data, int32_t read_only,
                                 void (*release)(void* context), void* context,
                                 const tenure_buffer_options* options, tenure_buffer** buffer) {
  bool handed_over = false;
  const tenure_status status = Call([&]() -> absl::Status {
    TENURE_RETURN_IF_ERROR(NotNull(buffer, "buffer"));
    TENURE_ASSIGN_OR_RETURN(const DType type, DTypeOf(dtype));
    TENURE_ASSIGN_OR_RETURN(const Shape dims, ShapeOf(rank, shape));
    TENURE_ASSIGN_OR_RETURN(const BufferOptions made, BufferOptionsOf(options));
    TENURE_ASSIGN_OR_RETURN(Allocator* const allocator, AllocatorOfSpace(space));
    TENURE_ASSIGN_OR_RETURN(const uint64_t size, ByteSize(type, dims.dims()));
    if (size > 0) TENURE_RETURN_IF_ERROR(NotNull(data, "data"));
    ForeignMemory memory{.data = data, .read_only = read_only != 0};
    // Two pointers: std::function keeps them without memory of its own.
    if (release != nullptr) memory.release = [release, context] { release(context); };
    handed_over = true;
    absl::StatusOr<Buffer> wrapped =
        Buffer::Wrap(*allocator, type, dims, std::move(memory), size, made);
    return GiveBuffer(std::move(wrapped), buffer);
  });
  if (!handed_over && release != nullptr) release(context);
  return status;
}

tenure_status tenure_buffer_map_file(const char* path, uint64_t file_offset, tenure_dtype dtype,
                                     int32_t rank, const int64_t* shape,
                                     const tenure_buffer_options* options, tenure_buffer** buffer) {
  return Call([&]() -> absl::Status {
    TENURE_RETURN_IF_ERROR(NotNull(path, "path"));
    TENURE_RETURN_IF_ERROR(NotNull(buffer, "buffer"));
    TENURE_ASSIGN_OR_RETURN(const DType type, DTypeOf(dtype));
    TENURE_ASSIGN_OR_RETURN(const Shape dims, ShapeOf(rank, shape));
    TENURE_ASSIGN_OR_RETURN(const BufferOptions made, BufferOptionsOf(options));
    TENURE_ASSIGN_OR_RETURN(Allocator* const allocator,
                            Registry::Default().Get(MemorySpace::Disk(path)));
    return GiveBuffer(Buffer::FromFile(*allocator, type, dims, file_offset, made), buffer);
  });
}

void tenure_buffer_retain(tenure_buffer* buffer) {
  buffer->references.fetch_add(1, std::memory_order_relaxed);
}

void tenure_buffer_release(tenure_buffer* buffer) {
  if (buffer == nullptr) return;
  if (buffer->references.fetch_sub(1, std::memory_order_acq_rel) == 1) delete buffer;
}

// --- Views

tenure_status tenure_buffer_view(const tenure_buffer* buffer, uint64_t offset, tenure_dtype dtype,
                                 int32_t rank, const int64_t* shape, tenure_buffer** view) {
  return Call([&]() -> absl::Status {
    TENURE_RETURN_IF_ERROR(NotNull(buffer, "buffer"));
    TENURE_RETURN_IF_ERROR(NotNull(view, "view"));
    TENURE_ASSIGN_OR_RETURN(const DType type, DTypeOf(dtype));
    TENURE_ASSIGN_OR_RETURN(const Shape dims, ShapeOf(rank, shape));
    return GiveBuffer(buffer->value.View(offset, type, dims), view);
  });
}

tenure_status tenure_buffer_slice(const tenure_buffer* buffer, int64_t begin, int64_t end,
                                  tenure_buffer** view) {
  return Call([&]() -> absl::Status {
    TENURE_RETURN_IF_ERROR(NotNull(buffer, "buffer"));
    TENURE_RETURN_IF_ERROR(NotNull(view, "view"));
    return GiveBuffer(buffer->value.Slice(begin, end), view);
  });
}

tenure_status tenure_buffer_get_info(const tenure_buffer* buffer, tenure_buffer_info* info) {
  return Call([&]() -> absl::Status {
    TENURE_RETURN_IF_ERROR(NotNull(buffer, "buffer"));
    const Buffer& value = buffer->value;
    tenure_buffer_info told = TENURE_BUFFER_INFO_INIT;
    told.id = value.id().value();
    told.storage_id = value.storage_id().value();
    told.offset = value.offset();
    told.size = value.size();
    told.total_size = value.total_size();
    told.dtype = static_cast<tenure_dtype>(value.dtype());
    told.rank = value.shape().rank();
    for (int axis = 0; axis < told.rank; ++axis) told.shape[axis] = value.shape().dim(axis);
    told.allocated = value.is_allocated() ? 1 : 0;
    told.sealed = value.is_sealed() ? 1 : 0;
    const bool read_only =
        value.is_sealed() || (value.is_allocated() && value.storage()->root().read_only);
    told.read_only = read_only ? 1 : 0;
    told.space = buffer->space.c_str();
    told.name = value.name().c_str();
    return Give(told, info, "info");
  });
}

// --- Memory

tenure_status tenure_buffer_allocate(const tenure_buffer* buffer) {
  return Call([&]() -> absl::Status {
    TENURE_RETURN_IF_ERROR(NotNull(buffer, "buffer"));
    return buffer->value.EnsureAllocated();
  });
}

tenure_status tenure_buffer_seal(const tenure_buffer* buffer) {
  return Call([&]() -> absl::Status {
    TENURE_RETURN_IF_ERROR(NotNull(buffer, "buffer"));
    return buffer->value.Seal();
  });
}

tenure_status tenure_buffer_wait(const tenure_buffer* buffer, int32_t for_writing,
                                 double timeout_seconds) {
  return Call([&]() -> absl::Status {
    TENURE_RETURN_IF_ERROR(NotNull(buffer, "buffer"));
    const Buffer& value = buffer->value;
    if (!value.is_allocated()) return absl::OkStatus();
    return value.storage()->WaitForUses(value.offset(), value.offset() + value.size(),
                                        for_writing != 0 ? Access::kWrite : Access::kRead,
                                        DeadlineOf(timeout_seconds));
  });
}

tenure_status tenure_buffer_host_pointer(const tenure_buffer* buffer, const void** data) {
  return Call([&]() -> absl::Status {
    TENURE_RETURN_IF_ERROR(NotNull(buffer, "buffer"));
    TENURE_RETURN_IF_ERROR(NotNull(data, "data"));
    TENURE_ASSIGN_OR_RETURN(*data, buffer->value.HostPointer());
    return absl::OkStatus();
  });
}

tenure_status tenure_buffer_mutable_host_pointer(const tenure_buffer* buffer, void** data) {
  return Call([&]() -> absl::Status {
    TENURE_RETURN_IF_ERROR(NotNull(buffer, "buffer"));
    TENURE_RETURN_IF_ERROR(NotNull(data, "data"));
    TENURE_ASSIGN_OR_RETURN(*data, buffer->value.MutableHostPointer());
    return absl::OkStatus();
  });
}

tenure_status tenure_buffer_device_address(const tenure_buffer* buffer, int32_t for_writing,
                                           uint64_t* address) {
  return Call([&]() -> absl::Status {
    TENURE_RETURN_IF_ERROR(NotNull(buffer, "buffer"));
    TENURE_RETURN_IF_ERROR(NotNull(address, "address"));
    TENURE_ASSIGN_OR_RETURN(*address, for_writing != 0 ? buffer->value.MutableDeviceAddress()
                                                       : buffer->value.DeviceAddress());
    return absl::OkStatus();
  });
}

// --- Copies

tenure_status tenure_buffer_copy_in(const tenure_buffer* to, uint64_t offset, const void* from,
                                    uint64_t size) {
  return Call([&]() -> absl::Status {
    TENURE_RETURN_IF_ERROR(NotNull(to, "to"));
    if (size > 0) TENURE_RETURN_IF_ERROR(NotNull(from, "from"));
    return to->value.CopyInAt(offset, from, size);
  });
}

tenure_status tenure_buffer_copy_out(const tenure_buffer* from, uint64_t offset, void* to,
                                     uint64_t size) {
  return Call([&]() -> absl::Status {
    TENURE_RETURN_IF_ERROR(NotNull(from, "from"));
    if (size > 0) TENURE_RETURN_IF_ERROR(NotNull(to, "to"));
    return from->value.CopyOutAt(offset, to, size);
  });
}

tenure_status tenure_buffer_copy(const tenure_buffer* to, uint64_t offset,
                                 const tenure_buffer* from, uint64_t from_offset, uint64_t size) {
  return Call([&]() -> absl::Status {
    TENURE_RETURN_IF_ERROR(NotNull(to, "to"));
    TENURE_RETURN_IF_ERROR(NotNull(from, "from"));
    return to->value.CopyRegionFrom(from->value, from_offset, offset, size);
  });
}

tenure_status tenure_buffer_fill(const tenure_buffer* buffer, const void* pattern, size_t size) {
  return Call([&]() -> absl::Status {
    TENURE_RETURN_IF_ERROR(NotNull(buffer, "buffer"));
    TENURE_RETURN_IF_ERROR(NotNull(pattern, "pattern"));
    return buffer->value.Fill(absl::MakeConstSpan(static_cast<const std::byte*>(pattern), size));
  });
}
