// RunAgain: runs this test program once more, as another process, for tests of what two processes
// share. A variable of the environment tells the other process what to do.
//
//   EXPECT_EQ(RunAgain("TENURE_TEST_SHARED=7", "SharingChild.*"), 0);
//
// Descriptors without close-on-exec are open in both. Returns the exit status; -1 if it ended in
// another way or could not be started.

#ifndef TENURE_TESTS_TESTING_RUN_AGAIN_H_
#define TENURE_TESTS_TESTING_RUN_AGAIN_H_

#include <spawn.h>
#include <sys/wait.h>

#include <string>
#include <vector>

extern char** environ;

namespace tenure {

inline int RunAgain(std::string setting, const std::string& tests) {
  std::vector<char*> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) environment.push_back(*entry);
  environment.push_back(setting.data());
  environment.push_back(nullptr);
  std::string program = "/proc/self/exe", filter = "--gtest_filter=" + tests;
  char* arguments[] = {program.data(), filter.data(), nullptr};
  pid_t child = 0;
  if (posix_spawn(&child, program.c_str(), nullptr, nullptr, arguments, environment.data()) != 0) {
    return -1;
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace tenure

#endif  // TENURE_TESTS_TESTING_RUN_AGAIN_H_
