#include "tenure/c/schedules.h"

#include <limits>

#include "tenure/allocator/null/null_allocator.h"
#include "tenure/allocator/registry.h"
#include "tenure/base/checked.h"
#include "tenure/tools/trace/schedule_trace.h"
#include "tenure/tools/trace/trace.h"

using namespace tenure;     // NOLINT(google-build-using-namespace): these sources are a way into it
using namespace tenure::c;  // NOLINT(google-build-using-namespace)

absl::StatusOr<Buffer> tenure_schedule::Find(uint64_t key) const {
  const auto found = by_key.find(key);
  if (found != by_key.end()) return found->second;
  return absl::NotFoundError(
      absl::StrCat("the schedule has no storage with the key ", key, "; add it first"));
}

absl::Status tenure_schedule::Add(uint64_t key, const Buffer& buffer) {
  if (by_key.contains(key)) {
    return absl::AlreadyExistsError(absl::StrCat("the schedule has a storage with the key ", key,
                                                 " already; give this one another key"));
  }
  by_key.emplace(key, buffer);
  return absl::OkStatus();
}

namespace {

// The space's own allocator; one without bytes where this machine has no such device.
absl::StatusOr<Allocator*> AllocatorFor(const char* space, tenure_schedule& schedule) {
  TENURE_ASSIGN_OR_RETURN(const MemorySpace parsed,
                          MemorySpace::Parse(space == nullptr ? "cpu" : space));
  absl::StatusOr<Allocator*> real = Registry::Default().Get(parsed);
  if (real.ok() || !absl::IsUnavailable(real.status())) return real;
  std::unique_ptr<Allocator>& made = schedule.planning_only[parsed.ToString()];
  if (made == nullptr) {
    made = std::make_unique<NullAllocator>(NullAllocator::DefaultTraits(), parsed);
  }
  return made.get();
}

absl::StatusOr<std::vector<Buffer>> FindAll(const tenure_schedule& schedule, const uint64_t* keys,
                                            size_t count, std::string_view name) {
  if (count > 0) TENURE_RETURN_IF_ERROR(NotNull(keys, name));
  std::vector<Buffer> found;
  found.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    TENURE_ASSIGN_OR_RETURN(Buffer buffer, schedule.Find(keys[i]));
    found.push_back(std::move(buffer));
  }
  return found;
}

// Adds a storage of a trace. One that nothing uses and that nobody keeps is left out.
absl::Status AddBase(const TraceBuffer& base, const TraceUse& use, Allocator& allocator,
                     tenure_schedule& schedule) {
  const bool touched = use.first_op != TraceUse::kNever;
  if (!touched && base.kind == TraceKind::kIntermediate) return absl::OkStatus();
  if (base.bytes > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    return absl::InvalidArgumentError(
        absl::StrCat("buffer ", base.id, " of ", base.bytes, " bytes is larger than any storage"));
  }
  const bool starts = base.kind == TraceKind::kWeight || base.kind == TraceKind::kInput;
  TENURE_ASSIGN_OR_RETURN(
      Buffer buffer,
      Buffer::Create(allocator, DType::kUInt8, Shape::Vector(static_cast<int64_t>(base.bytes)),
                     {.name = base.name.empty() ? absl::StrCat("b", base.id) : base.name,
                      .zeroed = !starts && (use.needs_zeros || !touched)}));
  if (starts) schedule.schedule.MarkInput(buffer);
  if (base.kind == TraceKind::kOutput) schedule.schedule.MarkOutput(buffer);
  if (base.kind == TraceKind::kIntermediate)
    schedule.schedule.MarkIntermediate(buffer.storage_id());
  return schedule.Add(base.id, buffer);
}

}  // namespace

tenure_status tenure_schedule_create(const char* name, tenure_order order,
                                     tenure_schedule** schedule) {
  return Call([&]() -> absl::Status {
    TENURE_RETURN_IF_ERROR(NotNull(schedule, "schedule"));
    TENURE_ASSIGN_OR_RETURN(const OrderKind kind,
                            (EnumOf<OrderKind>(order, TENURE_ORDER_DEPENDENCIES, "order")));
    *schedule = new tenure_schedule(name == nullptr ? "" : name, kind);
    return absl::OkStatus();
  });
}

void tenure_schedule_destroy(tenure_schedule* schedule) { delete schedule; }

tenure_status tenure_schedule_add_storage(tenure_schedule* schedule, uint64_t key,
                                          const char* space, uint64_t size,
                                          const tenure_buffer_options* options) {
  return Call([&]() -> absl::Status {
    TENURE_RETURN_IF_ERROR(NotNull(schedule, "schedule"));
    TENURE_ASSIGN_OR_RETURN(const BufferOptions made, BufferOptionsOf(options));
    TENURE_ASSIGN_OR_RETURN(Allocator* const allocator, AllocatorFor(space, *schedule));
    TENURE_ASSIGN_OR_RETURN(Buffer buffer,
                            Buffer::Create(*allocator, DType::kUInt8, Shape::Vector(size), made));
    const StorageId id = buffer.storage_id();
    TENURE_RETURN_IF_ERROR(schedule->Add(key, buffer));
    // The map of the keys has a handle, which is no reason not to plan it.
    schedule->schedule.MarkIntermediate(id);
    return absl::OkStatus();
  });
}

tenure_status tenure_schedule_add_buffer(tenure_schedule* schedule, uint64_t key,
                                         const tenure_buffer* buffer) {
  return Call([&]() -> absl::Status {
    TENURE_RETURN_IF_ERROR(NotNull(schedule, "schedule"));
    TENURE_RETURN_IF_ERROR(NotNull(buffer, "buffer"));
    return schedule->Add(key, buffer->value);
  });
}

tenure_status tenure_schedule_add_view(tenure_schedule* schedule, uint64_t key, uint64_t of_key,
                                       uint64_t offset, uint64_t size) {
  return Call([&]() -> absl::Status {
    TENURE_RETURN_IF_ERROR(NotNull(schedule, "schedule"));
    TENURE_ASSIGN_OR_RETURN(const Buffer whole, schedule->Find(of_key));
    TENURE_ASSIGN_OR_RETURN(const Buffer view,
                            whole.View(offset, DType::kUInt8, Shape::Vector(size)));
    return schedule->Add(key, view);
  });
}

tenure_status tenure_schedule_add_step(tenure_schedule* schedule, const tenure_step* step,
                                       uint32_t* number) {
  return Call([&]() -> absl::Status {
    TENURE_RETURN_IF_ERROR(NotNull(schedule, "schedule"));
    TENURE_RETURN_IF_ERROR(NotNull(step, "step"));
    TENURE_ASSIGN_OR_RETURN(const tenure_step known,
                            Known(step, tenure_step TENURE_STEP_INIT, "step"));
    Step made;
    if (known.name != nullptr) made.name = known.name;
    made.queue = known.queue;
    TENURE_ASSIGN_OR_RETURN(made.reads, FindAll(*schedule, known.reads, known.read_count, "reads"));
    TENURE_ASSIGN_OR_RETURN(made.writes,
                            FindAll(*schedule, known.writes, known.write_count, "writes"));
    if (known.after_count > 0) {
      TENURE_RETURN_IF_ERROR(NotNull(known.after, "after"));
      made.after.assign(known.after, known.after + known.after_count);
    }
    if (known.in_place_count > 0) {
      TENURE_RETURN_IF_ERROR(NotNull(known.in_place_read, "in_place_read"));
      TENURE_RETURN_IF_ERROR(NotNull(known.in_place_write, "in_place_write"));
      for (size_t i = 0; i < known.in_place_count; ++i) {
        made.in_place.push_back({known.in_place_read[i], known.in_place_write[i]});
      }
    }
    TENURE_ASSIGN_OR_RETURN(const uint32_t added, schedule->schedule.AddStep(std::move(made)));
    if (number != nullptr) *number = added;
    return absl::OkStatus();
  });
}

tenure_status tenure_schedule_mark_input(tenure_schedule* schedule, uint64_t key, int32_t donated) {
  return Call([&]() -> absl::Status {
    TENURE_RETURN_IF_ERROR(NotNull(schedule, "schedule"));
    TENURE_ASSIGN_OR_RETURN(const Buffer buffer, schedule->Find(key));
    schedule->schedule.MarkInput(buffer, donated != 0 ? InputUse::kDonated : InputUse::kKept);
    return absl::OkStatus();
  });
}

tenure_status tenure_schedule_mark_output(tenure_schedule* schedule, uint64_t key,
                                          tenure_output_placement placement) {
  return Call([&]() -> absl::Status {
    TENURE_RETURN_IF_ERROR(NotNull(schedule, "schedule"));
    TENURE_ASSIGN_OR_RETURN(
        const OutputPlacement kind,
        (EnumOf<OutputPlacement>(placement, TENURE_OUTPUT_IN_ARENA, "placement")));
    TENURE_ASSIGN_OR_RETURN(const Buffer buffer, schedule->Find(key));
    schedule->schedule.MarkOutput(buffer, kind);
    return absl::OkStatus();
  });
}

tenure_status tenure_schedule_get_buffer(const tenure_schedule* schedule, uint64_t key,
                                         tenure_buffer** buffer) {
  return Call([&]() -> absl::Status {
    TENURE_RETURN_IF_ERROR(NotNull(schedule, "schedule"));
    TENURE_RETURN_IF_ERROR(NotNull(buffer, "buffer"));
    TENURE_ASSIGN_OR_RETURN(Buffer found, schedule->Find(key));
    if (!found.allocator().traits().has_bytes) {
      return absl::UnavailableError(absl::StrCat(
          "the storage with the key ", key, " is in ", found.allocator().space().ToString(),
          ", which this machine does not have: the schedule can only be planned"));
    }
    return GiveBuffer(std::move(found), buffer);
  });
}

tenure_status tenure_schedule_keys(const tenure_schedule* schedule, size_t capacity, uint64_t* keys,
                                   size_t* count) {
  return Call([&]() -> absl::Status {
    TENURE_RETURN_IF_ERROR(NotNull(schedule, "schedule"));
    TENURE_RETURN_IF_ERROR(NotNull(count, "count"));
    if (capacity > 0) TENURE_RETURN_IF_ERROR(NotNull(keys, "keys"));
    std::vector<uint64_t> all;
    for (const auto& [key, buffer] : schedule->by_key) all.push_back(key);
    std::sort(all.begin(), all.end());
    std::copy_n(all.begin(), std::min(capacity, all.size()), keys);
    *count = all.size();
    return absl::OkStatus();
  });
}

tenure_status tenure_schedule_from_trace(const char* path, const char* space,
                                         tenure_schedule** schedule) {
  return Call([&]() -> absl::Status {
    TENURE_RETURN_IF_ERROR(NotNull(path, "path"));
    TENURE_RETURN_IF_ERROR(NotNull(schedule, "schedule"));
    TENURE_ASSIGN_OR_RETURN(const Trace trace, ReadTrace(path));
    auto made = std::make_unique<tenure_schedule>(trace.name, OrderKind::kTotal);
    TENURE_ASSIGN_OR_RETURN(Allocator* const allocator, AllocatorFor(space, *made));
    const std::vector<TraceUse> uses = FindUses(trace);
    for (const TraceBuffer& base : trace.buffers) {
      if (!base.alias_of) TENURE_RETURN_IF_ERROR(AddBase(base, uses[base.id], *allocator, *made));
    }
    for (const TraceBuffer& window : trace.buffers) {
      if (!window.alias_of || !made->by_key.contains(*window.alias_of)) continue;
      TENURE_ASSIGN_OR_RETURN(const Buffer whole, made->Find(*window.alias_of));
      TENURE_ASSIGN_OR_RETURN(const Buffer view, whole.View(window.offset_bytes, window.bytes));
      TENURE_RETURN_IF_ERROR(made->Add(window.id, view));
    }
    for (const TraceOp& op : trace.ops) {
      Step step;
      step.name = op.name;
      for (const uint32_t id : op.reads) step.reads.push_back(made->by_key.at(id));
      for (const uint32_t id : op.writes) step.writes.push_back(made->by_key.at(id));
      for (const TraceInPlace& pair : op.in_place) step.in_place.push_back({pair.read, pair.write});
      TENURE_RETURN_IF_ERROR(made->schedule.AddStep(std::move(step)).status());
    }
    *schedule = made.release();
    return absl::OkStatus();
  });
}

tenure_status tenure_schedule_trace(const tenure_schedule* schedule, char** json) {
  return Call([&]() -> absl::Status {
    TENURE_RETURN_IF_ERROR(NotNull(schedule, "schedule"));
    return GiveText(TraceToJson(TraceOfSchedule(schedule->schedule)), json);
  });
}
