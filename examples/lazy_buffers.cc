// Example 2: buffers that take no memory until somebody needs their bytes, and views of them.
//
//   bazel run //examples:lazy_buffers

#include <cstdint>
#include <iostream>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "tenure/allocator/cpu/cpu_allocator.h"
#include "tenure/base/status_macros.h"
#include "tenure/runtime/buffer.h"

namespace {

using tenure::Buffer;
using tenure::DType;
using tenure::Shape;

absl::Status Run() {
  // An allocator gives memory of one kind. It must outlive the buffers made with it. Programs that
  // need no allocator of their own ask tenure::Registry::Default() for one.
  tenure::CpuAllocator cpu;
  const auto in_use = [&cpu] { return cpu.Stats().in_use_bytes; };

  // A buffer is a handle. Making one allocates nothing, however large it is.
  TENURE_ASSIGN_OR_RETURN(
      const Buffer huge,
      Buffer::Create(cpu, DType::kUInt8, Shape::Vector(uint64_t{1} << 40), {.name = "huge"}));
  std::cout << "1 TiB made; bytes in use: " << in_use() << "\n";

  // The first access allocates. After that the bytes stay where they are.
  TENURE_ASSIGN_OR_RETURN(const Shape shape, Shape::Of({3, 4}));
  TENURE_ASSIGN_OR_RETURN(Buffer matrix, Buffer::Create(cpu, DType::kFloat32, shape));
  const float values[12] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
  TENURE_RETURN_IF_ERROR(matrix.CopyIn(values, sizeof(values)));
  std::cout << "a 3x4 matrix written; bytes in use: " << in_use() << "\n";

  // A view is a window onto the same storage: here, rows 1 and 2. It needs no memory of its own.
  TENURE_ASSIGN_OR_RETURN(Buffer rows, matrix.Slice(1, 3));
  std::cout << "rows 1 and 2: offset " << rows.offset() << ", " << rows.size()
            << " bytes; same storage: " << (rows.storage_id() == matrix.storage_id())
            << ", same buffer: " << (rows.id() == matrix.id()) << "\n";

  // Host access without a copy. The span stays valid while a handle lives.
  TENURE_ASSIGN_OR_RETURN(const absl::Span<float> span, rows.AsMutable<float>());
  span[0] = 40;
  TENURE_ASSIGN_OR_RETURN(const float through_matrix, matrix.Get<float>({1, 0}));
  std::cout << "written through the view, read through the matrix: " << through_matrix << "\n";

  // Sealing is one-way and holds for all handles of the storage.
  TENURE_RETURN_IF_ERROR(matrix.Seal());
  std::cout << "writing to what is sealed: "
            << absl::StatusCodeToString(rows.Set<float>({0, 0}, 1).code()) << "\n";

  // A view keeps the storage alive. The bytes are freed when the last handle is gone.
  matrix = Buffer();
  std::cout << "matrix dropped; bytes in use: " << in_use() << "\n";
  rows = Buffer();
  std::cout << "view dropped; bytes in use: " << in_use() << "\n";
  return absl::OkStatus();
}

}  // namespace

int main() {
  const absl::Status status = Run();
  if (!status.ok()) std::cerr << status << "\n";
  return status.ok() ? 0 : 1;
}
