#include "tenure/tests/testing/random_schedule.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace tenure {
namespace {

uint64_t Mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

bool Overlap(const SpecWindow& a, const SpecWindow& b) {
  return a.storage == b.storage && std::max(a.begin, b.begin) < std::min(a.end, b.end);
}

bool Conflict(const SpecStep& a, const SpecStep& b) {
  for (const SpecWindow& w : a.writes) {
    for (const SpecWindow& other : b.writes) {
      if (Overlap(w, other)) return true;
    }
    for (const SpecWindow& other : b.reads) {
      if (Overlap(w, other)) return true;
    }
  }
  for (const SpecWindow& r : a.reads) {
    for (const SpecWindow& w : b.writes) {
      if (Overlap(r, w)) return true;
    }
  }
  return false;
}

class Maker {
 public:
  Maker(std::mt19937_64& random, const SpecOptions& options) : random_(random), options_(options) {
    spec_.order = options.dependencies ? OrderKind::kDependencies : OrderKind::kTotal;
  }

  Spec Run() {
    for (uint32_t i = 0; i < 2; ++i) {
      spec_.storages.push_back({.size = 64 + Below(64), .input = true});
      readable_.push_back({i, 0, spec_.storages[i].size});
    }
    for (uint32_t number = 0; number < options_.steps; ++number) {
      SpecStep step;
      step.queue = static_cast<uint32_t>(Below(options_.queues));
      for (uint64_t k = Below(4); k > 0; --k) AddRead(step);
      for (uint64_t k = 1 + Below(2); k > 0; --k) AddWrite(step);
      if (options_.dependencies) Order(number, step);
      for (const SpecWindow& w : step.writes) {
        if (w.begin < w.end) readable_.push_back(w);
      }
      spec_.steps.push_back(std::move(step));
    }
    return std::move(spec_);
  }

 private:
  uint64_t Below(uint64_t n) { return random_() % n; }
  bool Odds(uint64_t n) { return Below(n) == 0; }

  // Few different sizes, so that slabs are used again.
  uint64_t AnySize() {
    static constexpr uint64_t kSizes[] = {0, 1, 64, 100, 128, 256};
    return Odds(3) ? 1 + Below(options_.max_size) : kSizes[Below(6)];
  }

  uint32_t NewStorage(uint64_t size) {
    SpecStorage storage;
    storage.size = size;
    if (Odds(8)) storage.alignment = uint64_t{1} << Below(9);
    storage.output = Odds(12);
    storage.zeroed = storage.output || Odds(6);  // outputs are compared as a whole
    spec_.storages.push_back(storage);
    const auto number = static_cast<uint32_t>(spec_.storages.size() - 1);
    if (storage.zeroed) readable_.push_back({number, 0, storage.size});
    return number;
  }

  // A part of what was written, mostly lately: so that things die.
  void AddRead(SpecStep& step) {
    const size_t reach = Odds(4) ? readable_.size() : std::min<size_t>(6, readable_.size());
    SpecWindow window = readable_[readable_.size() - 1 - Below(reach)];
    if (Odds(3)) {
      window.begin += Below(window.end - window.begin + 1);
      window.end -= Below(window.end - window.begin + 1);
    }
    step.reads.push_back(window);
  }

  void AddWrite(SpecStep& step) {
    if (!Odds(3)) {
      uint64_t size = AnySize();
      // As large as something that is read, so that it may be written in place.
      if (!step.reads.empty() && !Odds(3)) {
        const auto r = static_cast<uint32_t>(Below(step.reads.size()));
        size = spec_.storages[step.reads[r].storage].size;
        step.in_place.push_back({r, static_cast<uint32_t>(step.writes.size())});
      }
      const uint32_t s = NewStorage(size);
      SpecWindow window{s, 0, size};
      if (Odds(4)) window.end -= Below(size + 1);
      step.writes.push_back(window);
      return;
    }
    SpecWindow window = readable_[Below(readable_.size())];
    window.end = spec_.storages[window.storage].size;
    if (Odds(2)) window.begin += Below(window.end - window.begin + 1);
    step.writes.push_back(window);
  }

  void Order(uint32_t number, SpecStep& step) {
    for (uint32_t before = 0; before < number; ++before) {
      if (Conflict(spec_.steps[before], step) || Odds(number < 8 ? 3 : 20))
        step.after.push_back(before);
    }
  }

  std::mt19937_64& random_;
  const SpecOptions options_;
  Spec spec_;
  std::vector<SpecWindow> readable_;
};

absl::Span<uint8_t> BytesOf(const Buffer& buffer) {
  absl::StatusOr<void*> pointer = buffer.MutableHostPointer();
  EXPECT_TRUE(pointer.ok()) << pointer.status();
  return {static_cast<uint8_t*>(pointer.value_or(nullptr)), static_cast<size_t>(buffer.size())};
}

}  // namespace

Spec RandomSteps(std::mt19937_64& random, const SpecOptions& options) {
  return Maker(random, options).Run();
}

Job MakeJob(const Spec& spec, Allocator& allocator) {
  Job job{.schedule = Schedule("random", spec.order), .kept = {}};
  std::vector<Buffer> buffers;
  for (size_t s = 0; s < spec.storages.size(); ++s) {
    const SpecStorage& storage = spec.storages[s];
    buffers.push_back(Buffer::Create(allocator, DType::kUInt8, Shape::Vector(storage.size),
                                     {.name = absl::StrCat("b", s),
                                      .alignment_bytes = storage.alignment,
                                      .zeroed = storage.zeroed})
                          .value());
    job.kept.emplace_back();
    if (storage.input) {
      job.schedule.MarkInput(buffers[s], storage.donated ? InputUse::kDonated : InputUse::kKept);
    }
    if (storage.output) job.schedule.MarkOutput(buffers[s], storage.placement);
    if ((storage.input && !storage.donated) || storage.output) job.kept[s] = buffers[s];
    if (!storage.input) continue;
    const absl::Span<uint8_t> bytes = BytesOf(buffers[s]);
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(Mix(s * 1000 + i));
  }
  for (size_t n = 0; n < spec.steps.size(); ++n) {
    const SpecStep& from = spec.steps[n];
    Step step{.name = absl::StrCat("s", n)};
    for (const SpecWindow& w : from.reads)
      step.reads.push_back(buffers[w.storage].View(w.begin, w.end - w.begin).value());
    for (const SpecWindow& w : from.writes)
      step.writes.push_back(buffers[w.storage].View(w.begin, w.end - w.begin).value());
    step.after = from.after;
    step.queue = from.queue;
    step.in_place = from.in_place;
    EXPECT_TRUE(job.schedule.AddStep(std::move(step)).ok());
  }
  return job;
}

Edges EdgesOf(const Spec& spec) {
  Edges edges;
  for (uint32_t s = 0; s < spec.steps.size(); ++s) {
    if (spec.order == OrderKind::kDependencies) {
      for (uint32_t before : spec.steps[s].after) edges.push_back({before, s});
      continue;
    }
    for (uint32_t before = 0; before < s; ++before) {
      if (Conflict(spec.steps[before], spec.steps[s])) edges.push_back({before, s});
    }
  }
  return edges;
}

std::vector<std::pair<uint32_t, bool>> Interleave(uint32_t steps, const Edges& edges,
                                                  std::mt19937_64& random) {
  std::vector<uint32_t> waiting(steps, 0);
  std::vector<std::vector<uint32_t>> next(steps);
  for (const auto& [before, after] : edges) {
    ++waiting[after];
    next[before].push_back(after);
  }
  std::vector<std::pair<uint32_t, bool>> possible, events;
  for (uint32_t s = 0; s < steps; ++s) {
    if (waiting[s] == 0) possible.push_back({s, false});
  }
  // Some executors like old steps, some new ones, some neither.
  const uint64_t taste = random() % 3;
  while (!possible.empty()) {
    size_t pick = random() % possible.size();
    if (taste == 1) pick = std::max<size_t>(pick, random() % possible.size());
    if (taste == 2) pick = possible.size() - 1;
    if (taste == 2 && random() % 4 == 0) pick = 0;
    const auto [step, is_end] = possible[pick];
    events.push_back(possible[pick]);
    possible.erase(possible.begin() + static_cast<ptrdiff_t>(pick));
    if (!is_end) {
      possible.push_back({step, true});
      continue;
    }
    for (uint32_t after : next[step]) {
      if (--waiting[after] == 0) possible.push_back({after, false});
    }
  }
  EXPECT_EQ(events.size(), 2 * size_t{steps});
  return events;
}

std::vector<std::pair<uint32_t, bool>> OneByOne(uint32_t steps) {
  std::vector<std::pair<uint32_t, bool>> events;
  for (uint32_t s = 0; s < steps; ++s) {
    events.push_back({s, false});
    events.push_back({s, true});
  }
  return events;
}

uint64_t DoReads(uint32_t number, const Step& step) {
  uint64_t value = Mix(number + 1);
  for (const Buffer& read : step.reads) {
    for (uint8_t byte : BytesOf(read)) value = Mix(value + byte + 1);
  }
  return value;
}

void DoWrites(const Step& step, uint64_t value) {
  for (size_t w = 0; w < step.writes.size(); ++w) {
    const absl::Span<uint8_t> bytes = BytesOf(step.writes[w]);
    for (size_t i = 0; i < bytes.size(); ++i)
      bytes[i] = static_cast<uint8_t>(Mix(value + 1000 * w + i));
  }
}

std::vector<std::vector<uint8_t>> ContentsOfKept(const Job& job) {
  std::vector<std::vector<uint8_t>> contents;
  for (const Buffer& kept : job.kept) {
    if (kept.is_null()) continue;
    const absl::Span<uint8_t> bytes = BytesOf(kept);
    contents.emplace_back(bytes.begin(), bytes.end());
  }
  return contents;
}

Results Execute(const Job& job, const std::vector<std::pair<uint32_t, bool>>& events,
                const std::vector<std::pair<uint32_t, Buffer>>& fills) {
  const auto& steps = job.schedule.steps();
  Results results;
  results.read.resize(steps.size());
  for (const auto& [number, is_end] : events) {
    const Step& step = steps[number];
    if (is_end) {
      DoWrites(step, results.read[number]);
      continue;
    }
    for (const auto& [at, storage] : fills) {
      if (at != number || storage.size() == 0) continue;
      const absl::Span<uint8_t> bytes = BytesOf(storage);
      std::memset(bytes.data(), 0, bytes.size());
    }
    results.read[number] = DoReads(number, step);
  }
  results.end = ContentsOfKept(job);
  return results;
}

}  // namespace tenure
