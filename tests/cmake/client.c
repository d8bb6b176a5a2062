/* The program of client.cc in C, on libtenure.so: it must print the same. */

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tenure/tenure.h>

enum { kElements = 256, kValues = 10 };

static void Check(tenure_status status) {
  if (status == TENURE_OK) return;
  fprintf(stderr, "%s\n", tenure_error());
  exit(1);
}

/* Each step adds its two inputs and a constant, as in client.cc. */
static void AddSteps(tenure_schedule* schedule) {
  for (uint64_t i = 0; i < kValues; ++i) {
    char name[8];
    snprintf(name, sizeof(name), "v%d", (int)i);
    tenure_buffer_options options = TENURE_BUFFER_OPTIONS_INIT;
    options.name = name;
    Check(tenure_schedule_add_storage(schedule, i, NULL, (1 + i % 3) * kElements * sizeof(int32_t),
                                      &options));
  }
  Check(tenure_schedule_mark_input(schedule, 0, 0));
  Check(tenure_schedule_mark_output(schedule, kValues - 1, TENURE_OUTPUT_OWN));
  for (uint64_t i = 1; i < kValues; ++i) {
    const uint64_t reads[] = {i - 1, i < 4 ? 0 : i - 4};
    tenure_step step = TENURE_STEP_INIT;
    step.name = "add";
    step.reads = reads;
    step.read_count = 2;
    step.writes = &i;
    step.write_count = 1;
    Check(tenure_schedule_add_step(schedule, &step, NULL));
  }
}

static void PrintPlan(const tenure_plan* plan) {
  tenure_plan_info info = TENURE_PLAN_INFO_INIT;
  Check(tenure_plan_get_info(plan, &info));
  printf("arena %" PRIu64 " of %" PRIu64 " bytes\n", info.arena_bytes, info.unplanned_bytes);
  for (uint64_t i = 0; i < kValues; ++i) {
    tenure_placement_info placement = TENURE_PLACEMENT_INFO_INIT;
    Check(tenure_plan_find(plan, i, &placement));
    if (placement.placed) printf("v%d at %" PRIu64 "\n", (int)i, placement.offset);
  }
}

/* The plan after it was stored and loaded. */
static tenure_plan* StoreAndLoad(const tenure_plan* plan, const tenure_schedule* schedule) {
  char *json = NULL, *again = NULL;
  tenure_plan* loaded = NULL;
  Check(tenure_plan_json(plan, &json));
  Check(tenure_plan_load(schedule, json, &loaded));
  Check(tenure_plan_json(loaded, &again));
  printf("stored and loaded: %s\n", strcmp(json, again) == 0 ? "equal" : "different");
  tenure_free(json);
  tenure_free(again);
  return loaded;
}

static int32_t* Bytes(const tenure_schedule* schedule, uint64_t key, uint64_t* count) {
  tenure_buffer* buffer = NULL;
  tenure_buffer_info info = TENURE_BUFFER_INFO_INIT;
  void* data = NULL;
  Check(tenure_schedule_get_buffer(schedule, key, &buffer));
  Check(tenure_buffer_get_info(buffer, &info));
  Check(tenure_buffer_mutable_host_pointer(buffer, &data));
  tenure_buffer_release(buffer); /* the schedule keeps the storage */
  *count = info.size / sizeof(int32_t);
  return data;
}

static void RunSteps(const tenure_schedule* schedule) {
  uint64_t count = 0;
  int32_t* input = Bytes(schedule, 0, &count);
  for (uint64_t k = 0; k < count; ++k) input[k] = 3;
  for (uint64_t i = 1; i < kValues; ++i) {
    const int32_t* a = Bytes(schedule, i - 1, &count);
    const int32_t* b = Bytes(schedule, i < 4 ? 0 : i - 4, &count);
    int32_t* to = Bytes(schedule, i, &count);
    for (uint64_t k = 0; k < count; ++k) {
      to[k] = a[k % kElements] + b[k % kElements] + (int32_t)(k % 7);
    }
  }
}

int main(void) {
  tenure_schedule* schedule = NULL;
  tenure_plan* plan = NULL;
  tenure_placed* placed = NULL;
  Check(tenure_schedule_create("sums", TENURE_ORDER_TOTAL, &schedule));
  AddSteps(schedule);
  Check(tenure_plan_make(schedule, NULL, &plan));
  PrintPlan(plan);
  tenure_plan* loaded = StoreAndLoad(plan, schedule);
  Check(tenure_place(loaded, schedule, NULL, &placed));
  RunSteps(schedule);

  tenure_buffer* output = NULL;
  int32_t result[kElements];
  int64_t sum = 0;
  Check(tenure_schedule_get_buffer(schedule, kValues - 1, &output));
  Check(tenure_buffer_copy_out(output, 0, result, sizeof(result)));
  for (int k = 0; k < kElements; ++k) sum += result[k];
  printf("result %" PRId32 " %" PRId32 " %" PRId32 ", sum %" PRId64 "\n", result[0], result[1],
         result[255], sum);

  tenure_buffer_release(output);
  tenure_placed_destroy(placed);
  tenure_plan_destroy(loaded);
  tenure_plan_destroy(plan);
  tenure_schedule_destroy(schedule);
  return 0;
}
