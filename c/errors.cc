#include <cstdlib>

#include "tenure/base/version.h"
#include "tenure/c/c_api.h"

namespace tenure::c {
namespace {

// What the thread's last failed call said. A text of fixed size is there even without memory.
struct LastError {
  std::string text;
  const char* said = "";
};

LastError& Last() {
  thread_local LastError last;
  return last;
}

}  // namespace

const char* LastText() noexcept { return Last().said; }

tenure_status Failed(const absl::Status& status) noexcept {
  try {
    LastError& last = Last();
    last.text = std::string(status.message());
    last.said = last.text.c_str();
  } catch (const std::bad_alloc&) {
    return FailedWith(status.code(), "the host has no memory left for the text of this error");
  }
  return static_cast<tenure_status>(status.code());
}

tenure_status FailedWith(absl::StatusCode code, const char* text) noexcept {
  try {
    LastError& last = Last();
    last.text = text;
    last.said = last.text.c_str();
  } catch (const std::bad_alloc&) {
    Last().said = "the host has no memory left";
  }
  return static_cast<tenure_status>(code);
}

absl::Status GiveText(std::string_view text, char** to) {
  TENURE_RETURN_IF_ERROR(NotNull(to, "text"));
  auto* const copy = static_cast<char*>(std::malloc(text.size() + 1));
  if (copy == nullptr) throw std::bad_alloc();
  std::memcpy(copy, text.data(), text.size());
  copy[text.size()] = '\0';
  *to = copy;
  return absl::OkStatus();
}

}  // namespace tenure::c

const char* tenure_version(void) { return tenure::kVersion.data(); }
const char* tenure_error(void) { return tenure::c::LastText(); }
void tenure_free(char* text) { std::free(text); }
