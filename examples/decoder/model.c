#include "model.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { kWidth = 32, kHeads = 4, kHeadWidth = kWidth / kHeads, kInner = 64, kWords = 128, kLayers = 2 };
enum { kMaxTokens = kPrompt + kGenerated };

enum { kEmbed, kNormalize, kMatMul, kStore, kAttend, kAdd, kGate, kArgMax };

/* --- The program */

static uint64_t file_size;

static int add_value(model_program* p, model_kind kind, uint64_t size) {
  model_value* value = &p->values[p->value_count];
  value->kind = kind;
  value->size = size;
  value->file_offset = 0;
  if (kind == kWeight) {
    value->file_offset = file_size;
    file_size += size;
  }
  return p->value_count++;
}

static int floats(model_program* p, model_kind kind, int rows, int columns) {
  return add_value(p, kind, (uint64_t)rows * (uint64_t)columns * sizeof(float));
}

/* Returns the value that the op writes. */
static int add_op(model_program* p, int code, const char* name, int rows, int in, int out, int write, int a, int b,
                  int c) {
  model_op* op = &p->ops[p->op_count++];
  const int reads[3] = {a, b, c};
  int i;
  op->name = name;
  op->code = code;
  op->read_count = 0;
  for (i = 0; i < 3; ++i) {
    if (reads[i] >= 0) op->reads[op->read_count++] = reads[i];
  }
  op->write = write;
  op->in_place = -1;
  op->rows = rows;
  op->in = in;
  op->out = out;
  return write;
}

static int multiply(model_program* p, const char* name, int rows, int in, int out, int x, int weight) {
  return add_op(p, kMatMul, name, rows, in, out, floats(p, kIntermediate, rows, out), x, weight, -1);
}

static int add(model_program* p, int rows, int x, int y) {
  const int sum = add_op(p, kAdd, "add", rows, kWidth, kWidth, floats(p, kIntermediate, rows, kWidth), x, y, -1);
  p->ops[p->op_count - 1].in_place = 1; /* what was just computed is needed no longer */
  return sum;
}

static int normalize(model_program* p, int rows, int x, int weight) {
  return add_op(p, kNormalize, "normalize", rows, kWidth, kWidth, floats(p, kIntermediate, rows, kWidth), x, weight,
                -1);
}

void model_make_program(int rows, model_program* p) {
  enum { kNorm1, kQ, kK, kV, kO, kNorm2, kGateWeight, kUp, kDown, kPerLayer };
  int weights[kLayers][kPerLayer], caches[kLayers][2];
  int layer, table, last_norm, x, i;
  memset(p, 0, sizeof(*p));
  file_size = 0;
  table = floats(p, kWeight, kWords, kWidth);
  for (layer = 0; layer < kLayers; ++layer) {
    weights[layer][kNorm1] = floats(p, kWeight, 1, kWidth);
    for (i = kQ; i <= kO; ++i) weights[layer][i] = floats(p, kWeight, kWidth, kWidth);
    weights[layer][kNorm2] = floats(p, kWeight, 1, kWidth);
    weights[layer][kGateWeight] = floats(p, kWeight, kWidth, kInner);
    weights[layer][kUp] = floats(p, kWeight, kWidth, kInner);
    weights[layer][kDown] = floats(p, kWeight, kInner, kWidth);
  }
  last_norm = floats(p, kWeight, 1, kWidth);
  for (layer = 0; layer < kLayers; ++layer) {
    for (i = 0; i < 2; ++i) caches[layer][i] = floats(p, kCache, kMaxTokens, kWidth);
  }
  p->tokens = add_value(p, kInput, (uint64_t)rows * sizeof(int32_t));
  p->position = add_value(p, kInput, sizeof(int32_t));

  x = add_op(p, kEmbed, "embed", rows, kWords, kWidth, floats(p, kIntermediate, rows, kWidth), p->tokens, table, -1);
  for (layer = 0; layer < kLayers; ++layer) {
    const int* w = weights[layer];
    int normal = normalize(p, rows, x, w[kNorm1]), query, attended, gate, up;
    query = multiply(p, "query", rows, kWidth, kWidth, normal, w[kQ]);
    for (i = 0; i < 2; ++i) {
      const int value = multiply(p, i == 0 ? "key" : "value", rows, kWidth, kWidth, normal, w[i == 0 ? kK : kV]);
      add_op(p, kStore, "store", rows, kWidth, kWidth, caches[layer][i], value, p->position, -1);
    }
    attended = add_op(p, kAttend, "attend", rows, kWidth, kWidth, floats(p, kIntermediate, rows, kWidth), query,
                      caches[layer][0], caches[layer][1]);
    p->ops[p->op_count - 1].reads[p->ops[p->op_count - 1].read_count++] = p->position;
    x = add(p, rows, x, multiply(p, "project", rows, kWidth, kWidth, attended, w[kO]));
    normal = normalize(p, rows, x, w[kNorm2]);
    gate = multiply(p, "gate", rows, kWidth, kInner, normal, w[kGateWeight]);
    up = multiply(p, "up", rows, kWidth, kInner, normal, w[kUp]);
    gate = add_op(p, kGate, "silu", rows, kInner, kInner, floats(p, kIntermediate, rows, kInner), gate, up, -1);
    p->ops[p->op_count - 1].in_place = 0;
    x = add(p, rows, x, multiply(p, "down", rows, kInner, kWidth, gate, w[kDown]));
  }
  x = normalize(p, rows, x, last_norm);
  p->next = add_value(p, kOutput, sizeof(int32_t));
  add_op(p, kArgMax, "argmax", rows, kWidth, kWords, p->next, x, table, -1);
}

int model_write_weights(const char* path) {
  model_program p;
  uint64_t i;
  uint32_t state = 12345;
  FILE* file = fopen(path, "wb");
  int ok = file != NULL;
  model_make_program(1, &p);
  for (i = 0; ok && i < file_size / sizeof(float); ++i) {
    float value;
    state = state * 1664525u + 1013904223u;
    value = ((float)(state >> 8) / 16777216.0f - 0.5f) * 0.6f;
    ok = fwrite(&value, sizeof(value), 1, file) == 1;
  }
  if (file != NULL && fclose(file) != 0) ok = 0;
  return ok;
}

/* --- The ops */

static void attend(const model_op* op, const float* query, const float* keys, const float* values, int position,
                   float* out) {
  float scores[kMaxTokens];
  int row, head, t, i;
  for (row = 0; row < op->rows; ++row) {
    for (head = 0; head < kHeads; ++head) {
      const float* q = query + row * kWidth + head * kHeadWidth;
      const int seen = position + row + 1;
      float most = -INFINITY, sum = 0;
      for (t = 0; t < seen; ++t) {
        scores[t] = 0;
        for (i = 0; i < kHeadWidth; ++i) scores[t] += q[i] * keys[t * kWidth + head * kHeadWidth + i];
        if (scores[t] > most) most = scores[t];
      }
      for (t = 0; t < seen; ++t) sum += scores[t] = expf(scores[t] - most);
      for (i = 0; i < kHeadWidth; ++i) {
        float mixed = 0;
        for (t = 0; t < seen; ++t) mixed += scores[t] / sum * values[t * kWidth + head * kHeadWidth + i];
        out[row * kWidth + head * kHeadWidth + i] = mixed;
      }
    }
  }
}

static int32_t arg_max(const float* x, const float* table) {
  int32_t best = 0, word;
  float most = -INFINITY;
  int i;
  for (word = 0; word < kWords; ++word) {
    float score = 0;
    for (i = 0; i < kWidth; ++i) score += x[i] * table[word * kWidth + i];
    if (score > most) most = score, best = word;
  }
  return best;
}

void model_run(const model_op* op, void* const* addresses) {
  const float* a = addresses[op->reads[0]];
  const float* b = op->read_count > 1 ? addresses[op->reads[1]] : NULL;
  float* to = addresses[op->write];
  int row, i, k;
  switch (op->code) {
    case kEmbed:
      for (row = 0; row < op->rows; ++row) {
        const int32_t word = ((const int32_t*)(const void*)a)[row];
        memcpy(to + row * kWidth, b + word * kWidth, kWidth * sizeof(float));
      }
      break;
    case kNormalize:
      for (row = 0; row < op->rows; ++row) {
        float sum = 1e-5f;
        for (i = 0; i < kWidth; ++i) sum += a[row * kWidth + i] * a[row * kWidth + i] / kWidth;
        for (i = 0; i < kWidth; ++i) to[row * kWidth + i] = a[row * kWidth + i] / sqrtf(sum) * (1 + b[i]);
      }
      break;
    case kMatMul:
      for (row = 0; row < op->rows; ++row) {
        for (i = 0; i < op->out; ++i) {
          float sum = 0;
          for (k = 0; k < op->in; ++k) sum += a[row * op->in + k] * b[k * op->out + i];
          to[row * op->out + i] = sum;
        }
      }
      break;
    case kStore:
      memcpy(to + *(const int32_t*)(const void*)b * kWidth, a, (size_t)op->rows * kWidth * sizeof(float));
      break;
    case kAttend:
      attend(op, a, b, addresses[op->reads[2]], *(const int32_t*)addresses[op->reads[3]], to);
      break;
    case kAdd:
      for (i = 0; i < op->rows * kWidth; ++i) to[i] = a[i] + b[i];
      break;
    case kGate:
      for (i = 0; i < op->rows * kInner; ++i) to[i] = a[i] / (1 + expf(-a[i])) * b[i];
      break;
    case kArgMax:
      *(int32_t*)(void*)to = arg_max(a + (op->rows - 1) * kWidth, b);
      break;
    default:
      break;
  }
}
