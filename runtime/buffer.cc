#include "tenure/runtime/buffer.h"

#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "tenure/runtime/buffer_errors.h"

namespace tenure {
namespace {

using internal::Describe;

absl::Status NullBuffer() { return internal::NullBufferError(); }

absl::Status ImportAs(const StorageHandle& storage, AllocationRequest request,
                      const BufferOptions& options) {
  request.alignment_bytes = options.alignment_bytes;
  return storage->Import(std::move(request));
}

}  // namespace

// ------------------------------------------------------------------------------------------------
// creation

absl::StatusOr<Buffer> Buffer::CreateLazy(Allocator& allocator, DType dtype, const Shape& shape,
                                          const BufferOptions& options) {
  uint64_t size;
  if (ABSL_PREDICT_FALSE(!IsByteSized(dtype) ||
                         !CheckedMul(shape.elements(), ItemSize(dtype), &size))) {
    absl::StatusOr<uint64_t> checked = ByteSize(dtype, shape.elements());
    if (!checked.ok()) return checked.status();
    size = *checked;
  }
  if (ABSL_PREDICT_FALSE(options.alignment_bytes != 0 && !IsPowerOfTwo(options.alignment_bytes))) {
    return absl::InvalidArgumentError(
        absl::StrCat("alignment ", options.alignment_bytes, " is not a power of two"));
  }
  // Made in place: a handle that is moved on its way out would cost as much as the storage.
  return absl::StatusOr<Buffer>(absl::in_place, Tag(),
                                Storage::Make(allocator, size,
                                              {.alignment_bytes = options.alignment_bytes,
                                               .zeroed = options.zeroed,
                                               .hints = options.hints,
                                               .name = options.name}),
                                uint64_t{0}, size, dtype, shape);
}

absl::StatusOr<Buffer> Buffer::Create(Allocator& allocator, DType dtype, const Shape& shape,
                                      const BufferOptions& options) {
  absl::StatusOr<Buffer> buffer = CreateLazy(allocator, dtype, shape, options);
  if (ABSL_PREDICT_FALSE(options.immediate) && buffer.ok()) {
    if (absl::Status status = buffer->EnsureAllocated(); !status.ok()) buffer = std::move(status);
  }
  return buffer;
}

absl::StatusOr<std::vector<Buffer>> Buffer::CreateMany(Allocator& allocator,
                                                       absl::Span<const BufferSpec> specs) {
  std::vector<Buffer> buffers;
  buffers.reserve(specs.size());
  for (const BufferSpec& spec : specs) {
    absl::StatusOr<Buffer> buffer = Create(allocator, spec.dtype, spec.shape, spec.options);
    if (!buffer.ok()) {
      return absl::Status(buffer.status().code(),
                          absl::StrCat("buffer ", buffers.size(), " of ", specs.size(), ": ",
                                       buffer.status().message()));
    }
    buffers.push_back(*std::move(buffer));
  }
  return buffers;
}

absl::StatusOr<Buffer> Buffer::FromBytes(Allocator& allocator, DType dtype, const Shape& shape,
                                         const void* data, uint64_t size_bytes,
                                         const BufferOptions& options) {
  // Every byte is written below: zeroing them first would be in vain.
  BufferOptions written = options;
  written.zeroed = false;
  absl::StatusOr<Buffer> buffer = CreateLazy(allocator, dtype, shape, written);
  if (!buffer.ok()) return buffer;
  if (absl::Status status = buffer->CopyIn(data, size_bytes); !status.ok()) return status;
  return buffer;
}

absl::StatusOr<Buffer> Buffer::Wrap(Allocator& allocator, DType dtype, const Shape& shape,
                                    ForeignMemory memory, uint64_t size_bytes,
                                    const BufferOptions& options) {
  // The caller hands the memory over, whatever comes of it.
  std::function<void()> release = memory.release;
  auto refuse = [&release](absl::Status status) {
    if (release) release();
    return status;
  };
  absl::StatusOr<Buffer> buffer = CreateLazy(allocator, dtype, shape, options);
  if (!buffer.ok()) return refuse(buffer.status());
  if (buffer->size() != size_bytes) {
    return refuse(absl::InvalidArgumentError(
        absl::StrCat("memory of ", size_bytes, " bytes can't be wrapped as ", Name(dtype),
                     shape.ToString(), ", which takes ", buffer->size())));
  }
  AllocationRequest request;
  request.foreign = std::move(memory);
  if (absl::Status status = ImportAs(buffer->storage_, std::move(request), options); !status.ok())
    return refuse(status);
  return buffer;
}

absl::StatusOr<Buffer> Buffer::FromFile(Allocator& allocator, DType dtype, const Shape& shape,
                                        uint64_t file_offset_bytes, const BufferOptions& options) {
  absl::StatusOr<Buffer> buffer = CreateLazy(allocator, dtype, shape, options);
  if (!buffer.ok()) return buffer;
  AllocationRequest request;
  request.file = FileWindow{file_offset_bytes};
  if (absl::Status status = ImportAs(buffer->storage_, std::move(request), options); !status.ok())
    return status;
  return buffer;
}

// ---------------------------------------------------------------------------------------------------
// views

const std::string& Buffer::name() const {
  static const std::string* const none = new std::string;
  return storage_ ? storage_->name() : *none;
}

absl::Status Buffer::ViewError(uint64_t offset_bytes, uint64_t size_bytes) const {
  if (is_null()) return NullBuffer();
  if (!WindowFits(offset_bytes, size_bytes, size_)) {
    return absl::OutOfRangeError(absl::StrCat("a view of ", size_bytes, " bytes at ", offset_bytes,
                                              " does not lie in ", Describe(*this), " of ", size_,
                                              " bytes"));
  }
  return absl::InvalidArgumentError(
      absl::StrCat("a view of ", size_bytes, " bytes is no whole number of ", Name(dtype_),
                   " elements; give a dtype and shape to see the bytes otherwise"));
}

absl::StatusOr<Buffer> Buffer::View(uint64_t offset_bytes, DType dtype, const Shape& shape) const {
  absl::StatusOr<uint64_t> size = ByteSize(dtype, shape.elements());
  if (!size.ok()) return size.status();
  if (is_null() || !WindowFits(offset_bytes, *size, size_)) return ViewError(offset_bytes, *size);
  return absl::StatusOr<Buffer>(absl::in_place, Tag(), storage_, offset_ + offset_bytes, *size,
                                dtype, shape);
}

absl::StatusOr<Buffer> Buffer::Slice(int64_t begin, int64_t end) const {
  if (is_null()) return NullBuffer();
  if (shape_.rank() == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(Describe(*this), " has rank 0 and no first dimension to slice"));
  }
  const int64_t rows = shape_.dim(0);
  if (begin < 0 || begin > end || end > rows) {
    return absl::OutOfRangeError(absl::StrCat("slice [", begin, ", ", end, ") does not lie in the ",
                                              rows, " rows of ", Describe(*this)));
  }
  Shape shape = shape_;
  shape.dims_[0] = end - begin;
  // Neither product can wrap: they are at most the size of this window in bits.
  uint64_t row_elements = 1;
  if (rows > 0) row_elements = shape_.elements() / static_cast<uint64_t>(rows);
  if (IsByteSized(dtype_)) {
    const uint64_t row_bytes = row_elements * ItemSize(dtype_);
    return absl::StatusOr<Buffer>(
        absl::in_place, Tag(), storage_, offset_ + static_cast<uint64_t>(begin) * row_bytes,
        rows == 0 ? 0 : static_cast<uint64_t>(end - begin) * row_bytes, dtype_, shape);
  }
  const uint64_t per_byte = 8 / BitWidth(dtype_);
  const uint64_t first = static_cast<uint64_t>(begin) * row_elements;
  const uint64_t count = rows == 0 ? 0 : static_cast<uint64_t>(end - begin) * row_elements;
  if (first % per_byte != 0 && count > 0) {
    return absl::InvalidArgumentError(absl::StrCat("row ", begin, " of ", Describe(*this), " of ",
                                                   Name(dtype_), " does not begin at a byte"));
  }
  const uint64_t size = count / per_byte + (count % per_byte != 0 ? 1 : 0);
  return absl::StatusOr<Buffer>(absl::in_place, Tag(), storage_,
                                offset_ + (count == 0 ? 0 : first / per_byte), size, dtype_, shape);
}

absl::StatusOr<Buffer> Buffer::Reinterpret(DType dtype, const Shape& shape) const {
  if (is_null()) return NullBuffer();
  absl::StatusOr<uint64_t> size = ByteSize(dtype, shape.elements());
  if (!size.ok()) return size.status();
  if (*size != size_) {
    return absl::InvalidArgumentError(absl::StrCat(Describe(*this), " of ", size_,
                                                   " bytes can't be seen as ", Name(dtype),
                                                   shape.ToString(), ", which takes ", *size));
  }
  return absl::StatusOr<Buffer>(absl::in_place, Tag(), storage_, offset_, size_, dtype, shape);
}

absl::StatusOr<std::vector<Buffer>> Buffer::ForkViews(absl::Span<const Buffer> buffers,
                                                      Contents contents,
                                                      const TransferOptions& options) {
  std::vector<Buffer> forks;
  forks.reserve(buffers.size());
  absl::flat_hash_map<StorageId, StorageHandle> fresh;
  for (const Buffer& buffer : buffers) {
    if (buffer.is_null()) return NullBuffer();
    const Storage& old = *buffer.storage_;
    StorageHandle& storage = fresh[old.id()];
    if (!storage) {
      storage = Storage::Make(old.allocator(), old.size_bytes(),
                              {.alignment_bytes = old.alignment_bytes(),
                               .zeroed = old.zeroed(),
                               .hints = old.hints(),
                               .name = old.name()});
      // What has no bytes yet has no contents: the fork starts as the original does.
      if (contents == Contents::kCopied && old.is_allocated()) {
        const Shape whole = Shape::Vector(old.size_bytes());
        const Buffer from(Tag(), buffer.storage_, 0, old.size_bytes(), DType::kUInt8, whole);
        const Buffer to(Tag(), storage, 0, old.size_bytes(), DType::kUInt8, whole);
        if (absl::Status status = to.CopyFrom(from, options); !status.ok()) return status;
      }
    }
    forks.push_back(
        Buffer(Tag(), storage, buffer.offset_, buffer.size_, buffer.dtype_, buffer.shape_));
  }
  return forks;
}

// --------------------------------------------------------------------------------------------------
// memory

absl::Status Buffer::EnsureAllocated() const {
  return storage_ ? storage_->EnsureAllocated() : NullBuffer();
}

absl::Status Buffer::Seal() const { return storage_ ? storage_->Seal() : NullBuffer(); }

absl::Status Buffer::CheckWritable() const {
  if (storage_->sealed()) {
    return absl::FailedPreconditionError(
        absl::StrCat(Describe(*this), " is sealed; write to a fork of it (ForkViews)"));
  }
  if (storage_->is_allocated() && storage_->root().read_only) {
    return absl::FailedPreconditionError(
        absl::StrCat(Describe(*this), " is read-only memory of ", allocator().space().ToString(),
                     "; copy it to a buffer of 'cpu' and write there"));
  }
  return absl::OkStatus();
}

absl::StatusOr<const void*> Buffer::HostPointer() const {
  if (absl::Status status = EnsureAllocated(); !status.ok()) return status;
  const Allocation& root = storage_->root();
  if (root.host == nullptr && size_ > 0) {
    return absl::UnimplementedError(absl::StrCat(
        Describe(*this), " has no host pointer: it is in ", allocator().space().ToString(),
        root.device_address != 0 ? "; use DeviceAddress" : "",
        "; CopyOut brings its bytes to the host"));
  }
  if (root.host == nullptr) return static_cast<const void*>(nullptr);
  return static_cast<const void*>(static_cast<const std::byte*>(root.host) +
                                  storage_->root_offset() + offset_);
}

absl::StatusOr<void*> Buffer::MutableHostPointer() const {
  absl::StatusOr<const void*> pointer = HostPointer();
  if (!pointer.ok()) return pointer.status();
  if (absl::Status status = CheckWritable(); !status.ok()) return status;
  return const_cast<void*>(*pointer);
}

absl::StatusOr<uint64_t> Buffer::DeviceAddress() const {
  if (absl::Status status = EnsureAllocated(); !status.ok()) return status;
  const Allocation& root = storage_->root();
  if (root.device_address == 0 && size_ > 0) {
    return absl::UnimplementedError(absl::StrCat(
        Describe(*this), " has no device address: it is in ", allocator().space().ToString(),
        root.host != nullptr ? "; use HostPointer" : "",
        root.native_handle != 0 ? "; use NativeBinding" : ""));
  }
  return root.device_address == 0 ? 0 : root.device_address + storage_->root_offset() + offset_;
}

absl::StatusOr<uint64_t> Buffer::MutableDeviceAddress() const {
  absl::StatusOr<uint64_t> address = DeviceAddress();
  if (!address.ok()) return address;
  if (absl::Status status = CheckWritable(); !status.ok()) return status;
  return address;
}

absl::StatusOr<Buffer::Binding> Buffer::NativeBinding() const {
  if (absl::Status status = EnsureAllocated(); !status.ok()) return status;
  const Allocation& root = storage_->root();
  if (root.native_handle == 0) {
    return absl::UnimplementedError(
        absl::StrCat(Describe(*this), " has no driver object to bind: it is in ",
                     allocator().space().ToString(), "; use HostPointer or DeviceAddress"));
  }
  if (size_ > allocator().traits().max_binding_bytes) {
    return absl::OutOfRangeError(absl::StrCat(
        Describe(*this), " of ", size_, " bytes is larger than what can be bound at once (",
        allocator().traits().max_binding_bytes, "); bind views of it"));
  }
  return Binding{root.native_handle, root.native_offset + storage_->root_offset() + offset_, size_};
}

absl::Status Buffer::RecordUse(Access access, const Fence& fence) const {
  if (is_null()) return NullBuffer();
  if (!is_allocated()) {
    return absl::FailedPreconditionError(
        absl::StrCat(Describe(*this), " has no bytes yet, so nobody can be using them"));
  }
  storage_->RecordUse(offset_, offset_ + size_, access, fence);
  return absl::OkStatus();
}

std::vector<Fence> Buffer::PendingUses(Access access) const {
  if (!is_allocated()) return {};
  return storage_->ConflictingUses(offset_, offset_ + size_, access);
}

absl::Status Buffer::Synchronize(absl::Duration timeout) const {
  if (is_null()) return NullBuffer();
  if (!is_allocated()) return absl::OkStatus();
  const absl::Time deadline =
      timeout == absl::InfiniteDuration() ? absl::InfiniteFuture() : absl::Now() + timeout;
  return storage_->WaitForUses(offset_, offset_ + size_, Access::kWrite, deadline);
}

// -------------------------------------------------------------------------------------------------
// hazards

bool Buffer::Overlaps(const Buffer& other) const {
  if (is_null() || other.is_null()) return false;
  uint64_t mine = offset_, theirs = other.offset_;
  if (storage_.get() != other.storage_.get()) {
    if (!is_allocated() || !other.is_allocated()) return false;
    const Allocation& a = storage_->root();
    const Allocation& b = other.storage_->root();
    if (a.id != b.id) {
      // Windows of one mapping, or foreign memory wrapped twice: the same host bytes behind two
      // allocations.
      if (a.host == nullptr || b.host == nullptr) return false;
      mine = reinterpret_cast<uintptr_t>(a.host);
      theirs = reinterpret_cast<uintptr_t>(b.host);
      mine += storage_->root_offset() + offset_;
      theirs += other.storage_->root_offset() + other.offset_;
    } else {
      mine += storage_->root_offset();
      theirs += other.storage_->root_offset();
    }
  }
  return size_ > 0 && other.size_ > 0 && mine < theirs + other.size_ && theirs < mine + size_;
}

Hazard Buffer::HazardBetween(const Buffer& first, Access first_access, const Buffer& second,
                             Access second_access) {
  if ((first_access == Access::kRead && second_access == Access::kRead) ||
      !first.Overlaps(second)) {
    return Hazard::kNone;
  }
  if (first_access == Access::kRead) return Hazard::kWriteAfterRead;
  return second_access == Access::kRead ? Hazard::kReadAfterWrite : Hazard::kWriteAfterWrite;
}

}  // namespace tenure
