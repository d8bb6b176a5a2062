#include "tenure/base/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>  // NOLINT(build/c++17)
#include <iterator>
#include <string>

#include "absl/status/status.h"
#include "gtest/gtest.h"

namespace tenure {
namespace {

TEST(File, WhatNeverEndsIsNotReadToTheEnd) {
  const auto endless = ReadFile("/dev/zero", 1 << 20);
  EXPECT_EQ(endless.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_NE(endless.status().message().find("/dev/zero: is longer than 1048576 bytes"),
            std::string::npos);
  const std::string path = testing::TempDir() + "/five";
  ASSERT_TRUE(WriteFile(path, "12345").ok());
  EXPECT_EQ(*ReadFile(path, 5), "12345");
  EXPECT_EQ(ReadFile(path, 4).status().code(), absl::StatusCode::kResourceExhausted);
}

class WriteFileTest : public testing::Test {
 protected:
  WriteFileTest() : folder_(testing::TempDir() + "/write-XXXXXX") {
    EXPECT_NE(::mkdtemp(folder_.data()), nullptr);
  }
  ~WriteFileTest() override { std::filesystem::remove_all(folder_); }
  std::string Path(const std::string& name) const { return folder_ + "/" + name; }
  size_t Entries() const {
    const std::filesystem::directory_iterator begin(folder_);
    return static_cast<size_t>(std::distance(begin, std::filesystem::directory_iterator()));
  }
  std::string folder_;
};

TEST_F(WriteFileTest, LinksStayAndTheirTargetsAreWritten) {
  std::filesystem::create_directory(Path("sub"));
  std::filesystem::create_symlink("sub/b", Path("a"));
  std::filesystem::create_symlink("../target", Path("sub/b"));
  for (const char* text : {"made", "written again"}) {  // the target is not there at first
    ASSERT_TRUE(WriteFile(Path("a"), text).ok());
    EXPECT_TRUE(std::filesystem::is_symlink(Path("a")));
    EXPECT_TRUE(std::filesystem::is_symlink(Path("sub/b")));
    EXPECT_FALSE(std::filesystem::is_symlink(Path("target")));
    EXPECT_EQ(*ReadFile(Path("target")), text);
  }
  EXPECT_EQ(Entries(), 3u);
  std::filesystem::create_symlink("loop", Path("loop"));
  EXPECT_FALSE(WriteFile(Path("loop"), "x").ok());
  EXPECT_TRUE(std::filesystem::is_symlink(Path("loop")));
}

TEST_F(WriteFileTest, ModesAndOtherNamesStay) {
  struct stat info {};
  for (const mode_t mode : {mode_t{0600}, mode_t{0640}, mode_t{0777}}) {
    ASSERT_TRUE(WriteFile(Path("file"), "old").ok());
    ASSERT_EQ(::chmod(Path("file").c_str(), mode), 0);
    ASSERT_TRUE(WriteFile(Path("file"), "new").ok());
    ASSERT_EQ(::stat(Path("file").c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777, mode);
    EXPECT_EQ(*ReadFile(Path("file")), "new");
  }
  std::filesystem::create_hard_link(Path("file"), Path("name"));
  ASSERT_TRUE(WriteFile(Path("file"), "both").ok());
  EXPECT_EQ(*ReadFile(Path("name")), "both");
  EXPECT_EQ(Entries(), 2u);
  if (::geteuid() == 0) return;  // may write everything
  ASSERT_EQ(::chmod(Path("name").c_str(), 0400), 0);
  EXPECT_EQ(WriteFile(Path("name"), "x").code(), absl::StatusCode::kPermissionDenied);
}

TEST_F(WriteFileTest, WhatIsNoFileIsWrittenInPlace) {
  ASSERT_EQ(::mkfifo(Path("pipe").c_str(), 0600), 0);
  std::filesystem::create_symlink("pipe", Path("link"));
  const int reader = ::open(Path("pipe").c_str(), O_RDONLY | O_NONBLOCK);
  ASSERT_GE(reader, 0);
  char got[16];
  for (const char* name : {"pipe", "link"}) {
    ASSERT_TRUE(WriteFile(Path(name), "12345").ok());
    EXPECT_EQ(::read(reader, got, sizeof(got)), 5);
    EXPECT_TRUE(std::filesystem::is_fifo(Path(name)));
  }
  ::close(reader);
  EXPECT_EQ(Entries(), 2u);
}

// As `--output=/dev/stdout > file`: what is written before and after stays, and so does the file.
TEST_F(WriteFileTest, OpenFilesOfTheProcessAreGoneOnWith) {
  const int file = ::open(Path("file").c_str(), O_WRONLY | O_CREAT, 0600);
  ASSERT_GE(file, 0);
  std::filesystem::create_symlink("/proc/self/fd/" + std::to_string(file), Path("out"));
  ASSERT_EQ(::write(file, "before ", 7), 7);
  ASSERT_TRUE(WriteFile(Path("out"), "text").ok());
  ASSERT_EQ(::write(file, " after", 6), 6);
  ::close(file);
  EXPECT_EQ(*ReadFile(Path("file")), "before text after");
  EXPECT_TRUE(std::filesystem::is_symlink(Path("out")));
  EXPECT_EQ(Entries(), 2u);
}

TEST(File, PathsInMessagesStayOnOneLine) {
  const auto missing = ReadFile(testing::TempDir() + "/no\nsuch\tfile");
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kNotFound);
  EXPECT_NE(missing.status().message().find("/no such file: cannot be opened"), std::string::npos);
  const auto zero = ReadFile(std::string("a\0b", 3));
  EXPECT_EQ(zero.status(), absl::InvalidArgumentError("a b: a file name cannot hold a zero byte"));
  EXPECT_EQ(ReadFile(testing::TempDir()).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace tenure
