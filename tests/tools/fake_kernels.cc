#include "tenure/tests/tools/fake_kernels.h"

#include <cstdint>
#include <functional>

#include "tenure/tests/tools/kernels_on_host.h"

namespace tenure {
namespace {

using cuda::FakeDriver;
using cuda::FakeLaunch;
using tenure_kernel::ApartWindow;
using tenure_kernel::kApartDimensions;
using tenure_kernel::OrderedWindow;
using tenure_kernel::StridedDimension;

// One thread for each block: barriers have nobody to wait for then.
void Run(const FakeLaunch& launch, const std::function<void()>& kernel) {
  LaunchOnHost(launch.grid.x, 1, kernel);
}

// The word that a write is seeded with, if the launch names one.
const uint64_t* Seed(const FakeLaunch& launch, size_t parameter) {
  return launch.Param<uint64_t>(parameter) == 0 ? nullptr : launch.Pointer<uint64_t>(parameter, 1);
}

uint64_t Reach(const StridedDimension* begin, const StridedDimension* end, uint64_t item_bytes) {
  uint64_t reach = item_bytes;
  for (; begin != end; ++begin) reach += (begin->extent - 1) * begin->stride_bytes;
  return reach;
}

void Digest(const FakeLaunch& launch) {
  const auto size = launch.Param<uint64_t>(1);
  const auto* bytes = launch.Pointer<unsigned char>(0, size);
  auto* sum = launch.Pointer<uint64_t>(2, 1);
  if (bytes == nullptr || sum == nullptr) return;
  Run(launch, [&] { tenure_digest(bytes, size, sum); });
}

void Chain(const FakeLaunch& launch) {
  const auto count = launch.Param<uint64_t>(2);
  const auto* digests = launch.Pointer<uint64_t>(1, count);
  auto* chain = launch.Pointer<uint64_t>(3, count);
  if (digests == nullptr || chain == nullptr) return;
  Run(launch, [&] { tenure_chain(launch.Param<uint64_t>(0), digests, count, chain); });
}

void Fill(const FakeLaunch& launch) {
  const auto size = launch.Param<uint64_t>(1);
  auto* bytes = launch.Pointer<unsigned char>(0, size);
  const uint64_t* seed = Seed(launch, 2);
  if (bytes == nullptr) return;
  Run(launch, [&] { tenure_fill(bytes, size, seed, launch.Param<uint64_t>(3)); });
}

void FillApart(const FakeLaunch& launch) {
  const auto window = launch.Param<ApartWindow>(3);
  auto* bytes = launch.Pointer<unsigned char>(
      0, Reach(window.dimensions, window.dimensions + kApartDimensions, window.item_bytes));
  const uint64_t* seed = Seed(launch, 1);
  if (bytes == nullptr) return;
  Run(launch, [&] { tenure_fill_apart(bytes, seed, launch.Param<uint64_t>(2), window); });
}

void FillOrdered(const FakeLaunch& launch) {
  const auto window = launch.Param<OrderedWindow>(3);
  auto* bytes = launch.Pointer<unsigned char>(
      0, Reach(window.dimensions, window.dimensions + window.end, window.item_bytes));
  const uint64_t* seed = Seed(launch, 1);
  if (bytes == nullptr) return;
  Run(launch, [&] { tenure_fill_ordered(bytes, seed, launch.Param<uint64_t>(2), window); });
}

}  // namespace

void RegisterReferenceKernels(FakeDriver& fake) {
  fake.RegisterKernel("tenure_digest", {8, 8, 8}, Digest);
  fake.RegisterKernel("tenure_chain", {8, 8, 8, 8}, Chain);
  fake.RegisterKernel("tenure_fill", {8, 8, 8, 8}, Fill);
  fake.RegisterKernel("tenure_fill_apart", {8, 8, 8, sizeof(ApartWindow)}, FillApart);
  fake.RegisterKernel("tenure_fill_ordered", {8, 8, 8, sizeof(OrderedWindow)}, FillOrdered);
}

}  // namespace tenure
