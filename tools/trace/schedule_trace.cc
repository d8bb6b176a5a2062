#include "tenure/tools/trace/schedule_trace.h"

#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"

namespace tenure {
namespace {

TraceKind KindOf(const Schedule& schedule, const Storage& storage) {
  if (schedule.IsInput(storage.id()))
    return storage.sealed() ? TraceKind::kWeight : TraceKind::kInput;
  const bool own = schedule.IsOutput(storage.id()) || storage.is_allocated() || storage.sealed() ||
                   schedule.HeldBecause(storage.id()) != nullptr;
  return own ? TraceKind::kOutput : TraceKind::kIntermediate;
}

void SetWindow(const Buffer& buffer, TraceBuffer& to) {
  to.bytes = buffer.size();
  to.dtype = std::string(Name(buffer.dtype()));
  to.shape.assign(buffer.shape().dims().begin(), buffer.shape().dims().end());
}

class Tracer {
 public:
  explicit Tracer(const Schedule& schedule) : schedule_(schedule) {}

  Trace Run() {
    trace_.name = schedule_.name();
    ForEach([this](const Buffer& buffer) { AddBase(buffer); });
    ForEach([this](const Buffer& buffer) { AddWindow(buffer); });
    for (const Step& step : schedule_.steps()) {
      TraceOp& op = trace_.ops.emplace_back();
      op.name = step.name;
      for (const Buffer& buffer : step.reads) op.reads.push_back(IdOf(buffer));
      for (const Buffer& buffer : step.writes) op.writes.push_back(IdOf(buffer));
      for (const InPlace& pair : step.in_place) op.in_place.push_back({pair.read, pair.write});
    }
    return std::move(trace_);
  }

 private:
  using Window = std::tuple<uint32_t, uint64_t, uint64_t, DType, std::vector<int64_t>>;

  template <typename F>
  void ForEach(F f) const {
    for (const Step& step : schedule_.steps()) {
      for (const Buffer& buffer : step.reads) f(buffer);
      for (const Buffer& buffer : step.writes) f(buffer);
    }
  }
  Window WindowOf(const Buffer& buffer) const {
    return {base_of_.at(buffer.storage_id()),
            buffer.offset(),
            buffer.size(),
            buffer.dtype(),
            {buffer.shape().dims().begin(), buffer.shape().dims().end()}};
  }
  uint32_t IdOf(const Buffer& buffer) const { return ids_.at(WindowOf(buffer)); }

  // The base has the dtype and shape of the first handle on all of it, if there is one.
  void AddBase(const Buffer& buffer) {
    const auto id = static_cast<uint32_t>(trace_.buffers.size());
    const auto [it, fresh] = base_of_.try_emplace(buffer.storage_id(), id);
    if (fresh) {
      TraceBuffer& base = trace_.buffers.emplace_back();
      base.id = id;
      base.name = buffer.name();
      base.kind = KindOf(schedule_, *buffer.storage());
      base.bytes = buffer.total_size();
      base.dtype = Name(DType::kUInt8);
      base.shape = {buffer.total_size()};
      typed_.push_back(false);
    }
    if (typed_[it->second] || buffer.size() != buffer.total_size()) return;
    typed_[it->second] = true;
    SetWindow(buffer, trace_.buffers[it->second]);
    ids_[WindowOf(buffer)] = it->second;
  }
  void AddWindow(const Buffer& buffer) {
    const auto id = static_cast<uint32_t>(trace_.buffers.size());
    if (!ids_.try_emplace(WindowOf(buffer), id).second) return;
    TraceBuffer& alias = trace_.buffers.emplace_back();
    alias.id = id;
    alias.alias_of = base_of_.at(buffer.storage_id());
    alias.kind = trace_.buffers[*alias.alias_of].kind;
    alias.offset_bytes = buffer.offset();
    SetWindow(buffer, alias);
  }

  const Schedule& schedule_;
  Trace trace_;
  absl::flat_hash_map<StorageId, uint32_t> base_of_;
  std::vector<bool> typed_;  // of each base: whether it has the dtype of a handle
  std::map<Window, uint32_t> ids_;
};

}  // namespace

Trace TraceOfSchedule(const Schedule& schedule) { return Tracer(schedule).Run(); }

}  // namespace tenure
