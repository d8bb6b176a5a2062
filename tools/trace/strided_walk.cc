#include "tenure/tools/trace/strided_walk.h"

#include <algorithm>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "tenure/base/status_macros.h"
#include "tenure/tools/trace/reference_kernel.h"

namespace tenure {
namespace {

using tenure_kernel::ApartWindow;
using tenure_kernel::kApartDimensions;
using tenure_kernel::kG;
using tenure_kernel::kOrderedDimensions;
using tenure_kernel::OrderedWindow;
using tenure_kernel::StridedDimension;

using Dimensions = std::vector<StridedDimension>;

// Returns the dimensions that matter, from the innermost out. Two adjacent ones that form one
// longer dimension are merged. Products are modulo 2^64 (seeds) or bounded by the window's size.
Dimensions Simplify(absl::Span<const uint64_t> shape, absl::Span<const uint64_t> strides,
                    uint64_t item_bytes, uint64_t& seed_plus) {
  Dimensions dimensions;
  uint64_t seed_step = kG;
  for (size_t d = shape.size(); d-- > 0;) {
    const StridedDimension dimension = {shape[d], strides[d] * item_bytes, seed_step};
    seed_step *= shape[d];
    if (dimension.extent == 1) continue;
    if (dimension.stride_bytes == 0) {
      seed_plus += (dimension.extent - 1) * dimension.seed_step;
      continue;
    }
    if (!dimensions.empty()) {
      StridedDimension& inner = dimensions.back();
      if (inner.stride_bytes * inner.extent == dimension.stride_bytes &&
          inner.seed_step * inner.extent == dimension.seed_step) {
        inner.extent *= dimension.extent;
        continue;
      }
    }
    dimensions.push_back(dimension);
  }
  return dimensions;
}

Dimensions ByAddress(Dimensions dimensions) {
  std::stable_sort(dimensions.begin(), dimensions.end(),
                   [](const StridedDimension& a, const StridedDimension& b) {
                     return a.stride_bytes < b.stride_bytes;
                   });
  return dimensions;
}

// Returns how many of the dimensions, sorted by address, have to be handled together: steps along
// any later one go beyond all addresses that the earlier ones reach.
size_t Entangled(const Dimensions& by_address, uint64_t item_bytes) {
  size_t entangled = 0;
  uint64_t covered = item_bytes;
  for (size_t d = 0; d < by_address.size(); ++d) {
    if (by_address[d].stride_bytes < covered) entangled = d + 1;
    covered += (by_address[d].extent - 1) * by_address[d].stride_bytes;
  }
  return entangled;
}

bool Multiply(uint64_t& product, uint64_t by) {
  return !__builtin_mul_overflow(product, by, &product);
}

absl::StatusOr<StridedWalk> Ordered(const Dimensions& dimensions, const Dimensions& by_address,
                                    size_t entangled, uint64_t seed_plus, uint64_t item_bytes) {
  if (dimensions.size() > static_cast<size_t>(kOrderedDimensions)) {
    return absl::UnimplementedError(
        absl::StrCat("a strided window of ", dimensions.size(),
                     " dimensions that can't be joined: a device is told of at most ",
                     kOrderedDimensions, "; run on --space=cpu"));
  }
  // Of the entangled dimensions, takes as many of the innermost as share no bytes among themselves.
  // The strides of the others are larger than all of theirs.
  Dimensions core;
  const uint64_t beyond =
      entangled < by_address.size() ? by_address[entangled].stride_bytes : ~uint64_t{0};
  for (const StridedDimension& dimension : dimensions) {
    if (dimension.stride_bytes < beyond) core.push_back(dimension);
  }
  size_t inner = core.size();
  while (inner > 0 && Entangled(ByAddress({core.begin(), core.begin() + inner}), item_bytes) != 0) {
    --inner;
  }
  Dimensions outer(by_address.begin() + entangled, by_address.end());
  if (entangled == 0) {  // there are only too many: some of them go to the threads
    inner = std::min<size_t>(outer.size(), kApartDimensions);
    core.assign(outer.begin(), outer.begin() + inner);
    outer.erase(outer.begin(), outer.begin() + inner);
  }

  OrderedWindow window = {};
  window.inner = window.ordered = window.outer = 1;
  window.item_bytes = item_bytes;
  window.inner_end = static_cast<int>(inner);
  window.ordered_end = static_cast<int>(core.size());
  bool fits = true;
  for (size_t d = 0; d < core.size(); ++d) {
    fits = fits && Multiply(d < inner ? window.inner : window.ordered, core[d].extent);
    window.dimensions[window.end++] = core[d];
  }
  for (const StridedDimension& dimension : outer) {
    fits = fits && Multiply(window.outer, dimension.extent);
    window.dimensions[window.end++] = dimension;
  }
  if (!fits) {
    return absl::InvalidArgumentError("a strided window of 2^64 or more elements");
  }
  return StridedWalk{seed_plus, window};
}

}  // namespace

absl::StatusOr<StridedWalk> PlanStridedWalk(uint64_t size_bytes, absl::Span<const uint64_t> shape,
                                            absl::Span<const uint64_t> strides,
                                            uint64_t item_bytes) {
  TENURE_RETURN_IF_ERROR(CheckStrided(size_bytes, shape, strides, item_bytes));
  if (item_bytes == 0 || std::find(shape.begin(), shape.end(), uint64_t{0}) != shape.end()) {
    return StridedWalk();
  }
  uint64_t seed_plus = 0;
  const Dimensions dimensions = Simplify(shape, strides, item_bytes, seed_plus);
  const Dimensions by_address = ByAddress(dimensions);
  const size_t entangled = Entangled(by_address, item_bytes);
  if (entangled != 0 || dimensions.size() > static_cast<size_t>(kApartDimensions)) {
    return Ordered(dimensions, by_address, entangled, seed_plus, item_bytes);
  }
  ApartWindow window = {};
  window.elements = 1;  // they share no bytes, so there are fewer than the window has bytes
  window.item_bytes = item_bytes;
  std::fill(std::begin(window.dimensions), std::end(window.dimensions), StridedDimension{1, 0, 0});
  for (size_t d = 0; d < by_address.size(); ++d) {
    window.elements *= by_address[d].extent;
    window.dimensions[d] = by_address[d];
  }
  return StridedWalk{seed_plus, window};
}

}  // namespace tenure
