/* A small decoder, as a compiler has it before memory is planned: values with sizes, and ops that read and write
 * them. decoder.cc and decoder.c run it with tenure, one through the C++ library and one through the C library.
 *
 *   model_program(n)   the ops for n tokens at once: prefill reads a prompt, decode one token
 *   model_run          one op, on the addresses of its values
 *
 * A value is named by its number. Weights lie in a file, and each has its place in it.
 */
#ifndef TENURE_EXAMPLES_DECODER_MODEL_H_
#define TENURE_EXAMPLES_DECODER_MODEL_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { kPrompt = 16, kGenerated = 64, kMaxOps = 64, kMaxValues = 96, kMaxReads = 5 };

typedef enum { kWeight, kCache, kInput, kOutput, kIntermediate } model_kind;

typedef struct {
  model_kind kind;
  uint64_t size;        /* bytes */
  uint64_t file_offset; /* of a weight */
} model_value;

typedef struct {
  const char* name;
  int code;
  int reads[kMaxReads];
  int read_count;
  int write;         /* every op writes one value */
  int in_place;      /* the read whose bytes the write may have; -1: none */
  int rows, in, out; /* dimensions */
} model_op;

typedef struct {
  model_value values[kMaxValues];
  int value_count;
  model_op ops[kMaxOps];
  int op_count;
  int tokens, position, next; /* the inputs and the output: int32 numbers */
} model_program;

/* Writes the weights, which are the same each time. Returns 0 if the file can't be written. */
int model_write_weights(const char* path);
/* The program for `rows` tokens. Weights and caches have the same numbers in every program. */
void model_make_program(int rows, model_program* program);
/* `addresses` are those of all values; only the op's own are used. */
void model_run(const model_op* op, void* const* addresses);

#ifdef __cplusplus
}
#endif

#endif /* TENURE_EXAMPLES_DECODER_MODEL_H_ */
