#include "tenure/planner/plan_json.h"

#include <limits>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_replace.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tenure/planner/planner.h"
#include "tenure/tests/testing/sketch.h"
#include "tenure/tests/testing/status_matchers.h"

namespace tenure {
namespace {

using Json = nlohmann::json;

class PlanJsonTest : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"a", "b", "c", "d"}) sketch_.Add(name, 100);
    sketch_.Add("z \"quoted\" \n", 100, {.zeroed = true});
    sketch_.Add("held", 100);
    sketch_.Step("s0", {}, {"a", "z \"quoted\" \n[0:10]"});
    sketch_.Step("s1", {"a"}, {"b"}, {.in_place = {{0, 0}}});
    sketch_.Step("s2", {"b"}, {"c", "held"});
    sketch_.Step("s3", {"c"}, {"d"}, {.queue = 1});
    sketch_.schedule.Hold(sketch_["held"], "a reason");
    sketch_.Release();
    PlanOptions options;
    options.fill_zeroed = true;
    plan_ = MakePlan(sketch_.schedule, options).value();
    ASSERT_FALSE(plan_.fills.empty());
    ASSERT_FALSE(plan_.in_place.empty());
    ASSERT_FALSE(plan_.reuse_edges.empty());
    ASSERT_FALSE(plan_.not_planned.empty());
    json_ = PlanToJson(plan_);
  }

  static void ExpectMalformed(const Json& json, const std::string& where) {
    const auto plan = PlanFromJson(json.dump());
    EXPECT_CODE(InvalidArgument, plan);
    EXPECT_TRUE(absl::StrContains(plan.status().message(), where))
        << where << " in: " << plan.status();
  }

  Sketch sketch_;
  Plan plan_;
  std::string json_;
};

TEST_F(PlanJsonTest, RoundTrip) {
  const auto back = PlanFromJson(json_);
  ASSERT_OK(back);
  EXPECT_EQ(*back, plan_);
  EXPECT_EQ(PlanToJson(*back), json_);
  const auto loaded = LoadPlan(json_, sketch_.schedule);
  ASSERT_OK(loaded);
  EXPECT_OK(PlacePlan(*loaded, sketch_.schedule));
}

TEST_F(PlanJsonTest, RoundTripOfExtremes) {
  Plan plan = plan_;
  plan.fingerprint = ~uint64_t{0};
  plan.mode = PlanMode::kNone;
  plan.arenas[0].space = MemorySpace::Disk("/a:b");
  plan.placements[0] = {~0u, ~0u, ~uint64_t{0}, ~uint64_t{0}, ~0u, ~0u, true};
  plan.optimal = false;
  plan.deadline_hit = true;
  plan.reuse_edges = {{~0u, ~0u}};
  for (int i = 0; i < kPlanReasonCount; ++i)
    plan.not_planned.push_back({.storage = 1, .reason = PlanReason(i)});
  const auto back = PlanFromJson(PlanToJson(plan));
  ASSERT_OK(back);
  EXPECT_EQ(*back, plan);
  EXPECT_EQ(PlanFromJson(PlanToJson(Plan())).value(), Plan());
}

// Plans that were stored when a queue was called a lane, and an in-place write a take-over.
TEST_F(PlanJsonTest, OldKeysAreRead) {
  const std::string old = absl::StrReplaceAll(
      json_, {{"\"queue\":", "\"lane\":"}, {"\"in_place\":", "\"taken_over\":"}});
  ASSERT_NE(old, json_);
  const auto loaded = LoadPlan(old, sketch_.schedule);
  ASSERT_OK(loaded);
  EXPECT_EQ(*loaded, plan_);
  // What is wrong is named as it stands in the text.
  ExpectMalformed(Json::parse(absl::StrReplaceAll(old, {{"\"lane\":0", "\"lane\":-1"}})),
                  "arenas[0].lane");
}

TEST_F(PlanJsonTest, NamesThatAreNoText) {
  plan_.name = "\xff\xfe";
  const auto back = PlanFromJson(PlanToJson(plan_));
  ASSERT_OK(back);  // replaced, not refused
}

TEST_F(PlanJsonTest, AnotherScheduleIsRefused) {
  ASSERT_OK(sketch_.schedule.AddStep({.name = "more"}));
  EXPECT_CODE(FailedPrecondition, LoadPlan(json_, sketch_.schedule));
}

TEST_F(PlanJsonTest, NoJson) {
  for (const std::string text : {"", "x", "{", "[]", "null", "7", "{}", "{\"format\": 1}"})
    EXPECT_CODE(InvalidArgument, PlanFromJson(text));
  EXPECT_CODE(InvalidArgument, PlanFromJson(json_ + "x"));
  EXPECT_CODE(InvalidArgument,
              PlanFromJson(absl::StrReplaceAll(json_, {{"tenure-plan-1", "tenure-plan-2"}})));
  EXPECT_CODE(InvalidArgument, PlanFromJson(std::string(1000000, '[')));
  for (size_t n = 0; n < json_.size(); n += 7) {
    EXPECT_CODE(InvalidArgument, PlanFromJson(json_.substr(0, n)));
  }
}

// Two readers of one text must not disagree on what it says.
TEST_F(PlanJsonTest, NothingIsHiddenAndEveryFaultHasAPlace) {
  const auto refusal = [](const std::string& text) {
    return std::string(PlanFromJson(text).status().message());
  };
  EXPECT_EQ(refusal(json_ + '\0' + "x"),
            absl::StrCat("plan: not JSON: there is a zero byte at byte ", json_.size()));
  EXPECT_EQ(refusal(absl::StrReplaceAll(json_, {{"\"mode\":", "\"mode\":\"none\",\"mode\":"}})),
            "plan: the key mode stands twice in one object");
  EXPECT_TRUE(absl::StrContains(refusal("{\"format\": tenure"), "at byte 13"))
      << refusal("{\"format\": tenure");
}

// Search may have proven more than the lives tell, but a file is no proof.
TEST_F(PlanJsonTest, ALoadedPlanClaimsOnlyWhatItsLivesProve) {
  Plan spread = plan_;
  for (Placement& p : spread.placements) p.offset_bytes += 4096 * p.storage;
  PlanOptions options;
  options.fill_zeroed = true;
  options.keep = &spread;
  Plan wasteful = MakePlan(sketch_.schedule, options).value();
  ASSERT_GT(wasteful.arena_bytes, plan_.arena_bytes);
  ASSERT_FALSE(wasteful.optimal);
  const uint64_t proven = wasteful.lower_bound_bytes;
  wasteful.lower_bound_bytes = wasteful.arena_bytes;
  wasteful.optimal = true;
  const auto loaded = LoadPlan(PlanToJson(wasteful), sketch_.schedule);
  ASSERT_OK(loaded);
  EXPECT_EQ(loaded->arena_bytes, wasteful.arena_bytes);
  EXPECT_EQ(loaded->lower_bound_bytes, proven);
  EXPECT_FALSE(loaded->optimal);
  EXPECT_OK(PlacePlan(*loaded, sketch_.schedule));
}

// Every key, missing and of every wrong type.
TEST_F(PlanJsonTest, EveryKeyIsLookedAt) {
  const Json good = Json::parse(json_);
  const std::vector<Json> values = {nullptr,
                                    true,
                                    -1,
                                    1.5,
                                    "text",
                                    Json::array({-1}),
                                    Json::object(),
                                    Json::array({Json::object()}),
                                    Json::array({Json::array({0})})};
  const auto check = [&](const Json::json_pointer& object, const std::string& key) {
    Json missing = good;
    missing[object].erase(key);
    // Plans that were stored before placements had names lack them.
    if (key == "name" && absl::StartsWith(object.to_string(), "/placements")) {
      EXPECT_OK(PlanFromJson(missing.dump()));
    } else {
      ExpectMalformed(missing, key);
    }
    for (const Json& value : values) {
      // A change of value, not of type, is not malformed.
      const Json& old = good[object][key];
      if (value.type() == old.type() && !old.is_array()) {
        if (key != "format" && key != "fingerprint" && key != "mode" && key != "space" &&
            key != "reason") {
          continue;
        }
      }
      Json wrong = good;
      wrong[object][key] = value;
      const auto plan = PlanFromJson(wrong.dump());
      EXPECT_CODE(InvalidArgument, plan);
    }
  };
  for (const auto& [key, value] : good.items()) check(Json::json_pointer(), key);
  for (const std::string list : {"arenas", "placements", "not_planned"}) {
    for (size_t i = 0; i < good[list].size(); ++i) {
      for (const auto& [key, value] : good[list][i].items())
        check(Json::json_pointer("/" + list + "/" + std::to_string(i)), key);
      Json wrong = good;
      wrong[list][i] = 7;
      ExpectMalformed(wrong, list + "[" + std::to_string(i) + "]");
    }
  }
  for (const std::string list : {"reuse_edges", "fills", "in_place"}) {
    for (const Json& row :
         {Json(nullptr), Json(1), Json::array(), Json::array({1}), Json::array({1, 2, 3, 4}),
          Json::array({1, -2}), Json::array({1, 2, -3}), Json::array({1, 4294967296, 3}),
          Json::array({"a", "b"}), Json::array({"a", "b", "c"})}) {
      Json wrong = good;
      wrong[list][0] = row;
      ExpectMalformed(wrong, list + "[0]");
    }
  }
}

TEST_F(PlanJsonTest, NumbersThatDoNotFit) {
  Json wrong = Json::parse(json_);
  wrong["placements"][0]["storage"] = uint64_t{1} << 32;
  ExpectMalformed(wrong, "placements[0].storage should be a whole number up to 4294967295");
  wrong = Json::parse(json_);
  EXPECT_CODE(InvalidArgument, PlanFromJson(absl::StrReplaceAll(
                                   json_, {{"\"alignment\":64", "\"alignment\":1e30"}})));
  EXPECT_CODE(InvalidArgument,
              PlanFromJson(absl::StrReplaceAll(
                  json_, {{"\"alignment\":64", "\"alignment\":18446744073709551616"}})));
  wrong["fingerprint"] = "00000000000000zz";
  ExpectMalformed(wrong, "fingerprint");
  wrong["fingerprint"] = "0x00000000000001";
  ExpectMalformed(wrong, "fingerprint");
}

// Whatever numbers stand there, the answer is a Status.
TEST_F(PlanJsonTest, HostileNumbersNeverCrash) {
  std::mt19937_64 random(3);
  const Json good = Json::parse(json_);
  const Json all = good.flatten();
  std::vector<std::string> flat;
  for (const auto& [path, value] : all.items()) {
    if (value.is_number() || value.is_boolean()) flat.push_back(path);
  }
  int refused = 0;
  for (int round = 0; round < 3000; ++round) {
    Json wrong = good;
    for (uint64_t k = 1 + random() % 3; k > 0; --k) {
      const Json::json_pointer path(flat[random() % flat.size()]);
      if (wrong[path].is_boolean()) {
        wrong[path] = !wrong[path].get<bool>();
        continue;
      }
      static constexpr uint64_t kNumbers[] = {0,
                                              1,
                                              2,
                                              3,
                                              63,
                                              64,
                                              65,
                                              128,
                                              1u << 31,
                                              0xffffffffu,
                                              uint64_t{1} << 32,
                                              uint64_t{1} << 62,
                                              uint64_t{1} << 63,
                                              ~uint64_t{0} - 63,
                                              ~uint64_t{0}};
      wrong[path] = kNumbers[random() % 15];
    }
    const std::string text = wrong.dump();
    const auto loaded = LoadPlan(text, sketch_.schedule);
    if (!loaded.ok()) ++refused;
    if (loaded.ok()) {
      auto placed = PlacePlan(*loaded, sketch_.schedule);
      EXPECT_OK(placed);
      if (placed.ok()) {
        placed->fills.clear();
        EXPECT_OK(UnplacePlan(*std::move(placed)));
      }
    }
  }
  EXPECT_GT(refused, 2500);
}

}  // namespace
}  // namespace tenure
