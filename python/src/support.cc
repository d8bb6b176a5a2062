#include "tenure/python/src/support.h"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace tenure::python {
namespace {

[[noreturn]] void RaiseClass(const nb::object& kind, const std::string& text) {
  PyErr_SetObject(kind.ptr(), nb::str(text.c_str(), text.size()).ptr());
  throw nb::python_error();
}

// The way of all threads to the GIL, until the interpreter begins to end.
class Gate {
 public:
  bool Enter() {
    const std::lock_guard lock(mutex_);
    // Who is inside already, and lets the GIL go for a moment, must come in again to leave.
    if (closed_ && depth == 0 && std::this_thread::get_id() != closer_) return false;
    ++inside_;
    ++depth;
    return true;
  }
  void Leave() {
    const std::lock_guard lock(mutex_);
    --depth;
    if (--inside_ == 0) empty_.notify_all();
  }
  bool IsClosed() {
    const std::lock_guard lock(mutex_);
    return closed_;
  }
  // Without the GIL, which those inside need.
  void Close() {
    std::unique_lock lock(mutex_);
    closed_ = true;
    closer_ = std::this_thread::get_id();
    empty_.wait(lock, [&] { return inside_ == 0; });
  }

 private:
  static inline thread_local int depth = 0;  // how often the thread is inside
  std::mutex mutex_;
  std::condition_variable empty_;
  int inside_ = 0;
  bool closed_ = false;
  std::thread::id closer_;
};

// Never destroyed, because threads that are not Python's may outlive everything else.
Gate*& GatePointer() {
  static Gate* gate = new Gate;
  return gate;
}
Gate& TheGate() { return *GatePointer(); }

}  // namespace

void Raise(tenure_status status) {
  const std::string text = tenure_error();
  const nb::object kinds = nb::module_::import_("tenure._errors").attr("BY_STATUS");
  RaiseClass(kinds[nb::int_(static_cast<int>(status))], text);
}

void RaiseError(const char* name, const std::string& text) {
  RaiseClass(nb::module_::import_("tenure._errors").attr(name), text);
}

void CheckExchange(tenure_status status) {
  switch (status) {
    case TENURE_FAILED_PRECONDITION:
    case TENURE_INVALID_ARGUMENT:
    case TENURE_UNAVAILABLE:
    case TENURE_UNIMPLEMENTED:
      RaiseError("ExchangeError", tenure_error());
    default:
      Check(status);
  }
}

double TimeoutOf(nb::handle seconds) {
  if (seconds.is_none()) return TENURE_FOREVER;
  const double value = nb::cast<double>(seconds);
  if (!(value >= 0)) RaiseError("InvalidArgument", "a timeout is not negative; None is no limit");
  return value;
}

uint64_t CountOrUnlimited(nb::handle count) {
  return count.is_none() ? TENURE_UNLIMITED : nb::cast<uint64_t>(count);
}

namespace {
// Without the GIL.
void EnterOrStop(Gate& gate) {
  while (!gate.Enter()) std::this_thread::sleep_for(std::chrono::hours(1));
}
}  // namespace

InPython::InPython() {
  Gate& gate = TheGate();
  if (gate.Enter()) return;
  PyEval_SaveThread();
  EnterOrStop(gate);
}

InPython::~InPython() { TheGate().Leave(); }

ReleasedGil::~ReleasedGil() {
  Gate& gate = TheGate();
  EnterOrStop(gate);
  PyEval_RestoreThread(thread_);
  gate.Leave();
}

void RunWithPython(void (*end)(void* context), void* context) noexcept {
  Gate& gate = TheGate();
  // What is left when the interpreter ends goes with the process.
  if (gate.IsClosed() || !gate.Enter()) return;
  {
    const nb::gil_scoped_acquire acquired;
    // Memory may be given back while an exception is on its way.
    const nb::error_scope kept;
    end(context);
  }
  gate.Leave();
}

void AfterForkInChild() {
  // The other threads are not there any more, whatever they were in. The old gate may be locked.
  GatePointer() = new Gate;
}

void ClosePython() {
  PyThreadState* const thread = PyEval_SaveThread();
  TheGate().Close();
  PyEval_RestoreThread(thread);
}

}  // namespace tenure::python
