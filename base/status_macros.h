// TENURE_RETURN_IF_ERROR and TENURE_ASSIGN_OR_RETURN: return an error to the caller in one line.
//
// Why macros: only a macro can return from the function that uses it. They have the project's
// prefix because other programs include this header, and often have macros of the plain names.
//
// Example:
//   absl::StatusOr<uint64_t> BytesInUse(std::string_view space) {
//     TENURE_ASSIGN_OR_RETURN(const MemorySpace parsed, MemorySpace::Parse(space));
//     TENURE_ASSIGN_OR_RETURN(Allocator* allocator, Registry::Default().Get(parsed));
//     TENURE_RETURN_IF_ERROR(allocator->Synchronize());
//     return allocator->Stats().in_use_bytes;
//   }
//
// Both work in every function (or lambda) that returns absl::Status or absl::StatusOr. They
// evaluate their expression once. They are plain C++, without statement expressions. They may be
// nested, for instance in a lambda within the expression, and cause no warning about shadowed
// names.
//
// Cost: only the comparison. Thread safety: not applicable.
// Errors: those of the expression, unchanged.

#ifndef TENURE_BASE_STATUS_MACROS_H_
#define TENURE_BASE_STATUS_MACROS_H_

#include <utility>  // IWYU pragma: keep

#include "absl/status/status.h"    // IWYU pragma: keep
#include "absl/status/statusor.h"  // IWYU pragma: keep

// Evaluates an expression of type absl::Status, and returns it if it is an error. For an
// absl::StatusOr, pass its status().
#define TENURE_RETURN_IF_ERROR(...) \
  TENURE_INTERNAL_RETURN_IF_ERROR_(TENURE_INTERNAL_UNIQUE_(tenure_status_), (__VA_ARGS__))

// Evaluates an expression of type absl::StatusOr. Returns its status if it is an error; otherwise
// moves its value to `target`, which is a declaration or something that can be assigned to.
//
// This expands to a declaration and a statement, so it can't be the body of an `if` without braces.
// A type that contains a comma needs an alias, or `auto`.
#define TENURE_ASSIGN_OR_RETURN(target, ...)                                            \
  TENURE_INTERNAL_ASSIGN_OR_RETURN_(TENURE_INTERNAL_UNIQUE_(tenure_status_or_), target, \
                                    (__VA_ARGS__))

// The arguments are names and declarations, which cannot stand in parentheses.
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

// A name that is unique in the source. The line number would not be: it is the same for everything
// within the arguments of one macro, including nested uses.
#define TENURE_INTERNAL_UNIQUE_(prefix) TENURE_INTERNAL_JOIN_(prefix, __COUNTER__)
#define TENURE_INTERNAL_JOIN_(a, b) TENURE_INTERNAL_JOIN_NOW_(a, b)
#define TENURE_INTERNAL_JOIN_NOW_(a, b) a##b

#endif  // TENURE_BASE_STATUS_MACROS_H_
