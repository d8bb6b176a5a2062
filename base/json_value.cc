#include "tenure/base/json_value.h"

#include <algorithm>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <type_traits>

namespace tenure {

// Converts values to those of the JSON library.
struct JsonWriter {
  using Json = nlohmann::ordered_json;

  static Json Convert(const JsonValue& json) {
    return std::visit(
        [](const auto& value) -> Json {
          using T = std::decay_t<decltype(value)>;
          if constexpr (std::is_same_v<T, std::monostate>) {
            return nullptr;
          } else if constexpr (std::is_same_v<T, JsonValue::Elements>) {
            Json out = Json::array();
            for (const JsonValue& element : value.values) out.push_back(Convert(element));
            return out;
          } else if constexpr (std::is_same_v<T, JsonValue::Members>) {
            Json out = Json::object();
            for (size_t i = 0; i < value.names.size(); ++i) {
              out[value.names[i]] = Convert(value.values[i]);
            }
            return out;
          } else {
            return value;
          }
        },
        json.value_);
  }
};

JsonValue::JsonValue(std::initializer_list<std::pair<std::string_view, JsonValue>> members)
    : value_(Members{}) {
  for (const auto& [name, value] : members) (*this)[name] = value;
}

JsonValue JsonValue::Array() {
  JsonValue out;
  out.value_ = Elements{};
  return out;
}

JsonValue JsonValue::Object() {
  JsonValue out;
  out.value_ = Members{};
  return out;
}

JsonValue& JsonValue::operator[](std::string_view name) {
  if (!std::holds_alternative<Members>(value_)) value_ = Members{};
  auto& members = std::get<Members>(value_);
  const auto found = std::find(members.names.begin(), members.names.end(), name);
  if (found != members.names.end()) {
    return members.values[static_cast<size_t>(found - members.names.begin())];
  }
  members.names.emplace_back(name);
  return members.values.emplace_back();
}

void JsonValue::push_back(JsonValue element) {
  if (!std::holds_alternative<Elements>(value_)) value_ = Elements{};
  std::get<Elements>(value_).values.push_back(std::move(element));
}

std::string JsonValue::ToString() const {
  using Json = JsonWriter::Json;
  return JsonWriter::Convert(*this).dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace tenure
