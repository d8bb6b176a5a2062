#include "tenure/base/json_value.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace tenure {
namespace {

TEST(JsonValue, Scalars) {
  EXPECT_EQ(JsonValue().ToString(), "null");
  EXPECT_EQ(JsonValue(true).ToString(), "true");
  EXPECT_EQ(JsonValue(-3).ToString(), "-3");
  EXPECT_EQ(JsonValue(std::numeric_limits<uint64_t>::max()).ToString(), "18446744073709551615");
  EXPECT_EQ(JsonValue(std::numeric_limits<int64_t>::min()).ToString(), "-9223372036854775808");
  EXPECT_EQ(JsonValue(0.0).ToString(), "0.0");
  EXPECT_EQ(JsonValue(12.5f).ToString(), "12.5");
  EXPECT_EQ(JsonValue("a \"b\"\n").ToString(), R"("a \"b\"\n")");
  EXPECT_EQ(JsonValue(std::string_view("x")).ToString(), R"("x")");
}

TEST(JsonValue, TextThatIsNotUtf8IsReplaced) {
  EXPECT_EQ(JsonValue(std::string("a\xff")).ToString(), "\"a\xef\xbf\xbd\"");
}

TEST(JsonValue, ObjectsKeepTheirOrder) {
  JsonValue out;
  out["z"] = 1;
  out["a"]["b"] = "c";
  out["z"] = 2;
  EXPECT_EQ(out.ToString(), R"({"z":2,"a":{"b":"c"}})");
  EXPECT_EQ(JsonValue::Object().ToString(), "{}");
  EXPECT_EQ(JsonValue({{"a", "b"}}).ToString(), R"({"a":"b"})");
}

TEST(JsonValue, Arrays) {
  JsonValue out = JsonValue::Array();
  EXPECT_EQ(out.ToString(), "[]");
  out.push_back(std::vector<uint64_t>{1, 2});
  out.push_back({{"id", "x"}, {"size", uint64_t{64}}});
  EXPECT_EQ(out.ToString(), R"([[1,2],{"id":"x","size":64}])");
}

TEST(JsonValue, CopiesAreDeep) {
  JsonValue one;
  one["a"] = 1;
  JsonValue two = one;
  two["a"] = 2;
  EXPECT_EQ(one.ToString(), R"({"a":1})");
}

}  // namespace
}  // namespace tenure
