// The architectures side by side, each in turns with the one it is told in terms of, ratios as medians:
//
//   training    steps of models of equal numbers of parameters on bytes, against RWKV-7's
//   recurrence  forward and backward pass of recurrent layers of equal width, against an LSTM's, which goes
//               one step after the other
//   generation  tokens a second after so many tokens, and bytes of the state that has room for them
//
//   lineage_bench [--part training] [--arch lru,s5] [--beside rwkv7] [--params 350000] [--layers 2] [--length
//   128]
//   [--batch 8,32] [--width 128,256,512] [--position 100,5000] [--rounds 9]
//
// Layers stand between an embedding and a head for 16 tokens, batch 8, length 512.
#include <cstdio>
#include <map>

#include "bench/measure.h"
#include "bench/training_step.h"
#include "lab/sizing.h"

namespace linnet::bench {
namespace {

constexpr Dim kBytes = 256;

std::vector<std::string> Words(const std::string& list) {
  std::vector<std::string> words;
  for (size_t begin = 0, end; begin <= list.size(); begin = end + 1) {
    end = std::min(list.find(',', begin), list.size());
    words.push_back(list.substr(begin, end - begin));
  }
  return words;
}

struct Options {
  std::map<std::string, std::string> text{{"--part", "training,recurrence,generation"},
                                          {"--arch", ""},
                                          {"--beside", ""},
                                          {"--params", "350000"},
                                          {"--layers", "2"},
                                          {"--length", "128"},
                                          {"--batch", "8,32"},
                                          {"--width", "128,256,512"},
                                          {"--position", "100,5000"},
                                          {"--rounds", "9"}};

  Options(int argc, char** argv) {
    for (int i = 1; i < argc; i += 2) {
      Check(text.contains(argv[i]) && i + 1 < argc, "unknown flag {} or no value", argv[i]);
      text[argv[i]] = argv[i + 1];
    }
  }
  Dim operator[](const std::string& name) const { return std::stoll(text.at("--" + name)); }
  std::vector<Dim> List(const std::string& name) const {
    std::vector<Dim> numbers;
    for (const std::string& word : Words(text.at("--" + name))) numbers.push_back(std::stoll(word));
    return numbers;
  }
  bool Has(const std::string& part) const { return text.at("--part").find(part) != std::string::npos; }
  /// What others are told in terms of.
  std::string Beside(const std::string& otherwise) const {
    return text.at("--beside").empty() ? otherwise : text.at("--beside");
  }
  /// Those that were asked for, or `otherwise`.
  std::vector<std::string> Architectures(std::vector<std::string> otherwise) const {
    return text.at("--arch").empty() ? std::move(otherwise) : Words(text.at("--arch"));
  }
};

std::vector<std::string> AllArchitectures() {
  std::vector<std::string> names;
  for (const Architecture& architecture : linnet::Architectures()) names.push_back(architecture.name);
  return names;
}

/// The model of so many parameters that sees `length` bytes.
LoadedModel ModelOf(const Options& o, const std::string& name, Dim length) {
  const lab::Contestant contestant = lab::ParseContestant(name);
  const Sizes sizes = lab::SizeToFit(contestant, o["layers"], kBytes, length, o["params"]).sizes;
  return NewModel(*contestant.architecture, sizes, 1);
}

/// Times of two bodies in turns.
struct Duel {
  std::vector<double> first, second, ratios;  // ratios: first / second

  template <class First, class Second>
  Duel(Dim rounds, const First& one, const Second& other) {
    for (Dim round = -1; round < rounds; ++round) {
      const double a = Seconds(one), b = Seconds(other);
      if (round < 0) continue;  // sets up products and fills the memory pool
      first.push_back(a);
      second.push_back(b);
      ratios.push_back(a / b);
    }
  }
};

/// What `measure` says or, of a model that cannot have so many parameters, why not.
template <class Measure>
nlohmann::json IfPossible(const Measure& measure) {
  try {
    return measure();
  } catch (const Error& error) {
    return {{"impossible", error.what()}};
  }
}

nlohmann::json Training(const Options& o, Dim batch) {
  nlohmann::json report;
  const StepShape shape{batch, o["length"]};
  const std::string beside = o.Beside("rwkv7:head_size=32");
  TrainingStep first(ModelOf(o, beside, shape.length), shape);
  for (const std::string& name : o.Architectures(AllArchitectures())) {
    std::fprintf(stderr, "training, batch %d: %s\n", static_cast<int>(batch), name.c_str());
    report[name] = IfPossible([&]() -> nlohmann::json {
      TrainingStep step(ModelOf(o, name, shape.length), shape);
      const Duel duel(
          o["rounds"], [&] { first.Run(); }, [&] { step.Run(); });
      return {{"width", step.weights().model.sizes.at("width")},
              {"parameters", step.parameters()},
              {"megaflops_per_token", step.Flops() / step.tokens() * 1e-6},
              {"tokens_per_s", step.tokens() / Median(duel.second)},
              {"of_" + beside, Median(duel.ratios)}};
    });
  }
  return report;
}

nlohmann::json Recurrence(const Options& o, Dim width) {
  const auto step_of = [&](const std::string& name) {
    const lab::Contestant contestant = lab::ParseContestant(name);
    Sizes sizes = contestant.chosen;
    sizes.insert({{"layers", o["layers"]}, {"width", width}, {"vocab", 16}});
    const Architecture& architecture = *contestant.architecture;
    return TrainingStep(NewModel(architecture, architecture.complete_sizes(sizes), 1), {8, 512});
  };
  nlohmann::json report;
  const std::string beside = o.Beside("lstm");
  TrainingStep first = step_of(beside);
  for (const std::string& name :
       o.Architectures({"lstm", "gru", "rnn", "sru:version=1", "sru", "qrnn", "gilr-lstm", "minimal-rnn"})) {
    std::fprintf(stderr, "recurrence, width %d: %s\n", static_cast<int>(width), name.c_str());
    TrainingStep step = step_of(name);
    const Duel duel(
        o["rounds"], [&] { first.ForwardBackward(); }, [&] { step.ForwardBackward(); });
    report[name] = {{"gigaflops", step.Flops() * 1e-9},
                    {"gigaflops_per_s", step.Flops() / Median(duel.second) * 1e-9},
                    {"milliseconds", Median(duel.second) * 1e3},
                    {"of_" + beside, Median(duel.ratios)}};
  }
  return report;
}

/// One sequence, byte by byte.
class Writer {
 public:
  explicit Writer(const LoadedModel& model) : model_(model), state_(model.NewState(1)) {}
  void ReadTo(Dim position) {
    Batch batch;
    std::vector<int> text;
    for (; position_ < position; ++position_) text.push_back(static_cast<int>(position_ * 7919 % kBytes));
    batch.Append(text, 0);
    batch.wanted = {static_cast<int>(text.size()) - 1};
    model_.model->Forward(batch, state_);
  }
  void Write(Dim count) {
    for (Dim i = 0; i < count; ++i) ReadTo(position_ + 1);
  }

 private:
  const LoadedModel& model_;
  State state_;
  Dim position_ = 0;
};

/// `name` with room for `length` tokens, otherwise the model of Training.
LoadedModel WithRoom(const Options& o, const std::string& name, Dim length) {
  const lab::Contestant contestant = lab::ParseContestant(name);
  Sizes sizes = lab::SizeToFit(contestant, o["layers"], kBytes, o["length"], o["params"]).sizes;
  if (sizes.contains("context")) sizes["context"] = length;
  return NewModel(*contestant.architecture, sizes, 1);
}

nlohmann::json Generation(const Options& o, const std::string& name) {
  constexpr Dim kCount = 100;
  std::fprintf(stderr, "generation: %s\n", name.c_str());
  const std::vector<Dim> positions = o.List("position");
  const LoadedModel model = WithRoom(o, name, positions.back() + (o["rounds"] + 1) * kCount);
  std::vector<Writer> writers;
  std::vector<std::vector<double>> seconds(positions.size());
  for (Dim position : positions) writers.emplace_back(model).ReadTo(position);
  for (Dim round = -1; round < o["rounds"]; ++round) {
    for (size_t i = 0; i < positions.size(); ++i) {
      const double time = Seconds([&] { writers[i].Write(kCount); });
      if (round >= 0) seconds[i].push_back(time);
    }
  }
  nlohmann::json report;
  for (size_t i = 0; i < positions.size(); ++i) {
    report[fmt::format("after {}", positions[i])] = {
        {"tokens_per_s", static_cast<double>(kCount) / Median(seconds[i])},
        {"state_bytes", WithRoom(o, name, positions[i]).NewState(1).slot_bytes()}};
  }
  std::vector<double> ratios;
  for (size_t i = 0; i < seconds[0].size(); ++i) ratios.push_back(seconds.back()[i] / seconds[0][i]);
  report["slowdown"] = Median(ratios);
  return report;
}

nlohmann::json Report(const Options& o) {
  nlohmann::json report{{"machine", Machine()}, {"parameters", o["params"]}, {"layers", o["layers"]}};
  if (o.Has("training")) {
    report["training"]["length"] = o["length"];
    for (Dim batch : o.List("batch")) report["training"][fmt::format("batch {}", batch)] = Training(o, batch);
  }
  if (o.Has("recurrence")) {
    for (Dim width : o.List("width"))
      report["recurrence"][fmt::format("width {}", width)] = Recurrence(o, width);
  }
  if (o.Has("generation")) {
    for (const std::string& name : o.Architectures(AllArchitectures())) {
      report["generation"][name] = IfPossible([&] { return Generation(o, name); });
    }
  }
  return report;
}

}  // namespace
}  // namespace linnet::bench

int main(int argc, char** argv) {
  linnet::WaitShortly(argv);
  using namespace linnet::bench;
  try {
    std::puts(Report(Options(argc, argv)).dump(2).c_str());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "lineage_bench: %s\n", error.what());
    return 1;
  }
}
