// FakeDriver: a CUDA driver without a GPU, for tests: a DriverTable whose calls move real bytes,
// run in streams of their own threads, and write down every use of memory that the real driver
// would punish or, worse, would not.
//
//   FakeDriver fake({.devices = {{.memory_bytes = 64 << 20}}});
//   absl::StatusOr<Driver> driver = Driver::FromTable(fake.table());
//   ... code under test ...
//   fake.Hold(stream);             // from here on its work waits
//   ... Deallocate(...) ...        // must neither block nor free
//   EXPECT_THAT(fake.Violations(), IsEmpty());
//   EXPECT_THAT(fake.LeakReport(), IsEmpty());
//
// What it does as the real one does:
// - Device memory is behind addresses that fault when the host touches them; kernels and tests get
//   at the bytes by Bytes(). Addresses are never given out twice. Pinned and managed memory is
//   host memory at one address for all; once freed, it faults. Fresh memory is filled with 0xCD.
// - Streams run in order, each in a thread; events order them. Nothing else does: under
//   ThreadSanitizer a call gives no order between threads that CUDA does not promise, so that a
//   copy that races with the code under test is reported, although the fake has a lock.
// - Asynchronous copies touch page-locked and managed memory only when the stream gets there. From
//   pageable memory: up to 64 KiB are read before the call returns, and more are read when the
//   stream gets there, which the call waits for. To pageable memory, and between host and host,
//   the call waits for the copy. (Streams that are captured refuse what would wait.)
// - A copy's stream must be of a device that mapped memory is accessible to; memory of cuMemAlloc
// is
//   copied between any two. A copy must lie in one allocation; a host range lies in one
//   registration or in none, else it is CUDA_ERROR_INVALID_VALUE.
// - cuMemFree and cuMemFreeHost wait for all work of the device (of all devices, for managed and
//   pinned memory); see Waits().
// - Calls that need a current context answer CUDA_ERROR_INVALID_CONTEXT without one.
// - An error of the device is for good: FaultDevice().
// What it does not: the legacy default stream is one stream per device that orders nothing else;
// a thread's own default stream (CU_STREAM_PER_THREAD) is refused; memory is counted in units of
// 512 bytes and managed memory not at all; IPC handles stay valid only while the exporting fake
// lives; no copy crosses a multiple of 64 GiB within reserved addresses.
//
// Cost: a call takes microseconds, an allocation some system calls. Thread safety: thread-safe.
// Ownership: one may live at a time (another aborts the program), and nothing of it may be used
// afterwards: calls of a table without a fake answer CUDA_ERROR_DEINITIALIZED. Errors: what is
// wrong in a call is its CUresult, and a text in Violations() where correct code never does so.

#ifndef TENURE_TESTS_ALLOCATOR_CUDA_FAKE_FAKE_DRIVER_H_
#define TENURE_TESTS_ALLOCATOR_CUDA_FAKE_FAKE_DRIVER_H_

#include <cuda.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "tenure/allocator/cuda/driver.h"

namespace tenure::cuda {

struct FakeDevice {
  std::string name = "Fake H200";
  std::optional<CUuuid> uuid = std::nullopt;  // none: made from the ordinal
  std::string pci_bus_id = "";                // empty: made from the ordinal
  uint64_t memory_bytes = uint64_t{1} << 30;
  std::map<CUdevice_attribute, int> attributes = {};  // over those of an H200
};

// A semaphore of another API: reads its counter, and raises it.
struct FakeSemaphore {
  std::function<uint64_t()> value = nullptr;
  std::function<void(uint64_t)> raise = nullptr;
};

struct FakeOptions {
  std::vector<FakeDevice> devices = {FakeDevice{}};
  int driver_version = 13000;
  uint64_t host_limit_bytes = UINT64_MAX;     // pinned and managed memory together
  bool peer_access = true;                    // cuDeviceCanAccessPeer; see also SetPeerAccess
  uint64_t address_limit_bytes = UINT64_MAX;  // cuMemAddressReserve, all together
  // cuStreamCreate hands out the handle that was destroyed last, as the real driver does, also
  // while work of the destroyed stream is queued.
  bool reuse_stream_handles = false;
  // The real driver opens no IPC handle of its own process; a test may want to.
  bool ipc_within_process = false;
  // Memory of other APIs is a file: where the bytes begin in it.
  uint64_t external_memory_offset = 0;
  // What a descriptor of a semaphore stands for; without a value, it is none. Null: the descriptor
  // is a file that begins with the counter.
  std::function<FakeSemaphore(int fd)> external_semaphore = nullptr;
  // Every operation of a stream first waits a random time up to this.
  absl::Duration random_delay = absl::ZeroDuration();
  uint64_t seed = 1;
  // A call that waits longer (for a held stream, say) is a violation and gives
  // CUDA_ERROR_LAUNCH_TIMEOUT instead of hanging.
  absl::Duration hang_after = absl::Seconds(20);
};

class FakeDriver;

// What a kernel sees.
class FakeLaunch {
 public:
  struct Size {
    unsigned x, y, z;
  };
  Size grid;
  Size block;
  unsigned shared_bytes;
  int device;
  FakeDriver* fake;
  std::vector<std::vector<std::byte>> params;  // as they were at the launch

  template <typename T>
  T Param(size_t i) const {
    T value{};
    std::memcpy(&value, params.at(i).data(),
                sizeof(T) < params[i].size() ? sizeof(T) : params[i].size());
    return value;
  }

  // The memory that parameter i points at. Null, with a violation and the device faulted with
  // CUDA_ERROR_ILLEGAL_ADDRESS, where those bytes are not this device's to touch.
  template <typename T>
  T* Pointer(size_t i, uint64_t count) const {
    return static_cast<T*>(Touch(Param<CUdeviceptr>(i), count * sizeof(T)));
  }
  void* Touch(CUdeviceptr address, uint64_t size_bytes) const;
};
using FakeKernel = std::function<void(const FakeLaunch&)>;

// One operation of a captured stream.
struct FakeNode {
  std::string call;     // "cuMemcpyHtoDAsync", ...
  CUdeviceptr dst = 0;  // host addresses too
  CUdeviceptr src = 0;
  uint64_t size_bytes = 0;
  uint32_t value = 0;  // of a fill
};
struct FakeGraph {
  struct Impl;
  std::vector<FakeNode> nodes;
  std::shared_ptr<const Impl> impl;
};

// A call of cuMemAdvise (stream null) or cuMemPrefetchAsync (advice 0).
struct FakeAdvice {
  std::string call;
  CUdeviceptr address = 0;
  uint64_t size_bytes = 0;
  int advice = 0;
  CUmemLocation location = {};
  CUstream stream = nullptr;
};

class FakeDriver {
 public:
  explicit FakeDriver(FakeOptions options = {});
  // Throws away what is held or queued and frees everything. Prints violations that nobody asked
  // for.
  ~FakeDriver();
  FakeDriver(const FakeDriver&) = delete;
  FakeDriver& operator=(const FakeDriver&) = delete;

  const DriverTable& table() const;

  // ---- What went wrong -------------------------------------------------------------------------
  // Each names the call and what it did: freeing, unmapping or unregistering what queued work will
  // touch, using what was freed or destroyed, freeing twice, bytes outside of an allocation, no
  // context or the wrong one, contexts popped that were not pushed, memory of another device.
  std::vector<std::string> Violations() const;
  void ClearViolations();
  // What is still held: memory, mappings, registrations, streams, events, modules, contexts
  // retained or left on a thread's stack. Empty when all was given back.
  std::vector<std::string> LeakReport() const;
  // Calls that had to wait for the device's queued work although they were not asked to
  // (cuMemFree, cuMemFreeHost), with how much work. Where that work is held they go on without
  // waiting, so that a test sees this and does not hang.
  std::vector<std::string> Waits() const;

  // ---- Memory ----------------------------------------------------------------------------------
  // The bytes behind an address, for the test to look at and to change; null, with a violation,
  // where they don't lie in one allocation (or in mapped memory with access, whatever it is made
  // of). Gives no order: synchronize first.
  std::byte* Bytes(CUdeviceptr address, uint64_t size_bytes);
  uint64_t UsedBytes(int device) const;  // as cuMemGetInfo counts
  uint64_t HostBytes() const;            // pinned (not registered) and managed
  size_t LiveAllocations() const;        // of every kind but registrations
  size_t Registrations() const;          // cuMemHostRegister
  // The flags of cuMemHostAlloc, cuMemHostRegister or cuMemAllocManaged; none: no such memory.
  std::optional<unsigned> HostFlags(const void* address) const;
  std::vector<FakeAdvice> Advices() const;
  void SetPeerAccess(int from, int to, bool can);
  // From now on no more than this can be allocated on the device (what is there stays).
  void SetMemoryLimit(int device, uint64_t size_bytes);

  // ---- Streams ---------------------------------------------------------------------------------
  // Every stream not destroyed, oldest first, the default ones excepted.
  std::vector<CUstream> Streams(int device = 0) const;
  // Nothing queued on a held stream starts. A null stream is device 0's default stream. To
  // ThreadSanitizer, what was done before Release or Step is ordered before what they let run.
  void Hold(CUstream stream);
  void Release(CUstream stream);
  // All streams, also those that are made later.
  void HoldAll();
  void ReleaseAll();
  // Runs the next operation of a held stream to its end; false: nothing is queued, or it waits for
  // an event.
  bool Step(CUstream stream);
  // What is queued and running, oldest first, by the names of the calls.
  std::vector<std::string> Queued(CUstream stream) const;
  // Calls that are blocked right now, by name, and waiting until there are `count` of them (false:
  // not within hang_after).
  std::vector<std::string> Blocked() const;
  bool AwaitBlocked(size_t count);
  // Waits until the stream has nothing left that can run. It is order to ThreadSanitizer, as
  // cuStreamSynchronize is.
  void Drain(CUstream stream);

  // Work for a stream that is none of the code under test's. `work` runs in the stream's thread.
  void LaunchSleep(CUstream stream, absl::Duration duration);
  void LaunchHost(CUstream stream, std::function<void()> work);
  // Writes (or reads) the bytes when the stream gets there, as a kernel of the embedder does: they
  // count as used until then.
  void LaunchWrite(CUstream stream, CUdeviceptr address, uint64_t size_bytes, unsigned char value);
  void LaunchRead(CUstream stream, CUdeviceptr address, uint64_t size_bytes,
                  std::function<void(const std::byte*)> look);

  // ---- Kernels ---------------------------------------------------------------------------------
  // cuModuleGetFunction finds it by its name in every module; any image can be loaded. Parameters
  // of 8 bytes that point into memory make that allocation used until the kernel has run.
  void RegisterKernel(std::string name, std::vector<size_t> param_sizes, FakeKernel kernel);

  // ---- Faults ----------------------------------------------------------------------------------
  // Names are those of the table, with or without "cu". The n-th call from now (1: the next) of
  // that name, or of any entry point where the name is empty, does nothing and gives `result`.
  void FailCall(std::string_view name, uint64_t nth, CUresult result);
  // Every call of that name, until ClearFailures().
  void FailCalls(std::string_view name, CUresult result);
  void ClearFailures();
  // How often it was called since the fake was made; empty: all calls.
  uint64_t Calls(std::string_view name = "") const;
  static std::vector<std::string> EntryPoints();  // "MemAlloc", ...
  // From now on each call that concerns the device gives `result` (calls that ask for properties
  // or move the context stack excepted), and queued work never runs.
  void FaultDevice(int device, CUresult result = CUDA_ERROR_ILLEGAL_ADDRESS);
  // The same when the stream gets there.
  void LaunchFault(CUstream stream, CUresult result = CUDA_ERROR_ILLEGAL_ADDRESS);

  // ---- Capture ---------------------------------------------------------------------------------
  // As cuStreamBeginCapture: work on the stream is written down instead of run, streams that wait
  // for its events join, and what would wait for it, or is unsafe in that mode, gives an error of
  // the STREAM_CAPTURE family and spoils the capture.
  CUresult BeginCapture(CUstream stream,
                        CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
  CUresult EndCapture(CUstream stream, FakeGraph* graph);
  // So far; nodes of streams that joined are among them.
  std::vector<FakeNode> Captured(CUstream stream) const;
  CUresult Replay(const FakeGraph& graph, CUstream stream);

  struct State;
  State* state() { return state_.get(); }  // for the fake's own files

 private:
  std::unique_ptr<State> state_;
};

}  // namespace tenure::cuda

#endif  // TENURE_TESTS_ALLOCATOR_CUDA_FAKE_FAKE_DRIVER_H_
