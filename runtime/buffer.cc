#include "tenure/runtime/buffer.h"

#include <algorithm>
#include <atomic>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "tenure/base/status_macros.h"
#include "tenure/runtime/buffer_errors.h"

namespace tenure {
namespace {

using internal::Describe;

absl::Status NullBuffer() { return internal::NullBufferError(); }

// Returns whether a window of this dtype and shape at a byte offset would end within a byte that
// holds a further element of `buffer`. Both would then overwrite the other's bits.
bool SplitsAByte(const Buffer& buffer, uint64_t offset_bytes, DType dtype, const Shape& shape) {
  if (ABSL_PREDICT_TRUE(IsByteSized(dtype) || IsByteSized(buffer.dtype()))) return false;
  const uint64_t elements = shape.elements();
  const uint64_t per_byte = 8 / BitWidth(dtype);
  if (elements % per_byte == 0) return false;
  // Neither product can wrap: a byte has at most 4 elements, and a shape at most 2^63-1.
  const uint64_t last_byte = offset_bytes + elements / per_byte;
  const uint64_t bits_there = elements % per_byte * BitWidth(dtype);
  const uint64_t before = last_byte * (8 / BitWidth(buffer.dtype()));
  return before < buffer.shape().elements() &&
         (buffer.shape().elements() - before) * BitWidth(buffer.dtype()) > bits_there;
}

absl::Status SplitsAByteError(const Buffer& buffer, std::string_view what, DType dtype) {
  return absl::InvalidArgumentError(
      absl::StrCat(what, " of ", Describe(buffer), " as ", Name(dtype),
                   " does not begin and end at whole bytes, so it would share a byte with other ",
                   "elements; take whole bytes, or use Get and Set"));
}

// Foreign memory whose `release` is called once: by the allocator that took it in, or by the call
// that failed to hand it over. An allocator gives it back when an exception ends its call.
struct ReleaseOnce {
  std::function<void()> release;
  std::atomic<bool> done{false};

  void Release() {
    if (!done.exchange(true)) release();
  }
};

}  // namespace

// --- Creation

absl::StatusOr<Buffer> Buffer::CreateLazy(Allocator& allocator, DType dtype, const Shape& shape,
                                          const BufferOptions& options) {
  uint64_t size;
  const uint64_t elements = shape.elements();
  if (ABSL_PREDICT_FALSE(elements > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))) {
    return absl::OutOfRangeError(
        absl::StrCat("a buffer of shape ", shape.ToString(),
                     " has more than 2^63-1 elements; was a negative number given for a size?"));
  }
  if (ABSL_PREDICT_FALSE(!IsByteSized(dtype) || !CheckedMul(elements, ItemSize(dtype), &size))) {
    TENURE_ASSIGN_OR_RETURN(size, ByteSize(dtype, elements));
  }
  if (ABSL_PREDICT_FALSE(options.alignment_bytes != 0 && !IsPowerOfTwo(options.alignment_bytes))) {
    return absl::InvalidArgumentError(
        absl::StrCat("alignment ", options.alignment_bytes, " is not a power of two"));
  }
  // Made in place: moving the handle out would cost as much as making the storage.
  return absl::StatusOr<Buffer>(absl::in_place, Tag(),
                                Storage::Make(allocator, size,
                                              {.alignment_bytes = options.alignment_bytes,
                                               .zeroed = options.zeroed,
                                               .hints = options.hints,
                                               .name = options.name}),
                                uint64_t{0}, size, dtype, shape);
}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  if (this == &other) return *this;
  storage_ = std::move(other.storage_);
  id_ = other.id_;
  offset_ = std::exchange(other.offset_, 0);
  size_ = std::exchange(other.size_, 0);
  dtype_ = other.dtype_;
  shape_ = other.shape_;
  other.shape_.Clear();
  return *this;
}

absl::StatusOr<Buffer> Buffer::Create(Allocator& allocator, DType dtype, const Shape& shape,
                                      const BufferOptions& options) {
  absl::StatusOr<Buffer> buffer = CreateLazy(allocator, dtype, shape, options);
  if (ABSL_PREDICT_FALSE(options.immediate) && buffer.ok()) {
    if (absl::Status status = buffer->EnsureAllocated(); !status.ok()) buffer = std::move(status);
  }
  return buffer;
}

absl::StatusOr<Buffer> Buffer::Create(Allocator& allocator, DType dtype,
                                      std::initializer_list<int64_t> dims,
                                      const BufferOptions& options) {
  TENURE_ASSIGN_OR_RETURN(const Shape shape, Shape::Of(dims));
  return Create(allocator, dtype, shape, options);
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
  // Every byte is written below, so zeroing them first would be wasted.
  BufferOptions written = options;
  written.zeroed = false;
  absl::StatusOr<Buffer> buffer = CreateLazy(allocator, dtype, shape, written);
  if (!buffer.ok()) return buffer;
  TENURE_RETURN_IF_ERROR(buffer->CopyIn(data, size_bytes));
  return buffer;
}

absl::StatusOr<Buffer> Buffer::Wrap(Allocator& allocator, DType dtype, const Shape& shape,
                                    ForeignMemory memory, uint64_t size_bytes,
                                    const BufferOptions& options) {
  // The caller has handed the memory over, so it is released on failure too, and after an
  // exception.
  std::shared_ptr<ReleaseOnce> once;
  absl::Cleanup release = [&] {
    if (once != nullptr) {
      once->Release();
    } else if (memory.release) {
      memory.release();
    }
  };
  absl::StatusOr<Buffer> buffer = CreateLazy(allocator, dtype, shape, options);
  if (!buffer.ok()) return buffer;
  if (buffer->size() != size_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("memory of ", size_bytes, " bytes can't be wrapped as ", Name(dtype),
                     shape.ToString(), ", which takes ", buffer->size()));
  }
  if (memory.release) {
    auto made = std::make_shared<ReleaseOnce>();
    std::function<void()> shared = [made] { made->Release(); };
    made->release.swap(memory.release);
    memory.release.swap(shared);
    once = std::move(made);
  }
  AllocationRequest request;
  request.foreign = std::move(memory);
  TENURE_RETURN_IF_ERROR(buffer->storage_->Import(std::move(request)));
  std::move(release).Cancel();
  return buffer;
}

absl::StatusOr<Buffer> Buffer::FromFile(Allocator& allocator, DType dtype, const Shape& shape,
                                        uint64_t file_offset_bytes, const BufferOptions& options) {
  absl::StatusOr<Buffer> buffer = CreateLazy(allocator, dtype, shape, options);
  if (!buffer.ok()) return buffer;
  AllocationRequest request;
  request.file = FileWindow{file_offset_bytes};
  TENURE_RETURN_IF_ERROR(buffer->storage_->Import(std::move(request)));
  return buffer;
}

// --- Views

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

absl::StatusOr<Buffer> Buffer::ViewPacked(uint64_t offset_bytes, uint64_t size_bytes) const {
  if (is_null() || !WindowFits(offset_bytes, size_bytes, size_)) {
    return ViewError(offset_bytes, size_bytes);
  }
  // The last byte may have room for more elements than the shape says: those are padding.
  const uint64_t per_byte = 8 / BitWidth(dtype_);
  const uint64_t all = shape_.elements();
  const uint64_t before = std::min(offset_bytes * per_byte, all);
  return absl::StatusOr<Buffer>(absl::in_place, Tag(), *this, offset_ + offset_bytes, size_bytes,
                                std::min(size_bytes * per_byte, all - before));
}

absl::StatusOr<Buffer> Buffer::View(uint64_t offset_bytes, DType dtype, const Shape& shape) const {
  absl::StatusOr<uint64_t> size = ByteSize(dtype, shape.elements());
  if (!size.ok()) return size.status();
  if (is_null() || !WindowFits(offset_bytes, *size, size_)) return ViewError(offset_bytes, *size);
  if (SplitsAByte(*this, offset_bytes, dtype, shape)) {
    return SplitsAByteError(*this, absl::StrCat("a view of shape ", shape.ToString()), dtype);
  }
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
  if (count > 0 && (first % per_byte != 0 || (end < rows && (first + count) % per_byte != 0))) {
    return SplitsAByteError(*this, absl::StrCat("slice [", begin, ", ", end, ")"), dtype_);
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
  if (SplitsAByte(*this, 0, dtype, shape)) {
    return SplitsAByteError(*this, absl::StrCat("shape ", shape.ToString()), dtype);
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
      // A storage without bytes has no contents, so the fork starts in the same way as the
      // original.
      if (contents == Contents::kCopied && old.is_allocated()) {
        const Shape whole = Shape::Vector(old.size_bytes());
        const Buffer from(Tag(), buffer.storage_, 0, old.size_bytes(), DType::kUInt8, whole);
        const Buffer to(Tag(), storage, 0, old.size_bytes(), DType::kUInt8, whole);
        TENURE_RETURN_IF_ERROR(to.CopyFrom(from, options));
      }
    }
    forks.push_back(
        Buffer(Tag(), storage, buffer.offset_, buffer.size_, buffer.dtype_, buffer.shape_));
  }
  return forks;
}

// --- Memory

absl::Status Buffer::EnsureAllocated() const {
  return storage_ ? storage_->EnsureAllocated() : NullBuffer();
}

absl::Status Buffer::Seal() const { return storage_ ? storage_->Seal() : NullBuffer(); }

// --- Errors (buffer_errors.h) that name a buffer

namespace internal {

std::string Describe(const Buffer& buffer) {
  return buffer.name().empty() ? absl::StrCat("buffer ", buffer.id().value())
                               : absl::StrCat("buffer '", buffer.name(), "'");
}

absl::Status WrongSizeError(const Buffer& buffer, uint64_t size_bytes, std::string_view part_of) {
  if (buffer.is_null()) return NullBufferError();
  return absl::InvalidArgumentError(absl::StrCat(size_bytes, " bytes for ", Describe(buffer),
                                                 " of ", buffer.size(), " bytes; copy all of it, ",
                                                 "or use ", part_of));
}

}  // namespace internal
}  // namespace tenure
