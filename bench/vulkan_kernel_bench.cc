// Measures how close the shaders on a Vulkan device come to the speed of its memory: bytes per second
// of windows read (digest), written (fill) and copied. Each iteration submits ten operations at once,
// which run one after the other, and waits for them.
//
// VulkanCopy... and VulkanPattern... are the shaders of allocator/vulkan/shaders. The others are those
// of the reference kernel.

#include <benchmark/benchmark.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tenure/allocator/vulkan/compute_kernels.h"
#include "tenure/allocator/vulkan/device_queue.h"
#include "tenure/base/status_macros.h"
#include "tenure/tests/allocator/vulkan/shaders/shader_device.h"
#include "tenure/tools/trace/vulkan_kernels.h"

namespace tenure {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;

// A device, its kernels, and memory for two windows and a word.
struct Bench {
  std::unique_ptr<ShaderDevice> device;
  std::unique_ptr<vulkan::ComputeKernels> bytes;
  std::unique_ptr<VulkanKernels> kernels;
  uint64_t from = 0, to = 0, sum = 0;
  uint64_t room = 0;  // for each of the two windows
};

absl::StatusOr<Bench*> Get(uint64_t size) {
  static absl::StatusOr<Bench>* const made = [] {
    const auto make = []() -> absl::StatusOr<Bench> {
      Bench bench;
      TENURE_ASSIGN_OR_RETURN(bench.device, ShaderDevice::Make(/*validation=*/false));
      benchmark::AddCustomContext("vulkan", bench.device->device()->info().name);
      benchmark::AddCustomContext("driver", bench.device->device()->info().driver);
      TENURE_ASSIGN_OR_RETURN(bench.bytes, vulkan::ComputeKernels::Create(*bench.device->device()));
      TENURE_ASSIGN_OR_RETURN(bench.kernels, VulkanKernels::Create(bench.device->device()));
      return bench;
    };
    return new absl::StatusOr<Bench>(make());
  }();
  if (!made->ok()) return made->status();
  Bench& bench = **made;
  if (bench.room < size) {
    bench.room = 0;
    const std::pair<uint64_t*, uint64_t> wanted[] = {
        {&bench.from, size + 256}, {&bench.to, size + 256}, {&bench.sum, 8}};
    for (const auto& [address, bytes] : wanted) {
      TENURE_ASSIGN_OR_RETURN(const ShaderDevice::Memory memory,
                              bench.device->AllocateLocal(bytes));
      *address = memory.address;
    }
    bench.room = size;
  }
  return &bench;
}

enum class Work {
  kDigest,
  kDigestUnaligned,
  kFill,
  kFillUnaligned,
  kFillHeads,
  kPattern,
  kPatternUnaligned,
  kCopy,
  kCopyShifted
};

absl::Status Record(Work work, const Bench& bench, VkCommandBuffer commands, uint64_t size) {
  const VulkanKernels& k = *bench.kernels;
  const uint64_t to = VulkanKernels::Work(commands);
  absl::Status status;
  switch (work) {
    case Work::kDigest:
      status = k.AddDigest(to, bench.from, size, bench.sum);
      break;
    case Work::kDigestUnaligned:
      status = k.AddDigest(to, bench.from + 3, size, bench.sum);
      break;
    case Work::kFill:
      status = k.Fill(to, bench.to, size, {0, 1});
      break;
    case Work::kFillUnaligned:
      status = k.Fill(to, bench.to + 3, size, {0, 1});
      break;
    case Work::kFillHeads:  // attention heads, 2 bytes an element
      status =
          k.FillStrided(to, bench.to, size, {0, 1}, {12, size / 2 / 12 / 64, 64}, {64, 768, 1}, 2);
      break;
    case Work::kPattern:
      bench.bytes->RecordFill(commands, bench.to, size, {});
      break;
    case Work::kPatternUnaligned:
      bench.bytes->RecordFill(commands, bench.to + 3, size, {});
      break;
    case Work::kCopy:
      bench.bytes->RecordCopy(commands, bench.from, bench.to, size);
      break;
    case Work::kCopyShifted:
      bench.bytes->RecordCopy(commands, bench.from + 3, bench.to, size);
      break;
  }
  RecordBarrier(*bench.device->device(), commands);
  return status;
}

void Run(benchmark::State& state, Work work) {
  const auto size = static_cast<uint64_t>(state.range(0)) * kMiB;
  const absl::StatusOr<Bench*> bench = Get(size);
  if (!bench.ok()) {
    state.SkipWithError(("not measured: " + std::string(bench.status().message())).c_str());
    return;
  }
  const auto ten = [&] {
    return (*bench)->device->Run([&](VkCommandBuffer commands) {
      absl::Status status;
      for (int i = 0; i < 10; ++i) status.Update(Record(work, **bench, commands, size));
      return status;
    });
  };
  absl::Status status = ten();
  for (auto _ : state) status.Update(ten());
  if (!status.ok()) state.SkipWithError(std::string(status.message()).c_str());
  state.SetBytesProcessed(state.iterations() * 10 * static_cast<int64_t>(size));
}

#define TENURE_KERNEL_BENCHMARK(name, work)                      \
  void name(benchmark::State& state) { Run(state, Work::work); } \
  BENCHMARK(name)->Arg(1)->Arg(16)->Arg(256)->Arg(1024)->ArgName("MiB")->UseRealTime()

TENURE_KERNEL_BENCHMARK(VulkanDigest, kDigest);
TENURE_KERNEL_BENCHMARK(VulkanDigestUnaligned, kDigestUnaligned);
TENURE_KERNEL_BENCHMARK(VulkanFill, kFill);
TENURE_KERNEL_BENCHMARK(VulkanFillUnaligned, kFillUnaligned);
TENURE_KERNEL_BENCHMARK(VulkanFillHeads, kFillHeads);
TENURE_KERNEL_BENCHMARK(VulkanPattern, kPattern);
TENURE_KERNEL_BENCHMARK(VulkanPatternUnaligned, kPatternUnaligned);
TENURE_KERNEL_BENCHMARK(VulkanCopy, kCopy);
TENURE_KERNEL_BENCHMARK(VulkanCopyShifted, kCopyShifted);

}  // namespace
}  // namespace tenure
