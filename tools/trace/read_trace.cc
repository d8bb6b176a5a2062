// Reads recorded schedules: trace_parser.h parses the text, and this file checks the meaning of its
// numbers.

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tenure/base/files.h"
#include "tenure/base/status_macros.h"
#include "tenure/tools/trace/strided_span.h"
#include "tenure/tools/trace/text_file.h"
#include "tenure/tools/trace/trace.h"
#include "tenure/tools/trace/trace_parser.h"

namespace tenure {
namespace {

using internal_trace::OneLine;
using internal_trace::Span;

// Returns the bits per element of the dtypes that are known by name. Unknown dtypes have none and
// are not checked.
std::optional<uint64_t> DTypeBits(std::string_view dtype) {
  struct Known {
    std::string_view name;
    uint64_t bits;
  };
  static constexpr Known kKnown[] = {
      {"float64", 64},
      {"float32", 32},
      {"float16", 16},
      {"bfloat16", 16},
      {"float8_e4m3fn", 8},
      {"float8_e5m2", 8},
      {"float8_e4m3fnuz", 8},
      {"float8_e5m2fnuz", 8},
      {"float8_e8m0fnu", 8},
      {"float4_e2m1fn", 4},
      {"int64", 64},
      {"int32", 32},
      {"int16", 16},
      {"int8", 8},
      {"int4", 4},
      {"int2", 2},
      {"uint64", 64},
      {"uint32", 32},
      {"uint16", 16},
      {"uint8", 8},
      {"uint4", 4},
      {"uint2", 2},
      {"bool", 8},
      {"complex64", 64},
      {"complex128", 128},
  };
  for (const Known& known : kKnown) {
    if (known.name == dtype) return known.bits;
  }
  return std::nullopt;
}

std::optional<uint64_t> Count(const std::vector<uint64_t>& shape) {
  if (std::find(shape.begin(), shape.end(), uint64_t{0}) != shape.end()) return 0;
  uint64_t count = 1;
  for (const uint64_t extent : shape) {
    if (__builtin_mul_overflow(count, extent, &count)) return std::nullopt;
  }
  return count;
}

// Returns the bytes that `elements` of `bits` take; nothing if that wraps.
std::optional<uint64_t> ElementBytes(uint64_t elements, uint64_t bits) {
  uint64_t total = 0;
  if (bits % 8 == 0) {
    if (__builtin_mul_overflow(elements, bits / 8, &total)) return std::nullopt;
    return total;
  }
  return elements / 8 * bits + (elements % 8 * bits + 7) / 8;  // bits < 8: less than elements
}

class Checker {
 public:
  Checker(const Trace& trace, std::string_view name) : trace_(trace), name_(name) {}

  absl::Status Check() const {
    for (size_t i = 0; i < trace_.buffers.size(); ++i) {
      TENURE_RETURN_IF_ERROR(CheckBuffer(i));
    }
    for (size_t j = 0; j < trace_.ops.size(); ++j) {
      const TraceOp& op = trace_.ops[j];
      TENURE_RETURN_IF_ERROR(CheckIds(j, "reads", op.reads));
      TENURE_RETURN_IF_ERROR(CheckIds(j, "writes", op.writes));
      for (const TraceInPlace& pair : op.in_place) {
        if (pair.read < op.reads.size() && pair.write < op.writes.size()) continue;
        return absl::InvalidArgumentError(absl::StrCat(
            name_, ": ops[", j, "].in_place has [", pair.read, ",", pair.write, "]; the op has ",
            op.reads.size(), " reads and ", op.writes.size(), " writes"));
      }
    }
    return absl::OkStatus();
  }

 private:
  template <typename... Parts>
  absl::Status Fault(size_t buffer, std::string_view field, const Parts&... cause) const {
    return absl::InvalidArgumentError(
        absl::StrCat(name_, ": buffers[", buffer, "].", field, " ", cause...));
  }

  absl::Status CheckBuffer(size_t i) const {
    const TraceBuffer& buffer = trace_.buffers[i];
    if (buffer.id != i) {
      return Fault(i, "id", "is ", buffer.id, "; ids must run from 0 in order, so this one is ", i);
    }
    if (buffer.alias_of.has_value()) {
      TENURE_RETURN_IF_ERROR(CheckAlias(i));
    } else if (buffer.offset_bytes != 0) {
      return Fault(i, "offset_bytes", "is ", buffer.offset_bytes,
                   "; a base (alias_of null) begins at 0");
    }
    return CheckElements(i);
  }

  absl::Status CheckAlias(size_t i) const {
    const TraceBuffer& alias = trace_.buffers[i];
    const uint32_t base_id = *alias.alias_of;
    if (base_id >= trace_.buffers.size()) {
      return Fault(i, "alias_of", "is ", base_id, "; there are ", trace_.buffers.size(),
                   " buffers");
    }
    const TraceBuffer& base = trace_.buffers[base_id];
    if (base_id == i) return Fault(i, "alias_of", "is ", base_id, ", itself; it must name a base");
    if (base.alias_of.has_value()) {
      return Fault(i, "alias_of", "is ", base_id, ", which is an alias of ", *base.alias_of,
                   "; it must name a base");
    }
    if (alias.offset_bytes > base.bytes || alias.bytes > base.bytes - alias.offset_bytes) {
      return Fault(i, "offset_bytes", "is ", alias.offset_bytes, " and its window ", alias.bytes,
                   " bytes long: beyond the end of base ", base_id, ", which has ", base.bytes,
                   " bytes");
    }
    return absl::OkStatus();
  }

  // Checks that the elements of shape and strides lie inside the window.
  absl::Status CheckElements(size_t i) const {
    const TraceBuffer& buffer = trace_.buffers[i];
    std::optional<uint64_t> elements;
    std::string_view field = "shape";
    if (buffer.strides.has_value()) {
      field = "strides";
      if (buffer.strides->size() != buffer.shape.size()) {
        return Fault(i, "strides", "has ", buffer.strides->size(), " entries; the shape has ",
                     buffer.shape.size());
      }
      elements = Span(buffer.shape, *buffer.strides);
    } else {
      elements = Count(buffer.shape);
    }
    const std::string written = absl::StrCat(
        "[", absl::StrJoin(field == "shape" ? buffer.shape : *buffer.strides, ","), "]");
    if (!elements.has_value() || !Count(buffer.shape).has_value()) {
      return Fault(i, field, "is ", OneLine(written, 120), ": more than 2^64 - 1 elements");
    }
    const std::optional<uint64_t> bits = DTypeBits(buffer.dtype);
    // An unknown dtype may be packed, but no element takes less than a bit.
    const std::optional<uint64_t> bytes = ElementBytes(*elements, bits.value_or(1));
    if (!bytes.has_value() || *bytes > buffer.bytes) {
      return Fault(i, field, "is ", OneLine(written, 120), ": spans ", *elements, " elements of ",
                   OneLine(buffer.dtype, 40), ", more than its ", buffer.bytes, " bytes hold");
    }
    return absl::OkStatus();
  }

  absl::Status CheckIds(size_t op, std::string_view field, const std::vector<uint32_t>& ids) const {
    for (size_t k = 0; k < ids.size(); ++k) {
      if (ids[k] >= trace_.buffers.size()) {
        return absl::InvalidArgumentError(absl::StrCat(name_, ": ops[", op, "].", field, "[", k,
                                                       "] is ", ids[k], "; there are ",
                                                       trace_.buffers.size(), " buffers"));
      }
    }
    return absl::OkStatus();
  }

  const Trace& trace_;
  std::string_view name_;
};

}  // namespace

absl::StatusOr<Trace> ParseTrace(std::string_view content, std::string_view name,
                                 const ReadOptions& options) {
  const std::string line_name = OneLine(name, 4096);
  std::string text;
  if (internal_trace::IsGzip(content)) {
    TENURE_ASSIGN_OR_RETURN(text,
                            internal_trace::Gunzip(content, line_name, options.max_text_bytes));
    content = text;
  }
  if (content.size() > options.max_text_bytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat(line_name, ": is longer than ", options.max_text_bytes,
                     " bytes, the most that is read (ReadOptions::max_text_bytes)"));
  }
  if (content.empty()) return absl::InvalidArgumentError(absl::StrCat(line_name, ": is empty"));
  TENURE_ASSIGN_OR_RETURN(Trace trace, internal_trace::ParseTraceText(content, line_name));
  TENURE_RETURN_IF_ERROR(Checker(trace, line_name).Check());
  return trace;
}

absl::StatusOr<Trace> ReadTrace(const std::string& path, const ReadOptions& options) {
  TENURE_ASSIGN_OR_RETURN(std::string content, ReadFile(path, options.max_text_bytes));
  return ParseTrace(content, path, options);
}

}  // namespace tenure
