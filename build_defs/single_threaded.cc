// Linked into every test with `single_threaded = True`, except under the sanitizers, which have a
// pthread_create of their own. ThreadSanitizer does not run these tests because they have one
// thread. This function keeps that true: the test ends when it, or a library that it uses, starts
// another thread.

#include <pthread.h>

#include <cstdio>
#include <cstdlib>

extern "C" __attribute__((visibility("default"), used)) int pthread_create(pthread_t*,
                                                                           const pthread_attr_t*,
                                                                           void* (*)(void*),
                                                                           void*) noexcept {
  std::fputs(
      "A thread was started in a test with single_threaded = True. ThreadSanitizer does not run "
      "such "
      "tests: remove that line from the BUILD file.\n",
      stderr);
  std::abort();
}
