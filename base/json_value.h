// JsonValue: a value that is written as JSON.
//
// Why: <nlohmann/json.hpp> takes a compiler seconds to read. Programs that only write JSON build it
// from this class instead, so that one source, json_value.cc, includes that header for all of them.
//
//   JsonValue out;
//   out["name"] = "conv";
//   out["sizes"] = JsonValue::Array();
//   out["sizes"].push_back(64);
//   out.ToString();   // {"name":"conv","sizes":[64]}
//
// Members of an object keep the order in which they were added. Text that is not UTF-8 is written
// with replacement characters.
//
// Thread safety: thread-compatible. Ownership: a value; copies are deep. Errors: none; using
// something that is neither null nor an object as an object replaces it, and likewise with arrays.

#ifndef TENURE_BASE_JSON_VALUE_H_
#define TENURE_BASE_JSON_VALUE_H_

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace tenure {

class JsonValue {
 public:
  JsonValue() = default;  // null
  // NOLINTBEGIN(google-explicit-constructor): `out["x"] = 1` is what the class is for.
  JsonValue(std::same_as<bool> auto value) : value_(value) {}
  JsonValue(std::signed_integral auto value) : value_(static_cast<int64_t>(value)) {}
  JsonValue(std::unsigned_integral auto value) requires(!std::same_as<decltype(value), bool>)
      : value_(static_cast<uint64_t>(value)) {}
  JsonValue(std::floating_point auto value) : value_(static_cast<double>(value)) {}
  JsonValue(const char* text) : value_(std::string(text)) {}
  JsonValue(std::string_view text) : value_(std::string(text)) {}
  JsonValue(std::string text) : value_(std::move(text)) {}
  template <typename T>
  JsonValue(const std::vector<T>& elements) : value_(Elements{}) {
    for (const T& element : elements) push_back(JsonValue(element));
  }
  // An object.
  JsonValue(std::initializer_list<std::pair<std::string_view, JsonValue>> members);
  // NOLINTEND(google-explicit-constructor)

  static JsonValue Array();
  static JsonValue Object();

  // The member of that name, added as null if it was not there.
  JsonValue& operator[](std::string_view name);
  void push_back(JsonValue element);

  // The JSON text, on one line.
  std::string ToString() const;

 private:
  friend struct JsonWriter;
  struct Elements {
    std::vector<JsonValue> values;
  };
  struct Members {
    std::vector<std::string> names;
    std::vector<JsonValue> values;
  };
  std::variant<std::monostate, bool, int64_t, uint64_t, double, std::string, Elements, Members>
      value_;
};

}  // namespace tenure

#endif  // TENURE_BASE_JSON_VALUE_H_
