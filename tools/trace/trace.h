// Reads what a model does with memory: a recorded schedule in the format `tensor-trace-1`.
//
// Why plain structs: the command line, the tests and the benchmarks all want the same facts ("these
// storages, these windows, these operations in this order") and nothing of how they were written
// down. Reading checks everything once, so that whoever walks a Trace may index it without looking
// again.
//
//   absl::StatusOr<Trace> trace = ReadTrace("resnet50_infer.json.gz");
//   if (!trace.ok()) { std::cerr << trace.status().message() << "\n"; return 1; }
//   for (const TraceOp& op : trace->ops)
//     for (uint32_t id : op.reads) Touch(trace->Base(id), trace->buffers[id].offset_bytes);
//
// What holds for every Trace that was read without an error:
//   - buffers[i].id == i; every id in an op is below buffers.size();
//   - an alias names a base (never another alias), and [offset_bytes, offset_bytes + bytes) lies
//     inside of it, without wrapping; a base has offset 0;
//   - the elements that shape and strides span lie inside the window, as far as the dtype's size
//     is known;
//   - strides, where there are any, are as many as the shape's dimensions.
// Keys that the format does not name are passed over.
//
// Cost: one pass without a document tree, about 10 ms per MB of JSON text. Memory: the text and the
// result.
//
// Thread safety: free functions without state; a Trace is thread-compatible. Ownership: a Trace
// owns all it holds. Errors: NotFound (no such file), InvalidArgument (every fault of the content:
// one line that names the file, the place in it such as `buffers[12].alias_of`, and the cause),
// ResourceExhausted (more text than ReadOptions allows), and what opening or reading the file gave.

#ifndef TENURE_TOOLS_TRACE_TRACE_H_
#define TENURE_TOOLS_TRACE_TRACE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace tenure {

// Who holds a storage. Weights and inputs exist before the first op, outputs live past the last
// one.
enum class TraceKind : uint8_t { kWeight, kInput, kIntermediate, kOutput };

// "weight", "input", "intermediate" or "output".
std::string_view TraceKindName(TraceKind kind);

// A base (a whole storage) or an alias (a window of a base).
struct TraceBuffer {
  uint32_t id = 0;
  uint64_t bytes = 0;                         // of the window; of a base: of the whole storage
  std::string dtype;                          // as recorded, such as "bfloat16"
  std::vector<uint64_t> shape;                // elements per dimension; empty: a scalar
  TraceKind kind = TraceKind::kIntermediate;  // an alias goes by its base's
  std::optional<uint32_t> alias_of;           // the base; none: this is a base
  uint64_t offset_bytes = 0;                  // of the window in its base
  // In elements, one per dimension; none: contiguous. A stride of 0 repeats the elements.
  std::optional<std::vector<uint64_t>> strides;

  // Bytes per element as the reference kernel sees them: of a strided window its bytes over the
  // elements that it spans. 0 where there are no strides, no elements, or elements of less than a
  // byte.
  uint64_t strided_item_bytes() const;
};

// One operation. In-place ones name the same base on both sides.
struct TraceOp {
  std::string name;
  std::vector<uint32_t> reads;
  std::vector<uint32_t> writes;
};

struct Trace {
  std::string name;
  std::string note;  // what was recorded, in words; may be empty
  std::vector<TraceBuffer> buffers;
  std::vector<TraceOp> ops;

  // The id of the storage that `id` is a window of: itself for a base.
  uint32_t Base(uint32_t id) const { return buffers[id].alias_of.value_or(id); }
};

// Whether every byte of `buffer`'s window belongs to an element, so that writing it leaves nothing
// of what was there. True of contiguous windows and of transposed ones; false of windows with gaps.
bool CoversWindow(const TraceBuffer& buffer);

// When a base is used, in indices of ops; by windows of it too.
struct TraceUse {
  static constexpr uint32_t kNever = ~uint32_t{0};

  uint32_t first_op = kNever;  // kNever: no op touches it
  uint32_t last_op = kNever;   // inclusive
  bool written = false;
  // The first op that touches it reads it, or leaves bytes of it as they were: these have to be
  // zeros unless the base is a weight or an input. May be true where looking harder would find that
  // no one reads what was left out.
  bool needs_zeros = false;
};

// One entry per buffer; those of aliases stay as made.
std::vector<TraceUse> FindUses(const Trace& trace);

struct ReadOptions {
  // The longest JSON text that is taken, after decompression. A .gz of 1 MB can hold 1 GB.
  uint64_t max_text_bytes = uint64_t{512} << 20;
};

// Reads a file: JSON text, or the same compressed with gzip, told apart by content.
absl::StatusOr<Trace> ReadTrace(const std::string& path, const ReadOptions& options = {});

// The same from memory; `name` stands for the file in messages.
absl::StatusOr<Trace> ParseTrace(std::string_view content, std::string_view name,
                                 const ReadOptions& options = {});

}  // namespace tenure

#endif  // TENURE_TOOLS_TRACE_TRACE_H_
