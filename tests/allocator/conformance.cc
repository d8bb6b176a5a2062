#include "tenure/tests/allocator/conformance.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <limits>
#include <set>
#include <string_view>
#include <thread>
#include <utility>

#include "gtest/gtest.h"
#include "tenure/allocator/capabilities.h"
#include "tenure/allocator/copy/copy_table.h"
#include "tenure/allocator/cpu/cpu_allocator.h"
#include "tenure/allocator/decorators/caching.h"
#include "tenure/allocator/decorators/debug_fill.h"
#include "tenure/allocator/decorators/fault_injecting.h"
#include "tenure/allocator/decorators/limiting.h"
#include "tenure/allocator/decorators/recording.h"
#include "tenure/base/checked.h"

namespace tenure {
namespace {

constexpr uint64_t kMost = std::numeric_limits<uint64_t>::max();

// What a test needs of an allocator.
enum Needs : unsigned {
  kAnything = 0,
  kOrdinary = 1,    // allocations that are no imports
  kBytes = 2,       // that have bytes
  kHostAccess = 4,  // which the host can read and write
  kForeign = 8,
  kFile = 16,
  kAdvice = 32,
  kNoForeign = 64,
  kNoFile = 128,
};

constexpr std::pair<unsigned, const char*> kNeedNames[] = {
    {kOrdinary, "ordinary allocations"}, {kBytes, "bytes"},       {kHostAccess, "host access"},
    {kForeign, "foreign memory"},        {kFile, "file windows"}, {kAdvice, "advice"},
};

unsigned Offers(Allocator& allocator) {
  unsigned offers = 0;
  const bool file = allocator.Capability<FileCapability>() != nullptr;
  const bool foreign = allocator.Capability<ForeignMemoryCapability>() != nullptr;
  const SpaceTraits& traits = allocator.traits();
  offers |= file ? kFile : kNoFile;
  offers |= foreign ? kForeign : kNoForeign;
  if (allocator.Capability<AdviceCapability>() != nullptr) offers |= kAdvice;
  if (!file) {
    offers |= kOrdinary;
    if (traits.has_bytes) offers |= kBytes;
    const bool coherent = traits.coherence_atom_bytes <= 1;
    if (coherent && traits.host_readable && traits.host_writable) offers |= kHostAccess;
  }
  return offers;
}

struct Subject {
  ConformanceSubject what;
  std::unique_ptr<Allocator> owned = what.make();
  Allocator& a = *owned;

  Allocation Make(uint64_t size, uint64_t alignment = 0, bool zeroed = false) {
    auto made = a.Allocate(
        {.size_bytes = size, .alignment_bytes = alignment, .zeroed = zeroed, .name = "conform"});
    EXPECT_TRUE(made.ok()) << made.status();
    return made.ok() ? *made : Allocation();
  }
  Allocation Window(uint64_t offset, uint64_t size) {
    auto made = a.Allocate({.size_bytes = size, .name = "window", .file = FileWindow{offset}});
    EXPECT_TRUE(made.ok()) << made.status();
    return made.ok() ? *made : Allocation();
  }
  void Put(const Allocation& to, uint64_t offset, const std::vector<std::byte>& bytes) {
    auto done = a.CopyIn({&to, offset, bytes.size()}, bytes.data(), {});
    ASSERT_TRUE(done.ok()) << done.status();
    ASSERT_TRUE(done->Wait().ok());
  }
  std::vector<std::byte> Get(const Allocation& from, uint64_t offset, uint64_t size) {
    std::vector<std::byte> bytes(size);
    auto done = a.CopyOut(bytes.data(), {&from, offset, size}, {});
    EXPECT_TRUE(done.ok()) << done.status();
    if (done.ok()) {
      EXPECT_TRUE(done->Wait().ok());
    }
    return bytes;
  }
  void ExpectEmpty() {
    a.Poll();
    const AllocatorStats stats = a.Stats();
    EXPECT_EQ(stats.in_use_bytes, 0u);
    EXPECT_EQ(stats.in_use_count, 0u);
    EXPECT_EQ(stats.deferred_bytes, 0u);
    a.Trim(0);
    EXPECT_EQ(a.Stats().cached_bytes, 0u);
    EXPECT_EQ(a.Stats().reserved_bytes, 0u);
  }
};

std::vector<std::byte> Sequence(uint64_t size, unsigned seed) {
  std::vector<std::byte> bytes(size);
  for (uint64_t i = 0; i < size; i += 8) {
    const uint64_t word = (i + seed + 1) * 0x9e3779b97f4a7c15u;
    std::memcpy(bytes.data() + i, &word, std::min<uint64_t>(8, size - i));
  }
  return bytes;
}

void AllocatesAndFrees(Subject& s) {
  std::set<uint64_t> ids;
  for (uint64_t size : {1u, 2u, 63u, 64u, 65u, 1000u, 4096u, 70001u, (1u << 20) + 3u, 9u << 20}) {
    const Allocation made = s.Make(size);
    ASSERT_TRUE(made);
    EXPECT_TRUE(ids.insert(made.id.value()).second);
    EXPECT_EQ(made.size_bytes, size);
    EXPECT_GE(made.reserved_bytes, size);
    EXPECT_GE(made.alignment_bytes, s.a.traits().min_alignment_bytes);
    EXPECT_FALSE(made.read_only);
    EXPECT_FALSE(made.imported);
    EXPECT_EQ(s.a.Stats().in_use_bytes, size);
    EXPECT_EQ(s.a.Stats().in_use_count, 1u);
    EXPECT_GE(s.a.Stats().reserved_bytes, size);
    s.a.Deallocate(made);
  }
  EXPECT_EQ(s.a.Stats().allocation_count, 10u);
  EXPECT_EQ(s.a.Stats().peak_in_use_bytes, 9u << 20);
  s.ExpectEmpty();
}

void AcceptsEmptyAllocations(Subject& s) {
  const Allocation one = s.Make(0);
  const Allocation two = s.Make(0, 4096, true);
  ASSERT_TRUE(one && two);
  EXPECT_NE(one.id, two.id);
  EXPECT_EQ(one.host, nullptr);
  EXPECT_EQ(s.a.Stats().in_use_count, 2u);
  EXPECT_TRUE(s.a.CopyIn({&one, 0, 0}, nullptr, {}).ok());
  EXPECT_TRUE(s.a.CopyOut(nullptr, {&one, 0, 0}, {}).ok());
  EXPECT_TRUE(s.a.CopyWithin({&one, 0, 0}, {&two, 0, 0}, {}).ok());
  EXPECT_TRUE(s.a.Fill({&two, 0, 0}, FillPattern(), {}).ok());
  s.a.Deallocate(one);
  s.a.Deallocate(two);
  s.a.Deallocate(Allocation());  // nothing is nothing
  s.ExpectEmpty();
}

void RespectsAlignments(Subject& s) {
  for (uint64_t alignment = 1; alignment <= s.what.largest_alignment_bytes; alignment *= 2) {
    for (uint64_t size : {1u, 100u, 5000u}) {
      const Allocation made = s.Make(size, alignment);
      ASSERT_TRUE(made);
      EXPECT_GE(made.alignment_bytes, alignment);
      for (uint64_t address :
           {static_cast<uint64_t>(reinterpret_cast<uintptr_t>(made.host)), made.device_address}) {
        EXPECT_EQ(address & (made.alignment_bytes - 1), 0u) << alignment;
      }
      s.a.Deallocate(made);
    }
  }
  s.ExpectEmpty();
}

void RefusesNonsense(Subject& s) {
  for (uint64_t alignment : {uint64_t{3}, uint64_t{48}, kMost}) {
    auto made = s.a.Allocate({.size_bytes = 8, .alignment_bytes = alignment});
    EXPECT_TRUE(absl::IsInvalidArgument(made.status())) << made.status();
  }
  char byte = 0;
  auto both =
      s.a.Allocate({.size_bytes = 1, .foreign = ForeignMemory{&byte}, .file = FileWindow{0}});
  EXPECT_TRUE(absl::IsInvalidArgument(both.status())) << both.status();
  EXPECT_EQ(s.a.Stats().failure_count, 4u);
  s.ExpectEmpty();
}

void RefusesSizesBeyondReason(Subject& s) {
  const Allocation small = s.Make(1000);
  for (uint64_t size : {kMost, kMost - 1, kMost - 63, kMost - 200}) {
    for (uint64_t alignment : {uint64_t{0}, uint64_t{4096}, uint64_t{1} << 63}) {
      auto made =
          s.a.Allocate({.size_bytes = size, .alignment_bytes = alignment, .name = "huge thing"});
      ASSERT_TRUE(absl::IsResourceExhausted(made.status())) << made.status();
      for (std::string_view word : {std::string_view("huge thing"), std::string_view("requested"),
                                    std::string_view("limit"), std::string_view("tried")}) {
        EXPECT_NE(made.status().message().find(word), std::string::npos) << made.status();
      }
      EXPECT_NE(made.status().message().find(std::to_string(size)), std::string::npos);
    }
  }
  EXPECT_EQ(s.a.Stats().in_use_count, 1u);
  s.a.Deallocate(small);
  s.ExpectEmpty();
}

void RefusesImportsItLacks(Subject& s) {
  char byte = 0;
  auto made = s.a.Allocate({.size_bytes = 1, .foreign = ForeignMemory{&byte}});
  EXPECT_TRUE(absl::IsUnimplemented(made.status())) << made.status();
  s.ExpectEmpty();
}

void RefusesFilesItLacks(Subject& s) {
  auto made = s.a.Allocate({.size_bytes = 1, .file = FileWindow{0}});
  EXPECT_TRUE(absl::IsUnimplemented(made.status())) << made.status();
  s.ExpectEmpty();
}

void GivesZeroes(Subject& s) {
  for (uint64_t size : {uint64_t{1}, uint64_t{777}, uint64_t{65536}, uint64_t{5} << 20}) {
    for (int round = 0; round < 3; ++round) {
      const Allocation made = s.Make(size, 0, true);
      ASSERT_TRUE(made);
      const std::vector<std::byte> seen = s.Get(made, 0, size);
      EXPECT_EQ(seen[0], std::byte{0});
      EXPECT_EQ(std::memcmp(seen.data(), seen.data() + 1, size - 1), 0);
      s.Put(made, 0, std::vector<std::byte>(size, std::byte{0xff}));
      s.a.Deallocate(made);
    }
  }
  s.ExpectEmpty();
}

void CopiesInAndOut(Subject& s) {
  const uint64_t size = (3u << 20) + 17;
  const Allocation made = s.Make(size);
  ASSERT_TRUE(made);
  const std::vector<std::byte> bytes = Sequence(size, 1);
  s.Put(made, 0, bytes);
  EXPECT_EQ(s.Get(made, 0, size), bytes);
  s.Put(made, 5, Sequence(100, 9));
  EXPECT_EQ(s.Get(made, 5, 100), Sequence(100, 9));
  EXPECT_EQ(s.Get(made, 4, 1)[0], bytes[4]);
  EXPECT_EQ(s.Get(made, 105, 1)[0], bytes[105]);
  EXPECT_EQ(s.Get(made, size - 1, 1)[0], bytes[size - 1]);
  s.a.Deallocate(made);
  s.ExpectEmpty();
}

void CopiesWithin(Subject& s) {
  const uint64_t size = 10000;
  const Allocation one = s.Make(size);
  const Allocation two = s.Make(size);
  ASSERT_TRUE(one && two);
  std::vector<std::byte> bytes = Sequence(size, 2);
  s.Put(one, 0, bytes);
  ASSERT_TRUE(s.a.CopyWithin({&two, 10, 500}, {&one, 3, 500}, {}).ok());
  ASSERT_TRUE(s.a.Synchronize().ok());
  EXPECT_EQ(s.Get(two, 10, 500), std::vector<std::byte>(&bytes[3], &bytes[503]));
  for (int64_t shift : {-3000, -1, 0, 1, 64, 2500}) {
    s.Put(one, 0, bytes);
    auto done =
        s.a.CopyWithin({&one, static_cast<uint64_t>(4000 + shift), 3500}, {&one, 4000, 3500}, {});
    ASSERT_TRUE(done.ok()) << done.status();
    ASSERT_TRUE(done->Wait().ok());
    EXPECT_EQ(s.Get(one, static_cast<uint64_t>(4000 + shift), 3500),
              std::vector<std::byte>(&bytes[4000], &bytes[7500]))
        << shift;
  }
  s.a.Deallocate(one);
  s.a.Deallocate(two);
  s.ExpectEmpty();
}

void Fills(Subject& s) {
  const Allocation made = s.Make(4000);
  ASSERT_TRUE(made);
  for (uint32_t width : {1u, 2u, 4u, 8u, 16u}) {
    FillPattern pattern;
    pattern.size_bytes = width;
    for (uint32_t i = 0; i < width; ++i) pattern.bytes[i] = static_cast<std::byte>(width + i);
    s.Put(made, 0, std::vector<std::byte>(4000, std::byte{0}));
    auto done = s.a.Fill({&made, 7, 1001}, pattern, {});
    ASSERT_TRUE(done.ok()) << done.status();
    ASSERT_TRUE(done->Wait().ok());
    const std::vector<std::byte> seen = s.Get(made, 0, 4000);
    for (uint64_t i = 0; i < 4000; ++i) {
      const bool filled = i >= 7 && i < 1008;
      ASSERT_EQ(seen[i], filled ? pattern.bytes[(i - 7) % width] : std::byte{0}) << i;
    }
  }
  FillPattern odd;
  odd.size_bytes = 3;
  EXPECT_TRUE(absl::IsInvalidArgument(s.a.Fill({&made, 0, 9}, odd, {}).status()));
  s.a.Deallocate(made);
  s.ExpectEmpty();
}

void ShowsTheHostItsBytes(Subject& s) {
  const Allocation made = s.Make(5000);
  ASSERT_TRUE(made);
  ASSERT_NE(made.host, nullptr);
  const std::vector<std::byte> bytes = Sequence(5000, 3);
  s.Put(made, 0, bytes);
  EXPECT_EQ(std::memcmp(made.host, bytes.data(), 5000), 0);
  std::memset(made.host, 0x5a, 5000);
  EXPECT_EQ(s.Get(made, 0, 5000), std::vector<std::byte>(5000, std::byte{0x5a}));
  s.a.Deallocate(made);
  s.ExpectEmpty();
}

void KeepsApartWhatIsAlive(Subject& s) {
  std::vector<std::pair<uintptr_t, uintptr_t>> ranges;
  std::vector<Allocation> all;
  for (uint64_t i = 0; i < 300; ++i) {
    all.push_back(s.Make(1 + i * 37 % 3000));
    ASSERT_TRUE(all.back());
    const auto start = reinterpret_cast<uintptr_t>(all.back().host);
    ranges.emplace_back(start, start + all.back().size_bytes);
  }
  std::sort(ranges.begin(), ranges.end());
  for (size_t i = 1; i < ranges.size(); ++i) EXPECT_LE(ranges[i - 1].second, ranges[i].first);
  for (const Allocation& made : all) s.a.Deallocate(made);
  s.ExpectEmpty();
}

void WaitsForFences(Subject& s) {
  auto one = std::make_shared<HostTimeline>();
  auto two = std::make_shared<HostTimeline>();
  const Allocation made = s.Make(3000);
  ASSERT_TRUE(made);
  const Fence users[] = {Fence(one, 1), Fence(two, 5), Fence()};
  s.a.Deallocate(made, users);
  EXPECT_EQ(s.a.Stats().in_use_bytes, 0u);
  EXPECT_GE(s.a.Stats().deferred_bytes, 3000u);
  // While a device still uses the bytes, nobody else gets them.
  std::vector<Allocation> others;
  for (int i = 0; i < 20; ++i) {
    others.push_back(s.Make(3000));
    if (made.host != nullptr) {
      EXPECT_NE(others.back().host, made.host);
    }
  }
  two->Signal(4);
  one->Signal(1);
  s.a.Poll();
  EXPECT_GE(s.a.Stats().deferred_bytes, 3000u);
  two->Signal(5);
  s.a.Poll();
  EXPECT_EQ(s.a.Stats().deferred_bytes, 0u);
  for (const Allocation& other : others) s.a.Deallocate(other);
  s.ExpectEmpty();
}

void FreesWhatIsDueWhenAllocating(Subject& s) {
  auto timeline = std::make_shared<HostTimeline>();
  for (uint64_t i = 1; i <= 50; ++i) {
    const Allocation made = s.Make(1000);
    const Fence users[] = {Fence(timeline, i)};
    s.a.Deallocate(made, users);
    timeline->Signal(i);
  }
  s.a.Deallocate(s.Make(1000));
  EXPECT_EQ(s.a.Stats().deferred_bytes, 0u);
  s.ExpectEmpty();
}

void QuarantinesWhatFailedTimelinesGuard(Subject& s) {
  auto timeline = std::make_shared<HostTimeline>();
  const Allocation safe = s.Make(2000);
  const Allocation lost = s.Make(3000);
  const Fence early[] = {Fence(timeline, 1)};
  const Fence late[] = {Fence(timeline, 2)};
  s.a.Deallocate(safe, early);
  s.a.Deallocate(lost, late);
  timeline->Signal(1);
  timeline->Fail(absl::UnavailableError("the device fell off the bus"));
  s.a.Poll();
  s.a.Poll();
  EXPECT_EQ(s.a.Stats().deferred_bytes, 0u);
  EXPECT_GE(s.a.Stats().quarantined_bytes, 3000u);
  EXPECT_EQ(s.a.Stats().in_use_bytes, 0u);
  const Allocation other = s.Make(3000);
  if (lost.host != nullptr) {
    EXPECT_NE(other.host, lost.host);
  }
  s.a.Deallocate(other);
}

void WrapsForeignMemory(Subject& s) {
  alignas(64) static std::byte host[256];
  const std::shared_ptr<void> of_space = s.what.foreign ? s.what.foreign(256) : nullptr;
  void* const bytes = of_space != nullptr ? of_space.get() : host;
  int released = 0;
  auto made = s.a.Allocate({.size_bytes = 200,
                            .name = "foreign",
                            .foreign = ForeignMemory{bytes, false, [&] { ++released; }}});
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_TRUE(made->imported);
  EXPECT_EQ(made->reserved_bytes, 0u);
  EXPECT_EQ(s.a.Stats().in_use_bytes, 200u);
  s.Put(*made, 3, Sequence(50, 4));
  if (of_space == nullptr) {
    EXPECT_EQ(std::memcmp(host + 3, Sequence(50, 4).data(), 50), 0);
  }
  EXPECT_EQ(s.Get(*made, 3, 50), Sequence(50, 4));
  auto timeline = std::make_shared<HostTimeline>();
  const Fence users[] = {Fence(timeline, 1)};
  s.a.Deallocate(*made, users);
  s.a.Poll();
  EXPECT_EQ(released, 0);
  timeline->Signal(1);
  s.a.Poll();
  EXPECT_EQ(released, 1);
  s.ExpectEmpty();
  EXPECT_EQ(released, 1);

  auto sealed = s.a.Allocate({.size_bytes = 8, .foreign = ForeignMemory{bytes, true}});
  ASSERT_TRUE(sealed.ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(s.a.CopyIn({&*sealed, 0, 8}, host + 64, {}).status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(s.a.Fill({&*sealed, 0, 8}, {}, {}).status()));
  s.a.Deallocate(*sealed);
  s.ExpectEmpty();
}

void OpensWindows(Subject& s) {
  const uint64_t total = *s.a.Capability<FileCapability>()->FileSize();
  ASSERT_GE(total, s.what.file_bytes);
  for (auto [offset, size] :
       {std::pair<uint64_t, uint64_t>{0, total}, {1, 5}, {4095, 3}, {total, 0}, {total - 1, 1}}) {
    const Allocation window = s.Window(offset, size);
    ASSERT_TRUE(window);
    EXPECT_TRUE(window.read_only);
    EXPECT_TRUE(window.imported);
    EXPECT_EQ(window.reserved_bytes, 0u);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(window.host) & (window.alignment_bytes - 1), 0u);
    const std::vector<std::byte> seen = s.Get(window, 0, size);
    for (uint64_t i = 0; i < std::min(size, s.what.file_bytes); ++i) {
      ASSERT_EQ(seen[i], static_cast<std::byte>((offset + i) * 7)) << offset << " " << i;
    }
    if (size > 0) {
      EXPECT_EQ(std::memcmp(window.host, seen.data(), size), 0);
    }
    std::byte byte{};
    EXPECT_TRUE(absl::IsFailedPrecondition(s.a.CopyIn({&window, 0, size}, &byte, {}).status()));
    EXPECT_TRUE(absl::IsFailedPrecondition(s.a.Fill({&window, 0, size}, {}, {}).status()));
    s.a.Deallocate(window);
  }
  for (auto [offset, size] : {std::pair<uint64_t, uint64_t>{0, total + 1},
                              {total + 1, 0},
                              {kMost, 2},
                              {1, kMost},
                              {kMost, kMost}}) {
    auto beyond = s.a.Allocate({.size_bytes = size, .file = FileWindow{offset}});
    EXPECT_TRUE(absl::IsOutOfRange(beyond.status())) << beyond.status();
  }
  EXPECT_FALSE(s.a.Allocate({.size_bytes = 1}).ok());
  s.ExpectEmpty();
}

void TakesAdvice(Subject& s) {
  auto* advise = s.a.Capability<AdviceCapability>();
  const Allocation window =
      s.what.file_bytes > 0 ? s.Window(5, s.what.file_bytes - 5) : s.Make(1 << 20);
  for (Advice advice : {Advice::kSequential, Advice::kWillNeed, Advice::kRandom, Advice::kDontNeed,
                        Advice::kNormal}) {
    EXPECT_TRUE(advise->Advise({&window, 0, window.size_bytes}, advice).ok());
    EXPECT_TRUE(advise->Advise({&window, 1, 7}, advice).ok());
    EXPECT_TRUE(advise->Advise({&window, 1, 0}, advice).ok());
  }
  EXPECT_EQ(s.Get(window, 0, 1),
            s.what.file_bytes > 0 ? std::vector(1, std::byte{35}) : s.Get(window, 0, 1));
  s.a.Deallocate(window);
}

void ManyThreads(Subject& s) {
  constexpr int kThreads = 64;
  const bool bytes = s.a.traits().has_bytes;
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  // Each frees what the one before it made.
  std::vector<std::atomic<Allocation*>> handed(kThreads);
  std::vector<std::vector<Allocation>> kept(kThreads, std::vector<Allocation>(8));
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 24; ++i) {
        const uint64_t size = 64 + static_cast<uint64_t>((t * 24 + i) % 7) * 1000;
        auto made = s.a.Allocate({.size_bytes = size, .name = "racing"});
        if (!made.ok()) {
          ++wrong;
          continue;
        }
        if (bytes) {
          const std::vector<std::byte> mine = Sequence(size, static_cast<unsigned>(t));
          std::vector<std::byte> seen(size);
          if (!s.a.CopyIn({&*made, 0, size}, mine.data(), {}).ok()) ++wrong;
          if (!s.a.CopyOut(seen.data(), {&*made, 0, size}, {}).ok() || seen != mine) ++wrong;
        }
        if (i < 8) {
          kept[t][i] = *made;
        } else {
          s.a.Deallocate(*made);
        }
        if (i == 12) {
          handed[t].store(kept[t].data());
          handed[t].notify_all();
        }
        if (i % 16 == 0) (void)s.a.Stats();
        if (i % 20 == 0) s.a.Trim(10000);
      }
      auto& before = handed[(t + kThreads - 1) % kThreads];
      before.wait(nullptr);
      for (int i = 0; i < 8; ++i) s.a.Deallocate(before.load()[i]);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(s.a.Stats().allocation_count, uint64_t{kThreads} * 24);
  s.ExpectEmpty();
}

void SignalsWhileOthersPoll(Subject& s) {
  constexpr uint64_t kRounds = 200;
  auto timeline = std::make_shared<HostTimeline>();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (uint64_t i = 1; i <= kRounds; ++i) {
        auto made = s.a.Allocate({.size_bytes = 100 + i});
        const Fence users[] = {Fence(timeline, i)};
        if (made.ok()) s.a.Deallocate(*made, users);
        timeline->Signal(i - 1);
        if (i % 8 == 0) s.a.Poll();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  timeline->Signal(kRounds);
  s.ExpectEmpty();
}

void ForwardsCapabilities(Subject& s) {
  Allocator* root = &s.a;
  while (root->upstream() != nullptr) root = root->upstream();
  EXPECT_EQ(s.a.Capability<ForeignMemoryCapability>() != nullptr,
            root->Capability<ForeignMemoryCapability>() != nullptr);
  EXPECT_EQ(s.a.Capability<FileCapability>() != nullptr,
            root->Capability<FileCapability>() != nullptr);
  EXPECT_EQ(s.a.Capability<AdviceCapability>() != nullptr,
            root->Capability<AdviceCapability>() != nullptr);
  EXPECT_EQ(s.a.space(), root->space());
  EXPECT_EQ(s.a.traits().has_bytes, root->traits().has_bytes);
  EXPECT_LE(s.a.traits().max_allocation_bytes, root->traits().max_allocation_bytes);
}

// Whichever way bytes move: a decorator on top of the stack sees it, and can refuse it. Routes of
// the copy table are such a way, and they start at the top.
void ShowsDecoratorsEveryTransfer(Subject& s) {
  FaultInjectingAllocator top(s.what.make(), {.every_nth_copy = 1});
  CpuAllocator host;
  auto near = host.Allocate({.size_bytes = 4096, .zeroed = true});
  ASSERT_TRUE(near.ok());
  auto made = top.Allocate({.size_bytes = 4096, .name = "conform"});
  ASSERT_TRUE(made.ok()) << made.status();
  std::vector<std::byte> bytes(4096);
  const SubRegion all{&*made, 0, 4096}, low{&*made, 0, 1024}, high{&*made, 2048, 1024};
  const CopyEnd top_end{&top, all}, near_end{&host, {&*near, 0, 4096}};
  uint64_t transfers = 0;
  auto expect_refused = [&](std::string_view what, const absl::Status& status) {
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << what << ": " << status;
    EXPECT_EQ(top.copies(), ++transfers) << what;
  };
  expect_refused("CopyIn", top.CopyIn(all, bytes.data(), {}).status());
  expect_refused("CopyOut", top.CopyOut(bytes.data(), all, {}).status());
  expect_refused("CopyWithin", top.CopyWithin(high, low, {}).status());
  expect_refused("Fill", top.Fill(all, FillPattern(), {}).status());
  const CopyTable& table = CopyTable::For(top_end, near_end);
  expect_refused("a route to cpu", table.Copy(near_end, top_end, {}).status());
  expect_refused("a route from cpu", table.Copy(top_end, near_end, {}).status());
  expect_refused("a route within", table.Copy({&top, high}, {&top, low}, {}).status());
  if (auto* batch = top.Capability<BatchCapability>()) {
    const BatchCapability::In in[] = {{low, bytes.data()}};
    const BatchCapability::Out out[] = {{bytes.data(), low}};
    expect_refused("CopyInMany", batch->CopyInMany(in));
    expect_refused("CopyOutMany", batch->CopyOutMany(out));
  }
  EXPECT_EQ(top.faults(), transfers);
  host.Deallocate(*near);
  top.Deallocate(*made);
}

// The same where the decorator is the lowest of the stack and one of each other kind lies on it.
template <typename MakeUpper>
void ExpectLowestSees(Subject& s, const MakeUpper& make_upper) {
  auto owned = std::make_unique<FaultInjectingAllocator>(s.what.make(), FaultPlan());
  FaultInjectingAllocator& lowest = *owned;
  std::unique_ptr<Allocator> top = make_upper(std::move(owned));
  CpuAllocator host;
  auto near = host.Allocate({.size_bytes = 64, .zeroed = true});
  auto made = top->Allocate({.size_bytes = 64, .name = "conform"});
  ASSERT_TRUE(near.ok());
  ASSERT_TRUE(made.ok()) << made.status();
  lowest.SetPlan({.every_nth_copy = 1});
  const CopyEnd top_end{top.get(), {&*made, 0, 64}}, near_end{&host, {&*near, 0, 64}};
  const CopyTable& table = CopyTable::For(top_end, near_end);
  EXPECT_FALSE(table.Copy(near_end, top_end, {}).ok());
  EXPECT_EQ(lowest.copies(), 1u);
  EXPECT_FALSE(table.Copy(top_end, near_end, {}).ok());
  EXPECT_EQ(lowest.copies(), 2u);
  if (auto* batch = top->Capability<BatchCapability>()) {
    std::byte byte{};
    const BatchCapability::In in[] = {{{&*made, 0, 1}, &byte}};
    EXPECT_FALSE(batch->CopyInMany(in).ok());
    EXPECT_EQ(lowest.copies(), 3u);
  }
  lowest.SetPlan({});
  host.Deallocate(*near);
  top->Deallocate(*made);
}

void ShowsTheLowestDecoratorRoutesAndBatches(Subject& s) {
  using Upstream = std::unique_ptr<Allocator>;
  ExpectLowestSees(s, [](Upstream up) -> Upstream {
    return std::make_unique<CachingAllocator>(std::move(up), CachingAllocator::Options());
  });
  ExpectLowestSees(s, [](Upstream up) -> Upstream {
    return std::make_unique<LimitingAllocator>(std::move(up), uint64_t{1} << 30);
  });
  ExpectLowestSees(s, [](Upstream up) -> Upstream {
    return std::make_unique<RecordingAllocator>(std::move(up), RecordingAllocator::Options());
  });
  ExpectLowestSees(s, [](Upstream up) -> Upstream {
    return std::make_unique<DebugFillAllocator>(std::move(up), DebugFillAllocator::Options());
  });
}

struct Check {
  const char* name;
  unsigned needs;
  void (*run)(Subject&);
};

constexpr Check kChecks[] = {
    {"AllocatesAndFrees", kOrdinary, AllocatesAndFrees},
    {"AcceptsEmptyAllocations", kOrdinary, AcceptsEmptyAllocations},
    {"RespectsAlignments", kOrdinary, RespectsAlignments},
    {"RefusesNonsense", kAnything, RefusesNonsense},
    {"RefusesSizesBeyondReason", kOrdinary, RefusesSizesBeyondReason},
    {"RefusesImportsItLacks", kNoForeign, RefusesImportsItLacks},
    {"RefusesFilesItLacks", kNoFile, RefusesFilesItLacks},
    {"GivesZeroes", kBytes, GivesZeroes},
    {"CopiesInAndOut", kBytes, CopiesInAndOut},
    {"CopiesWithin", kBytes, CopiesWithin},
    {"Fills", kBytes, Fills},
    {"ShowsTheHostItsBytes", kHostAccess, ShowsTheHostItsBytes},
    {"KeepsApartWhatIsAlive", kHostAccess, KeepsApartWhatIsAlive},
    {"WaitsForFences", kOrdinary, WaitsForFences},
    {"FreesWhatIsDueWhenAllocating", kOrdinary, FreesWhatIsDueWhenAllocating},
    {"QuarantinesWhatFailedTimelinesGuard", kOrdinary, QuarantinesWhatFailedTimelinesGuard},
    {"WrapsForeignMemory", kForeign, WrapsForeignMemory},
    {"OpensWindows", kFile, OpensWindows},
    {"TakesAdvice", kAdvice, TakesAdvice},
    {"ManyThreads", kOrdinary, ManyThreads},
    {"SignalsWhileOthersPoll", kOrdinary, SignalsWhileOthersPoll},
    {"ForwardsCapabilities", kAnything, ForwardsCapabilities},
    {"ShowsDecoratorsEveryTransfer", kOrdinary | kBytes, ShowsDecoratorsEveryTransfer},
    {"ShowsTheLowestDecoratorRoutesAndBatches", kOrdinary | kBytes,
     ShowsTheLowestDecoratorRoutesAndBatches},
};

class ConformanceTest : public testing::Test {
 public:
  ConformanceTest(const ConformanceSubject& subject, const Check& check)
      : subject_(subject), check_(check) {}
  void TestBody() override {
    Subject subject{subject_};
    check_.run(subject);
  }

 private:
  const ConformanceSubject subject_;
  const Check& check_;
};

}  // namespace

bool RegisterConformanceTests(const std::vector<ConformanceSubject>& subjects) {
  for (const ConformanceSubject& subject : subjects) {
    const unsigned offers = Offers(*subject.make());
    std::string left_out;
    for (const Check& check : kChecks) {
      const unsigned missing = check.needs & ~offers;
      if (missing == 0) {
        testing::RegisterTest(("Conformance_" + subject.name).c_str(), check.name, nullptr, nullptr,
                              __FILE__, __LINE__, [subject, &check]() -> testing::Test* {
                                return new ConformanceTest(subject, check);
                              });
        continue;
      }
      for (const auto& [need, name] : kNeedNames) {
        if ((missing & need) == 0) continue;
        left_out += (left_out.empty() ? " " : ", ") + std::string(check.name) + " (" + name + ")";
      }
    }
    if (!left_out.empty()) {
      std::printf("conformance: %s can't do, and is not tried on:%s\n", subject.name.c_str(),
                  left_out.c_str());
    }
  }
  return true;
}

}  // namespace tenure
