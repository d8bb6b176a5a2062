// Buffer's addresses, for kernels and host code.

#include "absl/strings/str_cat.h"
#include "tenure/runtime/access.h"
#include "tenure/runtime/buffer.h"
#include "tenure/runtime/buffer_errors.h"

namespace tenure {

using internal::Describe;

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
  if (!storage_->is_coherent() && size_ > 0) return internal::NotCoherentError(*this);
  return static_cast<const void*>(static_cast<const std::byte*>(root.host) +
                                  storage_->root_offset() + offset_);
}

absl::StatusOr<void*> Buffer::MutableHostPointer() const {
  if (!internal::IsFree(*this, Access::kWrite)) {
    absl::Status status = internal::PrepareAccess(*this, Access::kWrite, 0, size_);
    if (!status.ok()) return status;
  }
  absl::StatusOr<const void*> pointer = HostPointer();
  if (!pointer.ok()) return pointer.status();
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
  if (!internal::IsFree(*this, Access::kWrite)) {
    absl::Status status = internal::PrepareAccess(*this, Access::kWrite, 0, size_);
    if (!status.ok()) return status;
  }
  return DeviceAddress();
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

}  // namespace tenure
