#include "tenure/tests/allocator/cuda/test_gpu.h"

#include <dlfcn.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <utility>

#include "absl/strings/str_join.h"
#include "absl/synchronization/notification.h"
#include "tenure/allocator/cuda/cuda_allocator.h"
#include "tenure/tests/allocator/cuda/fake/fake_driver.h"

namespace tenure::cuda {
namespace {

void Require(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  std::abort();
}

// A kernel that waits for so many nanoseconds of the device's clock.
// And one that waits for a number in the host's memory to come to `value`, at most for so long.
constexpr char kKernels[] = R"(
.version 7.0
.target sm_70
.address_size 64
.visible .entry spin(.param .u64 nanoseconds)
{
  .reg .u64 %limit, %begin, %now, %passed;
  .reg .pred %again;
  ld.param.u64 %limit, [nanoseconds];
  mov.u64 %begin, %globaltimer;
loop:
  mov.u64 %now, %globaltimer;
  sub.u64 %passed, %now, %begin;
  setp.lt.u64 %again, %passed, %limit;
  @%again bra loop;
  ret;
}
.visible .entry hold(.param .u64 flag, .param .u32 value, .param .u64 nanoseconds)
{
  .reg .u64 %address, %limit, %begin, %now, %passed;
  .reg .u32 %wanted, %seen;
  .reg .pred %over;
  ld.param.u64 %address, [flag];
  ld.param.u32 %wanted, [value];
  ld.param.u64 %limit, [nanoseconds];
  cvta.to.global.u64 %address, %address;
  mov.u64 %begin, %globaltimer;
look:
  ld.volatile.global.u32 %seen, [%address];
  setp.ge.u32 %over, %seen, %wanted;
  @%over bra done;
  mov.u64 %now, %globaltimer;
  sub.u64 %passed, %now, %begin;
  setp.lt.u64 %over, %passed, %limit;
  @%over bra look;
done:
  ret;
}
)";

class RealGpu final : public TestGpu {
 public:
  RealGpu() {
    absl::StatusOr<const Driver*> driver = Driver::Default();
    Require(driver.status());
    absl::StatusOr<std::shared_ptr<Device>> device = Device::Open(**driver, 0);
    Require(device.status());
    device_ = *std::move(device);
    Device::Scope scope(*device_);
    const Driver& cuda = device_->driver();
    Require(TENURE_CU(cuda, ModuleLoadData, &module_, kKernels));
    Require(TENURE_CU(cuda, ModuleGetFunction, &spin_, module_, "spin"));
    Require(TENURE_CU(cuda, ModuleGetFunction, &hold_, module_, "hold"));
    void* flag = nullptr;
    Require(TENURE_CU(cuda, MemHostAlloc, &flag, sizeof(*released_), CU_MEMHOSTALLOC_PORTABLE));
    released_ = new (flag) std::atomic<uint32_t>(0);
    // Loaded when they first run, which might wait for the device: not while something is held.
    Busy(nullptr, absl::ZeroDuration());
    Hold(nullptr);
    Release();
    Require(TENURE_CU(cuda, StreamSynchronize, nullptr));
  }
  ~RealGpu() override { Close(); }

  bool real() const override { return true; }

  void Busy(CUstream stream, absl::Duration duration) override {
    Device::Scope scope(*device_);
    auto nanoseconds = static_cast<uint64_t>(absl::ToInt64Nanoseconds(duration));
    void* params[] = {&nanoseconds};
    Require(TENURE_CU(device_->driver(), LaunchKernel, spin_, 1, 1, 1, 1, 1, 1, 0, stream, params,
                      nullptr));
  }

  void Hold(CUstream stream) override {
    Device::Scope scope(*device_);
    auto address = reinterpret_cast<uint64_t>(released_);
    uint32_t number = ++held_;
    auto nanoseconds = static_cast<uint64_t>(absl::ToInt64Nanoseconds(kMostHeld));
    void* params[] = {&address, &number, &nanoseconds};
    Require(TENURE_CU(device_->driver(), LaunchKernel, hold_, 1, 1, 1, 1, 1, 1, 0, stream, params,
                      nullptr));
  }
  void Release() override { released_->store(held_); }

  absl::StatusOr<size_t> CaptureAndLaunch(CUstream stream, int launches,
                                          const std::function<absl::Status()>& work) override {
    // Graphs are the embedding program's: the table has nothing of them.
    static void* const library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    auto begin = reinterpret_cast<PFN_cuStreamBeginCapture_v10010>(
        dlsym(library, "cuStreamBeginCapture_v2"));
    auto end =
        reinterpret_cast<PFN_cuStreamEndCapture_v10000>(dlsym(library, "cuStreamEndCapture"));
    auto make = reinterpret_cast<PFN_cuGraphInstantiateWithFlags_v11040>(
        dlsym(library, "cuGraphInstantiateWithFlags"));
    auto launch = reinterpret_cast<PFN_cuGraphLaunch_v10000>(dlsym(library, "cuGraphLaunch"));
    auto nodes = reinterpret_cast<PFN_cuGraphGetNodes_v10000>(dlsym(library, "cuGraphGetNodes"));
    const Driver& driver = device_->driver();
    {
      Device::Scope scope(*device_);
      Require(
          driver.StatusOf(begin(stream, CU_STREAM_CAPTURE_MODE_GLOBAL), "cuStreamBeginCapture"));
    }
    absl::Status status = work();
    Device::Scope scope(*device_);
    CUgraph graph = nullptr;
    absl::Status ended = driver.StatusOf(end(stream, &graph), "cuStreamEndCapture");
    if (!status.ok()) return status;
    if (!ended.ok()) return ended;
    size_t count = 0;
    status = driver.StatusOf(nodes(graph, nullptr, &count), "cuGraphGetNodes");
    CUgraphExec executable = nullptr;
    if (status.ok()) status = driver.StatusOf(make(&executable, graph, 0), "cuGraphInstantiate");
    for (int i = 0; status.ok() && i < launches; ++i) {
      status = driver.StatusOf(launch(executable, stream), "cuGraphLaunch");
    }
    if (status.ok()) status = TENURE_CU(driver, StreamSynchronize, stream);
    if (!status.ok()) return status;
    return count;
  }

  std::string Complaints() override { return ""; }
  std::string Close() override {
    if (device_ != nullptr) {
      Release();
      Device::Scope scope(*device_);
      (void)device_->driver()->ModuleUnload(module_);
      (void)device_->driver()->MemFreeHost(released_);
    }
    device_.reset();
    return "";
  }

 private:
  CUmodule module_ = nullptr;
  CUfunction spin_ = nullptr, hold_ = nullptr;
  uint32_t held_ = 0;                          // how often
  std::atomic<uint32_t>* released_ = nullptr;  // page-locked; up to which of them
};

class FakeGpu final : public TestGpu {
 public:
  FakeGpu() : driver_(Driver::FromTable(fake_.table())) {
    Require(driver_.status());
    absl::StatusOr<std::shared_ptr<Device>> device = Device::Open(*driver_, 0);
    Require(device.status());
    device_ = *std::move(device);
  }
  // Before the fake, which it is made of.
  ~FakeGpu() override {
    Release();
    device_.reset();
  }

  bool real() const override { return false; }
  void Busy(CUstream stream, absl::Duration duration) override {
    fake_.LaunchSleep(stream, duration);
  }
  void Hold(CUstream stream) override {
    // Not the fake's own hold, which calls that wait for the device know of and pass by.
    auto gate = std::make_shared<absl::Notification>();
    held_.push_back(gate);
    fake_.LaunchHost(stream, [gate] { gate->WaitForNotificationWithTimeout(kMostHeld); });
  }
  void Release() override {
    for (const auto& gate : held_) gate->Notify();
    held_.clear();
  }
  absl::StatusOr<size_t> CaptureAndLaunch(CUstream stream, int launches,
                                          const std::function<absl::Status()>& work) override {
    Require(driver_->StatusOf(fake_.BeginCapture(stream, CU_STREAM_CAPTURE_MODE_GLOBAL), "begin"));
    absl::Status status = work();
    FakeGraph graph;
    absl::Status ended = driver_->StatusOf(fake_.EndCapture(stream, &graph), "end");
    if (!status.ok()) return status;
    if (!ended.ok()) return ended;
    for (int i = 0; status.ok() && i < launches; ++i) {
      status = driver_->StatusOf(fake_.Replay(graph, stream), "launch");
    }
    Device::Scope scope(*device_);
    if (status.ok()) status = TENURE_CU(*driver_, StreamSynchronize, stream);
    if (!status.ok()) return status;
    return graph.nodes.size();
  }
  std::string Complaints() override {
    const std::vector<std::string> all = fake_.Violations();
    fake_.ClearViolations();
    return absl::StrJoin(all, "\n");
  }
  std::string Close() override {
    Release();
    device_.reset();
    return absl::StrJoin(fake_.LeakReport(), "\n");
  }

 private:
  FakeDriver fake_;
  absl::StatusOr<Driver> driver_;
  std::vector<std::shared_ptr<absl::Notification>> held_;
};

}  // namespace

std::vector<std::string> TestGpu::Names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all = {"Fake"};
    absl::StatusOr<const Driver*> driver = Driver::Default();
    absl::Status status = driver.status();
    if (driver.ok()) status = Device::Open(**driver, 0).status();
    if (status.ok()) {
      all.emplace_back("Real");
    } else {
      std::printf("left out are tests on a real GPU: %s\n", std::string(status.message()).c_str());
    }
    return all;
  }();
  return names;
}

std::unique_ptr<TestGpu> TestGpu::Make(const std::string& name) {
  if (name == "Real") return std::make_unique<RealGpu>();
  return std::make_unique<FakeGpu>();
}

std::unique_ptr<Allocator> TestGpu::Make(SpaceKind kind, const AllocatorOptions& options) const {
  absl::StatusOr<std::unique_ptr<Allocator>> made = MakeAllocatorOn(device_, kind, options);
  Require(made.status());
  return *std::move(made);
}

void TestGpu::Write(CUstream stream, uint64_t address, uint64_t size_bytes, uint8_t value) const {
  Device::Scope scope(*device_);
  Require(TENURE_CU(device_->driver(), MemsetD8Async, address, value, size_bytes, stream));
}

}  // namespace tenure::cuda
