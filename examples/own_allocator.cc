// Example 5: an allocator of one's own, with tenure's decorators in front of it.
//
//   bazel run //examples:own_allocator
//
// RootAllocator checks requests, counts, and keeps what is freed until its fences are reached. The
// suite in tests/allocator/conformance.h tests an allocator.

#include <cstdlib>
#include <cstring>
#include <iostream>
#include <memory>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tenure/allocator/decorators/limiting.h"
#include "tenure/allocator/registry.h"
#include "tenure/allocator/root_allocator.h"
#include "tenure/base/host_memory.h"
#include "tenure/base/status_macros.h"
#include "tenure/runtime/buffer.h"

namespace {

using tenure::Allocation, tenure::AllocationRequest, tenure::CopyOptions, tenure::Fence;
using tenure::SubRegion;

// Host memory from the C library.
class MallocAllocator final : public tenure::RootAllocator {
 public:
  MallocAllocator() : RootAllocator(tenure::MemorySpace::Cpu(), tenure::SpaceTraits()) {}
  ~MallocAllocator() override { Close(); }  // here, because Release is virtual
  // The caller has checked the ranges. These copies are over when they return, so the fence that
  // they give is reached.
  absl::StatusOr<Fence> CopyIn(const SubRegion& to, const void* from, const CopyOptions&) override {
    return Move(to.host(), from, to.size_bytes);
  }
  absl::StatusOr<Fence> CopyOut(void* to, const SubRegion& from, const CopyOptions&) override {
    return Move(to, from.host(), from.size_bytes);
  }
  absl::StatusOr<Fence> CopyWithin(const SubRegion& to, const SubRegion& from,
                                   const CopyOptions&) override {
    return Move(to.host(), from.host(), to.size_bytes);
  }
  absl::StatusOr<Fence> Fill(const SubRegion& to, const tenure::FillPattern& pattern,
                             const CopyOptions& options) override {
    TENURE_RETURN_IF_ERROR(tenure::host::CheckPattern(pattern));
    tenure::host::FillBytes(to.host(), to.size_bytes, pattern, options.max_threads);
    return Fence();
  }

 protected:
  void* FindCapability(std::string_view) override { return nullptr; }  // nothing beyond that
  absl::StatusOr<Allocation> Make(const AllocationRequest& request) override {
    Allocation made;  // of no bytes
    made.alignment_bytes = AlignmentFor(request);
    made.reserved_bytes = request.size_bytes;
    if (request.size_bytes == 0) return made;
    if (posix_memalign(&made.host, made.alignment_bytes, request.size_bytes) != 0) {
      return Exhausted(request, request.size_bytes, "posix_memalign");
    }
    if (request.zeroed) std::memset(made.host, 0, request.size_bytes);
    return made;
  }
  void Release(const Allocation& allocation) override { std::free(allocation.host); }

 private:
  static absl::StatusOr<Fence> Move(void* to, const void* from, uint64_t size_bytes) {
    if (size_bytes > 0) std::memmove(to, from, size_bytes);
    return Fence();
  }
};

absl::Status Run() {
  // A decorator owns the allocator behind it and changes one thing: here, at most 1 MiB is given.
  // The registry is one's own; Registry::Default() takes allocators too.
  const auto registry = tenure::Registry::MakeEmpty();
  TENURE_ASSIGN_OR_RETURN(auto* cpu, registry->Register(std::make_unique<tenure::LimitingAllocator>(
                                         std::make_unique<MallocAllocator>(), 1 << 20)));

  TENURE_ASSIGN_OR_RETURN(
      const tenure::Buffer buffer,
      tenure::Buffer::Create(*cpu, tenure::DType::kInt32, tenure::Shape::Vector(1000)));
  TENURE_RETURN_IF_ERROR(buffer.FillWith(7));
  TENURE_ASSIGN_OR_RETURN(const int32_t last, buffer.Get<int32_t>({999}));
  std::cout << "the last element: " << last << "\n";
  std::cout << "bytes in use: " << cpu->Stats().in_use_bytes << "\n";
  const absl::Status refused = cpu->Allocate({.size_bytes = uint64_t{2} << 20}).status();
  std::cout << "2 MiB more: " << absl::StatusCodeToString(refused.code()) << "\n";
  return absl::OkStatus();
}

}  // namespace

int main() {
  const absl::Status status = Run();
  if (!status.ok()) std::cerr << status << "\n";
  return status.ok() ? 0 : 1;
}
