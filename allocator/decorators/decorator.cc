#include "tenure/allocator/decorators/decorator.h"

#include <vector>

#include "tenure/base/status_macros.h"

namespace tenure {

// Wraps the capabilities of the upstream as this decorator's own.
class Decorator::Wrappers final : public QueueCapability,
                                  public AdviceCapability,
                                  public ForeignMemoryCapability,
                                  public FileCapability,
                                  public BatchCapability,
                                  public ResidencyCapability,
                                  public CoherenceCapability,
                                  public ShareCapability {
 public:
  explicit Wrappers(Decorator& decorator) : decorator_(decorator) {}

  bool CanWaitFor(const Fence& fence) const override {
    return Upstream<QueueCapability>().CanWaitFor(fence);
  }

  absl::Status Advise(const SubRegion& region, Advice advice) override {
    return Upstream<AdviceCapability>().Advise(decorator_.ToUpstream(region), advice);
  }

  absl::StatusOr<uint64_t> FileSize() override { return Upstream<FileCapability>().FileSize(); }

  absl::Status CopyInMany(absl::Span<const In> parts) override {
    std::vector<In> translated(parts.begin(), parts.end());
    for (In& part : translated) {
      TENURE_RETURN_IF_ERROR(decorator_.BeforeTransfer(TransferKind::kIn, part.to));
      part.to = decorator_.ToUpstream(part.to);
    }
    absl::Status status = Upstream<BatchCapability>().CopyInMany(translated);
    for (const In& part : parts) decorator_.AfterTransfer(TransferKind::kIn, part.to, status);
    return status;
  }

  absl::Status CopyOutMany(absl::Span<const Out> parts) override {
    std::vector<Out> translated(parts.begin(), parts.end());
    for (Out& part : translated) {
      TENURE_RETURN_IF_ERROR(decorator_.BeforeTransfer(TransferKind::kOut, part.from));
      part.from = decorator_.ToUpstream(part.from);
    }
    absl::Status status = Upstream<BatchCapability>().CopyOutMany(translated);
    for (const Out& part : parts) decorator_.AfterTransfer(TransferKind::kOut, part.from, status);
    return status;
  }

  absl::Status Hint(const SubRegion& region, AccessHint hint) override {
    return Upstream<ResidencyCapability>().Hint(decorator_.ToUpstream(region), hint);
  }
  absl::StatusOr<Fence> Prefetch(const SubRegion& region, Side to, Queue* queue) override {
    return Upstream<ResidencyCapability>().Prefetch(decorator_.ToUpstream(region), to, queue);
  }

  absl::Status FlushHostWrites(const SubRegion& region) override {
    return Upstream<CoherenceCapability>().FlushHostWrites(decorator_.ToUpstream(region));
  }
  absl::Status InvalidateForHostReads(const SubRegion& region) override {
    return Upstream<CoherenceCapability>().InvalidateForHostReads(decorator_.ToUpstream(region));
  }

  absl::StatusOr<int> ExportFd(const Allocation& allocation) override {
    return Upstream<ShareCapability>().ExportFd(*UpstreamOf(allocation));
  }
  absl::StatusOr<ForeignMemory> ImportFd(int fd, uint64_t size_bytes) override {
    return Upstream<ShareCapability>().ImportFd(fd, size_bytes);
  }
  absl::StatusOr<std::string> ExportIpc(const Allocation& allocation) override {
    return Upstream<ShareCapability>().ExportIpc(*UpstreamOf(allocation));
  }
  absl::StatusOr<ForeignMemory> ImportIpc(std::string_view handle, uint64_t size_bytes) override {
    return Upstream<ShareCapability>().ImportIpc(handle, size_bytes);
  }

  // This object, as the capability called `name`; null for an unknown name.
  void* Find(std::string_view name) {
    if (name == QueueCapability::kName) return static_cast<QueueCapability*>(this);
    if (name == AdviceCapability::kName) return static_cast<AdviceCapability*>(this);
    if (name == ForeignMemoryCapability::kName) return static_cast<ForeignMemoryCapability*>(this);
    if (name == FileCapability::kName) return static_cast<FileCapability*>(this);
    if (name == BatchCapability::kName) return static_cast<BatchCapability*>(this);
    if (name == ResidencyCapability::kName) return static_cast<ResidencyCapability*>(this);
    if (name == CoherenceCapability::kName) return static_cast<CoherenceCapability*>(this);
    if (name == ShareCapability::kName) return static_cast<ShareCapability*>(this);
    return nullptr;
  }

 private:
  // Only called for capabilities that the upstream has (FindCapability).
  template <typename C>
  C& Upstream() const {
    return *decorator_.upstream_->Capability<C>();
  }
  const Allocation* UpstreamOf(const Allocation& allocation) const {
    return decorator_.ToUpstream({&allocation, 0, allocation.size_bytes}).allocation;
  }

  Decorator& decorator_;
};

Decorator::Decorator(std::unique_ptr<Allocator> upstream)
    : upstream_(std::move(upstream)), wrappers_(std::make_unique<Wrappers>(*this)) {}

Decorator::~Decorator() = default;

template <typename Call>
auto Decorator::Transfer(TransferKind kind, const SubRegion& region, const Call& call)
    -> decltype(call(region)) {
  TENURE_RETURN_IF_ERROR(BeforeTransfer(kind, region));
  auto result = call(ToUpstream(region));
  AfterTransfer(kind, region, result.status());
  return result;
}

absl::StatusOr<Fence> Decorator::CopyIn(const SubRegion& to, const void* from,
                                        const CopyOptions& options) {
  return Transfer(TransferKind::kIn, to, [&](const SubRegion& region) {
    return upstream_->CopyIn(region, from, options);
  });
}

absl::StatusOr<Fence> Decorator::CopyOut(void* to, const SubRegion& from,
                                         const CopyOptions& options) {
  return Transfer(TransferKind::kOut, from,
                  [&](const SubRegion& region) { return upstream_->CopyOut(to, region, options); });
}

absl::StatusOr<Fence> Decorator::CopyWithin(const SubRegion& to, const SubRegion& from,
                                            const CopyOptions& options) {
  return Transfer(TransferKind::kWithin, to, [&](const SubRegion& region) {
    return upstream_->CopyWithin(region, ToUpstream(from), options);
  });
}

absl::StatusOr<Fence> Decorator::Fill(const SubRegion& to, const FillPattern& pattern,
                                      const CopyOptions& options) {
  return Transfer(TransferKind::kFill, to, [&](const SubRegion& region) {
    return upstream_->Fill(region, pattern, options);
  });
}

absl::Status Decorator::AdmitTransfer(TransferKind kind, const SubRegion& region) {
  TENURE_RETURN_IF_ERROR(BeforeTransfer(kind, region));
  return upstream_->AdmitTransfer(kind, ToUpstream(region));
}

void Decorator::ReportTransfer(TransferKind kind, const SubRegion& region,
                               const absl::Status& status) {
  upstream_->ReportTransfer(kind, ToUpstream(region), status);
  AfterTransfer(kind, region, status);
}

void* Decorator::FindCapability(std::string_view name) {
  return FindCapabilityIn(*upstream_, name) == nullptr ? nullptr : wrappers_->Find(name);
}

AllocatorStats Decorator::StatsOf(const StatsCounters& counters, uint64_t waiting_bytes) const {
  AllocatorStats stats = upstream_->Stats();
  const uint64_t reserved = stats.reserved_bytes;
  counters.AddTo(stats);
  stats.reserved_bytes = reserved;
  stats.deferred_bytes += waiting_bytes;
  return stats;
}

}  // namespace tenure
