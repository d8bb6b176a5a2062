#include "tenure/allocator/copy/copy_table.h"

#include <algorithm>
#include <cstddef>
#include <new>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "tenure/allocator/capabilities.h"
#include "tenure/base/host_memory.h"
#include "tenure/base/status_macros.h"

namespace tenure {
namespace {

constexpr uint64_t kStageBytes = uint64_t{4} << 20;

std::string Ends(const CopyEnd& to, const CopyEnd& from) {
  return absl::StrCat("from '", from.allocator->space().ToString(), "' to '",
                      to.allocator->space().ToString(), "'");
}

// Whether the host may read the bytes in place, with nothing to invalidate before. Memory that is
// not coherent is copied by its own allocator, which flushes and invalidates it.
bool HostReads(const CopyEnd& end) {
  const SpaceTraits& traits = end.allocator->traits();
  return end.region.allocation->host != nullptr && traits.host_readable &&
         traits.coherence_atom_bytes <= 1 && !traits.host_reads_may_fault;
}

// Whether the host may write the bytes in place, with nothing to flush afterwards.
bool HostWrites(const CopyEnd& end) {
  const SpaceTraits& traits = end.allocator->traits();
  return end.region.allocation->host != nullptr && traits.host_writable &&
         traits.coherence_atom_bytes <= 1 && !end.region.allocation->read_only;
}

// Explains what an allocator's Unimplemented error means for the copy.
absl::Status Explain(absl::Status status, const CopyEnd& to, const CopyEnd& from) {
  if (status.code() != absl::StatusCode::kUnimplemented) return status;
  return absl::UnimplementedError(
      absl::StrCat("can't copy ", Ends(to, from), ": ", status.message(),
                   "; copy by way of a buffer of 'cpu', or register a CopyRoute for this pair"));
}

absl::Status CopyAndWait(absl::StatusOr<Fence> fence) {
  return fence.ok() ? fence->Wait() : fence.status();
}

bool KeepsOrder(const CopyEnd& end) {
  return end.allocator->Capability<QueueCapability>() != nullptr;
}

// The end whose allocator must do the copy on this route to keep a queue's order. Null: the route
// cannot keep an order.
const CopyEnd* KeeperOf(CopyTable::RouteKind kind, const CopyEnd& to, const CopyEnd& from) {
  switch (kind) {
    case CopyTable::RouteKind::kWithin:
    case CopyTable::RouteKind::kIn:
      return KeepsOrder(to) ? &to : nullptr;
    case CopyTable::RouteKind::kOut:
      return KeepsOrder(from) ? &from : nullptr;
    case CopyTable::RouteKind::kDirect:
      // Host memory that a device can copy too.
      return KeepsOrder(to) ? &to : KeepsOrder(from) ? &from : nullptr;
    default:
      return nullptr;
  }
}

// Runs `copy` after the decorators of both stacks have admitted it. For copies that none of their
// CopyIn, CopyOut and CopyWithin will see. A null end is one whose allocator sees the copy through
// those calls.
template <typename Copy>
absl::StatusOr<Fence> Admitted(const CopyEnd* to, const CopyEnd* from, const Copy& copy) {
  if (from != nullptr) {
    TENURE_RETURN_IF_ERROR(from->allocator->AdmitTransfer(TransferKind::kOut, from->region));
  }
  if (to != nullptr) {
    absl::Status status = to->allocator->AdmitTransfer(TransferKind::kIn, to->region);
    if (!status.ok()) {
      if (from != nullptr) {
        from->allocator->ReportTransfer(TransferKind::kOut, from->region, status);
      }
      return status;
    }
  }
  absl::StatusOr<Fence> fence = copy();
  if (from != nullptr) {
    from->allocator->ReportTransfer(TransferKind::kOut, from->region, fence.status());
  }
  if (to != nullptr) to->allocator->ReportTransfer(TransferKind::kIn, to->region, fence.status());
  return fence;
}

CopyEnd RootOf(const CopyEnd& end) {
  return {&end.allocator->root(), end.allocator->RootRegion(end.region)};
}

absl::Status KeepsNoOrder(const CopyEnd& to, const CopyEnd& from) {
  return absl::UnimplementedError(absl::StrCat(
      "can't copy ", Ends(to, from),
      " in the order of a device's queue: the host takes part in it; leave TransferOptions::queue "
      "null and wait for the copy before the queue goes on, or copy by way of a buffer of "
      "page-locked memory, which a device's queue can copy to and from"));
}

// Waits at each step, because the staging memory is reused, and freed when this returns.
absl::Status CopyStaged(const CopyEnd& to, const CopyEnd& from, const CopyOptions& options) {
  const uint64_t size = to.region.size_bytes;
  const uint64_t stage_bytes = std::min(size, kStageBytes);
  std::unique_ptr<std::byte[]> stage(new (std::nothrow) std::byte[stage_bytes]);
  if (stage == nullptr) {
    return absl::ResourceExhaustedError(
        absl::StrCat("no host memory of ", stage_bytes, " bytes to stage a copy of ", size,
                     " bytes ", Ends(to, from), "; free host memory and copy again"));
  }
  for (uint64_t done = 0; done < size;) {
    const uint64_t n = std::min(stage_bytes, size - done);
    const SubRegion source{from.region.allocation, from.region.offset_bytes + done, n};
    const SubRegion target{to.region.allocation, to.region.offset_bytes + done, n};
    TENURE_RETURN_IF_ERROR(CopyAndWait(from.allocator->CopyOut(stage.get(), source, options)));
    TENURE_RETURN_IF_ERROR(CopyAndWait(to.allocator->CopyIn(target, stage.get(), options)));
    done += n;
  }
  return absl::OkStatus();
}

}  // namespace

std::string_view RouteName(CopyTable::RouteKind kind) {
  switch (kind) {
    case CopyTable::RouteKind::kRegistered:
      return "registered";
    case CopyTable::RouteKind::kWithin:
      return "within";
    case CopyTable::RouteKind::kDirect:
      return "direct";
    case CopyTable::RouteKind::kIn:
      return "in";
    case CopyTable::RouteKind::kOut:
      return "out";
    case CopyTable::RouteKind::kStaged:
      return "staged";
  }
  return "unknown";
}

CopyTable& CopyTable::Default() {
  static auto* const table = new CopyTable;
  return *table;
}

const CopyTable& CopyTable::For(const CopyEnd& to, const CopyEnd& from) {
  for (const CopyEnd* end : {&to, &from}) {
    if (const CopyTable* table = end->allocator->copy_table()) return *table;
  }
  return Default();
}

CopyTable::Pair* CopyTable::FindPair(Pairs& pairs, std::string_view from, std::string_view to) {
  for (Pair& pair : pairs) {
    if (pair.from == from && pair.to == to) return &pair;
  }
  return nullptr;
}

void CopyTable::Publish(Pairs pairs) {
  versions_.push_back(std::make_unique<const Pairs>(std::move(pairs)));
  pairs_.store(versions_.back().get(), std::memory_order_release);
}

void CopyTable::Register(std::string_view from_driver, std::string_view to_driver,
                         std::shared_ptr<CopyRoute> route) {
  absl::MutexLock lock(&mutex_);
  Pairs pairs = *pairs_.load(std::memory_order_relaxed);
  if (Pair* known = FindPair(pairs, from_driver, to_driver)) {
    known->route = std::move(route);
  } else {
    pairs.push_back({std::string(from_driver), std::string(to_driver), std::move(route)});
  }
  Publish(std::move(pairs));
}

void CopyTable::AddMissing(const CopyTable& other) {
  absl::MutexLock lock(&mutex_);
  Pairs pairs = *pairs_.load(std::memory_order_relaxed);
  const size_t count = pairs.size();
  for (const Pair& pair : *other.pairs_.load(std::memory_order_acquire)) {
    if (FindPair(pairs, pair.from, pair.to) == nullptr) pairs.push_back(pair);
  }
  if (pairs.size() > count) Publish(std::move(pairs));
}

CopyRoute* CopyTable::Find(const CopyEnd& to, const CopyEnd& from) const {
  const Pairs& pairs = *pairs_.load(std::memory_order_acquire);
  if (pairs.empty()) return nullptr;
  const std::string_view target = to.allocator->space().kind().driver();
  const std::string_view source = from.allocator->space().kind().driver();
  for (const Pair& pair : pairs) {
    if (pair.to != target || pair.from != source) continue;
    const bool supported = pair.route != nullptr && pair.route->Supports(RootOf(to), RootOf(from));
    return supported ? pair.route.get() : nullptr;
  }
  return nullptr;
}

absl::StatusOr<CopyTable::RouteKind> CopyTable::DefaultRoute(const CopyEnd& to,
                                                             const CopyEnd& from) const {
  for (const CopyEnd* end : {&to, &from}) {
    if (!end->allocator->traits().has_bytes) {
      return absl::FailedPreconditionError(absl::StrCat(
          "can't copy ", Ends(to, from), ": '", end->allocator->space().ToString(),
          "' has sizes and no bytes; it is only for planning; run with buffers of another space"));
    }
  }
  if (to.allocator == from.allocator) return RouteKind::kWithin;
  if (HostWrites(to)) return HostReads(from) ? RouteKind::kDirect : RouteKind::kOut;
  return HostReads(from) ? RouteKind::kIn : RouteKind::kStaged;
}

absl::StatusOr<CopyTable::RouteKind> CopyTable::RouteBetween(const CopyEnd& to,
                                                             const CopyEnd& from) const {
  if (Find(to, from) != nullptr) return RouteKind::kRegistered;
  return DefaultRoute(to, from);
}

bool CopyTable::CanWaitFor(const CopyEnd& to, const CopyEnd& from, const Fence& fence,
                           const Queue* queue) const {
  if (const CopyRoute* route = Find(to, from)) {
    return route->CanWaitFor(RootOf(to), RootOf(from), fence);
  }
  const absl::StatusOr<RouteKind> kind = DefaultRoute(to, from);
  // The host does direct copies; a device does them only if they must keep a queue's order.
  if (!kind.ok() || (*kind == RouteKind::kDirect && queue == nullptr)) return false;
  const CopyEnd* keeper = KeeperOf(*kind, to, from);
  return keeper != nullptr && keeper->allocator->Capability<QueueCapability>()->CanWaitFor(fence);
}

bool CopyTable::RunsOnHost(const CopyEnd& to, const CopyEnd& from) const {
  if (Find(to, from) != nullptr) return false;
  const absl::StatusOr<RouteKind> kind = DefaultRoute(to, from);
  return kind.ok() && (*kind == RouteKind::kDirect || KeeperOf(*kind, to, from) == nullptr);
}

absl::StatusOr<Fence> CopyTable::Copy(const CopyEnd& to, const CopyEnd& from,
                                      const CopyOptions& options) const {
  if (to.region.size_bytes != from.region.size_bytes) {
    return absl::InvalidArgumentError(absl::StrCat("can't copy ", from.region.size_bytes,
                                                   " bytes over ", to.region.size_bytes,
                                                   "; give ranges of the same size"));
  }
  if (to.region.size_bytes == 0) return Fence();
  CopyRoute* route = Find(to, from);
  if (route == nullptr) return CopyByDefault(to, from, options);
  // Both stacks have admitted the copy when the route leaves it to the default one. That then goes
  // past them too, so that their decorators see one copy.
  const CopyEnd root_to = RootOf(to), root_from = RootOf(from);
  return Admitted(&to, &from, [&] {
    absl::StatusOr<Fence> fence = route->Copy(root_to, root_from, options);
    if (fence.status().code() != absl::StatusCode::kUnimplemented) return fence;
    return CopyByDefault(root_to, root_from, options);
  });
}

absl::StatusOr<Fence> CopyTable::CopyByDefault(const CopyEnd& to, const CopyEnd& from,
                                               const CopyOptions& options) const {
  TENURE_ASSIGN_OR_RETURN(const RouteKind kind, DefaultRoute(to, from));
  CopyOptions left = options;
  const CopyEnd* keeper = KeeperOf(kind, to, from);
  if (options.queue != nullptr && keeper == nullptr) return KeepsNoOrder(to, from);
  if (keeper == nullptr) {
    // Only a registered route could have waited for these fences on the device, and none took the
    // copy.
    for (const Fence& fence : options.after) {
      TENURE_RETURN_IF_ERROR(fence.Wait());
    }
    left.after = {};
  }
  absl::StatusOr<Fence> fence = Fence();
  switch (kind) {
    case RouteKind::kWithin:
      fence = to.allocator->CopyWithin(to.region, from.region, left);
      break;
    case RouteKind::kDirect:
      if (keeper == &to && (left.queue != nullptr || !left.after.empty())) {
        fence = Admitted(nullptr, &from,
                         [&] { return to.allocator->CopyIn(to.region, from.region.host(), left); });
      } else if (left.queue != nullptr || !left.after.empty()) {
        fence = Admitted(&to, nullptr, [&] {
          return from.allocator->CopyOut(to.region.host(), from.region, left);
        });
      } else {
        fence = Admitted(&to, &from, [&]() -> absl::StatusOr<Fence> {
          // MoveBytes, because two allocators may have wrapped the same foreign memory.
          host::MoveBytes(to.region.host(), from.region.host(), to.region.size_bytes,
                          options.max_threads);
          return Fence();
        });
      }
      break;
    case RouteKind::kIn:
      fence = Admitted(nullptr, &from,
                       [&] { return to.allocator->CopyIn(to.region, from.region.host(), left); });
      break;
    case RouteKind::kOut:
      fence = Admitted(&to, nullptr, [&] {
        return from.allocator->CopyOut(to.region.host(), from.region, left);
      });
      break;
    default:
      if (absl::Status status = CopyStaged(to, from, left); !status.ok()) fence = status;
      break;
  }
  if (!fence.ok()) return Explain(fence.status(), to, from);
  return fence;
}

}  // namespace tenure
