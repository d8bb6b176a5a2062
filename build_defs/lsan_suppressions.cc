// Linked into every program under --config=asan, so that LeakSanitizer tells our leaks from those of the
// graphics drivers that this machine has.

// A driver that is unloaded takes the names in its stacks along, and then no suppression can match them.
extern "C" __attribute__((visibility("default"), used)) int dlclose(void*) { return 0; }

// Mesa's drivers and layers never free what they allocate once for a process. Tests also keep one instance
// and one device for all their cases, and what the driver holds for these is no leak.
extern "C" __attribute__((visibility("default"), used)) const char* __lsan_default_suppressions() {
  return "leak:libvulkan\n"
         "leak:libVkLayer\n"
         "leak:libLLVM\n"
         "leak:libdrm\n";
}

// Not even a note of what was suppressed: tests read what a program writes.
extern "C" __attribute__((visibility("default"), used)) const char* __lsan_default_options() {
  return "print_suppressions=0";
}
