#include "tenure/tools/trace/vulkan_kernels.h"

#include <algorithm>
#include <iterator>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "tenure/allocator/vulkan/device_queue.h"
#include "tenure/base/annotate.h"
#include "tenure/base/status_macros.h"
#include "tenure/tools/trace/reference_kernel.h"
#include "tenure/tools/trace/shaders/reference_kernel_shaders.h"
#include "tenure/tools/trace/strided_walk.h"

namespace tenure {
namespace {

using tenure_kernel::ApartWindow;
using tenure_kernel::kApartDimensions;
using tenure_kernel::OrderedWindow;
using tenure_kernel::StridedDimension;
using vulkan::ComputePipeline;

constexpr uint64_t kPairBytes = 16;  // the bytes that a thread handles at a time

// More dispatches than this for one window would take longer than anybody wants to wait.
constexpr uint64_t kMostParts = uint64_t{1} << 16;

// The push constants of the shaders of the same names.
struct DigestOperands {
  uint64_t window, size, sum;
};
struct ChainOperands {
  uint64_t start, digests, count, chain;
};
struct FillWordsOperands {
  uint64_t window, size, seed_address, seed_plus;
};
constexpr int kStridedDimensions = kApartDimensions;  // as in shaders/strided.glsl
struct StridedOperands {
  uint64_t window, seed_address, seed_plus;
  StridedDimension dimensions[kStridedDimensions];
  // An element's bytes, then the ends of the groups of dimensions; 8 bits each.
  uint32_t packed;
};
static_assert(sizeof(StridedOperands) <= ComputePipeline::kMaxOperandsBytes);

// How much of an ordered window a dispatch does: whole dimensions of the window from the innermost
// out, and then a piece of the next one. The host walks the rest.
struct Part {
  int whole = 0;
  uint64_t piece = 1;  // of the extent of dimension `whole`
  uint64_t outer = 1;  // elements of the third group of dimensions in a dispatch
};

// A thread of a dispatch handles about as many elements at most. Mesa's CPU driver ends the loops of
// a thread after 65,535 steps, and there are three loops, one within the other.
constexpr uint64_t kMostSteps = uint64_t{1} << 14;

Part PartOf(const OrderedWindow& window) {
  uint64_t elements[3] = {1, 1, 1};  // of the groups of dimensions
  const auto steps = [&] {
    const uint64_t inner = (elements[0] - 1) / ComputePipeline::kThreads + 1;
    const uint64_t outer = (elements[2] - 1) / ComputePipeline::kMostGroups + 1;
    uint64_t product = 0;
    if (__builtin_mul_overflow(inner, elements[1], &product) ||
        __builtin_mul_overflow(product, outer, &product)) {
      return ~uint64_t{0};
    }
    return product;
  };
  Part part;
  for (; part.whole < std::min(window.end, kStridedDimensions); ++part.whole) {
    const int d = part.whole;
    const int group = d < window.inner_end ? 0 : d < window.ordered_end ? 1 : 2;
    const uint64_t before = elements[group];
    part.piece = window.dimensions[d].extent;
    elements[group] = before * part.piece;  // PlanStridedWalk has seen that this does not wrap
    while (part.piece > 1 && steps() > kMostSteps) {
      part.piece = (part.piece + 1) / 2;
      elements[group] = before * part.piece;
    }
    if (part.piece < window.dimensions[d].extent) break;
    part.piece = 1;
  }
  part.outer = elements[2];
  return part;
}

StridedOperands OperandsFor(uint64_t window, DeviceSeed seed, const StridedDimension* dimensions,
                            int count, uint64_t item_bytes) {
  StridedOperands operands = {
      window, seed.address, seed.plus, {}, static_cast<uint32_t>(item_bytes)};
  for (int d = 0; d < kStridedDimensions; ++d) {
    operands.dimensions[d] = d < count ? dimensions[d] : StridedDimension{1, 0, 0};
  }
  return operands;
}

VkCommandBuffer CommandsOf(uint64_t work) { return reinterpret_cast<VkCommandBuffer>(work); }

}  // namespace

VulkanKernels::VulkanKernels(std::shared_ptr<vulkan::Device> device) : device_(std::move(device)) {}

absl::StatusOr<std::unique_ptr<VulkanKernels>> VulkanKernels::Create(
    std::shared_ptr<vulkan::Device> device) {
  std::unique_ptr<VulkanKernels> made(new VulkanKernels(std::move(device)));
  const vulkan::Device& on = *made->device_;
  TENURE_ASSIGN_OR_RETURN(made->bytes_, vulkan::ComputeKernels::Create(on));
  const struct {
    std::unique_ptr<ComputePipeline>& pipeline;
    const EmbeddedImage& shader;
    uint32_t operands_bytes;
    std::string_view name;
  } shaders[] = {
      {made->digest_, vulkan::DigestShader(), sizeof(DigestOperands), "digest"},
      {made->chain_, vulkan::ChainShader(), sizeof(ChainOperands), "chain"},
      {made->fill_words_, vulkan::FillWordsShader(), sizeof(FillWordsOperands), "fill_words"},
      {made->fill_apart_, vulkan::FillApartShader(), sizeof(StridedOperands), "fill_apart"},
      {made->fill_ordered_, vulkan::FillOrderedShader(), sizeof(StridedOperands), "fill_ordered"},
  };
  for (const auto& [pipeline, shader, operands_bytes, name] : shaders) {
    absl::StatusOr<std::unique_ptr<ComputePipeline>> created =
        ComputePipeline::Create(on, shader, operands_bytes);
    if (!created.ok()) {
      return Annotate(created.status(), absl::StrCat("the shader ", name, " on ", on.info().name));
    }
    pipeline = *std::move(created);
  }
  return made;
}

absl::Status VulkanKernels::AddDigest(uint64_t work, uint64_t window, uint64_t size_bytes,
                                      uint64_t sum) const {
  if (size_bytes == 0) return absl::OkStatus();
  digest_->Record(CommandsOf(work), DigestOperands{window, size_bytes, sum},
                  size_bytes / kPairBytes);
  return absl::OkStatus();
}

absl::Status VulkanKernels::Chain(uint64_t work, uint64_t op_index, uint64_t digests,
                                  uint64_t reads, uint64_t chain) const {
  if (reads == 0) return absl::OkStatus();
  RecordBarrier(*device_, CommandsOf(work));
  chain_->Record(CommandsOf(work), ChainOperands{Mix(op_index + 1), digests, reads, chain}, 1);
  RecordBarrier(*device_, CommandsOf(work));
  return absl::OkStatus();
}

absl::Status VulkanKernels::Fill(uint64_t work, uint64_t window, uint64_t size_bytes,
                                 DeviceSeed seed) const {
  if (size_bytes == 0) return absl::OkStatus();
  fill_words_->Record(CommandsOf(work),
                      FillWordsOperands{window, size_bytes, seed.address, seed.plus},
                      size_bytes / kPairBytes);
  RecordBarrier(*device_, CommandsOf(work));
  return absl::OkStatus();
}

absl::Status VulkanKernels::FillStrided(uint64_t work, uint64_t window, uint64_t size_bytes,
                                        DeviceSeed seed, absl::Span<const uint64_t> shape,
                                        absl::Span<const uint64_t> strides,
                                        uint64_t item_bytes) const {
  TENURE_ASSIGN_OR_RETURN(StridedWalk walk,
                          PlanStridedWalk(size_bytes, shape, strides, item_bytes));
  seed.plus += walk.seed_plus;
  if (const auto* apart = std::get_if<ApartWindow>(&walk.window)) {
    fill_apart_->Record(CommandsOf(work),
                        OperandsFor(window, seed, apart->dimensions, kApartDimensions, item_bytes),
                        apart->elements);
    RecordBarrier(*device_, CommandsOf(work));
    return absl::OkStatus();
  }
  if (const auto* ordered = std::get_if<OrderedWindow>(&walk.window)) {
    return FillOrdered(CommandsOf(work), window, seed, *ordered);
  }
  return absl::OkStatus();
}

// The parts come in the order in which elements must be written.
absl::Status VulkanKernels::FillOrdered(VkCommandBuffer commands, uint64_t window, DeviceSeed seed,
                                        const OrderedWindow& ordered) const {
  const Part part = PartOf(ordered);
  const absl::Span<const StridedDimension> walked(ordered.dimensions + part.whole,
                                                  static_cast<size_t>(ordered.end - part.whole));
  const auto pieces_of = [&](size_t d) {
    return d == 0 ? (walked[0].extent - 1) / part.piece + 1 : walked[d].extent;
  };
  uint64_t parts = 1;
  for (size_t d = 0; d < walked.size(); ++d) {
    if (__builtin_mul_overflow(parts, pieces_of(d), &parts) || parts > kMostParts) {
      return absl::UnimplementedError(
          absl::StrCat("a strided window of ", ordered.end,
                       " dimensions whose elements share bytes takes more than ", kMostParts,
                       " dispatches of Vulkan's; run on --space=cpu"));
    }
  }
  const int within = std::min(part.whole + (part.piece > 1 ? 1 : 0), ordered.end);
  StridedOperands operands =
      OperandsFor(window, seed, ordered.dimensions, within, ordered.item_bytes);
  const int ends[] = {ordered.inner_end, ordered.ordered_end, ordered.end};
  for (int g = 0; g < 3; ++g) {
    operands.packed |= static_cast<uint32_t>(std::min(ends[g], within)) << (8 * (g + 1));
  }
  const uint64_t threads =
      std::min(part.outer, ~uint64_t{0} / ComputePipeline::kThreads) * ComputePipeline::kThreads;
  for (uint64_t p = 0; p < parts; ++p) {
    uint64_t rest = p;
    operands.window = window;
    operands.seed_plus = seed.plus;
    for (size_t d = 0; d < walked.size(); ++d) {
      const uint64_t index = rest % pieces_of(d) * (d == 0 ? part.piece : 1);
      rest /= pieces_of(d);
      operands.window += index * walked[d].stride_bytes;
      operands.seed_plus += index * walked[d].seed_step;
      if (d == 0 && part.piece > 1) {
        operands.dimensions[part.whole].extent = std::min(part.piece, walked[0].extent - index);
      }
    }
    fill_ordered_->Record(commands, operands, threads);
    RecordBarrier(*device_, commands);  // the next part may write the same bytes
  }
  return absl::OkStatus();
}

absl::Status VulkanKernels::Zero(uint64_t work, uint64_t window, uint64_t size_bytes) const {
  bytes_->RecordFill(CommandsOf(work), window, size_bytes, {});
  RecordBarrier(*device_, CommandsOf(work));
  return absl::OkStatus();
}

}  // namespace tenure
