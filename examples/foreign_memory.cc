// Example 4: buffers over memory that somebody else owns, without a copy.
//
//   bazel run //examples:foreign_memory

#include <iostream>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tenure/allocator/cpu/cpu_allocator.h"
#include "tenure/base/status_macros.h"
#include "tenure/runtime/buffer.h"

namespace {

using tenure::Buffer;
using tenure::DType;
using tenure::Shape;

constexpr float kWeights[4] = {1, 2, 3, 4};

absl::Status Run() {
  tenure::CpuAllocator cpu;

  // Memory that goes with its last user: `release` holds the vector until then. It is called once,
  // whatever happens, also when Wrap fails.
  auto owner = std::make_shared<std::vector<float>>(std::vector<float>{1, 2, 3, 4});
  TENURE_ASSIGN_OR_RETURN(
      Buffer wrapped,
      Buffer::Wrap(
          cpu, DType::kFloat32, Shape::Vector(owner->size()),
          {.data = owner->data(), .release = [owner] { std::cout << "the vector is released\n"; }},
          owner->size() * sizeof(float)));
  TENURE_RETURN_IF_ERROR(wrapped.Set<float>({2}, 30));
  std::cout << "written through the buffer, read from the vector: " << (*owner)[2] << "\n";
  std::cout << "bytes that the allocator took for it: " << cpu.Stats().reserved_bytes << "\n";

  // Memory that must not be written: every write is refused.
  TENURE_ASSIGN_OR_RETURN(
      Buffer constants,
      Buffer::Wrap(cpu, DType::kFloat32, Shape::Vector(4),
                   {.data = const_cast<float*>(kWeights), .read_only = true}, sizeof(kWeights)));
  std::cout << "writing to read-only memory: "
            << absl::StatusCodeToString(constants.Set<float>({0}, 0).code()) << "\n";

  // Copies work between wrapped memory and any other.
  TENURE_RETURN_IF_ERROR(wrapped.CopyFrom(constants));
  std::cout << "after a copy from the constants: " << (*owner)[2] << "\n";

  // A view is a user too.
  TENURE_ASSIGN_OR_RETURN(Buffer view, wrapped.View(0, 8));
  wrapped = Buffer();
  std::cout << "the buffer is dropped; a view is left\n";
  view = Buffer();
  std::cout << "the view is dropped\n";
  return absl::OkStatus();
}

}  // namespace

int main() {
  const absl::Status status = Run();
  if (!status.ok()) std::cerr << status << "\n";
  return status.ok() ? 0 : 1;
}
