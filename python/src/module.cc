#include <nanobind/nanobind.h>

#include "tenure/python/src/buffer.h"

NB_MODULE(_tenure, m) {
  using namespace tenure::python;  // NOLINT(google-build-using-namespace)
  using namespace nb::literals;    // NOLINT(google-build-using-namespace)
  nb::set_leak_warnings(false);  // what still lives when the interpreter ends goes with the process
  m.doc() = "The extension module of tenure; use the package tenure.";
  m.attr("version") = tenure_version();
  nb::class_<Buffer> buffer = BindBuffer(m);
  BindExchange(m, buffer);
  BindMemory(m);
  BindPlanning(m);
  if (const nb::object os = nb::module_::import_("os"); nb::hasattr(os, "register_at_fork")) {
    os.attr("register_at_fork")("after_in_child"_a = nb::cpp_function(&AfterForkInChild));
  }
  nb::module_::import_("atexit").attr("register")(nb::cpp_function(&ClosePython));
}
