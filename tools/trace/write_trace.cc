// Writes recorded schedules as JSON text.

#include <string>
#include <vector>

#include "tenure/base/json_value.h"
#include "tenure/tools/trace/trace.h"

namespace tenure {
namespace {

JsonValue BufferJson(const TraceBuffer& buffer) {
  JsonValue out = JsonValue::Object();
  out["id"] = buffer.id;
  if (!buffer.name.empty()) out["name"] = buffer.name;
  out["bytes"] = buffer.bytes;
  out["dtype"] = buffer.dtype;
  out["shape"] = buffer.shape;
  out["kind"] = TraceKindName(buffer.kind);
  out["alias_of"] = buffer.alias_of ? JsonValue(*buffer.alias_of) : JsonValue();
  out["offset_bytes"] = buffer.offset_bytes;
  if (buffer.strides) out["strides"] = *buffer.strides;
  return out;
}

JsonValue OpJson(const TraceOp& op) {
  JsonValue out = JsonValue::Object();
  out["name"] = op.name;
  out["reads"] = op.reads;
  out["writes"] = op.writes;
  if (op.in_place.empty()) return out;
  JsonValue& pairs = out["in_place"] = JsonValue::Array();
  for (const TraceInPlace& pair : op.in_place)
    pairs.push_back(std::vector<uint32_t>{pair.read, pair.write});
  return out;
}

}  // namespace

std::string TraceToJson(const Trace& trace) {
  JsonValue out = JsonValue::Object();
  out["format"] = "tensor-trace-1";
  out["name"] = trace.name;
  if (!trace.note.empty()) out["note"] = trace.note;
  JsonValue& buffers = out["buffers"] = JsonValue::Array();
  for (const TraceBuffer& buffer : trace.buffers) buffers.push_back(BufferJson(buffer));
  JsonValue& ops = out["ops"] = JsonValue::Array();
  for (const TraceOp& op : trace.ops) ops.push_back(OpJson(op));
  return out.ToString();
}

}  // namespace tenure
