#include "tenure/allocator/vulkan/shared_memory.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "tenure/base/checked.h"
#include "tenure/base/status_macros.h"

namespace tenure::vulkan {
namespace {

constexpr VkExternalMemoryHandleTypeFlagBits kFd = VK_EXTERNAL_MEMORY_HANDLE_TYPE_OPAQUE_FD_BIT;
constexpr uint64_t kUnitBytes = uint64_t{64} << 10;

absl::Status NotSupported(const Device& device) {
  return absl::UnimplementedError(
      absl::StrCat("Vulkan device ", device.ordinal(), " (", device.info().name,
                   ") can't share memory: its driver lacks ",
                   VK_KHR_EXTERNAL_MEMORY_FD_EXTENSION_NAME, "; copy the bytes instead"));
}

// Descriptors of some drivers are files, whose size tells whether they are large enough.
absl::Status CheckFileSize(int fd, uint64_t size_bytes) {
  struct stat info = {};
  if (fstat(fd, &info) != 0) {
    return absl::InvalidArgumentError(absl::StrCat("it is not open: ", std::strerror(errno)));
  }
  if (S_ISREG(info.st_mode) && static_cast<uint64_t>(info.st_size) < size_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("it is a file of ", info.st_size, " bytes; give the size that was exported"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<uint64_t> SharedMemory::RoundedBytes(uint64_t size_bytes) {
  uint64_t rounded = 0;
  if (size_bytes == 0 || !CheckedRoundUp(size_bytes, kUnitBytes, &rounded)) {
    return absl::InvalidArgumentError(
        absl::StrCat(size_bytes, " bytes can't be shared; between 1 and what the device has can"));
  }
  return rounded;
}

absl::StatusOr<SharedMemory::Piece> SharedMemory::MakeBuffer(uint64_t size_bytes,
                                                             VkMemoryRequirements& needs) const {
  if (!is_supported()) return NotSupported(*device_);
  TENURE_RETURN_IF_ERROR(device_->lost());
  if (size_bytes > device_->info().max_allocation_bytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the device allocates ", device_->info().max_allocation_bytes,
                     " bytes at most in one piece; share several smaller buffers"));
  }
  auto external = Struct<VkExternalMemoryBufferCreateInfo>(
      VK_STRUCTURE_TYPE_EXTERNAL_MEMORY_BUFFER_CREATE_INFO);
  external.handleTypes = kFd;
  const VkBufferCreateInfo info = BufferInfo(*device_, size_bytes, &external);
  Piece piece;
  piece.buffer_bytes = size_bytes;
  TENURE_RETURN_IF_ERROR(TENURE_VKD(*device_, CreateBuffer, &info, nullptr, &piece.buffer));
  device_->calls().GetBufferMemoryRequirements(device_->handle(), piece.buffer, &needs);
  const auto fits = [&needs](uint32_t type) { return (needs.memoryTypeBits >> type & 1) != 0; };
  auto type = std::find_if(choice_.types.begin(), choice_.types.end(), fits);
  if (type == choice_.types.end()) {
    Destroy(piece);
    return absl::UnimplementedError("the device has no memory for buffers that are shared");
  }
  piece.type = *type;
  return piece;
}

absl::Status SharedMemory::Complete(Piece& piece) const {
  TENURE_RETURN_IF_ERROR(TENURE_VKD(*device_, BindBufferMemory, piece.buffer, piece.memory, 0));
  if (choice_.mapped) {
    TENURE_RETURN_IF_ERROR(
        TENURE_VKD(*device_, MapMemory, piece.memory, 0, VK_WHOLE_SIZE, 0, &piece.host));
  }
  auto which = Struct<VkBufferDeviceAddressInfo>(VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO);
  which.buffer = piece.buffer;
  piece.address = device_->calls().GetBufferDeviceAddress(device_->handle(), &which);
  if (piece.address == 0) {
    return absl::InternalError("vkGetBufferDeviceAddress has given no address");
  }
  absl::MutexLock lock(&mutex_);
  pieces_[reinterpret_cast<uint64_t>(piece.buffer)] = piece;
  return absl::OkStatus();
}

absl::StatusOr<SharedMemory::Piece> SharedMemory::Make(uint64_t size_bytes) const {
  VkMemoryRequirements needs = {};
  TENURE_ASSIGN_OR_RETURN(Piece piece, MakeBuffer(size_bytes, needs));
  auto dedicated =
      Struct<VkMemoryDedicatedAllocateInfo>(VK_STRUCTURE_TYPE_MEMORY_DEDICATED_ALLOCATE_INFO);
  dedicated.buffer = piece.buffer;
  auto exported =
      Struct<VkExportMemoryAllocateInfo>(VK_STRUCTURE_TYPE_EXPORT_MEMORY_ALLOCATE_INFO, &dedicated);
  exported.handleTypes = kFd;
  auto flags =
      Struct<VkMemoryAllocateFlagsInfo>(VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO, &exported);
  flags.flags = VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT;
  auto info = Struct<VkMemoryAllocateInfo>(VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO, &flags);
  info.allocationSize = needs.size;
  info.memoryTypeIndex = piece.type;
  absl::StatusOr<VkDeviceMemory> memory = device_->AllocateMemory(info);
  absl::Status status = memory.status();
  if (status.ok()) {
    piece.memory = *memory;
    piece.memory_bytes = piece.taken_bytes = needs.size;
    status = Complete(piece);
  }
  if (status.ok()) return piece;
  Destroy(piece);
  return status;
}

absl::StatusOr<int> SharedMemory::ExportFd(const Piece& piece) const {
  auto info = Struct<VkMemoryGetFdInfoKHR>(VK_STRUCTURE_TYPE_MEMORY_GET_FD_INFO_KHR);
  info.memory = piece.memory;
  info.handleType = kFd;
  int fd = -1;
  TENURE_RETURN_IF_ERROR(TENURE_VKD(*device_, GetMemoryFdKHR, &info, &fd));
  return fd;
}

absl::StatusOr<SharedMemory::Piece> SharedMemory::ImportInto(int fd, uint64_t buffer_bytes,
                                                             uint64_t memory_bytes,
                                                             bool dedicated) const {
  VkMemoryRequirements needs = {};
  TENURE_ASSIGN_OR_RETURN(Piece piece, MakeBuffer(buffer_bytes, needs));
  piece.memory_bytes = memory_bytes == 0 ? needs.size : memory_bytes;
  absl::Status status = CheckFileSize(fd, piece.memory_bytes);
  // The driver takes the descriptor that it imports.
  const int own = status.ok() ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
  if (status.ok() && own < 0) {
    status = absl::ResourceExhaustedError(
        absl::StrCat("the process has no descriptor more: ", std::strerror(errno)));
  } else if (status.ok() && needs.size > piece.memory_bytes) {
    status = absl::InvalidArgumentError(
        absl::StrCat("a buffer over ", memory_bytes, " bytes of another API needs ", needs.size));
  }
  if (status.ok()) {
    auto made_for =
        Struct<VkMemoryDedicatedAllocateInfo>(VK_STRUCTURE_TYPE_MEMORY_DEDICATED_ALLOCATE_INFO);
    made_for.buffer = piece.buffer;
    auto import = Struct<VkImportMemoryFdInfoKHR>(VK_STRUCTURE_TYPE_IMPORT_MEMORY_FD_INFO_KHR,
                                                  dedicated ? &made_for : nullptr);
    import.handleType = kFd;
    import.fd = own;
    auto flags =
        Struct<VkMemoryAllocateFlagsInfo>(VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO, &import);
    flags.flags = VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT;
    auto info = Struct<VkMemoryAllocateInfo>(VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO, &flags);
    info.allocationSize = piece.memory_bytes;
    info.memoryTypeIndex = piece.type;
    absl::StatusOr<VkDeviceMemory> memory = device_->ImportMemory(info);
    if (memory.ok()) {
      piece.memory = *memory;
      status = Complete(piece);
    } else {
      status = memory.status();
    }
  }
  if (status.ok()) return piece;
  if (own >= 0 && piece.memory == VK_NULL_HANDLE) close(own);
  Destroy(piece);
  return absl::Status(status.code(),
                      absl::StrCat("descriptor ", fd, " can't be imported as ", piece.memory_bytes,
                                   " bytes of Vulkan device ", device_->ordinal(), " (",
                                   device_->info().name, "): ", status.message()));
}

absl::StatusOr<SharedMemory::Piece> SharedMemory::ImportFd(int fd, uint64_t size_bytes) const {
  TENURE_ASSIGN_OR_RETURN(const uint64_t rounded, RoundedBytes(size_bytes));
  return ImportInto(fd, rounded, 0, /*dedicated=*/true);
}

absl::StatusOr<SharedMemory::Piece> SharedMemory::Import(const ExternalMemory& memory) const {
  if (memory.size_bytes == 0) return RoundedBytes(0).status();
  return ImportInto(memory.fd, memory.size_bytes, memory.size_bytes, memory.dedicated);
}

SharedMemory::~SharedMemory() {
  absl::MutexLock lock(&mutex_);
  if (!pieces_.empty()) Device::KeepForever(device_);
}

std::optional<SharedMemory::Piece> SharedMemory::Find(uint64_t buffer) const {
  absl::MutexLock lock(&mutex_);
  auto it = pieces_.find(buffer);
  if (it == pieces_.end()) return std::nullopt;
  return it->second;
}

void SharedMemory::Destroy(const Piece& piece) const {
  {
    absl::MutexLock lock(&mutex_);
    pieces_.erase(reinterpret_cast<uint64_t>(piece.buffer));
  }
  device_->calls().DestroyBuffer(device_->handle(), piece.buffer, nullptr);
  if (piece.memory != VK_NULL_HANDLE) {
    device_->FreeMemory(piece.memory, piece.type, piece.taken_bytes);
  }
}

}  // namespace tenure::vulkan
