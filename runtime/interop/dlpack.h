// Tensors of other libraries as buffers, and buffers as tensors of other libraries, without a copy:
// DLPack, which numpy, PyTorch and JAX exchange. Versions 1.x, and the form before it.
//
//   TENURE_ASSIGN_OR_RETURN(DLManagedTensorVersioned* tensor, ToDLPack(buffer));
//   consumer(tensor);  // calls tensor->deleter when it is done, from any thread
//
//   const auto allocator_of = [](const MemorySpace& s) { return Registry::Default().Get(s); };
//   TENURE_ASSIGN_OR_RETURN(Buffer x, FromDLPack(tensor_of_another_library, allocator_of));
//
// What goes out: buffers of the spaces whose kind has a device type in DLPack
// (SpaceKind::dlpack_device_type): cpu, disk (as host memory that is read-only) and cuda*. A tensor
// keeps its bytes alive, also those of an arena. Tensors of a sealed buffer or of read-only memory
// are marked as read-only, which some consumers ignore. While a tensor that may be written lives,
// its buffer can't be sealed.
//
// What comes in: dense tensors in row-major order of up to 8 dimensions. A buffer of a tensor that is
// marked as read-only refuses writes. Tensors of the form before version 1 have no such mark and are
// read-only too, unless the caller says otherwise.
//
// Order on devices: the exporter makes the consumer's queue wait for what still writes to the
// bytes. Work of the consumer's is not recorded: call Buffer::RecordUse with a fence that comes
// after it, before the buffer is used again.
//
// Cost: an allocation of some 300 bytes; an import takes what Buffer::Wrap takes.
// Thread safety: thread-safe; deleters may be called from any thread. Ownership: a tensor shares the
// storage. FromDLPack owns the tensor from the call on, and calls its deleter when the last handle
// and use are gone, or when it fails.
// Errors: FailedPrecondition (a null or sealed buffer, where ReadOnlyTensor refuses),
// InvalidArgument (tensors that contradict themselves), Unimplemented (a major version, device,
// type or stride that buffers do not have), DeadlineExceeded, and those of allocating and copying.

#ifndef TENURE_RUNTIME_INTEROP_DLPACK_H_
#define TENURE_RUNTIME_INTEROP_DLPACK_H_

#include <cstdint>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tenure/allocator/allocator.h"
#include "tenure/allocator/memory_space.h"
#include "tenure/allocator/queue.h"
#include "tenure/runtime/buffer.h"
#include "tenure/runtime/dtype.h"

// DLPack's own types, from <dlpack/dlpack.h>.
struct DLManagedTensor;
struct DLManagedTensorVersioned;

namespace tenure {

// The dtype that DLPack calls so. Unimplemented if buffers have none.
absl::StatusOr<DType> DTypeOfDLPack(uint8_t code, uint8_t bits, uint16_t lanes);

// What a consumer gets of a sealed buffer, and of memory that nobody may write to.
enum class ReadOnlyTensor : uint8_t {
  kMarked,   // the bytes themselves, marked as read-only
  kCopied,   // a copy, which it may write to: for consumers that ignore the mark
  kRefused,  // an error
};

struct ToDLPackOptions {
  ReadOnlyTensor read_only = ReadOnlyTensor::kMarked;
  bool copy = false;  // a copy in any case
  // Makes the memory of copies. Null: the buffer's own allocator, which is none for files.
  Allocator* copy_to = nullptr;
  // Where the consumer uses the bytes. What still writes to them is waited for on this queue where it
  // can, and on the host elsewhere. Null: on the host.
  Queue* queue = nullptr;
  absl::Duration timeout = absl::InfiniteDuration();  // of waiting on the host
};

absl::StatusOr<DLManagedTensorVersioned*> ToDLPack(const Buffer& buffer,
                                                   const ToDLPackOptions& options = {});
// In the form before version 1, which has no mark for what is read-only: ReadOnlyTensor::kMarked is
// refused for such bytes.
absl::StatusOr<DLManagedTensor*> ToUnversionedDLPack(const Buffer& buffer,
                                                     const ToDLPackOptions& options = {});

// Gives the allocator that wraps memory of this space.
using AllocatorOf = absl::FunctionRef<absl::StatusOr<Allocator*>(const MemorySpace& space)>;

struct FromDLPackOptions {
  std::string name = {};
  // Whether a tensor of the form before version 1 may be written to.
  bool unversioned_is_writable = false;
};

absl::StatusOr<Buffer> FromDLPack(DLManagedTensorVersioned* tensor, AllocatorOf allocator_of,
                                  const FromDLPackOptions& options = {});
absl::StatusOr<Buffer> FromUnversionedDLPack(DLManagedTensor* tensor, AllocatorOf allocator_of,
                                             const FromDLPackOptions& options = {});

}  // namespace tenure

#endif  // TENURE_RUNTIME_INTEROP_DLPACK_H_
