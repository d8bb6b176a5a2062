// SpaceKind: a kind of memory space. It has a name ("cuda-unified"), a form that says what follows
// the name in text, and the driver that the space belongs to. Drivers and programs can declare
// kinds of their own.
//
// Example, of a driver with one kind of space per device:
//   inline constexpr SpaceKind::Declaration kToyDeclaration{
//       "toy", SpaceKind::Form::kOrdinal, "toy"};
//   inline constexpr SpaceKind kToySpace(kToyDeclaration);
//
//   absl::StatusOr<MemorySpace> SecondToy() {
//     TENURE_RETURN_IF_ERROR(SpaceKind::Declare(kToyDeclaration).status());
//     return MemorySpace::Parse("toy:1");  // is MemorySpace::Device(kToySpace, 1)
//   }
//
// Registry::AddDriver declares the spaces of the driver that it adds. Declarations apply to the
// whole process, because they only define names. Each registry decides by itself whether a space
// can be used.
//
// The names that README.md lists are declared in every program, even if their driver is not linked.
// A program can therefore plan for a device that it cannot use.
//
// Cost: the size of a pointer; comparing two equal kinds takes a few nanoseconds.
// Thread safety: thread-compatible value; static members are thread-safe. Ownership: refers to a
// Declaration that must live as long as the process. Errors: InvalidArgument (a name with other
// characters than lower-case letters, digits and hyphens), AlreadyExists (the name is declared with
// another form or driver).

#ifndef TENURE_ALLOCATOR_SPACE_KIND_H_
#define TENURE_ALLOCATOR_SPACE_KIND_H_

#include <compare>
#include <cstdint>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace tenure {

class SpaceKind {
 public:
  // What follows the name in text.
  enum class Form : uint8_t {
    kPlain,    // nothing: "cpu"
    kOrdinal,  // the number of a device: "cuda:1"
    kPath,     // a path: "disk:/weights"
  };

  struct Declaration {
    std::string_view name;
    Form form = Form::kPlain;
    std::string_view driver;
    // The device type that DLPack has for memory of this kind (runtime/interop/dlpack.h), such as 1
    // for host memory and 2 for CUDA's. 0: tensors of this kind are not exchanged.
    int32_t dlpack_device_type = 0;

    friend bool operator==(const Declaration&, const Declaration&) = default;
  };

  // The declaration must live as long as the process.
  constexpr explicit SpaceKind(const Declaration& declaration) : declaration_(&declaration) {}
  SpaceKind(Declaration&&) = delete;

  // Makes MemorySpace::Parse accept the kind. Repeating the same declaration changes nothing. The
  // declaration is copied.
  static absl::StatusOr<SpaceKind> Declare(const Declaration& declaration);
  // All declared kinds, in order of declaration.
  static std::vector<SpaceKind> Declared();

  constexpr std::string_view name() const { return declaration_->name; }
  constexpr Form form() const { return declaration_->form; }
  // The driver that the space belongs to: "host", "cuda". Copy routes are registered by driver.
  constexpr std::string_view driver() const { return declaration_->driver; }
  constexpr int32_t dlpack_device_type() const { return declaration_->dlpack_device_type; }
  constexpr const Declaration& declaration() const { return *declaration_; }
  // The text form of spaces of this kind, for messages: "cpu", "cuda:N", "disk:/path".
  std::string Pattern() const;

  // Kinds are equal if their names are equal.
  friend constexpr bool operator==(SpaceKind a, SpaceKind b) {
    return a.declaration_ == b.declaration_ || a.name() == b.name();
  }
  friend constexpr std::strong_ordering operator<=>(SpaceKind a, SpaceKind b) {
    return a.name() <=> b.name();
  }
  template <typename H>
  friend H AbslHashValue(H h, SpaceKind kind) {
    return H::combine(std::move(h), kind.name());
  }
  friend std::ostream& operator<<(std::ostream& out, SpaceKind kind) { return out << kind.name(); }

 private:
  const Declaration* declaration_;
};

// The space names that README.md promises. They parse in every program, even if their driver is not
// linked or not written yet. These are only names; the drivers define what the spaces can do.
inline constexpr SpaceKind::Declaration kReservedSpaces[] = {
    {"cpu", SpaceKind::Form::kPlain, "host", 1},
    {"disk", SpaceKind::Form::kPath, "file", 1},
    {"null", SpaceKind::Form::kPlain, "null"},
    {"cuda", SpaceKind::Form::kOrdinal, "cuda", 2},
    {"cuda-unified", SpaceKind::Form::kOrdinal, "cuda", 13},
    {"cuda-pinned", SpaceKind::Form::kOrdinal, "cuda", 3},
    {"vulkan", SpaceKind::Form::kOrdinal, "vulkan"},
    {"vulkan-upload", SpaceKind::Form::kOrdinal, "vulkan"},
    {"vulkan-readback", SpaceKind::Form::kOrdinal, "vulkan"},
};

}  // namespace tenure

#endif  // TENURE_ALLOCATOR_SPACE_KIND_H_
