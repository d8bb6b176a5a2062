// TENURE_RETURN_IF_ERROR and TENURE_ASSIGN_OR_RETURN: hand an error to the caller in one line.
//
// Why macros: only a macro can return from the function that uses it. They have the project's
// prefix because this header stands in other people's programs, which often have macros of the
// plain names.
//
// Example:
//   absl::StatusOr<uint64_t> BytesInUse(std::string_view space) {
//     TENURE_ASSIGN_OR_RETURN(const MemorySpace parsed, MemorySpace::Parse(space));
//     TENURE_ASSIGN_OR_RETURN(Allocator* allocator, Registry::Default().Get(parsed));
//     TENURE_RETURN_IF_ERROR(allocator->Synchronize());
//     return allocator->Stats().in_use_bytes;
//   }
//
// Both may be used in every function (or lambda) that returns absl::Status or absl::StatusOr of
// anything. They evaluate their expression once. They are plain C++: they use no statement
// expressions. They may be nested, in a lambda within the expression for instance, and give no
// warning about shadowed names.
//
// Cost: none beside the comparison. Thread safety: not applicable.
// Errors: those of the expression, unchanged.

#ifndef TENURE_BASE_STATUS_MACROS_H_
#define TENURE_BASE_STATUS_MACROS_H_

#include <utility>  // IWYU pragma: keep

#include "absl/status/status.h"    // IWYU pragma: keep
#include "absl/status/statusor.h"  // IWYU pragma: keep

// Returns the absl::Status that the expression gives, if it is an error. Of an absl::StatusOr pass
// its status().
#define TENURE_RETURN_IF_ERROR(...) \
  TENURE_INTERNAL_RETURN_IF_ERROR_(TENURE_INTERNAL_UNIQUE_(tenure_status_), (__VA_ARGS__))

// Returns the status of the absl::StatusOr that the expression gives, if it is an error. Otherwise
// moves its value to `target`: a declaration, or something that can be assigned to.
//
// This is a declaration and a statement, so it can't be the body of an `if` without braces. A type
// that contains a comma needs an alias, or `auto`.
#define TENURE_ASSIGN_OR_RETURN(target, ...)                                            \
  TENURE_INTERNAL_ASSIGN_OR_RETURN_(TENURE_INTERNAL_UNIQUE_(tenure_status_or_), target, \
                                    (__VA_ARGS__))

// What is passed here are names and declarations, which cannot stand in parentheses.
// NOLINTBEGIN(bugprone-macro-parentheses)
#define TENURE_INTERNAL_RETURN_IF_ERROR_(status, expression) \
  do {                                                       \
    absl::Status status = expression;                        \
    if (!status.ok()) return status;                         \
  } while (false)

#define TENURE_INTERNAL_ASSIGN_OR_RETURN_(result, target, expression) \
  auto result = expression;                                           \
  if (!result.ok()) return std::move(result).status();                \
  target = *std::move(result)
// NOLINTEND(bugprone-macro-parentheses)

// A name that is used nowhere else in the source. The line's number would not do: it is the same
// for everything within the arguments of one macro, nested uses included.
#define TENURE_INTERNAL_UNIQUE_(prefix) TENURE_INTERNAL_JOIN_(prefix, __COUNTER__)
#define TENURE_INTERNAL_JOIN_(a, b) TENURE_INTERNAL_JOIN_NOW_(a, b)
#define TENURE_INTERNAL_JOIN_NOW_(a, b) a##b

#endif  // TENURE_BASE_STATUS_MACROS_H_
