// The recurrences of RWKV-4, 5, 6 and 7 beside each other, measured in turns: time per token and head of 64
// channels, forward and backward over a sequence, and forward over one token.
//
//   wkv_bench [--heads 4] [--context 1024] [--rounds 15]
#include <cstdio>
#include <functional>

#include "bench/measure.h"
#include "kernels/backend.h"

namespace linnet::bench {
namespace {

constexpr Dim kHeadSize = 64;

/// What is measured of one version.
struct Subject {
  std::string name;
  std::function<void()> forward, backward, step;
  std::vector<double> forward_seconds{}, backward_seconds{}, step_seconds{};
};

struct Inputs {
  Dim rows, width;
  Tensor Rows(uint64_t seed, float scale) const { return RandomTensor({rows, width}, seed, scale); }
  Tensor Row(uint64_t seed, float scale) const { return RandomTensor({width}, seed, scale); }
  Tensor Out() const { return Tensor::Empty({rows, width}); }
  Sequences One() const {
    Sequences one;
    one.start = {0, static_cast<int>(rows)};
    one.slot = {0};
    return one;
  }
};

StateRef NewState(const Shape& shape) { return {Tensor::Zeros(shape), Tensor::Zeros(shape)}; }

Subject Wkv4(Backend& backend, const Inputs& many, const Inputs& few) {
  const auto of = [](const Inputs& x) {
    return Wkv4Inputs{x.Rows(1, 1), x.Rows(2, 1), x.Row(3, 2), x.Row(4, 1)};
  };
  const Wkv4Inputs in = of(many), one = of(few), d{many.Out(), many.Out(), many.Row(5, 0), many.Row(6, 0)};
  const StateRef state = NewState({1, 3, many.width});
  const Tensor snapshots = Tensor::Empty({backend.Wkv4Snapshots(many.One()), 3, many.width});
  const Tensor y = many.Out(), dy = many.Rows(7, 1), last = few.Out();
  return {"wkv4", [=, &backend] { backend.Wkv4Forward(in, many.One(), state, y, snapshots); },
          [=, &backend] { backend.Wkv4Backward(in, snapshots, many.One(), state, dy, {}, d, {}); },
          [=, &backend] { backend.Wkv4Forward(one, few.One(), state, last, {}); }};
}

/// WKV-6, or WKV-5 with decays that are the same for all rows.
Subject Wkv6(Backend& backend, const Inputs& many, const Inputs& few, int heads, bool of_rows) {
  const auto of = [&](const Inputs& x) {
    return Wkv6Inputs{x.Rows(1, 1), x.Rows(2, 1), x.Rows(3, 1), of_rows ? x.Rows(4, 2) : x.Row(4, 2),
                      x.Row(5, 1)};
  };
  const Wkv6Inputs in = of(many), one = of(few),
                   d{many.Out(), many.Out(), many.Out(), of_rows ? many.Out() : many.Row(6, 1),
                     many.Row(7, 1)};
  const StateRef state = NewState({1, heads, kHeadSize, kHeadSize});
  const Tensor snapshots = Tensor::Empty({backend.Wkv6Snapshots(many.One()), heads, kHeadSize, kHeadSize});
  const Tensor y = many.Out(), dy = many.Rows(8, 1), last = few.Out();
  return {of_rows ? "wkv6" : "wkv5",
          [=, &backend] { backend.Wkv6Forward(in, many.One(), heads, state, y, snapshots); },
          [=, &backend] { backend.Wkv6Backward(in, snapshots, many.One(), heads, dy, {}, d, {}); },
          [=, &backend] { backend.Wkv6Forward(one, few.One(), heads, state, last, {}); }};
}

Subject Wkv7(Backend& backend, const Inputs& many, const Inputs& few, int heads) {
  const auto of = [](const Inputs& x) {
    return Wkv7Inputs{x.Rows(1, 1), x.Rows(2, 4),    x.Rows(3, 1),
                      x.Rows(4, 1), x.Rows(5, 0.1f), x.Rows(6, 0.1f)};
  };
  const Wkv7Inputs in = of(many), one = of(few),
                   d{many.Out(), many.Out(), many.Out(), many.Out(), many.Out(), many.Out()};
  const StateRef state = NewState({1, heads, kHeadSize, kHeadSize});
  const Wkv7Saved saved{Tensor::Empty({backend.Wkv7Snapshots(many.One()), heads, kHeadSize, kHeadSize}),
                        many.Out()};
  const Tensor y = many.Out(), dy = many.Rows(7, 1), last = few.Out();
  return {"wkv7", [=, &backend] { backend.Wkv7Forward(in, many.One(), heads, state, y, saved); },
          [=, &backend] { backend.Wkv7Backward(in, saved, many.One(), heads, dy, {}, d, {}); },
          [=, &backend] { backend.Wkv7Forward(one, few.One(), heads, state, last, {}); }};
}

}  // namespace
}  // namespace linnet::bench

int main(int argc, char** argv) {
  linnet::WaitShortly(argv);
  using namespace linnet;
  using namespace linnet::bench;
  int heads = 4, rounds = 15;
  Dim context = 1024;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string flag = argv[i];
    if (flag == "--heads") heads = std::stoi(argv[i + 1]);
    if (flag == "--context") context = std::stoi(argv[i + 1]);
    if (flag == "--rounds") rounds = std::stoi(argv[i + 1]);
  }
  Backend& backend = Backend::For(Device::kCpu);
  const Inputs many{context, heads * kHeadSize}, few{1, heads * kHeadSize};
  std::vector<Subject> subjects{Wkv4(backend, many, few), Wkv6(backend, many, few, heads, false),
                                Wkv6(backend, many, few, heads, true), Wkv7(backend, many, few, heads)};
  constexpr int kSteps = 200;
  for (int round = 0; round <= rounds; ++round) {
    for (Subject& s : subjects) {
      const double forward = Seconds(s.forward), backward = Seconds(s.backward);
      const double steps = Seconds([&] {
        for (int i = 0; i < kSteps; ++i) s.step();
      });
      if (round == 0) continue;  // page faults of the first touch
      s.forward_seconds.push_back(forward);
      s.backward_seconds.push_back(backward);
      s.step_seconds.push_back(steps / kSteps);
    }
  }
  nlohmann::json report{
      {"machine", Machine()}, {"heads", heads}, {"head_size", kHeadSize}, {"context", context}};
  for (const Subject& s : subjects) {
    const double per = static_cast<double>(context * heads);
    report["ns_per_token_and_head"][s.name] = {{"forward", Median(s.forward_seconds) / per * 1e9},
                                               {"backward", Median(s.backward_seconds) / per * 1e9},
                                               {"one_token", Median(s.step_seconds) / heads * 1e9}};
  }
  std::puts(report.dump(2).c_str());
}
