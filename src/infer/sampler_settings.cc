#include "infer/sampler_settings.h"

namespace linnet {
namespace {

using S = SamplerOptions;
constexpr SamplerSetting kSettings[] = {
    {"temperature", &S::temperature, 0, 1e6, "Above 1 more surprising, below 1 less; 0 takes the likeliest"},
    {"top-p", &S::top_p, 0, 1, "Draw from the likeliest tokens that together reach this share; 1 is off"},
    {"top-k", &S::top_k, 0, 1 << 30, "Draw from the K likeliest tokens; 0 is off"},
    {"min-p", &S::min_p, 0, 1, "Drop tokens less likely than this times the likeliest; 0 is off"},
    {"typical-p", &S::typical_p, 1e-9, 1, "Keep the tokens nearest to the expected surprise; 1 is off"},
    {"presence-penalty", &S::presence_penalty, -100, 100,
     "Taken off the logit of each token that was generated"},
    {"frequency-penalty", &S::frequency_penalty, -100, 100,
     "Taken off it as often as the token was generated; blanks and digits do not count"},
    {"penalty-decay", &S::penalty_decay, 0, 1, "What is left of that count after each token"},
    {"repetition-penalty", &S::repetition_penalty, 1e-3, 1e3,
     "Divides the logit of each token that was generated; 1 is off"},
    {"mirostat-tau", &S::mirostat_tau, 0, 100,
     "Keep the surprise of the text near this many bits a token, instead of the filters above; 0 is off"},
    {"mirostat-eta", &S::mirostat_eta, 0, 1, "How fast mirostat adapts"},
};

}  // namespace

std::span<const SamplerSetting> SamplerSettings() { return kSettings; }

}  // namespace linnet
