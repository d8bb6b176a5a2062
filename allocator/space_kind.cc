#include "tenure/allocator/space_kind.h"

#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"

namespace tenure {
namespace {

// Names of kinds and of drivers follow the same rules.
bool IsName(std::string_view text) {
  if (text.empty()) return false;
  for (const char c : text) {
    const auto letter = static_cast<unsigned char>(c);
    if (!absl::ascii_islower(letter) && !absl::ascii_isdigit(letter) && c != '-') return false;
  }
  return true;
}

// Copies the texts of a declaration, which may belong to a library that is unloaded later.
struct Kept {
  explicit Kept(const SpaceKind::Declaration& from)
      : name(from.name),
        driver(from.driver),
        declaration{name, from.form, driver, from.dlpack_device_type} {}
  Kept(const Kept&) = delete;
  Kept& operator=(const Kept&) = delete;

  const std::string name;
  const std::string driver;
  const SpaceKind::Declaration declaration;
};

class Vocabulary {
 public:
  static Vocabulary& Get() {
    static auto* const vocabulary = new Vocabulary;
    return *vocabulary;
  }

  absl::StatusOr<SpaceKind> Add(const SpaceKind::Declaration& declaration)
      ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    for (const auto& kept : kept_) {
      const SpaceKind known(kept->declaration);
      if (known.name() != declaration.name) continue;
      if (known.declaration() == declaration) return known;
      return absl::AlreadyExistsError(absl::StrCat(
          "the memory space '", declaration.name, "' is declared already, as '", known.Pattern(),
          "' of the driver '", known.driver(), "'; give yours another name"));
    }
    kept_.push_back(std::make_unique<Kept>(declaration));
    return SpaceKind(kept_.back()->declaration);
  }

  std::vector<SpaceKind> All() const ABSL_LOCKS_EXCLUDED(mutex_) {
    std::vector<SpaceKind> all;
    absl::MutexLock lock(&mutex_);
    for (const auto& kept : kept_) all.emplace_back(kept->declaration);
    return all;
  }

 private:
  Vocabulary() {
    for (const SpaceKind::Declaration& reserved : kReservedSpaces) {
      kept_.push_back(std::make_unique<Kept>(reserved));
    }
  }

  mutable absl::Mutex mutex_;
  std::vector<std::unique_ptr<Kept>> kept_ ABSL_GUARDED_BY(mutex_);  // few: searched one by one
};

}  // namespace

absl::StatusOr<SpaceKind> SpaceKind::Declare(const Declaration& declaration) {
  for (const std::string_view text : {declaration.name, declaration.driver}) {
    if (IsName(text)) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "can't declare the memory space '", declaration.name, "' of the driver '",
        declaration.driver, "': both names are made of lower-case letters, digits and hyphens"));
  }
  return Vocabulary::Get().Add(declaration);
}

std::vector<SpaceKind> SpaceKind::Declared() { return Vocabulary::Get().All(); }

std::string SpaceKind::Pattern() const {
  switch (form()) {
    case Form::kOrdinal:
      return absl::StrCat(name(), ":N");
    case Form::kPath:
      return absl::StrCat(name(), ":/path");
    case Form::kPlain:
      break;
  }
  return std::string(name());
}

}  // namespace tenure
