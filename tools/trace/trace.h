// Reads how a model uses memory: a recorded schedule in the format `tensor-trace-1`.
//
// Why plain structs: the command line, the tests and the benchmarks need the same facts ("these
// storages, these windows, these operations in this order"), without the details of the file
// format. Reading checks everything once, so that users of a Trace may index it without further
// checks.
//
//   absl::StatusOr<Trace> trace = ReadTrace("resnet50_infer.json.gz");
//   if (!trace.ok()) { std::cerr << trace.status().message() << "\n"; return 1; }
//   for (const TraceOp& op : trace->ops)
//     for (uint32_t id : op.reads) Touch(trace->Base(id), trace->buffers[id].offset_bytes);
//
// These hold for every Trace that was read without an error:
//   - buffers[i].id == i; every id in an op is below buffers.size();
//   - an alias names a base (never another alias), and [offset_bytes, offset_bytes + bytes) lies
//     inside of it, without wrapping; a base has offset 0;
//   - the elements that shape and strides span lie inside the window, as far as the dtype's size
//     is known;
//   - strides, where there are any, are as many as the shape's dimensions.
//   - an op's permissions to write in place name a read and a write of the op.
// Keys that the format does not define are ignored. `name` of a buffer and `in_place` of an op,
// [[read, write], ...], may be missing.
//
// Cost: one pass without a document tree, about 10 ms per MB of JSON text. Memory: the text and the
// result.
//
// Thread safety: free functions without state; a Trace is thread-compatible. Ownership: a Trace
// owns all its data. Errors: NotFound (no such file); InvalidArgument for every fault of the
// content, in one line that names the file, the place in it such as `buffers[12].alias_of`, and the
// cause; ResourceExhausted (more text than ReadOptions allows); and the errors of opening and
// reading the file.

#ifndef TENURE_TOOLS_TRACE_TRACE_H_
#define TENURE_TOOLS_TRACE_TRACE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace tenure {

// The role of a storage. Weights and inputs exist before the first op, and outputs live past the
// last one.
enum class TraceKind : uint8_t { kWeight, kInput, kIntermediate, kOutput };

// "weight", "input", "intermediate" or "output".
std::string_view TraceKindName(TraceKind kind);

// A base (a whole storage) or an alias (a window of a base).
struct TraceBuffer {
  uint32_t id = 0;
  uint64_t bytes = 0;                         // of the window; of a base: of the whole storage
  std::string dtype;                          // as recorded, such as "bfloat16"
  std::vector<uint64_t> shape;                // elements per dimension; empty: a scalar
  TraceKind kind = TraceKind::kIntermediate;  // aliases have the kind of their base
  std::optional<uint32_t> alias_of;           // the base; none: this is a base
  uint64_t offset_bytes = 0;                  // of the window in its base
  // In elements, one per dimension; none: contiguous. A stride of 0 repeats the elements.
  std::optional<std::vector<uint64_t>> strides;
  std::string name;  // as the program calls the storage; may be empty

  // Bytes per element for the reference kernel: for a strided window, its bytes divided by the
  // elements that it spans. 0 if there are no strides, no elements, or elements smaller than a
  // byte.
  uint64_t strided_item_bytes() const;
};

// Permission to work in place: write number `write` of the op may get the bytes of read number
// `read`.
struct TraceInPlace {
  uint32_t read = 0;
  uint32_t write = 0;
};

// One operation. If it works in place, the same base is among its reads and its writes.
struct TraceOp {
  std::string name;
  std::vector<uint32_t> reads;
  std::vector<uint32_t> writes;
  std::vector<TraceInPlace> in_place;
};

struct Trace {
  std::string name;
  std::string note;  // a recorded note; may be empty
  std::vector<TraceBuffer> buffers;
  std::vector<TraceOp> ops;

  // Returns the id of the storage that `id` is a window of; a base is its own storage.
  uint32_t Base(uint32_t id) const { return buffers[id].alias_of.value_or(id); }
};

// Returns whether every byte of `buffer`'s window belongs to an element, so that writing it
// overwrites all old bytes. It is true for contiguous and transposed windows, and false for windows
// with gaps.
bool CoversWindow(const TraceBuffer& buffer);

// The time in which a base is used, directly or by its windows, as indices of ops.
struct TraceUse {
  static constexpr uint32_t kNever = ~uint32_t{0};

  uint32_t first_op = kNever;  // kNever: no op touches it
  uint32_t last_op = kNever;   // inclusive
  bool written = false;
  // True if the first op that touches the base reads it or leaves some of its bytes unwritten.
  // These must be zeros then, unless the base is a weight or an input. It may be true even if no op
  // reads the unwritten bytes.
  bool needs_zeros = false;
};

// Returns one entry per buffer. The entries of aliases keep their defaults.
std::vector<TraceUse> FindUses(const Trace& trace);

struct ReadOptions {
  // The longest JSON text that is accepted, after decompression. A .gz of 1 MB can hold 1 GB.
  uint64_t max_text_bytes = uint64_t{512} << 20;
};

// Reads a file: JSON text, or JSON text compressed with gzip. The content tells which.
absl::StatusOr<Trace> ReadTrace(const std::string& path, const ReadOptions& options = {});

// The same from memory. `name` is the file's name in messages.
absl::StatusOr<Trace> ParseTrace(std::string_view content, std::string_view name,
                                 const ReadOptions& options = {});

// The trace as JSON text, which can be read again.
std::string TraceToJson(const Trace& trace);

}  // namespace tenure

#endif  // TENURE_TOOLS_TRACE_TRACE_H_
