// tenure devices: lists the memory spaces of this machine.

#include <unistd.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tenure/allocator/cuda/cuda.h"
#include "tenure/allocator/cuda/spaces.h"
#include "tenure/allocator/registry.h"
#include "tenure/base/json_value.h"
#include "tenure/tools/cli/commands.h"
#include "tenure/tools/cli/flags.h"
#include "tenure/tools/cli/output.h"
#include "tenure/tools/render/render.h"

namespace tenure::cli {
namespace {

bool IsCuda(SpaceKind kind) { return kind.driver() == cuda::kDriverName; }

// Returns a space of every kind and device. If there is no device of a kind, device 0 stands for
// it. Each file is a space of its own, and one that is always readable stands for all of them.
std::vector<MemorySpace> Spaces() {
  std::vector<MemorySpace> spaces;
  for (const SpaceKind kind : SpaceKind::Declared()) {
    if (kind.form() == SpaceKind::Form::kPath) {
      spaces.push_back(MemorySpace::AtPath(kind, "/proc/self/exe"));
      continue;
    }
    const absl::StatusOr<std::vector<SpaceDevice>> devices =
        Registry::Default().Devices(kind.driver());
    if (!devices.ok() || devices->empty()) {
      spaces.push_back(MemorySpace::Device(kind, 0));
      continue;
    }
    for (const SpaceDevice& device : *devices) {
      spaces.push_back(MemorySpace::Device(kind, device.ordinal));
    }
  }
  return spaces;
}

JsonValue DeviceJson(const cuda::DeviceInfo& device) {
  JsonValue out;
  out["name"] = device.name;
  out["uuid"] = device.uuid;
  out["pci_bus_id"] = device.pci_bus_id;
  out["compute_capability"] = absl::StrCat(device.compute_major, ".", device.compute_minor);
  out["memory_total_bytes"] = device.memory_total_bytes;
  out["memory_free_bytes"] = device.memory_free_bytes;
  out["driver"] =
      absl::StrCat(device.driver_version / 1000, ".", device.driver_version % 1000 / 10);
  return out;
}

std::string DeviceText(const cuda::DeviceInfo& device) {
  return absl::StrCat(device.name, ", ", device.uuid, ", compute capability ", device.compute_major,
                      ".", device.compute_minor, ", ", HumanBytes(device.memory_free_bytes), " of ",
                      HumanBytes(device.memory_total_bytes), " free");
}

JsonValue Limit(uint64_t bytes) {
  return bytes == SpaceTraits::kUnlimited ? JsonValue() : JsonValue(bytes);
}

}  // namespace

int DevicesCommand(Args args) {
  bool json = false;
  FlagSet set("devices",
              "Lists the memory spaces that buffers can live in: what each can do here, or why it "
              "can't be used. Any of them can be given to 'tenure plan --space'.");
  set.Add("json", "", "print one JSON object instead of text", &json);
  set.AddJsonKey("host_memory_bytes", "what the host has");
  set.AddJsonKey(
      "spaces",
      "for each: space, available, and either has_bytes, host_readable, host_writable, "
      "min_alignment_bytes, max_allocation_bytes (null: no limit), or why_not; of CUDA's that "
      "are available also device: name, uuid, pci_bus_id, compute_capability, "
      "memory_total_bytes, memory_free_bytes, driver (the version of CUDA it has)");
  set.AddParagraph(
      "Devices are told by their number, UUID (or its beginning), or a part of the name that only "
      "one has: --space=cuda:0, --space=cuda:GPU-3f2a, --space=cuda-pinned:H200.");
  set.AddExample("tenure devices --json");
  if (std::optional<int> code = set.Parse(args)) return *code;

  const uint64_t host_bytes =
      static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  JsonValue out;
  out["host_memory_bytes"] = host_bytes;
  out["spaces"] = JsonValue::Array();
  std::string text;
  const absl::StatusOr<std::vector<cuda::DeviceInfo>> found = cuda::Devices();
  const std::vector<cuda::DeviceInfo> cuda_devices =
      found.ok() ? *found : std::vector<cuda::DeviceInfo>();
  for (const MemorySpace& space : Spaces()) {
    const bool is_file = space.kind().form() == SpaceKind::Form::kPath;
    const std::string name = is_file ? space.kind().Pattern() : space.ToString();
    absl::StatusOr<Allocator*> allocator = Registry::Default().Get(space);
    JsonValue entry;
    entry["space"] = name;
    entry["available"] = allocator.ok();
    std::string note;
    if (allocator.ok()) {
      const SpaceTraits& traits = (*allocator)->traits();
      entry["has_bytes"] = traits.has_bytes;
      entry["host_readable"] = traits.host_readable;
      entry["host_writable"] = traits.host_writable;
      entry["min_alignment_bytes"] = traits.min_alignment_bytes;
      entry["max_allocation_bytes"] = Limit(traits.max_allocation_bytes);
      note = !traits.has_bytes ? "sizes and ids, no bytes: for planning"
             : is_file         ? "read-only windows of a file"
             : space.kind() == kCpuSpace
                 ? absl::StrCat("host memory; this machine has ", HumanBytes(host_bytes))
                 : "memory of a device";
      for (const cuda::DeviceInfo& device : cuda_devices) {
        if (!IsCuda(space.kind()) || device.ordinal != space.ordinal()) continue;
        entry["device"] = DeviceJson(device);
        note = space.kind() == cuda::kDeviceSpace ? DeviceText(device)
               : space.kind() == cuda::kUnifiedSpace
                   ? "memory that the host and this device share, moved between them by pages"
                   : "page-locked memory of the host";
      }
    } else {
      note = absl::IsUnimplemented(allocator.status())
                 ? "not built yet; 'tenure plan' can plan for it"
                 : std::string(allocator.status().message());
      entry["why_not"] = note;
    }
    out["spaces"].push_back(std::move(entry));
    absl::StrAppendFormat(&text, "%-18s %-4s %s\n", name, allocator.ok() ? "yes" : "no", note);
  }
  return Print("devices", json ? JsonLine(out) : text);
}

}  // namespace tenure::cli
