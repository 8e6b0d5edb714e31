// What a training run is told: one struct, and one table that says each setting's name, meaning and range
// once. The command line, the configuration file, the settings in checkpoints and the comparison on resuming
// are all read off the table.
#pragma once

#include <cstdint>
#include <limits>
#include <set>
#include <string>
#include <vector>

namespace linnet {

struct TrainOptions {
  std::string arch = "rwkv7";
  int64_t layers = 0, width = 0, head_size = 0, ffn = 0, context = 0,
          vocab = 0;               // 0: the default, or what --init's file has
  std::vector<std::string> sizes;  // further ones: NAME=NUMBER
  std::string tokenizer = "bytes";

  std::vector<std::string> data;
  std::string pack;  // "": documents, where the data are a binidx
  double val_fraction = 0.1;
  int64_t ctx = 256, batch = 4, accumulate = 1;
  int64_t chunk = 0;  // 0: samples as a whole
  std::string backprop = "exact";

  int64_t steps = 0, tokens = 0;  // exactly one of these and minutes is set
  double minutes = 0;

  double lr = 2e-3, lr_final = -1;  // -1: lr / 10
  int64_t warmup = 10;
  double warmup_start = -1;  // -1: the architecture's
  std::string schedule = "cosine", decay_shape = "sqrt";
  double decay_fraction = 0.2;
  double wd = 0.1, eps = -1, clip = 1, l2_wrap = 1e-4;  // -1: the architecture's
  std::string layerwise = "on";
  std::vector<double> betas{0.9, 0.99};

  double ema = 0, dropout = 0;  // 0: none
  double spike = 10;            // 0: never

  std::string precision = "fp32";
  bool recompute = false;
  int64_t threads = 0;  // 0: all physical cores
  int64_t seed = 1;

  std::string out;
  bool resume = false;
  std::string log;  // "": log.jsonl in `out`
  int64_t val_every = 25;
  std::string save_every = "10m";
  std::string init;
  std::string tensorboard;             // "": no events
  std::vector<std::string> eval_data;  // measured, never learnt
  std::string sample_prompt = "\n";
  int64_t sample_every = 0, sample_tokens = 200;  // 0: no samples
  bool over_memory = false;

  std::string tune = "full", train_only, freeze;  // patterns over names; empty: all, none
  int64_t lora = 0;                               // rank; 0: none
  double lora_alpha = 0;                          // 0: the rank
  std::string lora_targets;                       // patterns; empty: all that can have an adapter
  double lora_dropout = 0;                        // 0: none
  bool pissa = false;

  /// Flags that the user gave. A resumed run takes all others from its checkpoint.
  std::set<std::string> given;
  /// Of the program, for the metadata of checkpoints.
  std::string version = "unknown";

  int64_t tokens_per_step() const { return ctx * batch * accumulate; }
  double final_lr() const { return lr_final < 0 ? lr / 10 : lr_final; }
};

/// What resuming does with a setting.
enum class OnResume {
  kSame,    // as in the checkpoint; giving another value is an error, as it would change the numbers
  kAdopt,   // as in the checkpoint unless given
  kForget,  // belongs to one start of the program and is not saved
};

struct Setting {
  const char* flag;
  const char* help;
  OnResume on_resume;
  double least = -std::numeric_limits<double>::infinity(), most = std::numeric_limits<double>::infinity();

  std::string key() const { return flag + 2; }
};

/// VisitSettings for those of the optimizer, its schedule and what guards it.
template <class Visit>
void VisitOptimizerSettings(const Visit& visit) {
  using enum OnResume;
  using O = TrainOptions;
  visit(Setting{"--lr", "Learning rate after the warmup", kSame, 0, 1}, &O::lr);
  visit(Setting{"--lr-final", "Learning rate at the end [a tenth of --lr]", kSame, 0, 1}, &O::lr_final);
  visit(Setting{"--schedule",
                "Learning rate after the warmup: cosine (half a period of it, to --lr-final), wsd (as it is, "
                "and falling in the last part of the run), constant",
                kSame},
        &O::schedule);
  visit(Setting{"--decay-fraction", "wsd: part of the run, after the warmup, in which it falls", kSame, 0.001,
                1},
        &O::decay_fraction);
  visit(Setting{"--decay-shape", "wsd: how it falls: linear, or sqrt (fast, then slowly)", kSame},
        &O::decay_shape);
  visit(Setting{"--warmup", "Steps over which the learning rate rises", kSame, 0, 1e9}, &O::warmup);
  visit(Setting{"--warmup-start", "Part of --lr that the first step has [0.01; 0.2 in rwkv4]", kSame, 0, 1},
        &O::warmup_start);
  visit(Setting{"--wd", "Weight decay of the matrices", kSame, 0, 10}, &O::wd);
  visit(Setting{"--betas", "AdamW's two averaging factors", kSame, 0, 0.999999}, &O::betas);
  visit(Setting{"--eps", "AdamW's epsilon [1e-18; 1e-8 in rwkv4, rwkv5 and rwkv6]", kSame, 0, 1}, &O::eps);
  visit(Setting{"--layerwise",
                "Learning rates of single parameters: on (decays twice as fast, as RWKV-LM has it), off, "
                "stage2 (rwkv4 to 6: mixes, decays and bonuses five times as fast)",
                kSame},
        &O::layerwise);
  visit(Setting{"--clip", "Largest gradient norm, beyond which the gradient is scaled down; 0 for no limit",
                kSame, 0, 1e9},
        &O::clip);
  visit(Setting{"--l2-wrap", "RWKV's penalty on the largest logit; 0 for none", kSame, 0, 1}, &O::l2_wrap);
  visit(Setting{"--ema",
                "Keep an average of the weights that forgets at this rate a step (0.999), as "
                "model-ema.safetensors; 4 more bytes a parameter. 0 for none",
                kSame, 0, 0.9999999},
        &O::ema);
  visit(Setting{"--dropout",
                "Part of the residual stream that is dropped after the embedding and after each half of a "
                "block, at random; 0 for none",
                kSame, 0, 0.9},
        &O::dropout);
  visit(Setting{"--spike",
                "Skip a step whose loss or gradient norm is this many deviations above its running mean; "
                "after 5 in a row, return to a checkpoint. 0 to skip only what is no finite number",
                kAdopt, 0, 1e9},
        &O::spike);
}

/// VisitSettings for those of fine-tuning.
template <class Visit>
void VisitTuningSettings(const Visit& visit) {
  using enum OnResume;
  using O = TrainOptions;
  visit(Setting{"--tune",
                "What is trained of a model: full, its parameters; state, the states that texts begin with "
                "alone",
                kSame},
        &O::tune);
  visit(Setting{"--lora",
                "Train a LoRA of this rank beside the model in --init, which stays as it is, of any type",
                kSame, 1, 65536},
        &O::lora);
  visit(Setting{"--lora-alpha", "Its alpha: what it adds is scaled by alpha / rank [the rank]", kSame, 1e-6,
                1e6},
        &O::lora_alpha);
  visit(Setting{"--lora-targets",
                "Weights that it adapts, as patterns: 'att.*,ffn.key' [all matrices of blocks]", kSame},
        &O::lora_targets);
  visit(Setting{"--lora-dropout",
                "Part of what its A is multiplied with that is dropped in training, at random; 0 for none",
                kSame, 0, 0.9},
        &O::lora_dropout);
  visit(Setting{"--pissa", "Begin the LoRA as the principal part of each weight", kSame}, &O::pissa);
  visit(Setting{"--train", "Train only the parameters that these patterns match: 'ln*,att.w*' [all]", kSame},
        &O::train_only);
  visit(Setting{"--freeze",
                "Leave the parameters that these patterns match as they are: 'emb,blocks.0.*' [none]", kSame},
        &O::freeze);
}

/// VisitSettings for those of watching a run.
template <class Visit>
void VisitWatchingSettings(const Visit& visit) {
  using enum OnResume;
  using O = TrainOptions;
  visit(Setting{"--tensorboard", "Folder for TensorBoard's event files", kAdopt}, &O::tensorboard);
  visit(Setting{"--eval-data", "Files to measure the loss on, too, whenever the held-out loss is measured",
                kAdopt},
        &O::eval_data);
  visit(Setting{"--sample-every",
                "Steps between samples of what the model writes, in the log and on the screen; 0 for none",
                kAdopt, 0, 1e15},
        &O::sample_every);
  visit(Setting{"--sample-prompt", "What the samples go on from [a line feed]", kAdopt}, &O::sample_prompt);
  visit(Setting{"--sample-tokens", "Tokens of a sample", kAdopt, 1, 1 << 20}, &O::sample_tokens);
}

/// VisitSettings for those of the model.
template <class Visit>
void VisitModelSettings(const Visit& visit) {
  using enum OnResume;
  using O = TrainOptions;
  visit(Setting{"--arch", "Architecture of the model", kSame}, &O::arch);
  visit(Setting{"--layers", "Number of blocks [4]", kSame, 1, 1024}, &O::layers);
  visit(Setting{"--width", "Channels of the residual stream, a multiple of the head size [256]", kSame, 4,
                65536},
        &O::width);
  visit(Setting{"--head-size", "Channels a head [64]", kSame, 4, 1024}, &O::head_size);
  visit(Setting{"--ffn", "Inner channels of the channel mix [4 times the width; 3.5 in rwkv5 and rwkv6]",
                kSame, 1, 1 << 20},
        &O::ffn);
  visit(Setting{"--context", "Tokens that a model with attention can look back on [as many as --ctx]", kSame,
                1},
        &O::context);
  visit(
      Setting{"--vocab", "Size of the vocabulary [that of the tokenizer: 256 for bytes]", kSame, 1, 1 << 24},
      &O::vocab);
  visit(Setting{"--sizes", "Further sizes of the architecture, as NAME=NUMBER: docs/learn names them", kSame},
        &O::sizes);
}

/// Calls visit(setting, member pointer) for every setting.
template <class Visit>
void VisitSettings(const Visit& visit) {
  using enum OnResume;
  using O = TrainOptions;
  VisitModelSettings(visit);
  visit(Setting{"--tokenizer", "How text becomes tokens: bytes, world, 20B, or a vocabulary file", kSame},
        &O::tokenizer);
  visit(Setting{"--data", "Text files to learn from, as bytes, or NAME of what `linnet data prepare` wrote",
                kAdopt},
        &O::data);
  visit(Setting{"--pack",
                "Order of prepared data: documents, each with a state of its own, or stream, as RWKV-LM "
                "samples it [documents]",
                kSame},
        &O::pack);
  visit(Setting{"--val-fraction",
                "Part at the end of each file (of prepared data: of the documents) that is held out to "
                "measure the loss on; 0 for none",
                kSame, 0, 0.9},
        &O::val_fraction);
  visit(Setting{"--ctx", "Tokens a sample", kSame, 1, 1 << 24}, &O::ctx);
  visit(Setting{"--batch", "Samples that go through the model at once", kSame, 1, 65536}, &O::batch);
  visit(Setting{"--accumulate", "Batches whose gradients are averaged to one step", kSame, 1, 65536},
        &O::accumulate);
  visit(Setting{"--chunk",
                "Process samples this many tokens at a time, carrying the state on: memory no longer grows "
                "with --ctx [samples as a whole]",
                kSame, 1, 1 << 24},
        &O::chunk);
  visit(Setting{"--backprop",
                "How gradients cross the borders of chunks: exact, as if there were none (forward passes "
                "run twice), or truncated, not at all",
                kSame},
        &O::backprop);
  visit(Setting{"--steps", "Length of the run: number of steps", kSame, 1, 1e15}, &O::steps);
  visit(Setting{"--tokens", "Length of the run: number of tokens", kSame, 1, 1e18}, &O::tokens);
  visit(Setting{"--minutes",
                "Length of the run: time. The learning rate then follows the clock, so that two such runs "
                "are not the same to the bit",
                kSame, 1e-3, 1e7},
        &O::minutes);
  VisitOptimizerSettings(visit);
  visit(
      Setting{"--precision", "Type of the matrices in products: fp32 or bf16 (with float32 masters)", kSame},
      &O::precision);
  visit(Setting{"--recompute",
                "Keep only the inputs of blocks and run them again in the backward pass: less memory, a "
                "third more work",
                kAdopt},
        &O::recompute);
  visit(Setting{"--threads", "Threads [the physical cores]", kAdopt, 1, 4096}, &O::threads);
  visit(Setting{"--seed", "Seed of the initial values and of the order of the data", kSame, 0, 9e18},
        &O::seed);
  visit(Setting{"--out", "Folder for checkpoints, log and curve", kForget}, &O::out);
  visit(Setting{"--resume", "Go on from the newest checkpoint in --out, with its settings", kForget},
        &O::resume);
  visit(Setting{"--log", "Log file, one JSON object a step [log.jsonl in --out]", kAdopt}, &O::log);
  visit(Setting{"--val-every",
                "Steps between measurements of the held-out loss on a fixed sample; 0 for the end only",
                kAdopt, 0, 1e15},
        &O::val_every);
  visit(
      Setting{"--save-every", "Steps (500) or minutes (10m) between checkpoints; 0 for the end only", kAdopt},
      &O::save_every);
  visit(Setting{"--init", "Model file, of any format, whose weights to start from", kAdopt}, &O::init);
  VisitTuningSettings(visit);
  visit(Setting{"--over-memory", "Start even if the memory that there is will not suffice", kForget},
        &O::over_memory);
  VisitWatchingSettings(visit);
}

/// Steps or seconds between checkpoints; 0 and 0 for never.
struct SaveInterval {
  int64_t steps = 0;
  double seconds = 0;
};
/// Reads "500" or "10m". Throws Error naming --save-every.
SaveInterval ParseSaveInterval(const std::string& text);

/// Throws Error, naming flag, range and remedy, unless every setting makes sense by itself and with the
/// others.
void CheckOptions(const TrainOptions& options);

/// The settings as a JSON object, for checkpoints.
std::string SettingsToJson(const TrainOptions& options);

/// The options of a resumed run: what was given, and what the checkpoint called `where` has in `settings` for
/// the rest. Throws Error, naming the flag, where a given value contradicts the checkpoint.
TrainOptions AdoptSettings(const TrainOptions& asked, const std::string& settings, const std::string& where);

}  // namespace linnet
