// Buffer: a handle on tensor memory: a window (offset, size) onto a shared Storage, with a dtype
// and a shape.
//
// Memory is lazy: making, viewing and dropping buffers touches none. The first access that needs
// the bytes allocates them, unless a plan has placed the storage in an arena before. Copying a
// handle keeps its id (the same logical buffer). View, Slice and Reinterpret make a new id, and are
// flattened.
//
//   storage   |--------------------------------------------|   storage_id(), total_size()
//   buffer a  |--------------------------------------------|   id 1, offset 0
//   a.View(64, 128)   |------------|                           id 2, offset 64
//
// Example:
//   TENURE_ASSIGN_OR_RETURN(Buffer x, Buffer::Create(*cpu, DType::kFloat32, shape));
//   TENURE_RETURN_IF_ERROR(x.CopyIn<float>(values));
//   TENURE_ASSIGN_OR_RETURN(absl::Span<const float> xs, x.As<float>());
//   for (float value : xs) sum += value;
//
// This class is the handle: identity, geometry, views, memory and addresses. What is done with the
// bytes has headers of its own. Its methods (x.CopyIn, x.As, x.Get, ...) come from
// BufferOperations, in buffer_operations.h.
//
// Bytes that were never written are undefined, unless the buffer was promised to be zeroed. Reading
// them allocates too.
//
// Cost: creation 20-30 ns, a view or copy one atomic increment, the allocated check one acquire
// load; 112 bytes a handle.
// Thread safety: handles are thread-compatible values, and what they share is thread-safe. Two
// threads that write the same bytes race, as with any memory.
// Ownership: shares its storage and borrows the allocator. Spans and pointers are valid while a
// handle or mapping of the storage lives; those of a placed storage, as long as the plan gives it
// the bytes.
// Errors: InvalidArgument (sizes, shapes, dtypes that do not fit), OutOfRange (windows, a negative
// number of elements), FailedPrecondition (sealed; Seal during a write; null handle),
// ResourceExhausted, Unimplemented (no such access in this space), DeadlineExceeded (waiting for a
// device), DataLoss (a copy out of a file that shrank; a span onto such a file is not protected:
// reading beyond its end raises SIGBUS). Host access waits for the recorded uses that it conflicts
// with, and only for those.

#ifndef TENURE_RUNTIME_BUFFER_H_
#define TENURE_RUNTIME_BUFFER_H_

#include <cstdint>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/attributes.h"
#include "absl/base/optimization.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "tenure/allocator/allocation.h"
#include "tenure/allocator/allocator.h"
#include "tenure/base/checked.h"
#include "tenure/base/ids.h"
#include "tenure/runtime/buffer_operations.h"  // IWYU pragma: export
#include "tenure/runtime/buffer_options.h"     // IWYU pragma: export
#include "tenure/runtime/dtype.h"
#include "tenure/runtime/shape.h"
#include "tenure/runtime/storage.h"

namespace tenure {

class Buffer : public BufferOperations {
 private:
  struct Tag {
    explicit Tag() = default;
  };

 public:
  // A null buffer: no elements, and every call that needs bytes is FailedPrecondition.
  Buffer() = default;
  Buffer(const Buffer&) = default;
  Buffer& operator=(const Buffer&) = default;
  Buffer(Buffer&& other) noexcept;  // leaves a null buffer
  Buffer& operator=(Buffer&& other) noexcept;
  ~Buffer() = default;
  // Private by their tag, and public for absl::in_place: the functions below have checked
  // everything.
  Buffer(Tag, StorageHandle storage, uint64_t offset, uint64_t size, DType dtype,
         const Shape& shape);
  // A vector of `of`'s elements. Its shape is made in place: copying one would double the cost.
  Buffer(Tag, const Buffer& of, uint64_t offset, uint64_t size, uint64_t elements);

  // --- Creation
  static absl::StatusOr<Buffer> Create(Allocator& allocator, DType dtype, const Shape& shape,
                                       const BufferOptions& options = {});
  // The same with the dimensions written out: Create(cpu, DType::kFloat32, {2, 3}).
  static absl::StatusOr<Buffer> Create(Allocator& allocator, DType dtype,
                                       std::initializer_list<int64_t> dims,
                                       const BufferOptions& options = {});
  // All or none.
  static absl::StatusOr<std::vector<Buffer>> CreateMany(Allocator& allocator,
                                                        absl::Span<const BufferSpec> specs);
  // Allocates at once and copies `data` in; size_bytes must be what dtype and shape say.
  static absl::StatusOr<Buffer> FromBytes(Allocator& allocator, DType dtype, const Shape& shape,
                                          const void* data, uint64_t size_bytes,
                                          const BufferOptions& options = {});
  template <typename T>
  static absl::StatusOr<Buffer> FromSpan(Allocator& allocator, absl::Span<const T> values,
                                         const Shape& shape, const BufferOptions& options = {}) {
    return FromBytes(allocator, kDTypeOf<T>, shape, values.data(), values.size() * sizeof(T),
                     options);
  }
  // Wraps host memory that exists already, without a copy. `release` is called once: when no handle
  // and no use is left, or when this fails. The memory brings its own contents, so `zeroed` is
  // InvalidArgument.
  static absl::StatusOr<Buffer> Wrap(Allocator& allocator, DType dtype, const Shape& shape,
                                     ForeignMemory memory, uint64_t size_bytes,
                                     const BufferOptions& options = {});
  // A read-only window of the file that the allocator's space (disk:/path) maps.
  static absl::StatusOr<Buffer> FromFile(Allocator& allocator, DType dtype, const Shape& shape,
                                         uint64_t file_offset_bytes,
                                         const BufferOptions& options = {});
  // All bytes of a storage, as uint8; for planners and executors.
  static Buffer OfStorage(Storage& storage) {
    return Buffer(Tag(), StorageHandle(&storage), 0, storage.size_bytes(), DType::kUInt8,
                  Shape::Vector(storage.size_bytes()));
  }

  // --- Identity and geometry
  bool is_null() const { return !storage_; }
  BufferId id() const { return id_; }
  StorageId storage_id() const { return storage_ ? storage_->id() : StorageId(); }
  uint64_t offset() const { return offset_; }  // of the window in its storage
  uint64_t size() const { return size_; }      // bytes of the window
  uint64_t total_size() const { return storage_ ? storage_->size_bytes() : 0; }
  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  Allocator& allocator() const { return storage_->allocator(); }  // not of a null buffer
  const std::string& name() const;                                // the storage's
  Storage* storage() const { return storage_.get(); }  // for planners; null of a null buffer

  // --- Views: need no memory and no lock
  // Bytes [offset, offset + size) of this window, as a vector of the same dtype (whole elements).
  absl::StatusOr<Buffer> View(uint64_t offset_bytes, uint64_t size_bytes) const;
  // The bytes from `offset` on that this dtype and shape take.
  absl::StatusOr<Buffer> View(uint64_t offset_bytes, DType dtype, const Shape& shape) const;
  // Elements [begin, end) of the first dimension. Packed ones must begin and end at whole bytes,
  // because a byte that belonged to two slices would be overwritten by each.
  absl::StatusOr<Buffer> Slice(int64_t begin, int64_t end) const;
  // The same bytes as another dtype and shape, which must take as many.
  absl::StatusOr<Buffer> Reinterpret(DType dtype, const Shape& shape) const;
  enum class Contents { kUndefined, kCopied };
  // The same geometry on fresh, unsealed storages: buffers that shared a storage share one again.
  static absl::StatusOr<std::vector<Buffer>> ForkViews(absl::Span<const Buffer> buffers,
                                                       Contents contents,
                                                       const TransferOptions& options = {});

  // --- Memory
  bool is_allocated() const { return storage_ && storage_->is_allocated(); }
  absl::Status EnsureAllocated() const;
  // One-way, for the whole storage: every later host write through any handle is refused.
  // FailedPrecondition while a mapping for writing lives, a copy or a fill into the storage is
  // under way, or a recorded use writes to it.
  absl::Status Seal() const;
  bool is_sealed() const { return storage_ && storage_->sealed(); }

  // --- Addresses, for kernels
  // They allocate if needed, wait for nothing and record nothing: whoever launches a kernel calls
  // RecordUse afterwards. Writable ones are refused for sealed storages and read-only memory. Host
  // pointers need a space with host access.
  absl::StatusOr<const void*> HostPointer() const;
  absl::StatusOr<void*> MutableHostPointer() const;
  absl::StatusOr<uint64_t> DeviceAddress() const;
  absl::StatusOr<uint64_t> MutableDeviceAddress() const;
  // What to bind where there are no addresses.
  struct Binding {
    uint64_t handle = 0;
    uint64_t offset_bytes = 0;
    uint64_t size_bytes = 0;
  };
  absl::StatusOr<Binding> NativeBinding() const;

 private:
  static absl::StatusOr<Buffer> CreateLazy(Allocator& allocator, DType dtype, const Shape& shape,
                                           const BufferOptions& options);
  absl::StatusOr<Buffer> ViewPacked(uint64_t offset_bytes, uint64_t size_bytes) const;
  absl::Status ViewError(uint64_t offset_bytes, uint64_t size_bytes) const;

  StorageHandle storage_;
  BufferId id_;
  uint64_t offset_ = 0;
  uint64_t size_ = 0;
  DType dtype_ = DType::kUInt8;
  Shape shape_ = Shape::Vector(0);
};

inline Buffer::Buffer(Tag, StorageHandle storage, uint64_t offset, uint64_t size, DType dtype,
                      const Shape& shape)
    : storage_(std::move(storage)),
      id_(BufferId::Mint()),
      offset_(offset),
      size_(size),
      dtype_(dtype),
      shape_(shape) {}

inline Buffer::Buffer(Tag, const Buffer& of, uint64_t offset, uint64_t size, uint64_t elements)
    : storage_(of.storage_),
      id_(BufferId::Mint()),
      offset_(offset),
      size_(size),
      dtype_(of.dtype_),
      shape_(Shape::Vector(elements)) {}

inline Buffer::Buffer(Buffer&& other) noexcept
    : BufferOperations(),
      storage_(std::move(other.storage_)),
      id_(other.id_),
      offset_(std::exchange(other.offset_, 0)),
      size_(std::exchange(other.size_, 0)),
      dtype_(other.dtype_),
      shape_(Shape::Recent(), other.shape_) {
  other.shape_.Clear();
}

inline const Buffer& BufferOperations::self() const { return static_cast<const Buffer&>(*this); }

// The usual view, inline: one increment, one id, no call. A call would cost half as much again as
// the two atomic operations of a view's life.
ABSL_ATTRIBUTE_ALWAYS_INLINE inline absl::StatusOr<Buffer> Buffer::View(uint64_t offset_bytes,
                                                                        uint64_t size_bytes) const {
  const uint64_t item = ItemSize(dtype_);
  if (ABSL_PREDICT_FALSE(item == 0)) return ViewPacked(offset_bytes, size_bytes);
  // Item sizes are powers of two.
  if (ABSL_PREDICT_FALSE(is_null() || !WindowFits(offset_bytes, size_bytes, size_) ||
                         (size_bytes & (item - 1)) != 0)) {
    return ViewError(offset_bytes, size_bytes);
  }
  return absl::StatusOr<Buffer>(absl::in_place, Tag(), *this, offset_ + offset_bytes, size_bytes,
                                size_bytes >> __builtin_ctzll(item));
}

}  // namespace tenure

#endif  // TENURE_RUNTIME_BUFFER_H_
