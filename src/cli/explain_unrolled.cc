// linnet explain unrolled: an architecture's recurrence over three tokens as a picture, and in words. What
// can be computed for all tokens at once is blue, steps that join to one step are green, what has to wait for
// the step before is orange: so one sees how the network trains in parallel, or why it does not.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "base/file.h"
#include "cli/drawing.h"
#include "cli/lab_commands.h"
#include "cli/plots.h"
#include "nn/model.h"

namespace linnet {
namespace {

/// What a step computes from beside its own token.
enum class Sees { kToken, kTokenBefore, kState };

/// How the steps of many tokens become one computation.
enum class Join { kConvolution, kScan, kChunks, kKeeps, kLooksUp, kWaits };

struct Recurrence {
  const char* architecture;
  const char* computes;  // of each token
  const char* state;     // what is carried
  const char* kept;      // what becomes of it in a step
  const char* added;     // what comes to it
  const char* says;      // the output
  Sees sees;
  Join join;
};

// Formulas are shortened: docs/learn and the files of models/ have them in full.
constexpr Recurrence kRecurrences[] = {
    {"rwkv2", "k, v, r = W x", "a, b", "d", "e^k v, e^k", "sigmoid(r) a / b", Sees::kTokenBefore,
     Join::kScan},
    {"rwkv4", "k, v, r = W x", "a, b", "d", "e^k v, e^k", "sigmoid(r) a / b", Sees::kTokenBefore,
     Join::kScan},
    {"rwkv5", "r, k, v, g = W x", "S", "d", "k^T v", "g norm(r S)", Sees::kTokenBefore, Join::kChunks},
    {"rwkv6", "r, d, k, v, g = W x", "S", "d of x", "k^T v", "g norm(r S)", Sees::kTokenBefore,
     Join::kChunks},
    {"rwkv7", "r, d, k, v, a, g = W x", "S", "d - kk^T (a kk)", "v^T k", "g norm(S r)", Sees::kTokenBefore,
     Join::kChunks},
    {"rwkv7a", "r, d, k, v, a, g = W x", "S", "d - kk^T (a kk)", "v^T k", "g norm(S r)", Sees::kTokenBefore,
     Join::kChunks},
    {"rwkv7b", "r, d, k, v, a, g, q = W x", "S; all k, v", "d - kk^T (a kk)", "v^T k",
     "g norm(S r), attention", Sees::kTokenBefore, Join::kKeeps},
    {"rwkv8", "bits of q, k, v", "all k, v", "all", "k, v", "v after the match", Sees::kTokenBefore,
     Join::kLooksUp},
    {"rosa", "bits of x", "all bits", "all", "bits", "what followed", Sees::kToken, Join::kLooksUp},
    {"qrnn", "z, f, o = W (x, x')", "c", "f", "(1 - f) z", "o c", Sees::kTokenBefore, Join::kScan},
    {"sru", "z, f, r = W x, v c", "c", "f", "(1 - f) z", "r c + (1 - r) x", Sees::kState, Join::kWaits},
    {"gilr-lstm", "f, i, o, z = W x, U s", "s, c", "g, f", "(1 - g) j, i z", "o c", Sees::kToken,
     Join::kScan},
    {"minimal-rnn", "z = tanh(W x), u", "h", "u of h, z", "(1 - u) z", "h", Sees::kState, Join::kWaits},
    {"lru", "B x", "h", "lambda", "gamma B x", "Re C h + D x", Sees::kToken, Join::kConvolution},
    {"s4", "u", "x", "A", "B u", "C x + D u", Sees::kToken, Join::kConvolution},
    {"s4d", "u", "x", "a", "b u", "Re C x + D u", Sees::kToken, Join::kConvolution},
    {"s5", "B u", "x", "lambda", "B u", "Re C x + D u", Sees::kToken, Join::kConvolution},
    {"transformer", "q, k, v = W x", "all k, v", "all", "k, v", "softmax(q k) v", Sees::kToken, Join::kKeeps},
    {"rnn", "W x + U h", "h", "tanh", "W x", "h", Sees::kState, Join::kWaits},
    {"gru", "z, r, n = W x, U h", "h", "z", "(1 - z) n", "h", Sees::kState, Join::kWaits},
    {"lstm", "f, i, o, g = W x + U h", "c, h", "f", "i g", "h = o tanh(c)", Sees::kState, Join::kWaits},
    {"linear-transformer", "q, k, v = W x", "S, z", "1", "k^T v, k", "q S / q z", Sees::kToken,
     Join::kChunks},
    {"aft-simple", "q, k, v = W x", "a, b", "1", "e^k v, e^k", "sigmoid(q) a / b", Sees::kToken, Join::kScan},
    {"aft-full", "q, k, v = W x", "all k, v", "all", "k, v", "average by e^(k + w)", Sees::kToken,
     Join::kKeeps},
    {"aft-local", "q, k, v = W x", "all k, v", "all", "k, v", "average by e^(k + w)", Sees::kToken,
     Join::kKeeps},
    {"aft-conv", "q, k, v = W x", "window; l, m", "1", "k, v", "average by e^(k + w)", Sees::kToken,
     Join::kScan},
    {"spikegpt", "k, v, r = W spikes", "a, b; u", "d, 1/2", "e^k v, e^k", "spike where u > 1",
     Sees::kTokenBefore, Join::kWaits},
};

/// One or two lines.
std::vector<std::string> Sentence(const Recurrence& r) {
  switch (r.join) {
    case Join::kConvolution:
      return {
          "Every step does the same with the state: all of them together are a convolution of the input with "
          "one",
          "kernel, or a scan."};
    case Join::kScan:
      return {
          "What a step does to the state is known before the state is, channel by channel: two steps join to "
          "one of",
          "the same form, and so all of them, in a scan."};
    case Join::kChunks:
      return {
          "What a step does to the state is known before the state is: the steps of a chunk join to a few "
          "products",
          "of matrices."};
    case Join::kKeeps:
      return {
          "Nothing of what was seen is given up: a token looks at all of it, every token at once; but the "
          "state",
          "grows with the text."};
    case Join::kLooksUp:
      return {
          "Nothing of what was seen is given up: a token goes on from where the one before it found the "
          "longest match,",
          "and says what followed there. The state grows with the text."};
    case Join::kWaits:
      return {
          "What a step does depends on the state that the step before left: only the products with x are "
          "computed for",
          "all tokens at once, the rest waits."};
  }
  return {};
}

constexpr const char *kAtOnce = "#1f5fa8", *kJoins = "#2e8b57", *kWaits = "#d9541e";
constexpr double kWidth = 860, kHeight = 420;
constexpr double kToken = 365, kBox = 290, kState = 200, kOutput = 115;  // heights of their middles
constexpr double kColumns[] = {190, 430, 670};

void Arrow(Point from, Point to, const std::string& colour, Drawing& drawing) {
  constexpr double kHead = 8;
  const double length = std::hypot(to.x - from.x, to.y - from.y);
  const double dx = (to.x - from.x) / length * kHead, dy = (to.y - from.y) / length * kHead;
  drawing.Curve({from, to}, colour, 2, 0);
  drawing.Curve({{to.x - dx - dy / 2, to.y - dy + dx / 2}, to, {to.x - dx + dy / 2, to.y - dy - dx / 2}},
                colour, 2, 0);
}

void Frame(Point middle, double width, const std::string& text, const std::string& colour, Drawing& drawing) {
  const double x = width / 2, y = 19;
  drawing.Curve({{middle.x - x, middle.y - y},
                 {middle.x + x, middle.y - y},
                 {middle.x + x, middle.y + y},
                 {middle.x - x, middle.y + y},
                 {middle.x - x, middle.y - y}},
                colour, 2, 0);
  drawing.Text({middle.x, middle.y + 5}, Anchor::kMiddle, 14, text);
}

double StateWidth(const Recurrence& r) {
  return 36 + 8 * static_cast<double>(std::string_view(r.state).size());
}

bool Waits(const Recurrence& r) { return r.join == Join::kWaits || r.join == Join::kLooksUp; }

/// One token's step; what comes from the step before is drawn with it.
void DrawStep(const Recurrence& r, int i, Drawing& drawing) {
  const bool waits = Waits(r);
  const std::string of_token = r.sees == Sees::kState ? kWaits : kAtOnce, of_state = waits ? kWaits : kJoins;
  const double x = kColumns[i], half = StateWidth(r) / 2;
  constexpr const char* kTimes[] = {"t - 1", "t", "t + 1"};
  drawing.Text({x, kToken + 5}, Anchor::kMiddle, 14, fmt::format("token {}", kTimes[i]));
  Arrow({x, kToken - 12}, {x, kBox + 21}, kAtOnce, drawing);
  Frame({x, kBox}, 184, r.computes, of_token, drawing);
  Arrow({x, kBox - 19}, {x, kState + 21}, of_token, drawing);
  drawing.Text({x + 8, (kBox + kState) / 2 + 5}, Anchor::kStart, 13, std::string("+ ") + r.added);
  Frame({x, kState}, 2 * half, r.state, of_state, drawing);
  Arrow({x, kState - 19}, {x, kOutput + 14}, waits ? kWaits : kAtOnce, drawing);
  drawing.Text({x, kOutput + 5}, Anchor::kMiddle, 14, r.says);
  // From the step before, the first from outside.
  const double before = i == 0 ? 30 : kColumns[i - 1], edge = i == 0 ? before : before + half;
  Arrow({edge, kState}, {x - half - 2, kState}, of_state, drawing);
  drawing.Text({(edge + x - half) / 2, kState - 8}, Anchor::kMiddle, 13, r.kept);
  if (r.sees == Sees::kState) {
    Arrow({edge, kState + 12}, {x - 80, kBox - 21}, kWaits, drawing);
  } else if (r.sees == Sees::kTokenBefore) {
    Arrow({i == 0 ? before : before + 34, kToken - 8}, {x - 80, kBox + 21}, kAtOnce, drawing);
  }
  if (i == 2) Arrow({x + half, kState}, {kWidth - 30, kState}, of_state, drawing);
}

std::string Picture(const Recurrence& r, Drawing& drawing) {
  drawing.Text({30, 32}, Anchor::kStart, 17,
               fmt::format("{}, unrolled", FindArchitecture(r.architecture).title));
  double y = 56;
  for (const std::string& line : Sentence(r)) drawing.Text({30, y}, Anchor::kStart, 13, line), y += 18;
  for (int i = 0; i < 3; ++i) DrawStep(r, i, drawing);
  double x = 30;
  const auto legend = [&](const char* colour, const std::string& text) {
    drawing.Line({x, kHeight - 16}, {x + 22, kHeight - 16}, colour, 3);
    drawing.Text({x + 28, kHeight - 12}, Anchor::kStart, 12, text);
    x += 250;
  };
  legend(kAtOnce, "for all tokens at once");
  if (Waits(r)) legend(kWaits, "waits for the step before");
  if (!Waits(r)) legend(kJoins, "steps that join");
  return drawing.Finish();
}

const Recurrence& Find(const std::string& architecture) {
  const std::string& name = FindArchitecture(architecture).name;
  const auto* found =
      std::ranges::find_if(kRecurrences, [&](const Recurrence& r) { return name == r.architecture; });
  Check(found != std::end(kRecurrences), "{} has no picture yet: it wants a row in cli/explain_unrolled.cc",
        name);
  return *found;
}

void Print(const Recurrence& r) {
  constexpr const char* kSeen[] = {"the token", "the token and the one before",
                                   "the token and the state before"};
  fmt::print("{}\n\n", FindArchitecture(r.architecture).title);
  fmt::print("a step computes  {:24} from {}\n", r.computes, kSeen[static_cast<int>(r.sees)]);
  fmt::print("carries          {}\nkeeps            {}\nadds             {}\nsays             {}\n\n",
             r.state, r.kept, r.added, r.says);
  for (const std::string& line : Sentence(r)) fmt::print("{}\n", line);
}

void Run(const std::string& architecture, const std::string& output) {
  constexpr int kPixelsWide = static_cast<int>(kWidth), kPixelsHigh = static_cast<int>(kHeight);
  const Recurrence& r = Find(architecture);
  if (!output.empty()) {
    const auto drawing = output.ends_with(".png") ? NewPngDrawing(kPixelsWide, kPixelsHigh)
                                                  : NewSvgDrawing(kPixelsWide, kPixelsHigh);
    WriteFile(output, Picture(r, *drawing));
  }
  Print(r);
}

}  // namespace

void AddExplainUnrolled(CLI::App& explain) {
  struct Options {
    std::string architecture, output;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = explain.add_subcommand(
      "unrolled", "An architecture's recurrence over three tokens: what can be computed at once, what waits");
  command
      ->add_option("architecture", options->architecture, "Such as qrnn; `linnet compare --help` lists them")
      ->required()
      ->type_name("ARCH");
  AddChartOption(*command, options->output);
  command->footer("Example: linnet explain unrolled qrnn -o qrnn.svg");
  command->callback([options] { Run(options->architecture, options->output); });
}

}  // namespace linnet
