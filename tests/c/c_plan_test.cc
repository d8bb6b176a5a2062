// Schedules, plans and placing, through the C library's header.

#include <cstdint>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tenure/tenure.h"

namespace tenure {
namespace {

// `text` is read when `status` is known.
std::string TextOf(tenure_status status, char*& text) {
  EXPECT_EQ(status, TENURE_OK) << tenure_error();
  std::string copy = text == nullptr ? "" : text;
  tenure_free(text);
  text = nullptr;
  return copy;
}

// Storages 1, 2 and 3 of 1000 bytes, each written from the one before; 0 is the input, 4 the output.
class CPlanTest : public testing::Test {
 protected:
  void Make(const char* space, tenure_order order = TENURE_ORDER_TOTAL) {
    ASSERT_EQ(tenure_schedule_create("chain", order, &schedule_), TENURE_OK);
    for (uint64_t key = 0; key < 5; ++key) {
      ASSERT_EQ(tenure_schedule_add_storage(schedule_, key, space, 1000, nullptr), TENURE_OK)
          << tenure_error();
    }
    ASSERT_EQ(tenure_schedule_mark_input(schedule_, 0, 0), TENURE_OK);
    ASSERT_EQ(tenure_schedule_mark_output(schedule_, 4, TENURE_OUTPUT_OWN), TENURE_OK);
    for (uint64_t key = 0; key < 4; ++key) {
      const uint64_t next = key + 1;
      tenure_step step = TENURE_STEP_INIT;
      step.name = "next";
      step.reads = &key;
      step.read_count = 1;
      step.writes = &next;
      step.write_count = 1;
      uint32_t number = 99;
      ASSERT_EQ(tenure_schedule_add_step(schedule_, &step, &number), TENURE_OK) << tenure_error();
      EXPECT_EQ(number, key);
    }
  }
  void TearDown() override {
    tenure_plan_destroy(plan_);
    tenure_schedule_destroy(schedule_);
  }
  tenure_placement_info Find(uint64_t key) {
    tenure_placement_info info = TENURE_PLACEMENT_INFO_INIT;
    EXPECT_EQ(tenure_plan_find(plan_, key, &info), TENURE_OK) << tenure_error();
    return info;
  }

  tenure_schedule* schedule_ = nullptr;
  tenure_plan* plan_ = nullptr;
};

TEST_F(CPlanTest, PlansByKey) {
  Make("cpu");
  ASSERT_EQ(tenure_schedule_add_view(schedule_, 100, 2, 300, 50), TENURE_OK);
  ASSERT_EQ(tenure_plan_make(schedule_, nullptr, &plan_), TENURE_OK) << tenure_error();
  tenure_plan_info info = TENURE_PLAN_INFO_INIT;
  ASSERT_EQ(tenure_plan_get_info(plan_, &info), TENURE_OK);
  EXPECT_EQ(info.arena_bytes, 2 * 1024u);
  EXPECT_EQ(info.unplanned_bytes, 3 * 1024u);
  EXPECT_EQ(info.lower_bound_bytes, info.arena_bytes);
  EXPECT_EQ(info.optimal, 1);
  EXPECT_EQ(info.placement_count, 3u);
  ASSERT_EQ(info.arena_count, 1u);
  tenure_arena_info arena = TENURE_ARENA_INFO_INIT;
  ASSERT_EQ(tenure_plan_get_arena(plan_, 0, &arena), TENURE_OK);
  EXPECT_EQ(std::string(arena.space), "cpu");
  EXPECT_EQ(arena.size, info.arena_bytes);
  EXPECT_EQ(arena.is_storage, 0);
  EXPECT_EQ(tenure_plan_get_arena(plan_, 1, &arena), TENURE_OUT_OF_RANGE);
  EXPECT_EQ(Find(1).placed, 1);
  EXPECT_EQ(Find(1).offset, Find(3).offset);
  EXPECT_NE(Find(1).offset, Find(2).offset);
  EXPECT_EQ(Find(1).first_step, 0u);
  EXPECT_EQ(Find(1).last_step, 1u);
  EXPECT_EQ(Find(100).offset, Find(2).offset + 300);
  EXPECT_EQ(Find(0).placed, 0);
  EXPECT_EQ(std::string(Find(0).reason), "input");
  EXPECT_EQ(std::string(Find(4).reason), "output");
  tenure_placement_info none = TENURE_PLACEMENT_INFO_INIT;
  EXPECT_EQ(tenure_plan_find(plan_, 5, &none), TENURE_NOT_FOUND);

  ASSERT_EQ(info.reuse_edge_count, 1u);
  uint32_t before = 9, after = 9;
  ASSERT_EQ(tenure_plan_get_reuse_edge(plan_, 0, &before, &after), TENURE_OK);
  EXPECT_LT(before, after);
}

TEST_F(CPlanTest, PlansAreTexts) {
  Make("cpu");
  ASSERT_EQ(tenure_plan_make(schedule_, nullptr, &plan_), TENURE_OK);
  char* text = nullptr;
  const std::string json = TextOf(tenure_plan_json(plan_, &text), text);
  EXPECT_NE(json.find("tenure-plan-1"), std::string::npos);
  EXPECT_NE(TextOf(tenure_plan_summary(plan_, &text), text), "");
  EXPECT_NE(TextOf(tenure_plan_html(plan_, schedule_, &text), text).find("<html"),
            std::string::npos);
  EXPECT_NE(TextOf(tenure_schedule_trace(schedule_, &text), text).find("chain"), std::string::npos);
  tenure_plan* loaded = nullptr;
  ASSERT_EQ(tenure_plan_load(schedule_, json.c_str(), &loaded), TENURE_OK) << tenure_error();
  tenure_placement_info info = TENURE_PLACEMENT_INFO_INIT;
  ASSERT_EQ(tenure_plan_find(loaded, 2, &info), TENURE_OK);
  EXPECT_EQ(info.offset, Find(2).offset);
  tenure_plan_destroy(loaded);
  EXPECT_EQ(tenure_plan_load(schedule_, "{}", &loaded), TENURE_INVALID_ARGUMENT);
}

TEST_F(CPlanTest, WhatDoesNotFitIsExplained) {
  Make("cpu");
  tenure_plan_options options = TENURE_PLAN_OPTIONS_INIT;
  options.capacity = 1500;
  EXPECT_EQ(tenure_plan_make(schedule_, &options, &plan_), TENURE_RESOURCE_EXHAUSTED);
  char* text = nullptr;
  EXPECT_NE(TextOf(tenure_plan_explain(schedule_, &options, &text), text).find("2048"),
            std::string::npos);
  EXPECT_NE(TextOf(tenure_plan_explain(schedule_, nullptr, &text), text).find("fits"),
            std::string::npos);
}

TEST_F(CPlanTest, PlacedStoragesLieInTheArena) {
  Make("cpu");
  ASSERT_EQ(tenure_plan_make(schedule_, nullptr, &plan_), TENURE_OK);
  for (int round = 0; round < 2; ++round) {
    tenure_placed* placed = nullptr;
    ASSERT_EQ(tenure_place(plan_, schedule_, nullptr, &placed), TENURE_OK) << tenure_error();
    tenure_buffer* arena = nullptr;
    ASSERT_EQ(tenure_placed_get_arena(placed, 0, &arena), TENURE_OK);
    const void* base = nullptr;
    ASSERT_EQ(tenure_buffer_host_pointer(arena, &base), TENURE_OK);
    for (uint64_t key = 1; key < 4; ++key) {
      tenure_buffer* buffer = nullptr;
      ASSERT_EQ(tenure_schedule_get_buffer(schedule_, key, &buffer), TENURE_OK);
      const void* data = nullptr;
      ASSERT_EQ(tenure_buffer_host_pointer(buffer, &data), TENURE_OK);
      EXPECT_EQ(static_cast<const char*>(data), static_cast<const char*>(base) + Find(key).offset);
      tenure_buffer_release(buffer);
    }
    tenure_buffer_release(arena);
    ASSERT_EQ(tenure_unplace(placed), TENURE_OK) << tenure_error();
  }
  // Into memory of the caller's.
  tenure_buffer* memory = nullptr;
  const int64_t shape[] = {4096};
  ASSERT_EQ(tenure_buffer_create("cpu", TENURE_UINT8, 1, shape, nullptr, &memory), TENURE_OK);
  tenure_placed* placed = nullptr;
  ASSERT_EQ(tenure_place(plan_, schedule_, memory, &placed), TENURE_OK) << tenure_error();
  tenure_buffer* two = nullptr;
  ASSERT_EQ(tenure_schedule_get_buffer(schedule_, 2, &two), TENURE_OK);
  const void *base = nullptr, *data = nullptr;
  tenure_buffer_host_pointer(memory, &base);
  tenure_buffer_host_pointer(two, &data);
  EXPECT_EQ(static_cast<const char*>(data), static_cast<const char*>(base) + Find(2).offset);
  tenure_placed_destroy(placed);
  tenure_buffer_release(two);
  tenure_buffer_release(memory);
}

TEST_F(CPlanTest, WhatIsInUseStaysPlacedUntilItIsTriedAgain) {
  Make("cpu");
  ASSERT_EQ(tenure_plan_make(schedule_, nullptr, &plan_), TENURE_OK);
  tenure_placed* placed = nullptr;
  ASSERT_EQ(tenure_place(plan_, schedule_, nullptr, &placed), TENURE_OK);
  tenure_buffer *two = nullptr, *taken = nullptr;
  ASSERT_EQ(tenure_schedule_get_buffer(schedule_, 2, &two), TENURE_OK);
  DLManagedTensorVersioned* tensor = nullptr;
  ASSERT_EQ(tenure_buffer_to_dlpack(two, nullptr, &tensor), TENURE_OK);
  EXPECT_EQ(tenure_unplace(placed), TENURE_FAILED_PRECONDITION);
  EXPECT_EQ(tenure_unplace(placed), TENURE_FAILED_PRECONDITION);
  ASSERT_EQ(tenure_buffer_from_dlpack(tensor, nullptr, &taken), TENURE_OK);
  tenure_buffer_release(taken);
  ASSERT_EQ(tenure_unplace(placed), TENURE_OK) << tenure_error();
  ASSERT_EQ(tenure_place(plan_, schedule_, nullptr, &placed), TENURE_OK) << tenure_error();
  tenure_placed_destroy(placed);
  tenure_buffer_release(two);
}

// No machine has so many devices.
TEST_F(CPlanTest, SchedulesForOtherMachinesCanBePlanned) {
  Make("cuda:77");
  ASSERT_EQ(tenure_plan_make(schedule_, nullptr, &plan_), TENURE_OK) << tenure_error();
  tenure_arena_info arena = TENURE_ARENA_INFO_INIT;
  ASSERT_EQ(tenure_plan_get_arena(plan_, 0, &arena), TENURE_OK);
  EXPECT_EQ(std::string(arena.space), "cuda:77");
  tenure_placed* placed = nullptr;
  EXPECT_EQ(tenure_place(plan_, schedule_, nullptr, &placed), TENURE_UNAVAILABLE);
  tenure_buffer* buffer = nullptr;
  EXPECT_EQ(tenure_schedule_get_buffer(schedule_, 1, &buffer), TENURE_UNAVAILABLE);
}

TEST_F(CPlanTest, BuffersInPlaceFillsAndDependencies) {
  ASSERT_EQ(tenure_schedule_create(nullptr, TENURE_ORDER_DEPENDENCIES, &schedule_), TENURE_OK);
  tenure_buffer* input = nullptr;
  const int64_t shape[] = {64};
  ASSERT_EQ(tenure_buffer_create("cpu", TENURE_UINT8, 1, shape, nullptr, &input), TENURE_OK);
  ASSERT_EQ(tenure_schedule_add_buffer(schedule_, 7, input), TENURE_OK);
  tenure_buffer_options zeroed = TENURE_BUFFER_OPTIONS_INIT;
  zeroed.zeroed = 1;
  ASSERT_EQ(tenure_schedule_add_storage(schedule_, 8, nullptr, 64, &zeroed), TENURE_OK);
  ASSERT_EQ(tenure_schedule_add_storage(schedule_, 9, nullptr, 64, nullptr), TENURE_OK);
  EXPECT_EQ(tenure_schedule_add_storage(schedule_, 9, nullptr, 64, nullptr), TENURE_ALREADY_EXISTS);
  ASSERT_EQ(tenure_schedule_add_storage(schedule_, 10, nullptr, 64, nullptr), TENURE_OK);
  ASSERT_EQ(tenure_schedule_mark_input(schedule_, 7, 0), TENURE_OK);
  ASSERT_EQ(tenure_schedule_mark_output(schedule_, 10, TENURE_OUTPUT_IN_ARENA), TENURE_OK);
  EXPECT_EQ(tenure_schedule_mark_output(schedule_, 11, TENURE_OUTPUT_OWN), TENURE_NOT_FOUND);

  const uint64_t keys[] = {7, 8, 9, 10};
  const uint32_t first = 0, second = 1, zero = 0;
  tenure_step step = TENURE_STEP_INIT;
  step.reads = keys;
  step.read_count = 2;
  step.writes = keys + 2;
  step.write_count = 1;
  ASSERT_EQ(tenure_schedule_add_step(schedule_, &step, nullptr), TENURE_OK) << tenure_error();
  step.reads = keys + 2;
  step.read_count = 1;
  step.writes = keys + 3;
  step.in_place_read = step.in_place_write = &zero;
  step.in_place_count = 1;
  step.after = &second;
  step.after_count = 1;
  EXPECT_EQ(tenure_schedule_add_step(schedule_, &step, nullptr), TENURE_INVALID_ARGUMENT);
  step.after = &first;
  ASSERT_EQ(tenure_schedule_add_step(schedule_, &step, nullptr), TENURE_OK) << tenure_error();

  tenure_plan_options options = TENURE_PLAN_OPTIONS_INIT;
  options.fill_zeroed = 1;
  ASSERT_EQ(tenure_plan_make(schedule_, &options, &plan_), TENURE_OK) << tenure_error();
  tenure_plan_info info = TENURE_PLAN_INFO_INIT;
  ASSERT_EQ(tenure_plan_get_info(plan_, &info), TENURE_OK);
  ASSERT_EQ(info.fill_count, 1u);
  uint32_t at = 9;
  uint64_t key = 0, output = 0;
  ASSERT_EQ(tenure_plan_get_fill(plan_, 0, &at, &key), TENURE_OK);
  EXPECT_EQ(at, 0u);
  EXPECT_EQ(key, 8u);
  ASSERT_EQ(info.in_place_count, 1u);
  ASSERT_EQ(tenure_plan_get_in_place(plan_, 0, &at, &key, &output), TENURE_OK);
  EXPECT_EQ(at, 1u);
  EXPECT_EQ(key, 9u);
  EXPECT_EQ(output, 10u);
  EXPECT_EQ(Find(9).offset, Find(10).offset);
  EXPECT_EQ(std::string(Find(7).reason), "input");
  tenure_buffer_release(input);
}

TEST_F(CPlanTest, TracesComeBackWithTheirIds) {
  Make("cpu");
  char* text = nullptr;
  tenure_status status = tenure_schedule_trace(schedule_, &text);
  const std::string trace = TextOf(status, text);
  const std::string path = testing::TempDir() + "/trace.json";
  std::ofstream(path) << trace;

  tenure_schedule* again = nullptr;
  ASSERT_EQ(tenure_schedule_from_trace(path.c_str(), "cpu", &again), TENURE_OK) << tenure_error();
  tenure_schedule_destroy(schedule_);
  schedule_ = again;
  size_t count = 0;
  ASSERT_EQ(tenure_schedule_keys(schedule_, 0, nullptr, &count), TENURE_OK);
  ASSERT_EQ(count, 5u);
  std::vector<uint64_t> keys(3);
  ASSERT_EQ(tenure_schedule_keys(schedule_, keys.size(), keys.data(), &count), TENURE_OK);
  EXPECT_EQ(count, 5u);
  EXPECT_EQ(keys, (std::vector<uint64_t>{0, 1, 2}));
  ASSERT_EQ(tenure_plan_make(schedule_, nullptr, &plan_), TENURE_OK) << tenure_error();
  EXPECT_EQ(Find(1).placed, 1);
  EXPECT_EQ(Find(1).offset, Find(3).offset);
  EXPECT_EQ(std::string(Find(0).reason), "input");
  EXPECT_EQ(std::string(Find(4).reason), "output");

  again = nullptr;
  EXPECT_EQ(tenure_schedule_from_trace((path + "2").c_str(), "cpu", &again), TENURE_NOT_FOUND);
  std::ofstream(path) << "{";
  EXPECT_EQ(tenure_schedule_from_trace(path.c_str(), "cpu", &again), TENURE_INVALID_ARGUMENT);
  EXPECT_EQ(again, nullptr);
}

}  // namespace
}  // namespace tenure
