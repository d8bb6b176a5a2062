// Runs the decoder of model.h through the C++ library: weights in a mapped file, caches that last from step to step,
// and two schedules (prefill and decode) that are planned apart and lie in one arena. The program's IR keeps its
// handles, as IRs do, so it says which storages may be planned all the same.
//
//   decoder WEIGHTS      writes the file

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "model.h"
#include "tenure/allocator/registry.h"
#include "tenure/base/status_macros.h"
#include "tenure/planner/planner.h"
#include "tenure/runtime/buffer.h"

namespace {

using tenure::Buffer;
using tenure::DType;
using tenure::Shape;

struct Program {
  model_program program = {};
  std::vector<Buffer> values;  // the IR's handles
  tenure::Schedule schedule;
  tenure::Plan plan;
  tenure::PlacedPlan placed;
  std::vector<void*> addresses;
};

// Weights and caches are `shared` by both programs.
absl::StatusOr<Program> PlanProgram(const std::string& name, const std::string& weights, int rows,
                                    std::vector<Buffer>& shared) {
  TENURE_ASSIGN_OR_RETURN(tenure::Allocator* const cpu,
                          tenure::Registry::Default().Get(tenure::MemorySpace::Cpu()));
  TENURE_ASSIGN_OR_RETURN(tenure::Allocator* const file,
                          tenure::Registry::Default().Get(tenure::MemorySpace::Disk(weights)));
  Program made;
  made.schedule = tenure::Schedule(name);
  model_make_program(rows, &made.program);
  for (int i = 0; i < made.program.value_count; ++i) {
    const model_value& value = made.program.values[i];
    const Shape shape = Shape::Vector(value.size);
    Buffer buffer = shared[static_cast<size_t>(i)];
    if (value.kind == kWeight && buffer.is_null()) {
      TENURE_ASSIGN_OR_RETURN(buffer,
                              Buffer::FromFile(*file, DType::kUInt8, shape, value.file_offset));
    } else if (buffer.is_null()) {
      TENURE_ASSIGN_OR_RETURN(buffer, Buffer::Create(*cpu, DType::kUInt8, shape));
    }
    if (value.kind == kWeight || value.kind == kCache) shared[static_cast<size_t>(i)] = buffer;
    if (value.kind == kIntermediate) {
      made.schedule.MarkIntermediate(buffer);  // the IR keeps a handle, and nothing else
    } else if (value.kind == kOutput) {
      made.schedule.MarkOutput(buffer);
    } else {
      made.schedule.MarkInput(buffer);
    }
    made.values.push_back(std::move(buffer));
  }
  for (int i = 0; i < made.program.op_count; ++i) {
    const model_op& op = made.program.ops[i];
    tenure::Step step{.name = op.name};
    for (int k = 0; k < op.read_count; ++k) {
      step.reads.push_back(made.values[static_cast<size_t>(op.reads[k])]);
    }
    step.writes.push_back(made.values[static_cast<size_t>(op.write)]);
    if (op.in_place >= 0) step.in_place.push_back({static_cast<uint32_t>(op.in_place), 0});
    TENURE_RETURN_IF_ERROR(made.schedule.AddStep(std::move(step)).status());
  }
  // With require_coverage, a handle that was forgotten above would be an error that names it.
  TENURE_ASSIGN_OR_RETURN(made.plan, tenure::MakePlan(made.schedule, {.require_coverage = true}));
  std::printf("%s: %d of %d bytes of intermediates\n", name.c_str(),
              static_cast<int>(made.plan.arena_bytes), static_cast<int>(made.plan.unplanned_bytes));
  return made;
}

absl::Status Place(const Buffer& arena, Program& p) {
  TENURE_ASSIGN_OR_RETURN(p.placed, PlacePlan(p.plan, p.schedule, {.arena = arena}));
  for (const Buffer& value : p.values) {
    TENURE_ASSIGN_OR_RETURN(const void* const data, value.HostPointer());
    p.addresses.push_back(const_cast<void*>(data));  // weights are read-only: no op writes to them
  }
  return absl::OkStatus();
}

// Returns the token that comes next.
int32_t Run(Program& p, const std::vector<int32_t>& tokens, int32_t position) {
  const auto number = [&](int value) {
    return static_cast<int32_t*>(p.addresses[static_cast<size_t>(value)]);
  };
  std::copy(tokens.begin(), tokens.end(), number(p.program.tokens));
  *number(p.program.position) = position;
  for (int i = 0; i < p.program.op_count; ++i) model_run(&p.program.ops[i], p.addresses.data());
  return *number(p.program.next);
}

absl::Status Main(const std::string& weights) {
  std::vector<Buffer> shared(kMaxValues);
  TENURE_ASSIGN_OR_RETURN(Program prefill, PlanProgram("prefill", weights, kPrompt, shared));
  TENURE_ASSIGN_OR_RETURN(Program decode, PlanProgram("decode", weights, 1, shared));
  const uint64_t bytes = std::max(prefill.plan.arena_bytes, decode.plan.arena_bytes);
  TENURE_ASSIGN_OR_RETURN(tenure::Allocator* const cpu,
                          tenure::Registry::Default().Get(tenure::MemorySpace::Cpu()));
  TENURE_ASSIGN_OR_RETURN(const Buffer arena,
                          Buffer::Create(*cpu, DType::kUInt8, Shape::Vector(bytes)));
  TENURE_RETURN_IF_ERROR(Place(arena, prefill));
  TENURE_RETURN_IF_ERROR(Place(arena, decode));
  std::vector<int32_t> prompt;
  prompt.reserve(kPrompt);
  for (int i = 0; i < kPrompt; ++i) prompt.push_back((7 * i + 3) % 128);
  int32_t token = Run(prefill, prompt, 0);
  for (int i = 0; i < kGenerated; ++i) {
    std::printf("%d%c", token, i % 16 == 15 ? '\n' : ' ');
    token = Run(decode, {token}, kPrompt + i);
  }
  TENURE_RETURN_IF_ERROR(UnplacePlan(std::move(decode.placed)));
  return UnplacePlan(std::move(prefill.placed));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2 || model_write_weights(argv[1]) == 0) {
    std::fprintf(stderr, "usage: %s WEIGHTS, a file that can be written\n", argv[0]);
    return 2;
  }
  const absl::Status status = Main(argv[1]);
  if (status.ok()) return 0;
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return 1;
}
