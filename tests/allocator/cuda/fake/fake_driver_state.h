// The inside of FakeDriver: its tables, its streams, and what its entry points begin with. What stands in
// the tables is in fake_driver_records.h.
//
// One mutex guards everything; bytes are moved without it, by the streams' threads. ThreadSanitizer
// must not take the fake's own locking for an order that CUDA gives, so all of the fake runs Quiet:
// accesses and locks are not looked at. Where bytes of others are touched, and where CUDA does give
// an order, it is Loud: an operation has two tokens, `in` released by the call that queues it and
// acquired by the stream's thread, `out` released when it is done and acquired by whoever learns
// of that (synchronize, a query that says done, a stream that waits for the event).

#ifndef TENURE_TESTS_ALLOCATOR_CUDA_FAKE_FAKE_DRIVER_STATE_H_
#define TENURE_TESTS_ALLOCATOR_CUDA_FAKE_FAKE_DRIVER_STATE_H_

#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "tenure/tests/allocator/cuda/fake/fake_driver.h"
#include "tenure/tests/allocator/cuda/fake/fake_driver_records.h"

#if defined(__SANITIZE_THREAD__)
#define TENURE_FAKE_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TENURE_FAKE_TSAN 1
#endif
#endif

namespace tenure::cuda::fake {

// While one lives in a thread, ThreadSanitizer looks away from that thread.
class Quiet {
 public:
  Quiet();
  ~Quiet();
  Quiet(const Quiet&) = delete;
  Quiet& operator=(const Quiet&) = delete;
};
// And looks again while one of these lives.
class Loud {
 public:
  Loud();
  ~Loud();
  Loud(const Loud&) = delete;
  Loud& operator=(const Loud&) = delete;

 private:
  int depth_;
};
void ReleaseOrder(uint64_t* token);
void AcquireOrder(uint64_t* token);

uint64_t ThisThread();
// The fake that is alive; null: none. `from` leaves it at null, unless another one is alive.
void SetCurrent(FakeDriver::State* from, FakeDriver::State* to);
std::string Hex(CUdeviceptr address);
std::string StreamName(const Stream& stream);

// The table, in parts.
void FillDevices(DriverTable* table);
void FillMemory(DriverTable* table);
void FillVirtual(DriverTable* table);
void FillStreams(DriverTable* table);
void FillWork(DriverTable* table);
void FillExternal(DriverTable* table);

}  // namespace tenure::cuda::fake

namespace tenure::cuda {

struct FakeGraph::Impl {
  int device = 0;
  std::vector<std::shared_ptr<fake::Op>> ops;
};

struct FakeDriver::State {
  using Device = fake::Device;
  using Event = fake::Event;
  using Op = fake::Op;
  using Place = fake::Place;
  using Region = fake::Region;
  using Stream = fake::Stream;

  State(FakeDriver* f, FakeOptions o);
  ~State();

  // ---- fake_driver_state.cc --------------------------------------------------------------------
  // Writes it down and gives `result` back.
  CUresult Violate(std::string text, CUresult result) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  template <typename Handle>
  Handle NewHandle() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    return reinterpret_cast<Handle>(fake::kFirstHandle + 16 * next_id++);
  }
  // "destroyed" or "unknown"
  const char* WhyNot(const void* handle) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  // Of the context that is current on this thread; -1: none.
  int CurrentDevice() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  int DeviceOf(CUcontext context) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);

  // The region that contains the address, or null.
  std::shared_ptr<Region> Find(CUdeviceptr address) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  // Some region that has a byte in the range, or null.
  std::shared_ptr<Region> FindIn(CUdeviceptr address, uint64_t size_bytes) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  // Where these bytes lie; kBad and why. `device` -1: whichever can.
  Place Locate(CUdeviceptr address, uint64_t size_bytes, int device, bool write,
               std::string* why) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  // What the address was, for a text.
  std::string Describe(CUdeviceptr address) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);

  // ---- fake_driver_queue.cc --------------------------------------------------------------------
  // The stream behind a handle (a null one: the current device's default stream), or null and why.
  Stream* FindStream(const char* call, CUstream handle, CUresult* result)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  std::vector<Stream*> AllStreams(int device) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  // Queues it, or writes it into the stream's capture.
  CUresult Submit(Stream* stream, const std::shared_ptr<Op>& op)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  // Blocks until it is done.
  CUresult WaitFor(const char* call, const std::shared_ptr<Op>& op)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  // Something queued on it will run without anybody's help.
  bool CanProgress(const Stream& stream) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  // Waits as long as these can progress; to ThreadSanitizer, too.
  void WaitWhileProgress(const char* call, const std::vector<std::shared_ptr<Op>>& ops)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  // For what waits for all work of a device (-1: of all) before it ends these bytes.
  void WaitForDevice(const char* call, int device, CUdeviceptr address, uint64_t size_bytes)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  // For what does not: a violation if queued work will touch them.
  void CheckUnused(const char* call, CUdeviceptr address, uint64_t size_bytes)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  void CheckRaces(const Stream& stream, const Op& op) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  // The calls that a capture forbids: an error, and the capture is spoiled.
  CUresult RefuseInCapture() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  void Run(Stream* stream) ABSL_LOCKS_EXCLUDED(mutex);  // a stream's thread
  bool Ready(const Stream& stream) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  std::vector<std::string> Leaks() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);

  const FakeOptions options;
  FakeDriver* const fake;
  const pid_t pid;
  DriverTable table;

  mutable absl::Mutex mutex;
  // An operation is done, something was released, a call begins to wait.
  absl::CondVar progress;
  bool stopping ABSL_GUARDED_BY(mutex) = false;
  int threads ABSL_GUARDED_BY(mutex) = 0;
  int calls_inside ABSL_GUARDED_BY(mutex) = 0;
  bool initialised ABSL_GUARDED_BY(mutex) = false;
  uint64_t next_id ABSL_GUARDED_BY(mutex) = 1;
  std::vector<CUstream> free_stream_handles ABSL_GUARDED_BY(mutex);  // to be handed out again
  std::mt19937_64 random ABSL_GUARDED_BY(mutex);

  std::vector<Device> devices ABSL_GUARDED_BY(mutex);
  std::map<std::pair<int, int>, bool> peers ABSL_GUARDED_BY(mutex);
  std::map<uint64_t, std::vector<CUcontext>> contexts ABSL_GUARDED_BY(mutex);  // by thread

  std::map<CUdeviceptr, std::shared_ptr<Region>> regions ABSL_GUARDED_BY(mutex);
  std::map<CUdeviceptr, std::shared_ptr<Region>> graves ABSL_GUARDED_BY(mutex);
  std::map<CUmemGenericAllocationHandle, fake::Handle> handles ABSL_GUARDED_BY(mutex);
  CUdeviceptr next_address ABSL_GUARDED_BY(mutex) = fake::kFirstDeviceAddress;
  uint64_t host_bytes ABSL_GUARDED_BY(mutex) = 0;
  std::vector<FakeAdvice> advices ABSL_GUARDED_BY(mutex);

  std::map<CUexternalMemory, fake::ExternalObject> external_memories ABSL_GUARDED_BY(mutex);
  std::map<CUexternalSemaphore, FakeSemaphore> external_semaphores ABSL_GUARDED_BY(mutex);

  std::map<CUstream, std::unique_ptr<Stream>> streams ABSL_GUARDED_BY(mutex);
  // Destroyed ones that are done: their last operation.
  std::map<CUstream, std::shared_ptr<Op>> ended ABSL_GUARDED_BY(mutex);
  std::map<CUevent, Event> events ABSL_GUARDED_BY(mutex);
  std::set<fake::Capture*> captures ABSL_GUARDED_BY(mutex);
  std::map<uint64_t, CUstreamCaptureMode> capture_modes ABSL_GUARDED_BY(mutex);  // by thread
  bool hold_new ABSL_GUARDED_BY(mutex) = false;
  std::vector<std::string> blocked ABSL_GUARDED_BY(mutex);

  struct Kernel {
    std::vector<size_t> param_sizes;
    std::shared_ptr<const FakeKernel> run;
  };
  std::map<std::string, Kernel> kernels ABSL_GUARDED_BY(mutex);
  std::map<CUmodule, int> modules ABSL_GUARDED_BY(mutex);  // its device
  std::map<CUfunction, std::pair<CUmodule, std::string>> functions ABSL_GUARDED_BY(mutex);

  std::map<std::string, uint64_t, std::less<>> calls ABSL_GUARDED_BY(mutex);
  uint64_t all_calls ABSL_GUARDED_BY(mutex) = 0;
  std::vector<fake::Failure> failures ABSL_GUARDED_BY(mutex);
  std::vector<std::string> violations ABSL_GUARDED_BY(mutex);
  bool violations_unseen ABSL_GUARDED_BY(mutex) = false;
  std::vector<std::string> waits ABSL_GUARDED_BY(mutex);
};

namespace fake {

using State = FakeDriver::State;

// What every entry point begins with: finds the fake that is alive, counts, fails if the test says
// so, and looks whether the driver is initialised, a context current and its device sound.
class Call {
 public:
  enum Needs { kNothing, kInit, kContext };
  Call(const char* name, Needs needs);
  ~Call();
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  CUresult result() const { return result_; }
  State& state() const { return *state_; }

 private:
  Quiet quiet_;
  State* state_ = nullptr;
  CUresult result_ = CUDA_SUCCESS;
};

#define TENURE_FAKE_CALL(name, needs)                  \
  const Call call_scope(name, Call::needs);            \
  if (call_scope.result() != CUDA_SUCCESS) {           \
    return call_scope.result();                        \
  }                                                    \
  [[maybe_unused]] constexpr const char* kCall = name; \
  State& s = call_scope.state();                       \
  absl::MutexLock lock(&s.mutex)

}  // namespace fake
}  // namespace tenure::cuda

#endif  // TENURE_TESTS_ALLOCATOR_CUDA_FAKE_FAKE_DRIVER_STATE_H_
