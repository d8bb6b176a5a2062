/* Runs the decoder of model.h through the C library: weights in a mapped file, caches that last from step to step, and
 * two schedules (prefill and decode) that are planned apart and lie in one arena.
 *
 *   decoder_c WEIGHTS      writes the file if it is not there
 */
#include <stdio.h>
#include <stdlib.h>
#include <tenure/tenure.h>

#include "model.h"

static void check(tenure_status status) {
  if (status == TENURE_OK) return;
  fprintf(stderr, "%s\n", tenure_error());
  exit(1);
}

/* One program with its schedule. */
typedef struct {
  model_program program;
  tenure_schedule* schedule;
  tenure_plan* plan;
  tenure_placed* placed;
  uint64_t arena_bytes;
  void* addresses[kMaxValues];
} planned;

/* Weights and caches are `shared` by both programs. */
static void plan(const char* name, const char* weights, int rows, tenure_buffer** shared, planned* p) {
  tenure_plan_info info = TENURE_PLAN_INFO_INIT;
  int i, k;
  model_make_program(rows, &p->program);
  check(tenure_schedule_create(name, TENURE_ORDER_TOTAL, &p->schedule));
  for (i = 0; i < p->program.value_count; ++i) {
    const model_value* value = &p->program.values[i];
    const int64_t bytes = (int64_t)value->size;
    if (value->kind == kWeight && shared[i] == NULL) {
      check(tenure_buffer_map_file(weights, value->file_offset, TENURE_UINT8, 1, &bytes, NULL, &shared[i]));
    } else if (value->kind == kCache && shared[i] == NULL) {
      check(tenure_buffer_create("cpu", TENURE_UINT8, 1, &bytes, NULL, &shared[i]));
    }
    if (value->kind == kWeight || value->kind == kCache) {
      check(tenure_schedule_add_buffer(p->schedule, (uint64_t)i, shared[i]));
    } else {
      check(tenure_schedule_add_storage(p->schedule, (uint64_t)i, "cpu", value->size, NULL));
    }
    if (value->kind == kOutput) check(tenure_schedule_mark_output(p->schedule, (uint64_t)i, TENURE_OUTPUT_OWN));
    if (value->kind != kOutput && value->kind != kIntermediate) {
      check(tenure_schedule_mark_input(p->schedule, (uint64_t)i, 0));
    }
  }
  for (i = 0; i < p->program.op_count; ++i) {
    const model_op* op = &p->program.ops[i];
    uint64_t reads[kMaxReads];
    const uint64_t write = (uint64_t)op->write;
    const uint32_t in_place_read = (uint32_t)op->in_place, in_place_write = 0;
    tenure_step step = TENURE_STEP_INIT;
    for (k = 0; k < op->read_count; ++k) reads[k] = (uint64_t)op->reads[k];
    step.name = op->name;
    step.reads = reads;
    step.read_count = (size_t)op->read_count;
    step.writes = &write;
    step.write_count = 1;
    step.in_place_read = &in_place_read;
    step.in_place_write = &in_place_write;
    step.in_place_count = op->in_place < 0 ? 0 : 1;
    check(tenure_schedule_add_step(p->schedule, &step, NULL));
  }
  check(tenure_plan_make(p->schedule, NULL, &p->plan));
  check(tenure_plan_get_info(p->plan, &info));
  p->arena_bytes = info.arena_bytes;
  printf("%s: %d of %d bytes of intermediates\n", name, (int)info.arena_bytes, (int)info.unplanned_bytes);
}

static void place(tenure_buffer* arena, planned* p) {
  int i;
  check(tenure_place(p->plan, p->schedule, arena, &p->placed));
  for (i = 0; i < p->program.value_count; ++i) {
    tenure_buffer* buffer = NULL;
    const void* data = NULL;
    check(tenure_schedule_get_buffer(p->schedule, (uint64_t)i, &buffer));
    check(tenure_buffer_host_pointer(buffer, &data));
    p->addresses[i] = (void*)(uintptr_t)data; /* weights are read-only: no op writes to them */
    tenure_buffer_release(buffer);
  }
}

/* Returns the token that comes next. */
static int32_t run(planned* p, const int32_t* tokens, int rows, int32_t position) {
  int i;
  for (i = 0; i < rows; ++i) ((int32_t*)p->addresses[p->program.tokens])[i] = tokens[i];
  *(int32_t*)p->addresses[p->program.position] = position;
  for (i = 0; i < p->program.op_count; ++i) model_run(&p->program.ops[i], p->addresses);
  return *(const int32_t*)p->addresses[p->program.next];
}

int main(int argc, char** argv) {
  static planned prefill, decode;
  static tenure_buffer* shared[kMaxValues];
  tenure_buffer* arena = NULL;
  int32_t prompt[kPrompt], token;
  int64_t arena_bytes;
  int i;
  if (argc != 2 || !model_write_weights(argv[1])) {
    fprintf(stderr, "usage: %s WEIGHTS, a file that can be written\n", argv[0]);
    return 2;
  }
  plan("prefill", argv[1], kPrompt, shared, &prefill);
  plan("decode", argv[1], 1, shared, &decode);
  arena_bytes = (int64_t)(prefill.arena_bytes > decode.arena_bytes ? prefill.arena_bytes : decode.arena_bytes);
  check(tenure_buffer_create("cpu", TENURE_UINT8, 1, &arena_bytes, NULL, &arena));
  place(arena, &prefill);
  place(arena, &decode);
  for (i = 0; i < kPrompt; ++i) prompt[i] = (7 * i + 3) % 128;
  token = run(&prefill, prompt, kPrompt, 0);
  for (i = 0; i < kGenerated; ++i) {
    printf("%d%c", (int)token, i % 16 == 15 ? '\n' : ' ');
    token = run(&decode, &token, 1, kPrompt + i);
  }
  check(tenure_unplace(decode.placed));
  check(tenure_unplace(prefill.placed));
  tenure_plan_destroy(decode.plan);
  tenure_plan_destroy(prefill.plan);
  tenure_schedule_destroy(decode.schedule);
  tenure_schedule_destroy(prefill.schedule);
  tenure_buffer_release(arena);
  for (i = 0; i < kMaxValues; ++i) tenure_buffer_release(shared[i]);
  return 0;
}
