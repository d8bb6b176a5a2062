// BufferOperations: the methods of Buffer that do something with its bytes.
//
// Each is a thin call of a free function, whose header says the rest:
//   elements.h   typed access in place, single elements
//   transfer.h   copies and fills, also asynchronous; many small ones together are in copy_many.h
//   hazards.h    overlaps, hazards, and the record of what devices still use
//   mapping.h    host access with an end
//
// Why a base class: buffer.h has one subject, the handle, and users still type x.CopyIn(...). The
// class has no members and takes no bytes.
//
// Example:
//   TENURE_RETURN_IF_ERROR(x.CopyIn<float>(values));
//   TENURE_ASSIGN_OR_RETURN(float third, x.Get<float>({0, 2}));
//   TENURE_RETURN_IF_ERROR(x.RecordUse(Access::kWrite, done));
//
// Thread safety, ownership, errors: as buffer.h says.

#ifndef TENURE_RUNTIME_BUFFER_OPERATIONS_H_
#define TENURE_RUNTIME_BUFFER_OPERATIONS_H_

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <vector>

#include "absl/base/attributes.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "tenure/allocator/timeline/timeline.h"
#include "tenure/runtime/buffer_options.h"
#include "tenure/runtime/elements.h"  // IWYU pragma: export
#include "tenure/runtime/host_span.h"
#include "tenure/runtime/use_list.h"

namespace tenure {

class Buffer;
class Mapping;

class BufferOperations {
 public:
  // --- Uses and hazards (hazards.h, which also records whole steps)
  bool Overlaps(const Buffer& other) const;
  // The bytes are used in this way until `fence`.
  absl::Status RecordUse(Access access, const Fence& fence) const;
  // The fences, not reached yet, that an access would have to wait for.
  std::vector<Fence> PendingUses(Access access) const;
  // Waits for every use of this window.
  absl::Status Synchronize(absl::Duration timeout = absl::InfiniteDuration()) const;

  // --- Host access without a copy (elements.h)
  // Refused for temporaries, whose bytes may end before the span does.
  // clang-format off
  template <typename T>
  absl::StatusOr<absl::Span<const T>> As(absl::Duration timeout = absl::InfiniteDuration()) const&
      ABSL_ATTRIBUTE_LIFETIME_BOUND {
    return tenure::As<T>(self(), timeout);
  }
  template <typename T>
  absl::StatusOr<absl::Span<T>> AsMutable(absl::Duration timeout = absl::InfiniteDuration()) const&
      ABSL_ATTRIBUTE_LIFETIME_BOUND {
    return tenure::AsMutable<T>(self(), timeout);
  }
  template <typename T>
  absl::StatusOr<NdSpan<const T>> AsShaped(absl::Duration timeout = absl::InfiniteDuration()) const&
      ABSL_ATTRIBUTE_LIFETIME_BOUND {
    return tenure::AsShaped<T>(self(), timeout);
  }
  template <typename T>
  absl::StatusOr<NdSpan<T>> AsShapedMutable(absl::Duration timeout = absl::InfiniteDuration()) const&
      ABSL_ATTRIBUTE_LIFETIME_BOUND {
    return tenure::AsShapedMutable<T>(self(), timeout);
  }
  template <typename T> void As(absl::Duration = {}) const&& = delete;
  template <typename T> void AsMutable(absl::Duration = {}) const&& = delete;
  template <typename T> void AsShaped(absl::Duration = {}) const&& = delete;
  template <typename T> void AsShapedMutable(absl::Duration = {}) const&& = delete;
  // clang-format on
  // Whatever the dtype.
  absl::StatusOr<absl::Span<const std::byte>> Bytes(
      absl::Duration timeout = absl::InfiniteDuration()) const;
  absl::StatusOr<absl::Span<std::byte>> MutableBytes(
      absl::Duration timeout = absl::InfiniteDuration()) const;
  // A region for the host's use until the Mapping is dropped (mapping.h). Sealing is refused while
  // a writable one lives.
  absl::StatusOr<Mapping> Map(Access access,
                              absl::Duration timeout = absl::InfiniteDuration()) const;

  // --- Single elements, by copy: in any space (elements.h)
  // The value of a one-element tensor.
  template <Element T>
  absl::StatusOr<T> Item() const {
    return tenure::GetItem<T>(self());
  }
  template <Element T>
  absl::StatusOr<T> Get(absl::Span<const int64_t> index) const {
    return tenure::GetElement<T>(self(), index);
  }
  template <Element T>
  absl::StatusOr<T> Get(std::initializer_list<int64_t> index) const {
    return tenure::GetElement<T>(self(), index);
  }
  template <Element T>
  absl::Status Set(absl::Span<const int64_t> index, T value) const {
    return tenure::SetElement<T>(self(), index, value);
  }
  template <Element T>
  absl::Status Set(std::initializer_list<int64_t> index, T value) const {
    return tenure::SetElement<T>(self(), index, value);
  }

  // --- Copies and fills (transfer.h)
  // The whole window: the sizes must be equal, and with a type T the dtype must be T's.
  //   x.CopyIn<float>(values); x.CopyOut(absl::MakeSpan(results));
  template <ByteSizedElement T>
  absl::Status CopyIn(absl::Span<const T> from, const TransferOptions& options = {}) const {
    return internal::CopyElementsIn(self(), kDTypeOf<T>, from.data(), from.size() * sizeof(T),
                                    options);
  }
  template <WritableElement T>
  absl::Status CopyOut(absl::Span<T> to, const TransferOptions& options = {}) const {
    return internal::CopyElementsOut(self(), kDTypeOf<T>, to.data(), to.size() * sizeof(T),
                                     options);
  }
  absl::Status CopyIn(const void* from, uint64_t size_bytes,
                      const TransferOptions& options = {}) const;
  absl::Status CopyOut(void* to, uint64_t size_bytes, const TransferOptions& options = {}) const;
  absl::Status CopyInAt(uint64_t offset_bytes, const void* from, uint64_t size_bytes,
                        const TransferOptions& options = {}) const;
  absl::Status CopyOutAt(uint64_t offset_bytes, void* to, uint64_t size_bytes,
                         const TransferOptions& options = {}) const;
  absl::Status CopyFrom(const Buffer& source, const TransferOptions& options = {}) const;
  absl::Status CopyRegionFrom(const Buffer& source, uint64_t source_offset_bytes,
                              uint64_t offset_bytes, uint64_t size_bytes,
                              const TransferOptions& options = {}) const;
  absl::Status CopyWithin(uint64_t from_offset_bytes, uint64_t to_offset_bytes, uint64_t size_bytes,
                          const TransferOptions& options = {}) const;
  absl::Status Fill(absl::Span<const std::byte> pattern, const TransferOptions& options = {}) const;
  template <Element T>
  absl::Status FillWith(T value, const TransferOptions& options = {}) const {
    return tenure::FillWith<T>(self(), value, options);
  }
  absl::StatusOr<Fence> CopyInAsync(const void* from, uint64_t size_bytes,
                                    const TransferOptions& options = {}) const;
  absl::StatusOr<Fence> CopyOutAsync(void* to, uint64_t size_bytes,
                                     const TransferOptions& options = {}) const;
  absl::StatusOr<Fence> CopyFromAsync(const Buffer& source,
                                      const TransferOptions& options = {}) const;
  absl::StatusOr<Fence> FillAsync(absl::Span<const std::byte> pattern,
                                  const TransferOptions& options = {}) const;

 protected:
  BufferOperations() = default;
  BufferOperations(const BufferOperations&) = default;
  BufferOperations& operator=(const BufferOperations&) = default;
  ~BufferOperations() = default;

 private:
  const Buffer& self() const;  // Every one of these is a Buffer. Inline, in buffer.h.
};

}  // namespace tenure

#endif  // TENURE_RUNTIME_BUFFER_OPERATIONS_H_
