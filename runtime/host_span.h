// NdSpan: host memory seen as a dense n-d array, row-major.
//
// Why: As<T>() gives the elements in a row. With an NdSpan, callers need not multiply dimensions to
// find an element by its coordinates.
//
// Example:
//   TENURE_ASSIGN_OR_RETURN(NdSpan<float> m, buffer.AsShapedMutable<float>());  // of shape [3,4]
//   m(2, 1) = 7;                        // unchecked, as operator[] of an array
//   TENURE_ASSIGN_OR_RETURN(float* corner, m.At({2, 5}));   // OutOfRange
//   for (float& x : m.flat()) x = 0;
//
// Cost: that of index arithmetic written by hand; 144 bytes.
// Thread safety: thread-compatible value; two threads that write one element race, as with any
// memory. Ownership: borrows the memory, as absl::Span does.
// Errors: At gives InvalidArgument (wrong number of indices) and OutOfRange. operator() asserts
// both, in debug builds only.

#ifndef TENURE_RUNTIME_HOST_SPAN_H_
#define TENURE_RUNTIME_HOST_SPAN_H_

#include <cassert>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <type_traits>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "tenure/runtime/element_types.h"
#include "tenure/runtime/shape.h"

namespace tenure {

// Returns the position in row-major order of the element at `index`, after checking it.
absl::StatusOr<uint64_t> FlatIndex(const Shape& shape, absl::Span<const int64_t> index);

template <typename T>
class NdSpan {
 public:
  NdSpan() = default;  // rank 1, no elements
  // `data` has shape.elements() elements.
  NdSpan(T* data, const Shape& shape)
      : data_(data), size_(static_cast<size_t>(shape.elements())), shape_(shape) {
    int64_t stride = 1;
    for (int axis = shape.rank(); axis-- > 0;) {
      strides_[axis] = stride;
      // With a dimension of 0 there is no element to find. Otherwise the product can't wrap.
      if (size_ > 0) stride *= shape.dim(axis);
    }
  }
  // An NdSpan<T> is an NdSpan<const T>.
  template <typename U>
  // NOLINTNEXTLINE(google-explicit-constructor): as Span does
  requires std::same_as<const U, T> NdSpan(const NdSpan<U>& other)
      : NdSpan(other.data(), other.shape()) {}

  int rank() const { return shape_.rank(); }
  absl::Span<const int64_t> dims() const { return shape_.dims(); }
  int64_t dim(int axis) const { return shape_.dim(axis); }
  const Shape& shape() const { return shape_; }
  // In elements.
  absl::Span<const int64_t> strides() const {
    return {strides_, static_cast<size_t>(shape_.rank())};
  }
  T* data() const { return data_; }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  absl::Span<T> flat() const { return absl::Span<T>(data_, size_); }

  // The element at these coordinates, one for each dimension.
  template <std::integral... I>
  T& operator()(I... index) const {
    static_assert(sizeof...(I) <= Shape::kMaxRank);
    assert(static_cast<int>(sizeof...(I)) == rank() && "one index for each dimension");
    int axis = 0;
    int64_t at = 0;
    // With rank 0 there is nothing to add.
    ((at += Along(axis, static_cast<int64_t>(index)), ++axis), ...);
    return data_[at];
  }

  // Checked; the element's address.
  absl::StatusOr<T*> At(absl::Span<const int64_t> index) const {
    absl::StatusOr<uint64_t> at = FlatIndex(shape_, index);
    if (!at.ok()) return at.status();
    return data_ + *at;
  }
  absl::StatusOr<T*> At(std::initializer_list<int64_t> index) const {
    return At(absl::MakeConstSpan(index.begin(), index.size()));
  }

 private:
  int64_t Along(int axis, int64_t index) const {
    assert(index >= 0 && index < shape_.dim(axis) && "index out of range");
    return index * strides_[axis];
  }

  T* data_ = nullptr;
  size_t size_ = 0;
  Shape shape_ = Shape::Vector(0);
  int64_t strides_[Shape::kMaxRank] = {1};
};

}  // namespace tenure

#endif  // TENURE_RUNTIME_HOST_SPAN_H_
