// Buffer: a handle on tensor memory; a window (offset, size) onto a shared Storage, with a dtype
// and a shape.
//
// Memory is lazy: creating, viewing and dropping touch none; whoever first needs the bytes
// allocates them, unless a plan has placed the storage in an arena before. Copying a handle keeps
// its id (the same logical buffer); View, Slice and Reinterpret mint a new one, and are flattened.
//
//   storage   |--------------------------------------------|   storage_id(), total_size()
//   buffer a  |--------------------------------------------|   id 1, offset 0
//   a.View(64, 128)   |------------|                           id 2, offset 64
//
// Example:
//   TENURE_ASSIGN_OR_RETURN(Buffer x, Buffer::Create(*cpu, DType::kFloat32, shape));
//   TENURE_RETURN_IF_ERROR(x.CopyIn(values.data(), values.size() * sizeof(float)));
//   TENURE_ASSIGN_OR_RETURN(absl::Span<const float> xs, x.As<float>());
//
// What is read before it was written, and was not promised to be zeroed, is undefined; reading
// allocates too.
//
// Cost: creation 20-30 ns, a view or copy one atomic increment, the allocated check one acquire
// load; 112 bytes a handle.
// Thread safety: handles are thread-compatible values, what they share is thread-safe. Two threads
// that write the same bytes race, as with any memory.
// Ownership: shares its storage; borrows the allocator. Spans and pointers are valid while a handle
// (or mapping) lives; for a placed storage, as long as the plan gives it the bytes.
// Errors: InvalidArgument (sizes, shapes, dtypes that do not fit), OutOfRange (windows),
// FailedPrecondition (sealed, null handle), ResourceExhausted, Unimplemented (no such access in
// this space), DeadlineExceeded (waiting for a device), DataLoss (a file shrank). Host access waits
// for the recorded uses that it conflicts with, and only those.

#ifndef TENURE_RUNTIME_BUFFER_H_
#define TENURE_RUNTIME_BUFFER_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "tenure/allocator/allocator.h"
#include "tenure/base/checked.h"
#include "tenure/base/ids.h"
#include "tenure/runtime/buffer_options.h"  // IWYU pragma: export
#include "tenure/runtime/dtype.h"
#include "tenure/runtime/host_span.h"
#include "tenure/runtime/shape.h"
#include "tenure/runtime/storage.h"

namespace tenure {

class Mapping;

class Buffer {
 private:
  struct Tag {
    explicit Tag() = default;
  };

 public:
  // Made in place by the functions below, which have checked everything: private by its tag.
  Buffer(Tag, StorageHandle storage, uint64_t offset, uint64_t size, DType dtype,
         const Shape& shape);
  // A vector of `of`'s elements, its shape made in place: copying one here would double the cost.
  Buffer(Tag, const Buffer& of, uint64_t offset, uint64_t size, uint64_t elements);
  Buffer(const Buffer&) = default;
  Buffer& operator=(const Buffer&) = default;
  // Moved is mostly what was made just before: a view, out of its StatusOr.
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&&) noexcept = default;
  ~Buffer() = default;
  Buffer() = default;  // null: every call but the destructor, copies and is_null is
                       // FailedPrecondition or zero

  // --- Creation
  static absl::StatusOr<Buffer> Create(Allocator& allocator, DType dtype, const Shape& shape,
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
  // Wraps host memory of others, without a copy; `release` is called once, when no handle and no
  // use is left (also when this fails).
  static absl::StatusOr<Buffer> Wrap(Allocator& allocator, DType dtype, const Shape& shape,
                                     ForeignMemory memory, uint64_t size_bytes,
                                     const BufferOptions& options = {});
  // A read-only window of the file that the allocator's space (disk:/path) maps.
  static absl::StatusOr<Buffer> FromFile(Allocator& allocator, DType dtype, const Shape& shape,
                                         uint64_t file_offset_bytes,
                                         const BufferOptions& options = {});

  // All bytes of a storage, as uint8. For planners and executors, who know storages by other
  // buffers.
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
  // The storage; for planners. Null for a null buffer.
  Storage* storage() const { return storage_.get(); }

  // --- Views: need no memory and no lock ---------------------------------------------------------
  // Bytes [offset, offset + size) of this window, as a vector of the same dtype (whole elements).
  absl::StatusOr<Buffer> View(uint64_t offset_bytes, uint64_t size_bytes) const;
  // The bytes from `offset` on that this dtype and shape take.
  absl::StatusOr<Buffer> View(uint64_t offset_bytes, DType dtype, const Shape& shape) const;
  // Elements [begin, end) of the first dimension.
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
  absl::Status Seal() const;
  bool is_sealed() const { return storage_ && storage_->sealed(); }

  // --- For kernels
  // Allocate if needed. Wait for nothing and record nothing: the launch is the caller's, who calls
  // RecordUse afterwards. The two kinds are kept apart: writable ones are refused for sealed
  // storages and read-only memory. Host pointers need a space with host access.
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
  // The bytes are used in this way until `fence`.
  absl::Status RecordUse(Access access, const Fence& fence) const;
  // Unreached fences that an access would have to wait for.
  std::vector<Fence> PendingUses(Access access) const;
  // Waits for every use of this window.
  absl::Status Synchronize(absl::Duration timeout = absl::InfiniteDuration()) const;

  // --- Hazards: by physical bytes (root allocation and range), which a plan may share between
  // storages --------------------
  bool Overlaps(const Buffer& other) const;
  // What `second`, later, risks if it does not wait for `first`.
  static Hazard HazardBetween(const Buffer& first, Access first_access, const Buffer& second,
                              Access second_access);

  // --- Host access without a copy (host_span.h)
  template <typename T>
  absl::StatusOr<absl::Span<const T>> As() const;
  template <typename T>
  absl::StatusOr<absl::Span<T>> AsMutable() const;
  template <typename T>
  absl::StatusOr<NdSpan<const T>> AsShaped() const;
  template <typename T>
  absl::StatusOr<NdSpan<T>> AsShapedMutable() const;
  // Whatever the dtype.
  absl::StatusOr<absl::Span<const std::byte>> Bytes(
      absl::Duration timeout = absl::InfiniteDuration()) const;
  absl::StatusOr<absl::Span<std::byte>> MutableBytes(
      absl::Duration timeout = absl::InfiniteDuration()) const;
  // A region for the host's use until the Mapping is dropped (mapping.h); sealing is refused while
  // a writable one lives.
  absl::StatusOr<Mapping> Map(Access access,
                              absl::Duration timeout = absl::InfiniteDuration()) const;

  // --- Elements: these copy, so they work in any space. Setting one that is packed rewrites its
  // byte: threads that set its neighbours must take turns.
  // The value of a one-element tensor.
  template <typename T>
  absl::StatusOr<T> Item() const;
  template <typename T>
  absl::StatusOr<T> Get(absl::Span<const int64_t> index) const;
  template <typename T>
  absl::Status Set(absl::Span<const int64_t> index, T value) const;
  template <typename T>
  absl::StatusOr<T> Get(std::initializer_list<int64_t> index) const {
    return Get<T>(absl::MakeConstSpan(index.begin(), index.size()));
  }
  template <typename T>
  absl::Status Set(std::initializer_list<int64_t> index, T value) const {
    return Set<T>(absl::MakeConstSpan(index.begin(), index.size()), value);
  }

  // --- Copies (routes: runtime/copy). Whoever asks for too much is told before a byte is moved.
  // The whole window: size_bytes must equal size().
  absl::Status CopyIn(const void* from, uint64_t size_bytes,
                      const TransferOptions& options = {}) const;
  absl::Status CopyOut(void* to, uint64_t size_bytes, const TransferOptions& options = {}) const;
  absl::Status CopyInAt(uint64_t offset_bytes, const void* from, uint64_t size_bytes,
                        const TransferOptions& options = {}) const;
  absl::Status CopyOutAt(uint64_t offset_bytes, void* to, uint64_t size_bytes,
                         const TransferOptions& options = {}) const;
  // Between any two spaces; sizes must be equal. Overlap is right where both are the same storage.
  absl::Status CopyFrom(const Buffer& source, const TransferOptions& options = {}) const;
  absl::Status CopyRegionFrom(const Buffer& source, uint64_t source_offset_bytes,
                              uint64_t offset_bytes, uint64_t size_bytes,
                              const TransferOptions& options = {}) const;
  absl::Status CopyWithin(uint64_t from_offset_bytes, uint64_t to_offset_bytes, uint64_t size_bytes,
                          const TransferOptions& options = {}) const;
  // Repeats 1, 2, 4, 8 or 16 bytes; the last repetition is cut off at the end of the window.
  absl::Status Fill(absl::Span<const std::byte> pattern, const TransferOptions& options = {}) const;
  template <typename T>
  absl::Status FillWith(T value, const TransferOptions& options = {}) const {
    return Fill({reinterpret_cast<const std::byte*>(&value), sizeof(T)}, options);
  }
  // As above, without waiting: work that has to wait for a use is queued behind it, `from` and `to`
  // are the copy's until the fence, which also gives its error. Buffers are kept alive (and those
  // to be written, unsealed), and the uses recorded; a timeout ends the copy and not what it waited
  // for.
  absl::StatusOr<Fence> CopyInAsync(const void* from, uint64_t size_bytes,
                                    const TransferOptions& options = {}) const;
  absl::StatusOr<Fence> CopyOutAsync(void* to, uint64_t size_bytes,
                                     const TransferOptions& options = {}) const;
  absl::StatusOr<Fence> CopyFromAsync(const Buffer& source,
                                      const TransferOptions& options = {}) const;
  absl::StatusOr<Fence> FillAsync(absl::Span<const std::byte> pattern,
                                  const TransferOptions& options = {}) const;

 private:
  static absl::StatusOr<Buffer> CreateLazy(Allocator& allocator, DType dtype, const Shape& shape,
                                           const BufferOptions& options);
  absl::Status CheckWritable() const;
  absl::Status ViewError(uint64_t offset_bytes, uint64_t size_bytes) const;
  // Whether an access to any bytes of the window needs no check and no wait: the common case.
  bool IsFree(Access access) const {
    Storage* s = storage_.get();
    return s != nullptr && s->is_allocated() && !s->has_uses() &&
           (access == Access::kRead || (!s->sealed() && !s->root().read_only));
  }
  // Whether [offset, offset + size) of the window may be used so.
  absl::Status CheckAccess(Access access, uint64_t offset_bytes, uint64_t size_bytes) const;
  // The same, and allocates (unless size is 0).
  absl::Status PrepareAccess(Access access, uint64_t offset_bytes, uint64_t size_bytes) const;
  // The same, and waits for the uses in conflict.
  absl::Status BeginAccess(Access access, uint64_t offset_bytes, uint64_t size_bytes,
                           absl::Time deadline) const;
  // The same for the whole window; then its address on the host.
  absl::StatusOr<std::byte*> HostAccess(Access access, absl::Time deadline) const;
  absl::Status WrongType(DType wanted) const;
  absl::Status Misaligned(uint64_t alignment_bytes) const;
  // One element, of this dtype.
  absl::Status GetItem(std::byte* to) const;
  absl::Status GetElement(absl::Span<const int64_t> index, std::byte* to) const;
  absl::Status SetElement(absl::Span<const int64_t> index, const std::byte* from) const;
  absl::Status ReadElement(uint64_t position, std::byte* to) const;
  // [offset, offset + size) of the window; only when it is allocated.
  SubRegion Region(uint64_t offset_bytes, uint64_t size_bytes) const {
    return {&storage_->root(), storage_->root_offset() + offset_ + offset_bytes, size_bytes};
  }

  StorageHandle storage_;
  BufferId id_;
  uint64_t offset_ = 0;
  uint64_t size_ = 0;
  DType dtype_ = DType::kUInt8;
  Shape shape_;
};

}  // namespace tenure

#include "tenure/runtime/buffer_inl.h"  // IWYU pragma: export

#endif  // TENURE_RUNTIME_BUFFER_H_
