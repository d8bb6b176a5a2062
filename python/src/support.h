// What the sources of the extension share: errors, the GIL, and the end of the interpreter.

#ifndef TENURE_PYTHON_SRC_SUPPORT_H_
#define TENURE_PYTHON_SRC_SUPPORT_H_

#include <nanobind/nanobind.h>

#include <cmath>
#include <string>
#include <utility>

#include "tenure/tenure.h"

namespace tenure::python {

namespace nb = nanobind;

// Raises the exception of this kind with the library's text. The GIL must be held.
[[noreturn]] void Raise(tenure_status status);
[[noreturn]] void RaiseError(const char* name, const std::string& text);  // a class of _errors.py

inline void Check(tenure_status status) {
  if (status != TENURE_OK) Raise(status);
}
// For exchanges with other libraries, which expect BufferError where bytes can't be shared.
void CheckExchange(tenure_status status);

// The GIL is not held while this lives. When the interpreter ends, threads that are still at work
// stop here for good: Python would end them by unwinding their stacks, which C++ answers with abort.
class ReleasedGil {
 public:
  ReleasedGil() : thread_(PyEval_SaveThread()) {}
  ~ReleasedGil();
  ReleasedGil(const ReleasedGil&) = delete;
  ReleasedGil& operator=(const ReleasedGil&) = delete;

 private:
  PyThreadState* thread_;
};

// Runs a call of the library without the GIL, since it may wait.
template <typename Function>
tenure_status WithoutGil(const Function& call) {
  const ReleasedGil released;
  return call();
}

// A time in seconds, or None for no limit.
double TimeoutOf(nb::handle seconds);
uint64_t CountOrUnlimited(nb::handle count);

// The text of a call that gives one to be freed.
template <typename Function>
nb::str TextOf(const Function& call) {
  char* text = nullptr;
  Check(WithoutGil([&] { return call(&text); }));
  const nb::str made(text);
  tenure_free(text);
  return made;
}

// Memory of Python objects is given back by whichever thread ends the last use of a buffer, also by
// threads that Python does not know, and possibly when the interpreter has ended. `end` runs with
// the GIL, or not at all once the interpreter is ending.
void RunWithPython(void (*end)(void* context), void* context) noexcept;
// The thread, which holds the GIL, runs Python's code below C++: the end of the interpreter waits for it
// to come back. When the interpreter is ending already, the thread stops here for good.
class InPython {
 public:
  InPython();
  ~InPython();
  InPython(const InPython&) = delete;
  InPython& operator=(const InPython&) = delete;
};

// Called in the child of a fork, by its only thread.
void AfterForkInChild();
// Called when the interpreter begins to end: waits for those that are getting the GIL, and lets no
// other thread get it here.
void ClosePython();

}  // namespace tenure::python

#endif  // TENURE_PYTHON_SRC_SUPPORT_H_
