// Shape: the dimensions of a tensor, rank 0 to 8, held in place.
//
// Why 8: ML compilers use no more. With the shape inside the handle, a view needs no heap
// allocation and costs little more than a reference count.
//
// Example:
//   TENURE_ASSIGN_OR_RETURN(Shape shape, Shape::Of({2, 3, 4}));
//   shape.rank();      // 3
//   shape.elements();  // 24
//
// Thread safety: thread-compatible value. Errors: InvalidArgument (rank over 8, a negative
// dimension), OutOfRange (more than 2^63-1 elements).

#ifndef TENURE_RUNTIME_SHAPE_H_
#define TENURE_RUNTIME_SHAPE_H_

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <ostream>
#include <string>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace tenure {

class Shape {
 public:
  static constexpr int kMaxRank = 8;

  constexpr Shape() = default;  // rank 0: one element
  // Checked.
  static absl::StatusOr<Shape> Of(absl::Span<const int64_t> dims);
  static absl::StatusOr<Shape> Of(std::initializer_list<int64_t> dims) {
    return Of(absl::MakeConstSpan(dims.begin(), dims.size()));
  }
  // Rank 1. `elements` must be at most 2^63-1; buffers of more, as of a negative number, are
  // refused.
  static constexpr Shape Vector(uint64_t elements) {
    Shape shape;
    shape.rank_ = 1;
    shape.dims_[0] = static_cast<int64_t>(elements);
    return shape;
  }

  int rank() const { return rank_; }
  // 0 for an axis that it does not have.
  int64_t dim(int axis) const { return axis >= 0 && axis < rank_ ? dims_[axis] : 0; }
  absl::Span<const int64_t> dims() const { return {dims_, static_cast<size_t>(rank_)}; }
  // The product of the dimensions; 1 for rank 0.
  uint64_t elements() const;
  // "[2,3,4]"; "[]" for rank 0.
  std::string ToString() const;

  friend bool operator==(const Shape& a, const Shape& b) {
    return std::ranges::equal(a.dims(), b.dims());
  }
  friend std::ostream& operator<<(std::ostream& out, const Shape& s) { return out << s.ToString(); }

 private:
  friend class Buffer;  // slices along the first dimension without checking the others again

  // A copy of a shape that was made just before, one dimension at a time. The usual copy loads
  // several at once, and so stalls for a dozen cycles on dimensions that were stored one by one.
  struct Recent {};
  constexpr Shape(Recent, const Shape& other) : rank_(other.rank_) {
    for (int i = 0; i < other.rank_; ++i) dims_[i] = other.dims_[i];
  }
  // Makes it Vector(0).
  constexpr void Clear() {
    rank_ = 1;
    dims_[0] = 0;
  }

  int64_t dims_[kMaxRank] = {};
  int rank_ = 0;
};

}  // namespace tenure

#endif  // TENURE_RUNTIME_SHAPE_H_
