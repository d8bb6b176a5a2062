// tenure devices: lists the memory spaces of this machine.

#include <unistd.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tenure/allocator/cuda/spaces.h"
#include "tenure/allocator/registry.h"
#include "tenure/allocator/space_driver.h"
#include "tenure/allocator/vulkan/spaces.h"
#include "tenure/base/json_value.h"
#include "tenure/tools/cli/commands.h"
#include "tenure/tools/cli/flags.h"
#include "tenure/tools/cli/output.h"
#include "tenure/tools/render/render.h"

namespace tenure::cli {
namespace {

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

// The device of a space, if its driver has devices.
std::optional<SpaceDevice> DeviceOf(const MemorySpace& space) {
  const absl::StatusOr<std::vector<SpaceDevice>> devices =
      Registry::Default().Devices(space.kind().driver());
  if (!devices.ok()) return std::nullopt;
  for (const SpaceDevice& device : *devices) {
    if (device.ordinal == space.ordinal()) return device;
  }
  return std::nullopt;
}

JsonValue DeviceJson(const SpaceDevice& device) {
  JsonValue out;
  out["name"] = device.name;
  out["uuid"] = device.uuid;
  for (const auto& [name, fact] : device.facts) {
    std::visit([&, key = name](const auto& value) { out[key] = value; }, fact);
  }
  return out;
}

uint64_t NumberOf(const SpaceDevice& device, std::string_view wanted) {
  for (const auto& [name, fact] : device.facts) {
    if (name == wanted && std::holds_alternative<uint64_t>(fact)) return std::get<uint64_t>(fact);
  }
  return 0;
}

// What the text says of a device's space that can be used.
std::string DeviceNote(SpaceKind kind, const SpaceDevice& device, const SpaceTraits& traits) {
  if (kind == cuda::kUnifiedSpace) {
    return "memory that the host and this device share, moved between them by pages";
  }
  if (kind == cuda::kPinnedSpace) return "page-locked memory of the host";
  if (kind == vulkan::kUploadSpace) return "mapped memory that the host writes, for this device";
  if (kind == vulkan::kReadbackSpace) return "mapped memory that the host reads, of this device";
  const bool shared = traits.host_readable && traits.host_writable;
  return absl::StrCat(device.name, ", ", device.uuid, ", ", device.summary, ", ",
                      HumanBytes(NumberOf(device, "memory_free_bytes")), " of ",
                      HumanBytes(NumberOf(device, "memory_total_bytes")), " free",
                      shared ? ", shared with the host" : "");
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
      "min_alignment_bytes, max_allocation_bytes (null: no limit), or why_not; of CUDA's and "
      "Vulkan's that are available also device: name, uuid, memory_total_bytes, "
      "memory_free_bytes, driver; with CUDA pci_bus_id, compute_capability; with Vulkan type, "
      "api_version, memory_budget_bytes, unified, shares_host_memory, shares_memory_by_fd, "
      "shares_fences_by_fd");
  set.AddParagraph(
      "Devices are told by their number, UUID (or its beginning), or a part of the name that only "
      "one has: --space=cuda:0, --space=cuda:GPU-3f2a, --space=vulkan:H200.");
  set.AddExample("tenure devices --json");
  if (std::optional<int> code = set.Parse(args)) return *code;

  const uint64_t host_bytes =
      static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  JsonValue out;
  out["host_memory_bytes"] = host_bytes;
  out["spaces"] = JsonValue::Array();
  std::string text;
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
      if (const std::optional<SpaceDevice> device = DeviceOf(space)) {
        entry["device"] = DeviceJson(*device);
        note = DeviceNote(space.kind(), *device, traits);
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
