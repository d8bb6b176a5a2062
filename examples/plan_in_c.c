/* A compiler's job in C: plans a chain of steps by keys, places it, and runs it. Each step doubles its input. */
#include <stdio.h>
#include <stdlib.h>
#include <tenure/tenure.h>

enum { kLayers = 4, kValues = 256 };
#define BYTES (kValues * sizeof(float))

static void check(tenure_status status) {
  if (status == TENURE_OK) return;
  fprintf(stderr, "%s\n", tenure_error());
  exit(1);
}

/* [plan_in_c] */
/* Values 0 to kLayers: 0 is the input, the last one the output, and the rest may share memory. */
static tenure_schedule* make_schedule(void) {
  tenure_schedule* schedule = NULL;
  uint64_t key;
  check(tenure_schedule_create("doubling", TENURE_ORDER_TOTAL, &schedule));
  for (key = 0; key <= kLayers; ++key) {
    check(tenure_schedule_add_storage(schedule, key, "cpu", BYTES, NULL)); /* lazy: takes no memory yet */
  }
  check(tenure_schedule_mark_input(schedule, 0, 0));
  check(tenure_schedule_mark_output(schedule, kLayers, TENURE_OUTPUT_OWN));
  for (key = 0; key < kLayers; ++key) {
    const uint64_t next = key + 1;
    tenure_step step = TENURE_STEP_INIT;
    step.name = "double";
    step.reads = &key;
    step.read_count = 1;
    step.writes = &next;
    step.write_count = 1;
    check(tenure_schedule_add_step(schedule, &step, NULL));
  }
  return schedule;
}
/* [plan_in_c end] */

static float* values_of(tenure_schedule* schedule, uint64_t key) {
  tenure_buffer* buffer = NULL;
  void* data = NULL;
  check(tenure_schedule_get_buffer(schedule, key, &buffer));
  check(tenure_buffer_mutable_host_pointer(buffer, &data));
  tenure_buffer_release(buffer); /* the schedule has a handle too, so the pointer stays valid */
  return data;
}

int main(void) {
  tenure_plan_info info = TENURE_PLAN_INFO_INIT;
  tenure_schedule* schedule = make_schedule();
  tenure_plan* plan = NULL;
  tenure_placed* placed = NULL;
  float *from, *to;
  uint64_t key;
  int i;
  /* [place_in_c] */
  check(tenure_plan_make(schedule, NULL, &plan));           /* who lies where */
  check(tenure_place(plan, schedule, NULL, &placed));       /* one allocation */
  check(tenure_plan_get_info(plan, &info));
  /* [place_in_c end] */
  printf("%d intermediates of %d bytes in an arena of %d\n", (int)info.placement_count, (int)BYTES,
         (int)info.arena_bytes);
  from = values_of(schedule, 0);
  for (i = 0; i < kValues; ++i) from[i] = (float)i;
  for (key = 0; key < kLayers; ++key) {
    from = values_of(schedule, key);
    to = values_of(schedule, key + 1);
    for (i = 0; i < kValues; ++i) to[i] = 2 * from[i];
  }
  to = values_of(schedule, kLayers);
  printf("3 became %g\n", to[3]);
  check(tenure_unplace(placed));
  tenure_plan_destroy(plan);
  tenure_schedule_destroy(schedule);
  return 0;
}
