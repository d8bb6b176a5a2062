// Packing, and schedules and plans by numbers. The package gives them keys.

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <memory>
#include <mutex>
#include <type_traits>
#include <vector>

#include "tenure/python/src/buffer.h"

namespace tenure::python {
namespace {

using namespace nb::literals;  // NOLINT(google-build-using-namespace)

// The numbers of a sequence, or of an array of 64-bit integers without a copy.
template <typename T>
class Numbers {
 public:
  Numbers(nb::handle values, const char* name) : name_(name) {
    if (PyObject_CheckBuffer(values.ptr()) != 0 &&
        PyObject_GetBuffer(values.ptr(), &view_, PyBUF_FORMAT | PyBUF_C_CONTIGUOUS) == 0) {
      held_ = true;
      const std::string format = view_.format == nullptr ? "" : view_.format;
      const bool fits = view_.itemsize == 8 && view_.ndim == 1 && format.size() == 1 &&
                        std::string(kUnsigned ? "QL" : "ql").find(format) != std::string::npos;
      if (fits) {
        data_ = static_cast<const T*>(view_.buf);
        count_ = static_cast<size_t>(view_.len / view_.itemsize);
        return;
      }
      // What follows may throw, and then there is no destructor.
      PyBuffer_Release(&view_);
      held_ = false;
    }
    PyErr_Clear();
    for (const nb::handle value : nb::borrow(values)) kept_.push_back(One(value));
    data_ = kept_.data();
    count_ = kept_.size();
  }
  // `count` times the same.
  Numbers(T value, size_t count, const char* name)
      : kept_(count, value), data_(kept_.data()), count_(count), name_(name) {}
  Numbers(const Numbers&) = delete;
  Numbers& operator=(const Numbers&) = delete;
  ~Numbers() {
    if (held_) PyBuffer_Release(&view_);
  }

  const T* data() const { return data_; }
  size_t size() const { return count_; }

 private:
  static constexpr bool kUnsigned = std::is_unsigned_v<T>;

  T One(nb::handle value) const {
    if (kUnsigned && value.is_none()) return static_cast<T>(TENURE_NO_OFFSET);  // of fixed offsets
    const nb::object whole = nb::steal(PyNumber_Index(value.ptr()));
    if (!whole.is_valid()) throw nb::python_error();
    T made;
    if constexpr (kUnsigned) {
      made = PyLong_AsUnsignedLongLong(whole.ptr());
    } else {
      made = PyLong_AsLongLong(whole.ptr());
    }
    if (made == static_cast<T>(-1) && PyErr_Occurred() != nullptr) {
      PyErr_Clear();
      RaiseError("InvalidArgument", "'" + std::string(name_) + "' has the value " +
                                        nb::cast<std::string>(nb::str(value)) +
                                        ", which is not a number of 64 bits" +
                                        (kUnsigned ? " without a sign" : ""));
    }
    return made;
  }

  Py_buffer view_ = {};
  bool held_ = false;
  std::vector<T> kept_;
  const T* data_ = nullptr;
  size_t count_ = 0;
  const char* name_;
};

tenure_effort EffortOf(const std::string& name) {
  if (name == "fast") return TENURE_EFFORT_FAST;
  if (name == "balanced") return TENURE_EFFORT_BALANCED;
  if (name == "optimal") return TENURE_EFFORT_OPTIMAL;
  RaiseError("InvalidArgument",
             "there is no effort '" + name + "'; it is 'fast', 'balanced' or 'optimal'");
}

nb::tuple Pack(nb::handle first, nb::handle last, nb::handle size, nb::handle alignment,
               nb::handle fixed, nb::handle capacity, const std::string& effort, nb::handle timeout,
               int threads, nb::handle max_nodes) {
  const Numbers<int64_t> begins(first, "first"), ends(last, "last");
  const Numbers<uint64_t> sizes(size, "size");
  const size_t count = sizes.size();
  std::unique_ptr<Numbers<uint64_t>> alignments, offsets;
  if (!alignment.is_none()) {
    alignments =
        PyIndex_Check(alignment.ptr()) != 0
            ? std::make_unique<Numbers<uint64_t>>(nb::cast<uint64_t>(alignment), count, "alignment")
            : std::make_unique<Numbers<uint64_t>>(alignment, "alignment");
  }
  if (!fixed.is_none()) offsets = std::make_unique<Numbers<uint64_t>>(fixed, "fixed");
  if (begins.size() != count || ends.size() != count ||
      (alignments != nullptr && alignments->size() != count) ||
      (offsets != nullptr && offsets->size() != count)) {
    RaiseError("InvalidArgument",
               "first, last, size, alignment and fixed have one value for each "
               "buffer; their lengths differ");
  }
  tenure_pack_options options = TENURE_PACK_OPTIONS_INIT;
  options.effort = EffortOf(effort);
  options.capacity = CountOrUnlimited(capacity);
  options.max_threads = threads;
  options.max_nodes = CountOrUnlimited(max_nodes);
  options.timeout_seconds = TimeoutOf(timeout);
  const nb::object found =
      nb::steal(PyByteArray_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(8 * count)));
  if (!found.is_valid()) throw nb::python_error();
  auto* const room = reinterpret_cast<uint64_t*>(PyByteArray_AsString(found.ptr()));
  tenure_pack_result result = TENURE_PACK_RESULT_INIT;
  Check(WithoutGil([&] {
    return tenure_pack(count, begins.data(), ends.data(), sizes.data(),
                       alignments == nullptr ? nullptr : alignments->data(),
                       offsets == nullptr ? nullptr : offsets->data(), &options, room, &result);
  }));
  return nb::make_tuple(found, result.height, result.lower_bound, static_cast<int>(result.outcome),
                        result.timed_out != 0);
}

// --- Schedules and plans

template <typename Handle, void (*kEnd)(Handle*)>
struct Ender {
  void operator()(Handle* handle) const {
    const ReleasedGil released;
    kEnd(handle);
  }
};

// Several threads of Python may be in one schedule or placement, since its calls run without the GIL.
// One at a time goes on. Nobody needs the GIL while it has the mutex.
template <typename Handle, void (*kEnd)(Handle*)>
struct Shared {
  std::unique_ptr<Handle, Ender<Handle, kEnd>> handle;
  std::unique_ptr<std::mutex> mutex = std::make_unique<std::mutex>();

  // Without the GIL.
  template <typename Function>
  tenure_status Locked(const Function& call) const {
    const std::lock_guard lock(*mutex);
    return call(handle.get());
  }
  // With the GIL, which it lets go meanwhile.
  template <typename Function>
  tenure_status Alone(const Function& call) const {
    return WithoutGil([&] { return Locked(call); });
  }
};

using Schedule = Shared<tenure_schedule, tenure_schedule_destroy>;
struct Plan {
  std::unique_ptr<tenure_plan, Ender<tenure_plan, tenure_plan_destroy>> handle;
  tenure_plan* get() const { return handle.get(); }
};
using Placed = Shared<tenure_placed, tenure_placed_destroy>;

Schedule NewSchedule(const std::string& name, bool ordered_by_steps) {
  tenure_schedule* made = nullptr;
  Check(tenure_schedule_create(
      name.c_str(), ordered_by_steps ? TENURE_ORDER_TOTAL : TENURE_ORDER_DEPENDENCIES, &made));
  Schedule schedule;
  schedule.handle.reset(made);
  return schedule;
}

Schedule FromTrace(const std::string& path, const std::string& space) {
  tenure_schedule* made = nullptr;
  Check(WithoutGil([&] { return tenure_schedule_from_trace(path.c_str(), space.c_str(), &made); }));
  Schedule schedule;
  schedule.handle.reset(made);
  return schedule;
}

std::vector<uint64_t> Keys(const Schedule& self) {
  size_t count = 0;
  std::vector<uint64_t> keys;
  Check(self.Alone([&](tenure_schedule* schedule) {
    const tenure_status status = tenure_schedule_keys(schedule, 0, nullptr, &count);
    if (status != TENURE_OK) return status;
    keys.resize(count);
    return tenure_schedule_keys(schedule, count, keys.data(), &count);
  }));
  return keys;
}

uint32_t AddStep(Schedule& self, const std::string& name, const std::vector<uint64_t>& reads,
                 const std::vector<uint64_t>& writes, const std::vector<uint32_t>& after,
                 const std::vector<uint32_t>& in_place_reads,
                 const std::vector<uint32_t>& in_place_writes, uint32_t queue) {
  tenure_step step = TENURE_STEP_INIT;
  step.name = name.c_str();
  step.reads = reads.data();
  step.read_count = reads.size();
  step.writes = writes.data();
  step.write_count = writes.size();
  step.after = after.data();
  step.after_count = after.size();
  step.in_place_read = in_place_reads.data();
  step.in_place_write = in_place_writes.data();
  step.in_place_count = in_place_reads.size();
  step.queue = queue;
  uint32_t number = 0;
  Check(self.Alone([&](tenure_schedule* schedule) {
    return tenure_schedule_add_step(schedule, &step, &number);
  }));
  return number;
}

tenure_plan_options OptionsOf(nb::dict given) {
  tenure_plan_options options = TENURE_PLAN_OPTIONS_INIT;
  for (const auto [key, value] : given) {
    const std::string name = nb::cast<std::string>(key);
    if (name == "effort") {
      options.effort = EffortOf(nb::cast<std::string>(value));
    } else if (name == "mode") {
      const std::string mode = nb::cast<std::string>(value);
      if (mode != "arena" && mode != "remap" && mode != "none") {
        RaiseError("InvalidArgument",
                   "there is no mode '" + mode + "'; it is 'arena', 'remap' or 'none'");
      }
      options.mode = mode == "arena"   ? TENURE_PLAN_ARENA
                     : mode == "remap" ? TENURE_PLAN_REMAP
                                       : TENURE_PLAN_NONE;
    } else if (name == "threads") {
      options.max_threads = nb::cast<int32_t>(value);
    } else if (name == "in_place") {
      options.in_place = nb::cast<bool>(value) ? 1 : 0;
    } else if (name == "fill_zeroed") {
      options.fill_zeroed = nb::cast<bool>(value) ? 1 : 0;
    } else if (name == "alignment") {
      options.alignment = nb::cast<uint64_t>(value);
    } else if (name == "capacity") {
      options.capacity = CountOrUnlimited(value);
    } else if (name == "max_nodes") {
      options.max_nodes = CountOrUnlimited(value);
    } else if (name == "timeout") {
      options.timeout_seconds = TimeoutOf(value);
    } else {
      RaiseError("InvalidArgument",
                 "planning has no option '" + name + "'; see help(tenure.Schedule.plan)");
    }
  }
  return options;
}

Plan MakePlan(const Schedule& schedule, nb::dict given) {
  const tenure_plan_options options = OptionsOf(given);
  tenure_plan* made = nullptr;
  Check(schedule.Alone(
      [&](tenure_schedule* alone) { return tenure_plan_make(alone, &options, &made); }));
  Plan plan;
  plan.handle.reset(made);
  return plan;
}

Plan LoadPlan(const Schedule& schedule, const std::string& json) {
  tenure_plan* made = nullptr;
  Check(schedule.Alone(
      [&](tenure_schedule* alone) { return tenure_plan_load(alone, json.c_str(), &made); }));
  Plan plan;
  plan.handle.reset(made);
  return plan;
}

nb::dict PlanInfo(const Plan& self) {
  tenure_plan_info info = TENURE_PLAN_INFO_INIT;
  Check(tenure_plan_get_info(self.get(), &info));
  nb::dict made;
  made["arena_bytes"] = info.arena_bytes;
  made["unplanned_bytes"] = info.unplanned_bytes;
  made["lower_bound_bytes"] = info.lower_bound_bytes;
  made["optimal"] = info.optimal != 0;
  made["timed_out"] = info.timed_out != 0;
  made["arenas"] = info.arena_count;
  made["placements"] = info.placement_count;
  made["fills"] = info.fill_count;
  made["reuse_edges"] = info.reuse_edge_count;
  made["in_place"] = info.in_place_count;
  return made;
}

nb::tuple Arena(const Plan& self, size_t index) {
  tenure_arena_info info = TENURE_ARENA_INFO_INIT;
  Check(tenure_plan_get_arena(self.get(), index, &info));
  return nb::make_tuple(std::string(info.space), info.size, info.alignment, info.queue,
                        info.is_storage != 0 ? nb::cast(info.key) : nb::none());
}

nb::tuple Find(const Plan& self, uint64_t key) {
  tenure_placement_info info = TENURE_PLACEMENT_INFO_INIT;
  Check(tenure_plan_find(self.get(), key, &info));
  return nb::make_tuple(info.placed != 0, info.arena, info.offset, info.size, info.first_step,
                        info.last_step, std::string(info.reason));
}

nb::tuple GetFill(const Plan& self, size_t index) {
  uint32_t step = 0;
  uint64_t key = 0;
  Check(tenure_plan_get_fill(self.get(), index, &step, &key));
  return nb::make_tuple(step, key);
}

nb::tuple ReuseEdge(const Plan& self, size_t index) {
  uint32_t before = 0, after = 0;
  Check(tenure_plan_get_reuse_edge(self.get(), index, &before, &after));
  return nb::make_tuple(before, after);
}

nb::tuple InPlace(const Plan& self, size_t index) {
  uint32_t step = 0;
  uint64_t input = 0, output = 0;
  Check(tenure_plan_get_in_place(self.get(), index, &step, &input, &output));
  return nb::make_tuple(step, input, output);
}

Placed Place(const Plan& plan, const Schedule& schedule, nb::handle arena) {
  const tenure_buffer* const into =
      arena.is_none() ? nullptr : nb::cast<const Buffer&>(arena).get();
  tenure_placed* made = nullptr;
  Check(schedule.Alone(
      [&](tenure_schedule* alone) { return tenure_place(plan.get(), alone, into, &made); }));
  Placed placed;
  placed.handle.reset(made);
  return placed;
}

void Unplace(Placed& self) {
  Check(self.Alone([&](tenure_placed* placed) -> tenure_status {
    if (placed == nullptr) return TENURE_OK;
    const tenure_status status = tenure_unplace(placed);
    if (status == TENURE_OK) (void)self.handle.release();  // else it can be tried again
    return status;
  }));
}

Buffer PlacedArena(const Placed& self, size_t index) {
  return Made([&](tenure_buffer** made) {
    return self.Locked([&](tenure_placed* placed) -> tenure_status {
      return tenure_placed_get_arena(placed, index, made);
    });
  });
}

void BindSchedule(nb::module_& m) {
  nb::class_<Schedule>(m, "Schedule")
      .def_static("create", NewSchedule)
      .def_static("from_trace", FromTrace)
      .def("keys", Keys)
      .def("add_storage",
           [](Schedule& self, uint64_t key, const std::string& space, uint64_t size,
              const std::string& name, uint64_t alignment, bool zeroed) {
             tenure_buffer_options options = TENURE_BUFFER_OPTIONS_INIT;
             options.name = name.c_str();
             options.alignment = alignment;
             options.zeroed = zeroed ? 1 : 0;
             Check(self.Alone([&](tenure_schedule* schedule) {
               return tenure_schedule_add_storage(schedule, key, space.c_str(), size, &options);
             }));
           })
      .def("add_buffer",
           [](Schedule& self, uint64_t key, const Buffer& buffer) {
             Check(self.Alone([&](tenure_schedule* schedule) {
               return tenure_schedule_add_buffer(schedule, key, buffer.get());
             }));
           })
      .def("add_view",
           [](Schedule& self, uint64_t key, uint64_t of, uint64_t offset, uint64_t size) {
             Check(self.Alone([&](tenure_schedule* schedule) {
               return tenure_schedule_add_view(schedule, key, of, offset, size);
             }));
           })
      .def("add_step", AddStep)
      .def("mark_input",
           [](Schedule& self, uint64_t key, bool donated) {
             Check(self.Alone([&](tenure_schedule* schedule) {
               return tenure_schedule_mark_input(schedule, key, donated ? 1 : 0);
             }));
           })
      .def("mark_output",
           [](Schedule& self, uint64_t key, int placement) {
             Check(self.Alone([&](tenure_schedule* schedule) {
               return tenure_schedule_mark_output(schedule, key, placement);
             }));
           })
      .def("buffer",
           [](const Schedule& self, uint64_t key) {
             return Made([&](tenure_buffer** made) {
               return self.Locked([&](tenure_schedule* schedule) {
                 return tenure_schedule_get_buffer(schedule, key, made);
               });
             });
           })
      .def("trace",
           [](const Schedule& self) {
             return TextOf([&](char** text) {
               return self.Locked([&](tenure_schedule* schedule) {
                 return tenure_schedule_trace(schedule, text);
               });
             });
           })
      .def("plan", MakePlan)
      .def("load_plan", LoadPlan)
      .def("explain", [](const Schedule& self, nb::dict given) {
        const tenure_plan_options options = OptionsOf(given);
        return TextOf([&](char** text) {
          return self.Locked([&](tenure_schedule* schedule) {
            return tenure_plan_explain(schedule, &options, text);
          });
        });
      });
}

void BindPlan(nb::module_& m) {
  nb::class_<Plan>(m, "Plan")
      .def("info", PlanInfo)
      .def("arena", Arena)
      .def("find", Find)
      .def("fill", GetFill)
      .def("reuse_edge", ReuseEdge)
      .def("in_place", InPlace)
      .def("place", Place, "schedule"_a, "arena"_a.none())
      .def("summary",
           [](const Plan& self) {
             return TextOf([&](char** text) { return tenure_plan_summary(self.get(), text); });
           })
      .def("json",
           [](const Plan& self) {
             return TextOf([&](char** text) { return tenure_plan_json(self.get(), text); });
           })
      .def("html", [](const Plan& self, const Schedule& schedule) {
        return TextOf([&](char** text) {
          return schedule.Locked(
              [&](tenure_schedule* alone) { return tenure_plan_html(self.get(), alone, text); });
        });
      });
  nb::class_<Placed>(m, "Placed").def("unplace", Unplace).def("arena", PlacedArena);
}

}  // namespace

void BindPlanning(nb::module_& m) {
  m.def("pack", Pack, "first"_a, "last"_a, "size"_a, "alignment"_a.none(), "fixed"_a.none(),
        "capacity"_a.none(), "effort"_a, "timeout"_a.none(), "threads"_a, "max_nodes"_a.none());
  BindSchedule(m);
  BindPlan(m);
}

}  // namespace tenure::python
