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
    TENURE_RETURN_IF_ERROR(decorator_.BeforeCall("advice"));
    return Upstream<AdviceCapability>().Advise(decorator_.ToUpstream(region), advice);
  }

  absl::StatusOr<uint64_t> FileSize() override { return Upstream<FileCapability>().FileSize(); }
  bool IsReplaced() override { return Upstream<FileCapability>().IsReplaced(); }

  absl::Status CopyInMany(absl::Span<const In> parts) override {
    return Many(TransferKind::kIn, parts, &In::to, [this](absl::Span<const In> translated) {
      return Upstream<BatchCapability>().CopyInMany(translated);
    });
  }

  absl::Status CopyOutMany(absl::Span<const Out> parts) override {
    return Many(TransferKind::kOut, parts, &Out::from, [this](absl::Span<const Out> translated) {
      return Upstream<BatchCapability>().CopyOutMany(translated);
    });
  }

  absl::Status Hint(const SubRegion& region, AccessHint hint) override {
    TENURE_RETURN_IF_ERROR(decorator_.BeforeCall("hint"));
    return Upstream<ResidencyCapability>().Hint(decorator_.ToUpstream(region), hint);
  }
  absl::StatusOr<Fence> Prefetch(const SubRegion& region, Side to, Queue* queue) override {
    TENURE_RETURN_IF_ERROR(decorator_.BeforeCall("prefetch"));
    return Upstream<ResidencyCapability>().Prefetch(decorator_.ToUpstream(region), to, queue);
  }

  absl::Status FlushHostWrites(const SubRegion& region) override {
    TENURE_RETURN_IF_ERROR(decorator_.BeforeCall("flush"));
    return Upstream<CoherenceCapability>().FlushHostWrites(decorator_.ToUpstream(region));
  }
  absl::Status InvalidateForHostReads(const SubRegion& region) override {
    TENURE_RETURN_IF_ERROR(decorator_.BeforeCall("invalidation"));
    return Upstream<CoherenceCapability>().InvalidateForHostReads(decorator_.ToUpstream(region));
  }

  absl::StatusOr<int> ExportFd(const Allocation& allocation) override {
    TENURE_RETURN_IF_ERROR(decorator_.BeforeCall("export"));
    return Upstream<ShareCapability>().ExportFd(*UpstreamOf(allocation));
  }
  absl::StatusOr<ForeignMemory> ImportFd(int fd, uint64_t size_bytes) override {
    TENURE_RETURN_IF_ERROR(decorator_.BeforeCall("import"));
    return Upstream<ShareCapability>().ImportFd(fd, size_bytes);
  }
  absl::StatusOr<std::string> ExportIpc(const Allocation& allocation) override {
    TENURE_RETURN_IF_ERROR(decorator_.BeforeCall("export"));
    return Upstream<ShareCapability>().ExportIpc(*UpstreamOf(allocation));
  }
  absl::StatusOr<ForeignMemory> ImportIpc(std::string_view handle, uint64_t size_bytes) override {
    TENURE_RETURN_IF_ERROR(decorator_.BeforeCall("import"));
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

  // A part that is refused refuses the batch, and those before it learn of that too.
  template <typename Part, typename Call>
  absl::Status Many(TransferKind kind, absl::Span<const Part> parts, SubRegion Part::*region,
                    const Call& call) {
    std::vector<Part> translated(parts.begin(), parts.end());
    absl::Status status;
    size_t admitted = 0;
    for (Part& part : translated) {
      status = decorator_.BeforeTransfer(kind, part.*region);
      if (!status.ok()) break;
      part.*region = decorator_.ToUpstream(part.*region);
      ++admitted;
    }
    if (status.ok()) status = call(translated);
    for (const Part& part : parts.first(admitted)) {
      decorator_.AfterTransfer(kind, part.*region, status);
    }
    return status;
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

absl::Status Decorator::Synchronize() {
  TENURE_RETURN_IF_ERROR(BeforeCall("synchronisation"));
  return upstream_->Synchronize();
}

absl::Status Decorator::AdmitTransfer(TransferKind kind, const SubRegion& region) {
  TENURE_RETURN_IF_ERROR(BeforeTransfer(kind, region));
  absl::Status status = upstream_->AdmitTransfer(kind, ToUpstream(region));
  if (!status.ok()) AfterTransfer(kind, region, status);
  return status;
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
