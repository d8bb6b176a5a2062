#include "tenure/tools/torch/stream_allocator.h"

#include <algorithm>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "tenure/base/status_macros.h"

namespace tenure {
namespace {

absl::Status Unknown(const void* data) {
  return absl::NotFoundError(absl::StrCat("the memory at 0x",
                                          absl::Hex(reinterpret_cast<uint64_t>(data)),
                                          " was not allocated here, or has been freed already"));
}

}  // namespace

absl::StatusOr<void*> StreamAllocator::Allocate(uint64_t size_bytes,
                                                const std::shared_ptr<Queue>& stream) {
  if (size_bytes == 0) return nullptr;
  std::vector<Fence> pending;
  AllocationRequest request;
  request.size_bytes = size_bytes;
  request.hints.queue = stream;
  request.pending = &pending;
  TENURE_ASSIGN_OR_RETURN(const Allocation made, allocator_.Allocate(request));
  // The allocator has made the stream wait for `pending`, so the next fence of the stream comes after.
  absl::Cleanup give_back = [&] { allocator_.Deallocate(made, pending); };
  Piece piece{made, {stream}};
  absl::MutexLock lock(&mutex_);
  pieces_.insert_or_assign(made.device_address, std::move(piece));
  std::move(give_back).Cancel();
  return reinterpret_cast<void*>(made.device_address);
}

absl::Status StreamAllocator::RecordStream(const void* data, const std::shared_ptr<Queue>& stream) {
  absl::MutexLock lock(&mutex_);
  const auto found = pieces_.find(reinterpret_cast<uint64_t>(data));
  if (found == pieces_.end()) return Unknown(data);
  std::vector<std::shared_ptr<Queue>>& streams = found->second.streams;
  if (std::find(streams.begin(), streams.end(), stream) == streams.end()) streams.push_back(stream);
  return absl::OkStatus();
}

bool StreamAllocator::Has(const void* data) {
  absl::MutexLock lock(&mutex_);
  return pieces_.contains(reinterpret_cast<uint64_t>(data));
}

absl::Status StreamAllocator::Free(void* data) {
  if (data == nullptr) return absl::OkStatus();
  const auto address = reinterpret_cast<uint64_t>(data);
  Piece piece;
  {
    absl::MutexLock lock(&mutex_);
    const auto found = pieces_.find(address);
    if (found == pieces_.end()) return Unknown(data);
    piece = found->second;  // it stays in the map until its end is known
  }
  std::vector<Fence> users;
  users.reserve(piece.streams.size());
  for (const std::shared_ptr<Queue>& stream : piece.streams) {
    absl::StatusOr<Fence> done = stream->Record();
    if (done.ok()) {
      users.push_back(*std::move(done));
      continue;
    }
    // Within a capture, for example, nothing can be recorded, and nothing can be waited for. Then it
    // is not known when the work ends, and the bytes are given to nobody.
    if (!stream->Synchronize().ok()) return done.status();
  }
  {
    absl::MutexLock lock(&mutex_);
    if (pieces_.erase(address) == 0) return Unknown(data);  // another thread has freed it meanwhile
  }
  allocator_.Deallocate(piece.allocation, users);
  return absl::OkStatus();
}

}  // namespace tenure
