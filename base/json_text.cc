#include "tenure/base/json_text.h"

#include <cstddef>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace tenure {
namespace {

// Control characters would break the line of the message.
std::string OnOneLine(std::string text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20) c = ' ';
  }
  return text;
}

// Exceptions are off, so only an event handler can record where a text goes wrong.
class Checker final : public nlohmann::json_sax<nlohmann::json> {
 public:
  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(std::size_t) override {
    keys_.emplace_back();
    return true;
  }
  bool key(string_t& key) override {
    if (keys_.back().insert(key).second) return true;
    fault_ = absl::StrCat("the key ", key, " stands twice in one object");
    return false;
  }
  bool end_object() override {
    keys_.pop_back();
    return true;
  }
  bool start_array(std::size_t) override { return true; }
  bool end_array() override { return true; }
  bool parse_error(std::size_t position, const std::string& token,
                   const nlohmann::detail::exception&) override {
    fault_ = absl::StrCat("not JSON: unexpected '", token.substr(0, 40), "' at byte ", position);
    return false;
  }

  const std::string& fault() const { return fault_; }

 private:
  std::vector<std::set<std::string>> keys_;  // of each object that is open
  std::string fault_ = "not JSON: it ends too early";
};

}  // namespace

absl::Status CheckJsonText(std::string_view text) {
  if (const size_t zero = text.find('\0'); zero != std::string_view::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("not JSON: there is a zero byte at byte ", zero));
  }
  Checker checker;
  if (nlohmann::json::sax_parse(text, &checker)) return absl::OkStatus();
  return absl::InvalidArgumentError(OnOneLine(checker.fault()));
}

}  // namespace tenure
