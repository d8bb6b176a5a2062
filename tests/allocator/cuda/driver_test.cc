#include "tenure/allocator/cuda/driver.h"

#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tenure/tests/allocator/cuda/fake/fake_driver.h"

namespace tenure::cuda {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(DriverTest, FromTableInitialises) {
  FakeDriver fake({.driver_version = 12080});
  const absl::StatusOr<Driver> driver = Driver::FromTable(fake.table());
  ASSERT_TRUE(driver.ok()) << driver.status();
  EXPECT_EQ(driver->version(), 12080);
  EXPECT_EQ(fake.Calls("Init"), 1u);
  int count = 0;
  EXPECT_TRUE(TENURE_CU(*driver, DeviceGetCount, &count).ok());
  EXPECT_EQ(count, 1);
  EXPECT_TRUE(fake.Violations().empty());
}

TEST(DriverTest, EveryEntryMustBeThere) {
  FakeDriver fake;
#define TENURE_X(name, version)                                                               \
  {                                                                                           \
    DriverTable table = fake.table();                                                         \
    table.name = nullptr;                                                                     \
    const absl::Status status = Driver::FromTable(table).status();                            \
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);                             \
    EXPECT_THAT(std::string(status.message()), HasSubstr("the driver table lacks cu" #name)); \
  }
  TENURE_CUDA_ENTRY_POINTS(TENURE_X)
#undef TENURE_X
  EXPECT_EQ(fake.Calls(), 0u);
}

TEST(DriverTest, TooOldADriverIsUnavailable) {
  for (const int version : {12010, 11040}) {
    FakeDriver fake({.driver_version = version});
    const absl::Status status = Driver::FromTable(fake.table()).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr(version == 12010 ? "version 12.1;" : "version 11.4;"),
                      HasSubstr("12.2 or newer is needed"), HasSubstr("install")));
  }
}

TEST(DriverTest, WhatFailsAtTheStartIsSaid) {
  FakeDriver fake;
  fake.FailCall("Init", 1, CUDA_ERROR_UNKNOWN);
  absl::Status status = Driver::FromTable(fake.table()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("does not start"), HasSubstr("cuInit: CUDA_ERROR_UNKNOWN (999)"),
                    HasSubstr("nvidia-smi")));
  fake.FailCall("DriverGetVersion", 1, CUDA_ERROR_INVALID_VALUE);
  status = Driver::FromTable(fake.table()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(Driver::FromTable(fake.table()).ok());
}

TEST(DriverTest, NoDeviceIsUnavailable) {
  FakeDriver fake({.devices = {}});
  const absl::Status status = Driver::FromTable(fake.table()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("CUDA_ERROR_NO_DEVICE"));
}

TEST(DriverTest, ErrorsCarryCallNameAndText) {
  FakeDriver fake;
  const absl::StatusOr<Driver> driver = Driver::FromTable(fake.table());
  ASSERT_TRUE(driver.ok());
  EXPECT_TRUE(driver->StatusOf(CUDA_SUCCESS, "cuX").ok());
  struct Case {
    CUresult result;
    absl::StatusCode code;
  };
  for (const Case& one : {
           Case{CUDA_ERROR_OUT_OF_MEMORY, absl::StatusCode::kResourceExhausted},
           Case{CUDA_ERROR_INVALID_VALUE, absl::StatusCode::kInvalidArgument},
           Case{CUDA_ERROR_NOT_SUPPORTED, absl::StatusCode::kUnimplemented},
           Case{CUDA_ERROR_DEINITIALIZED, absl::StatusCode::kUnavailable},
           Case{CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, absl::StatusCode::kFailedPrecondition},
           Case{CUDA_ERROR_ILLEGAL_ADDRESS, absl::StatusCode::kInternal},
       }) {
    const absl::Status status = driver->StatusOf(one.result, "cuX");
    const char* name = nullptr;
    const char* text = nullptr;
    ASSERT_EQ((*driver)->GetErrorName(one.result, &name), CUDA_SUCCESS);
    ASSERT_EQ((*driver)->GetErrorString(one.result, &text), CUDA_SUCCESS);
    EXPECT_EQ(status.code(), one.code) << status;
    EXPECT_EQ(status.message(), "cuX: " + std::string(name) + " (" +
                                    std::to_string(static_cast<int>(one.result)) + "): " + text);
  }
  EXPECT_EQ(driver->StatusOf(static_cast<CUresult>(1001), "cuX").message(),
            "cuX: unknown CUDA error (1001): no text");
}

TEST(DriverTest, DefaultWithoutALibrary) {
  if (void* library = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL)) {
    dlclose(library);
    // With a driver: it opens, or says what is wrong.
    const absl::Status status = Driver::Default().status();
    EXPECT_TRUE(status.ok() || status.code() == absl::StatusCode::kUnavailable) << status;
    return;
  }
  for (int i = 0; i < 2; ++i) {
    const absl::Status status = Driver::Default().status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr("no CUDA driver on this machine (libcuda.so.1"),
                      HasSubstr("install NVIDIA's driver, or use another memory space")));
  }
}

}  // namespace
}  // namespace tenure::cuda
