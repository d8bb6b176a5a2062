/* tenure in C: one header, one shared library (libtenure.so), no other dependency.
 *
 *   pack       tenure_pack: buffers with lifetimes in, offsets out
 *   plan       tenure_schedule, tenure_plan: a compiler's schedule, its storages named by keys
 *   buffers    tenure_buffer: handles on lazily allocated memory in any space, copies, tensors (DLPack)
 *
 * Example (examples/pack_in_c.c is a whole program):
 *   uint64_t offsets[3];
 *   tenure_pack_result result = TENURE_PACK_RESULT_INIT;
 *   if (tenure_pack(3, first, last, size, NULL, NULL, NULL, offsets, &result) != TENURE_OK) {
 *     fprintf(stderr, "%s\n", tenure_error());
 *   }
 *
 * Errors: a call that can fail returns a tenure_status. After one that is not TENURE_OK,
 * tenure_error() is its text, which says what to do. What a call was to give back is then unchanged.
 * Null where the text below does not allow it is TENURE_INVALID_ARGUMENT.
 * Ownership: what a function gives back through a `tenure_xxx**` belongs to the caller, who ends it
 * with the function that is named there. Arrays and texts that are passed in are borrowed for the
 * call. Texts that come back as `char**` are freed with tenure_free.
 * Thread safety: buffers may be used by any number of threads, and functions without a handle too.
 * A schedule, a plan or a placement may be read by several threads, and changed by one at a time.
 * Units: bytes; seconds (TENURE_FOREVER: without a limit).
 * Numbers with names (tenure_status, tenure_dtype, ...) are int32_t, whatever the compiler does with enums.
 * Growing: a struct begins with its size, which its _INIT macro sets, so that a program that was
 * built with an older header goes on working. No function or value is ever given another meaning
 * within one major version of the library.
 */
#ifndef TENURE_TENURE_H_
#define TENURE_TENURE_H_

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define TENURE_API __attribute__((visibility("default")))
#else
#define TENURE_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define TENURE_UNLIMITED UINT64_MAX /* as a capacity or a count */
#define TENURE_NO_OFFSET UINT64_MAX /* as an offset: none */
#define TENURE_FOREVER (-1.0)       /* as a time-out */
#define TENURE_MAX_RANK 8

/* --- Errors and version ------------------------------------------------------------------------ */

typedef int32_t tenure_status;
enum {
  TENURE_OK = 0,
  TENURE_CANCELLED = 1,
  TENURE_UNKNOWN = 2,
  TENURE_INVALID_ARGUMENT = 3,
  TENURE_DEADLINE_EXCEEDED = 4,
  TENURE_NOT_FOUND = 5,
  TENURE_ALREADY_EXISTS = 6,
  TENURE_PERMISSION_DENIED = 7,
  TENURE_RESOURCE_EXHAUSTED = 8,
  TENURE_FAILED_PRECONDITION = 9,
  TENURE_ABORTED = 10,
  TENURE_OUT_OF_RANGE = 11,
  TENURE_UNIMPLEMENTED = 12,
  TENURE_INTERNAL = 13,
  TENURE_UNAVAILABLE = 14,
  TENURE_DATA_LOSS = 15
};

/* "0.2.0". Never freed. */
TENURE_API const char* tenure_version(void);
/* The text of the last call of this thread that failed; "" before the first. Valid until the next
 * call of this thread fails. */
TENURE_API const char* tenure_error(void);
/* Frees a text that came back as `char**`. Null is allowed. */
TENURE_API void tenure_free(char* text);

/* --- Packing ----------------------------------------------------------------------------------- */

typedef int32_t tenure_effort;
enum {
  TENURE_EFFORT_FAST = 0,     /* near-linear time */
  TENURE_EFFORT_BALANCED = 1, /* and a fixed amount of improvement */
  TENURE_EFFORT_OPTIMAL = 2   /* until the answer is proven, or the time or the nodes are used up */
};

typedef int32_t tenure_outcome;
enum {
  TENURE_OUTCOME_NONE = 0,      /* nothing found, nothing proven */
  TENURE_OUTCOME_FEASIBLE = 1,  /* a packing */
  TENURE_OUTCOME_OPTIMAL = 2,   /* a packing, and no lower one exists */
  TENURE_OUTCOME_INFEASIBLE = 3 /* proven: nothing fits into the capacity */
};

typedef struct tenure_pack_options {
  size_t struct_size;
  tenure_effort effort;
  int32_t max_threads;
  uint64_t capacity;  /* TENURE_UNLIMITED: as low as possible; else anything that fits */
  uint64_t max_nodes; /* of exact search; keeps the answer the same in every run */
  double timeout_seconds;
} tenure_pack_options;
#define TENURE_PACK_OPTIONS_INIT                                                                \
  {                                                                                             \
    sizeof(tenure_pack_options), TENURE_EFFORT_BALANCED, 1, TENURE_UNLIMITED, TENURE_UNLIMITED, \
        TENURE_FOREVER                                                                          \
  }

typedef struct tenure_pack_result {
  size_t struct_size;
  tenure_outcome outcome;
  int32_t timed_out;
  uint64_t height;      /* the largest offset + size */
  uint64_t lower_bound; /* proven: no packing is lower */
} tenure_pack_result;
#define TENURE_PACK_RESULT_INIT \
  { sizeof(tenure_pack_result), TENURE_OUTCOME_NONE, 0, 0, 0 }

/* Finds an offset for each of `count` items, so that no two that live at the same time share a byte.
 * An item lives during [first, last) and takes `size` bytes at a multiple of `alignment` (null: 1 for
 * all). `fixed` (null: none) holds offsets that items must have, or TENURE_NO_OFFSET. `options` may
 * be null. `offsets` has room for `count` values and is written if the outcome is feasible or optimal.
 * That nothing fits is an outcome and no error. */
TENURE_API tenure_status tenure_pack(size_t count, const int64_t* first, const int64_t* last,
                                     const uint64_t* size, const uint64_t* alignment,
                                     const uint64_t* fixed, const tenure_pack_options* options,
                                     uint64_t* offsets, tenure_pack_result* result);

/* --- Buffers ----------------------------------------------------------------------------------- */

typedef int32_t tenure_dtype;
enum {
  TENURE_FLOAT64 = 0,
  TENURE_FLOAT32 = 1,
  TENURE_FLOAT16 = 2,
  TENURE_BFLOAT16 = 3,
  TENURE_FLOAT8_E4M3FN = 4,
  TENURE_FLOAT8_E5M2 = 5,
  TENURE_FLOAT8_E4M3FNUZ = 6,
  TENURE_FLOAT8_E5M2FNUZ = 7,
  TENURE_FLOAT8_E8M0FNU = 8,
  TENURE_FLOAT4_E2M1FN = 9,
  TENURE_INT64 = 10,
  TENURE_INT32 = 11,
  TENURE_INT16 = 12,
  TENURE_INT8 = 13,
  TENURE_INT4 = 14,
  TENURE_INT2 = 15,
  TENURE_UINT64 = 16,
  TENURE_UINT32 = 17,
  TENURE_UINT16 = 18,
  TENURE_UINT8 = 19,
  TENURE_UINT4 = 20,
  TENURE_UINT2 = 21,
  TENURE_BOOL = 22,
  TENURE_COMPLEX64 = 23,
  TENURE_COMPLEX128 = 24
};

/* "float32", "bfloat16", "int4", ...; null if there is no such dtype. Never freed. */
TENURE_API const char* tenure_dtype_name(tenure_dtype dtype);
/* Takes short names too: "f32", "bf16", "i64". */
TENURE_API tenure_status tenure_dtype_parse(const char* name, tenure_dtype* dtype);
/* Bits of one element: 2 to 128. 0 if there is no such dtype. */
TENURE_API uint32_t tenure_dtype_bits(tenure_dtype dtype);

/* The dtype that DLPack calls so; TENURE_UNIMPLEMENTED if there is none. */
TENURE_API tenure_status tenure_dtype_from_dlpack(uint8_t code, uint8_t bits, uint16_t lanes,
                                                  tenure_dtype* dtype);

/* A handle on a window of a storage. Its memory is allocated when it is first needed. */
typedef struct tenure_buffer tenure_buffer;

typedef struct tenure_buffer_options {
  size_t struct_size;
  const char* name;   /* for errors and pictures; may be null */
  uint64_t alignment; /* a power of two; 0: the space's own */
  int32_t zeroed;     /* reads as zeros until it is written */
  int32_t immediate;  /* allocate now */
} tenure_buffer_options;
#define TENURE_BUFFER_OPTIONS_INIT \
  { sizeof(tenure_buffer_options), NULL, 0, 0, 0 }

/* `space` is "cpu", "null", "cuda:0", "cuda-unified:0", "cuda-pinned:0", "vulkan:0",
 * "vulkan-upload:0" or "vulkan-readback:0". `shape` has `rank` dimensions (0: a scalar, and it may be
 * null). `options` may be null. End the buffer with tenure_buffer_release. */
TENURE_API tenure_status tenure_buffer_create(const char* space, tenure_dtype dtype, int32_t rank,
                                              const int64_t* shape,
                                              const tenure_buffer_options* options,
                                              tenure_buffer** buffer);
/* A buffer of memory that exists: of the host, or with a CUDA space the address of such memory.
 * `release` (may be null) is called once with `context`, by any thread: when no handle and no use is
 * left, or when this call fails. */
TENURE_API tenure_status tenure_buffer_wrap(const char* space, tenure_dtype dtype, int32_t rank,
                                            const int64_t* shape, void* data, int32_t read_only,
                                            void (*release)(void* context), void* context,
                                            const tenure_buffer_options* options,
                                            tenure_buffer** buffer);
/* A read-only window of a file, which is mapped once for all its buffers. */
TENURE_API tenure_status tenure_buffer_map_file(const char* path, uint64_t file_offset,
                                                tenure_dtype dtype, int32_t rank,
                                                const int64_t* shape,
                                                const tenure_buffer_options* options,
                                                tenure_buffer** buffer);
/* Handles are counted: each retain needs a release of its own. Release allows null. */
TENURE_API void tenure_buffer_retain(tenure_buffer* buffer);
TENURE_API void tenure_buffer_release(tenure_buffer* buffer);

/* Views: new handles on the same storage. */
/* The bytes from `offset` of this window on, as this dtype and shape. */
TENURE_API tenure_status tenure_buffer_view(const tenure_buffer* buffer, uint64_t offset,
                                            tenure_dtype dtype, int32_t rank, const int64_t* shape,
                                            tenure_buffer** view);
/* Elements [begin, end) of the first dimension. */
TENURE_API tenure_status tenure_buffer_slice(const tenure_buffer* buffer, int64_t begin,
                                             int64_t end, tenure_buffer** view);

typedef struct tenure_buffer_info {
  size_t struct_size;
  uint64_t id;         /* of the handle */
  uint64_t storage_id; /* buffers that share bytes have the same one */
  uint64_t offset;     /* of the window in its storage */
  uint64_t size;       /* of the window */
  uint64_t total_size; /* of the storage */
  tenure_dtype dtype;
  int32_t rank;
  int64_t shape[TENURE_MAX_RANK];
  int32_t allocated;
  int32_t sealed;
  int32_t read_only; /* sealed, or memory that may not be written to */
  const char* space; /* "cuda:0"; this and the name are valid while the handle lives */
  const char* name;
} tenure_buffer_info;
#define TENURE_BUFFER_INFO_INIT                                                                    \
  {                                                                                                \
    sizeof(tenure_buffer_info), 0, 0, 0, 0, 0, TENURE_UINT8, 0, {0, 0, 0, 0, 0, 0, 0, 0}, 0, 0, 0, \
        NULL, NULL                                                                                 \
  }
TENURE_API tenure_status tenure_buffer_get_info(const tenure_buffer* buffer,
                                                tenure_buffer_info* info);

TENURE_API tenure_status tenure_buffer_allocate(const tenure_buffer* buffer);
/* One-way, for the whole storage: from now on nothing may write to it. */
TENURE_API tenure_status tenure_buffer_seal(const tenure_buffer* buffer);
/* Waits for the uses of devices that would be in conflict with reading, or with writing. */
TENURE_API tenure_status tenure_buffer_wait(const tenure_buffer* buffer, int32_t for_writing,
                                            double timeout_seconds);
/* After kernels were launched that read the window, or write to it: until the stream has done what it
 * has been given so far, the library neither reads over it nor gives the bytes to others. The stream
 * is a cudaStream_t of this device (-1: that of the buffer's memory); 0 is the legacy default stream. */
TENURE_API tenure_status tenure_buffer_record_cuda_use(const tenure_buffer* buffer,
                                                       int32_t cuda_device, uint64_t cuda_stream,
                                                       int32_t writes);

/* Addresses, for kernels: valid while a handle of the storage lives. They allocate if needed and wait
 * for nothing. */
TENURE_API tenure_status tenure_buffer_host_pointer(const tenure_buffer* buffer, const void** data);
TENURE_API tenure_status tenure_buffer_mutable_host_pointer(const tenure_buffer* buffer,
                                                            void** data);
TENURE_API tenure_status tenure_buffer_device_address(const tenure_buffer* buffer,
                                                      int32_t for_writing, uint64_t* address);

/* Copies return when the bytes have arrived. Ranges are bytes of the window. */
TENURE_API tenure_status tenure_buffer_copy_in(const tenure_buffer* to, uint64_t offset,
                                               const void* from, uint64_t size);
TENURE_API tenure_status tenure_buffer_copy_out(const tenure_buffer* from, uint64_t offset,
                                                void* to, uint64_t size);
/* Between any two spaces, and within one buffer also where the ranges overlap. */
TENURE_API tenure_status tenure_buffer_copy(const tenure_buffer* to, uint64_t offset,
                                            const tenure_buffer* from, uint64_t from_offset,
                                            uint64_t size);
/* Repeats a pattern of `size` bytes over the whole window. */
TENURE_API tenure_status tenure_buffer_fill(const tenure_buffer* buffer, const void* pattern,
                                            size_t size);

/* --- Tensors of other libraries (DLPack 1.x, and the form before it) ------------------------------ */

struct DLManagedTensor;
struct DLManagedTensorVersioned;

typedef int32_t tenure_read_only;
enum {
  TENURE_READ_ONLY_MARKED = 0, /* give the bytes, marked as read-only */
  TENURE_READ_ONLY_COPIED = 1, /* give a copy: for consumers that ignore the mark */
  TENURE_READ_ONLY_REFUSED = 2
};

typedef struct tenure_to_dlpack_options {
  size_t struct_size;
  tenure_read_only read_only; /* what becomes of sealed buffers and read-only memory */
  int32_t copy;               /* in any case */
  const char* copy_to;        /* the space of copies; null: the buffer's own */
  int32_t has_cuda_stream;    /* what still writes is waited for on this stream, else on the host */
  int32_t cuda_device;        /* of the stream; -1: that of the buffer, of copies that of copy_to */
  uint64_t cuda_stream;       /* a cudaStream_t; 0 is the legacy default stream */
  double timeout_seconds;     /* of waiting on the host */
} tenure_to_dlpack_options;
#define TENURE_TO_DLPACK_OPTIONS_INIT \
  { sizeof(tenure_to_dlpack_options), TENURE_READ_ONLY_MARKED, 0, NULL, 0, -1, 0, TENURE_FOREVER }

/* The consumer ends the tensor with its deleter, from any thread. The form before version 1 has no
 * mark for what is read-only, and refuses it unless it is copied. */
TENURE_API tenure_status tenure_buffer_to_dlpack(const tenure_buffer* buffer,
                                                 const tenure_to_dlpack_options* options,
                                                 struct DLManagedTensorVersioned** tensor);
TENURE_API tenure_status tenure_buffer_to_unversioned_dlpack(
    const tenure_buffer* buffer, const tenure_to_dlpack_options* options,
    struct DLManagedTensor** tensor);
/* These own the tensor from the call on: its deleter is called when no handle is left, or when the
 * call fails. `name` may be null. A tensor of the form before version 1 becomes read-only, unless it
 * is said to be `writable`. */
TENURE_API tenure_status tenure_buffer_from_dlpack(struct DLManagedTensorVersioned* tensor,
                                                   const char* name, tenure_buffer** buffer);
TENURE_API tenure_status tenure_buffer_from_unversioned_dlpack(struct DLManagedTensor* tensor,
                                                               int32_t writable, const char* name,
                                                               tenure_buffer** buffer);
/* The device type and number that a tensor of the buffer has. TENURE_UNIMPLEMENTED for spaces that
 * other libraries do not know. */
TENURE_API tenure_status tenure_buffer_dlpack_device(const tenure_buffer* buffer, int32_t* type,
                                                     int32_t* number);

/* --- Schedules and plans ------------------------------------------------------------------------ */

typedef struct tenure_schedule tenure_schedule;

typedef int32_t tenure_order;
enum {
  TENURE_ORDER_TOTAL = 0,       /* the steps have the effect of running one after the other */
  TENURE_ORDER_DEPENDENCIES = 1 /* only tenure_step.after orders them */
};

/* `name` may be null. End it with tenure_schedule_destroy. */
TENURE_API tenure_status tenure_schedule_create(const char* name, tenure_order order,
                                                tenure_schedule** schedule);
TENURE_API void tenure_schedule_destroy(tenure_schedule* schedule);

/* Adds a storage of `size` bytes, which steps name by `key`. `space`, null for "cpu", may be one that
 * this machine does not have if the schedule is only planned. The caller keeps no handle, so it may
 * be planned. `options` may be null. */
TENURE_API tenure_status tenure_schedule_add_storage(tenure_schedule* schedule, uint64_t key,
                                                     const char* space, uint64_t size,
                                                     const tenure_buffer_options* options);
/* Adds a buffer that exists; a window stands for these bytes of its storage. It keeps memory of its
 * own, unless it is marked as an output that may lie elsewhere. */
TENURE_API tenure_status tenure_schedule_add_buffer(tenure_schedule* schedule, uint64_t key,
                                                    const tenure_buffer* buffer);
/* Adds a window of another key's bytes, such as a view of a tensor. */
TENURE_API tenure_status tenure_schedule_add_view(tenure_schedule* schedule, uint64_t key,
                                                  uint64_t of_key, uint64_t offset, uint64_t size);

typedef struct tenure_step {
  size_t struct_size;
  const char* name; /* may be null */
  const uint64_t* reads;
  size_t read_count;
  const uint64_t* writes;
  size_t write_count;
  const uint32_t* after; /* numbers of earlier steps; only with TENURE_ORDER_DEPENDENCIES */
  size_t after_count;
  /* Permission to work in place: write number in_place_write[i] may have the bytes of read number
   * in_place_read[i]. */
  const uint32_t* in_place_read;
  const uint32_t* in_place_write;
  size_t in_place_count;
  uint32_t queue;
  uint32_t reserved; /* 0 */
} tenure_step;
#define TENURE_STEP_INIT \
  { sizeof(tenure_step), NULL, NULL, 0, NULL, 0, NULL, 0, NULL, NULL, 0, 0, 0 }

/* `number` (may be null) gets the number of the step: 0, 1, ... */
TENURE_API tenure_status tenure_schedule_add_step(tenure_schedule* schedule,
                                                  const tenure_step* step, uint32_t* number);

typedef int32_t tenure_output_placement;
enum {
  TENURE_OUTPUT_OWN = 0,     /* memory of its own */
  TENURE_OUTPUT_REUSED = 1,  /* of its own; intermediates may use it before the output is written */
  TENURE_OUTPUT_IN_ARENA = 2 /* in the arena, which the caller then keeps */
};

/* Has its contents before the first step. `donated`: other storages may have its bytes after its
 * last use. */
TENURE_API tenure_status tenure_schedule_mark_input(tenure_schedule* schedule, uint64_t key,
                                                    int32_t donated);
/* Is read after the last step. */
TENURE_API tenure_status tenure_schedule_mark_output(tenure_schedule* schedule, uint64_t key,
                                                     tenure_output_placement placement);
/* The bytes of a key, as a buffer (a vector of uint8; view it as what it is). While the schedule is
 * placed, they lie in the arena. */
TENURE_API tenure_status tenure_schedule_get_buffer(const tenure_schedule* schedule, uint64_t key,
                                                    tenure_buffer** buffer);
/* The keys of all storages, buffers and views, ascending: writes at most `capacity` of them, and how
 * many there are to `count`. `keys` may be null if `capacity` is 0. */
TENURE_API tenure_status tenure_schedule_keys(const tenure_schedule* schedule, size_t capacity,
                                              uint64_t* keys, size_t* count);
/* Reads a trace, which may be compressed with gzip, as a schedule whose storages are in `space`. Its
 * keys are the ids of the trace's buffers. Intermediates that no op uses are left out. */
TENURE_API tenure_status tenure_schedule_from_trace(const char* path, const char* space,
                                                    tenure_schedule** schedule);
/* The schedule as a trace, which the command `tenure` reads. Free it with tenure_free. */
TENURE_API tenure_status tenure_schedule_trace(const tenure_schedule* schedule, char** json);

typedef struct tenure_plan tenure_plan;

typedef int32_t tenure_plan_mode;
enum {
  TENURE_PLAN_NONE = 0,
  TENURE_PLAN_REMAP = 1, /* storages reuse whole dead ones */
  TENURE_PLAN_ARENA = 2  /* packed into one arena for each space and queue */
};

typedef struct tenure_plan_options {
  size_t struct_size;
  tenure_plan_mode mode;
  tenure_effort effort;
  int32_t max_threads;
  int32_t in_place;    /* use the permissions of the steps */
  int32_t fill_zeroed; /* plan storages that read as zeros at first; see tenure_plan_get_fill */
  uint64_t alignment;  /* of every placement; a power of two */
  uint64_t capacity;   /* of the arenas of one space together */
  uint64_t max_nodes;
  double timeout_seconds;
} tenure_plan_options;
#define TENURE_PLAN_OPTIONS_INIT                                                     \
  {                                                                                  \
    sizeof(tenure_plan_options), TENURE_PLAN_ARENA, TENURE_EFFORT_FAST, 1, 1, 0, 64, \
        TENURE_UNLIMITED, TENURE_UNLIMITED, TENURE_FOREVER                           \
  }

/* `options` may be null. TENURE_RESOURCE_EXHAUSTED: it is proven that no plan fits into the
 * capacity. The plan needs the schedule no longer. End it with tenure_plan_destroy. */
TENURE_API tenure_status tenure_plan_make(const tenure_schedule* schedule,
                                          const tenure_plan_options* options, tenure_plan** plan);
TENURE_API void tenure_plan_destroy(tenure_plan* plan);
/* Why a schedule does not fit into a capacity, in lines for people; it says so where it fits. Searches
 * for a small set of storages that do not fit together for two seconds at most. */
TENURE_API tenure_status tenure_plan_explain(const tenure_schedule* schedule,
                                             const tenure_plan_options* options, char** text);

typedef struct tenure_plan_info {
  size_t struct_size;
  uint64_t arena_bytes;       /* of all arenas */
  uint64_t unplanned_bytes;   /* what the placed storages would need without the plan */
  uint64_t lower_bound_bytes; /* proven: no plan needs less */
  int32_t optimal;
  int32_t timed_out;
  size_t arena_count;
  size_t placement_count;
  size_t fill_count;
  size_t reuse_edge_count;
  size_t in_place_count;
} tenure_plan_info;
#define TENURE_PLAN_INFO_INIT \
  { sizeof(tenure_plan_info), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }
TENURE_API tenure_status tenure_plan_get_info(const tenure_plan* plan, tenure_plan_info* info);

typedef struct tenure_arena_info {
  size_t struct_size;
  uint64_t size;
  uint64_t alignment;
  uint32_t queue;
  int32_t is_storage; /* it is the memory of the storage of `key` */
  uint64_t key;
  const char* space; /* valid while the plan lives */
} tenure_arena_info;
#define TENURE_ARENA_INFO_INIT \
  { sizeof(tenure_arena_info), 0, 1, 0, 0, 0, NULL }
TENURE_API tenure_status tenure_plan_get_arena(const tenure_plan* plan, size_t index,
                                               tenure_arena_info* info);

typedef struct tenure_placement_info {
  size_t struct_size;
  int32_t placed; /* 0: it keeps memory of its own, because of `reason` */
  uint32_t arena;
  uint64_t offset;     /* in the arena; of a key for a window: of that window */
  uint64_t size;       /* of the storage, rounded up to the alignment */
  uint32_t first_step; /* it lives during [first_step, last_step] */
  uint32_t last_step;
  const char* reason; /* "planned", "input", "output", "outside_handles", ...; never freed */
} tenure_placement_info;
#define TENURE_PLACEMENT_INFO_INIT \
  { sizeof(tenure_placement_info), 0, 0, 0, 0, 0, 0, NULL }
/* TENURE_NOT_FOUND: no step of the schedule names the key. */
TENURE_API tenure_status tenure_plan_find(const tenure_plan* plan, uint64_t key,
                                          tenure_placement_info* info);

/* Right before `step`, the storage of `key` must be filled with zeros. */
TENURE_API tenure_status tenure_plan_get_fill(const tenure_plan* plan, size_t index, uint32_t* step,
                                              uint64_t* key);
/* For executors that run steps at the same time: `after` must not start before `before` is over. */
TENURE_API tenure_status tenure_plan_get_reuse_edge(const tenure_plan* plan, size_t index,
                                                    uint32_t* before, uint32_t* after);
/* At the step, the storage of `output` has the bytes of the storage of `input`. */
TENURE_API tenure_status tenure_plan_get_in_place(const tenure_plan* plan, size_t index,
                                                  uint32_t* step, uint64_t* input,
                                                  uint64_t* output);

/* Texts, freed with tenure_free: a few lines for people; the plan as JSON, to be loaded again; a page
 * that draws it, of the schedule that it was made of. */
TENURE_API tenure_status tenure_plan_summary(const tenure_plan* plan, char** text);
TENURE_API tenure_status tenure_plan_json(const tenure_plan* plan, char** json);
TENURE_API tenure_status tenure_plan_html(const tenure_plan* plan, const tenure_schedule* schedule,
                                          char** page);
/* Reads a plan and checks that it is right for this schedule. */
TENURE_API tenure_status tenure_plan_load(const tenure_schedule* schedule, const char* json,
                                          tenure_plan** plan);

/* --- Placing: gives the storages of a schedule their bytes -------------------------------------- */

typedef struct tenure_placed tenure_placed;

/* Allocates the arenas, or places into `arena` (may be null), which must be as large and as aligned as
 * all arenas of its space one after the other. End it with tenure_unplace, or with
 * tenure_placed_destroy, after which storages that are still used keep their arena. */
TENURE_API tenure_status tenure_place(const tenure_plan* plan, const tenure_schedule* schedule,
                                      const tenure_buffer* arena, tenure_placed** placed);
/* The storages lose their bytes, and the plan can be placed again. Nobody may be using them.
 * Storages that are sealed or written to by a tensor stay, which is TENURE_FAILED_PRECONDITION; all others
 * have lost their bytes then, and `placed` stays, to be unplaced again or destroyed. */
TENURE_API tenure_status tenure_unplace(tenure_placed* placed);
TENURE_API void tenure_placed_destroy(tenure_placed* placed);
/* The arena of this number, as a buffer. */
TENURE_API tenure_status tenure_placed_get_arena(const tenure_placed* placed, size_t index,
                                                 tenure_buffer** buffer);

/* --- Spaces ------------------------------------------------------------------------------------- */

typedef struct tenure_stats {
  size_t struct_size;
  uint64_t in_use_bytes;
  uint64_t in_use_count;
  uint64_t peak_in_use_bytes;
  uint64_t reserved_bytes; /* taken from the system or the driver */
  uint64_t cached_bytes;   /* reserved and not in use */
  uint64_t deferred_bytes; /* freed, and still used by a device */
} tenure_stats;
#define TENURE_STATS_INIT \
  { sizeof(tenure_stats), 0, 0, 0, 0, 0, 0 }
TENURE_API tenure_status tenure_space_stats(const char* space, tenure_stats* stats);
/* Gives cached memory back. */
TENURE_API tenure_status tenure_space_trim(const char* space);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* TENURE_TENURE_H_ */
