#include "tenure/planner/rebind.h"

#include <string>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "tenure/base/status_macros.h"

namespace tenure {
namespace internal {
namespace {

std::string Named(const Buffer& buffer) {
  return buffer.name().empty() ? absl::StrCat("storage ", buffer.storage_id().value())
                               : absl::StrCat("'", buffer.name(), "'");
}

// What `from` stands for, and what takes its place.
struct Exchange {
  Buffer whole;
  Buffer to;
  bool used = false;  // by a step
};
using Exchanges = absl::flat_hash_map<StorageId, Exchange>;

absl::StatusOr<Exchanges> CheckEach(absl::Span<const Rebinding> rebindings,
                                    const BoundWindows& bound) {
  Exchanges exchanges;
  absl::flat_hash_set<StorageId> targets;
  for (const auto& [from, to] : rebindings) {
    if (from.is_null() || to.is_null())
      return absl::InvalidArgumentError("a rebinding from or to a null buffer");
    const auto window = bound.find(from.storage_id());
    const Buffer whole =
        window == bound.end() ? Buffer::OfStorage(*from.storage()) : window->second;
    const auto refuse = [&from = from, &to = to](auto... why) {
      return absl::InvalidArgumentError(
          absl::StrCat("can't rebind ", Named(from), " to ", Named(to), ": ", why...));
    };
    if (to.size() != whole.size())
      return refuse("the first takes ", whole.size(), " bytes, the second ", to.size());
    if (to.allocator().space() != from.allocator().space()) {
      return refuse("they are in ", from.allocator().space().ToString(), " and ",
                    to.allocator().space().ToString());
    }
    if (!exchanges.try_emplace(from.storage_id(), Exchange{whole, to}).second)
      return refuse("the first is rebound twice");
    if (!targets.insert(to.storage_id()).second)
      return refuse("the second stands for another buffer too");
  }
  return exchanges;
}

// The same window of `exchange.to`.
absl::StatusOr<Buffer> Moved(const Buffer& buffer, const Exchange& exchange) {
  return exchange.to.View(buffer.offset() - exchange.whole.offset(), buffer.dtype(),
                          buffer.shape());
}

}  // namespace

absl::Status RebindSteps(absl::Span<const Rebinding> rebindings, std::vector<Step>& steps,
                         BoundWindows& bound) {
  TENURE_ASSIGN_OR_RETURN(Exchanges exchanges, CheckEach(rebindings, bound));
  absl::flat_hash_set<StorageId> kept;
  std::vector<std::pair<Buffer*, Buffer>> moves;
  for (Step& step : steps) {
    for (std::vector<Buffer>* side : {&step.reads, &step.writes}) {
      for (Buffer& buffer : *side) {
        const auto it = exchanges.find(buffer.storage_id());
        if (it == exchanges.end()) {
          kept.insert(buffer.storage_id());
          continue;
        }
        it->second.used = true;
        TENURE_ASSIGN_OR_RETURN(Buffer moved, Moved(buffer, it->second));
        moves.emplace_back(&buffer, std::move(moved));
      }
    }
  }
  for (const auto& [from, to] : rebindings) {
    if (!exchanges.at(from.storage_id()).used) {
      return absl::InvalidArgumentError(
          absl::StrCat("no step uses ", Named(from), ", so it can't be rebound to ", Named(to)));
    }
    if (kept.contains(to.storage_id())) {
      return absl::InvalidArgumentError(absl::StrCat(
          "can't rebind ", Named(from), " to ", Named(to), ", which the schedule uses already"));
    }
  }
  for (auto& [buffer, moved] : moves) *buffer = std::move(moved);
  for (const auto& [id, exchange] : exchanges) bound.erase(id);
  for (const auto& [id, exchange] : exchanges) {
    if (exchange.to.size() != exchange.to.total_size())
      bound.insert_or_assign(exchange.to.storage_id(), exchange.to);
  }
  return absl::OkStatus();
}

}  // namespace internal

absl::StatusOr<Schedule> Schedule::Instance(absl::Span<const Rebinding> rebindings) const {
  absl::flat_hash_map<StorageId, StorageId> renamed;
  for (const auto& [from, to] : rebindings) {
    if (from.is_null() || to.is_null()) continue;  // RebindSteps says so
    const Storage &old = *from.storage(), &fresh = *to.storage();
    const bool kept = IsInput(old.id()) && !IsDonated(old.id());  // no plan depends on it
    if (old.size_bytes() != fresh.size_bytes() ||
        (!kept &&
         (old.alignment_bytes() != fresh.alignment_bytes() || old.zeroed() != fresh.zeroed()))) {
      return absl::InvalidArgumentError(absl::StrCat(
          "can't rebind '", old.name(), "' to '", fresh.name(),
          "': an instance has the plan of the schedule only if size, alignment and the promise of "
          "zeros are the same"));
    }
    renamed[old.id()] = fresh.id();
  }
  Schedule instance(name_, order_);
  instance.steps_ = steps_;
  internal::BoundWindows bound;
  // Before the others are forked, since a storage may be rebound to one that is forked.
  std::vector<Buffer*> places;
  std::vector<Buffer> old;
  for (Step& step : instance.steps_) {
    for (std::vector<Buffer>* side : {&step.reads, &step.writes}) {
      for (Buffer& buffer : *side) {
        const StorageId id = buffer.storage_id();
        if (renamed.contains(id) || IsInput(id) || IsOutput(id) || HeldBecause(id) != nullptr ||
            buffer.is_allocated()) {
          continue;
        }
        places.push_back(&buffer);
        old.push_back(buffer);
      }
    }
  }
  TENURE_RETURN_IF_ERROR(internal::RebindSteps(rebindings, instance.steps_, bound));
  TENURE_ASSIGN_OR_RETURN(std::vector<Buffer> fresh,
                          Buffer::ForkViews(old, Buffer::Contents::kUndefined));
  for (size_t i = 0; i < places.size(); ++i) {
    renamed[old[i].storage_id()] = fresh[i].storage_id();
    *places[i] = std::move(fresh[i]);
  }
  const auto name_of = [&renamed](StorageId id) {
    const auto it = renamed.find(id);
    return it == renamed.end() ? id : it->second;
  };
  for (const auto& [id, use] : inputs_) instance.inputs_[name_of(id)] = use;
  for (const auto& [id, placement] : outputs_) instance.outputs_[name_of(id)] = placement;
  for (const auto& [id, why] : held_) instance.held_[name_of(id)] = why;
  for (StorageId id : intermediates_) instance.intermediates_.insert(name_of(id));
  instance.all_intermediate_ = all_intermediate_;
  return instance;
}

}  // namespace tenure
