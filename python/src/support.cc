#include "support.h"

#include <condition_variable>
#include <mutex>

namespace tenure::python {
namespace {

[[noreturn]] void RaiseClass(const nb::object& kind, const std::string& text) {
  PyErr_SetObject(kind.ptr(), nb::str(text.c_str(), text.size()).ptr());
  throw nb::python_error();
}

// The threads that are giving memory back to Python. Never destroyed, because such threads may
// outlive everything else.
struct Gate {
  std::mutex mutex;
  std::condition_variable empty;
  int inside = 0;
  bool closed = false;
};

Gate& TheGate() {
  static Gate* const gate = new Gate;
  return *gate;
}

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

void RunWithPython(void (*end)(void* context), void* context) noexcept {
  Gate& gate = TheGate();
  {
    const std::lock_guard lock(gate.mutex);
    if (gate.closed) return;  // the memory goes with the process
    ++gate.inside;
  }
  {
    const nb::gil_scoped_acquire acquired;
    // Memory may be given back while an exception is on its way.
    const nb::error_scope kept;
    end(context);
  }
  const std::lock_guard lock(gate.mutex);
  if (--gate.inside == 0) gate.empty.notify_all();
}

void ClosePython() {
  const nb::gil_scoped_release released;  // those inside need it
  Gate& gate = TheGate();
  std::unique_lock lock(gate.mutex);
  gate.closed = true;
  gate.empty.wait(lock, [&] { return gate.inside == 0; });
}

}  // namespace tenure::python
