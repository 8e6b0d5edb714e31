#include "train/counters.h"

#include <nlohmann/json.hpp>

namespace linnet {

using nlohmann::json;

std::string ToJson(const Counters& c) {
  return json{{"step", c.step},
              {"data", {c.data.epoch, c.data.document, c.data.token}},
              {"updates", c.updates},
              {"seconds", c.seconds},
              {"threads", c.threads},
              {"best_step", c.best_step},
              {"best_loss", c.best_loss ? json(*c.best_loss) : json(nullptr)}}
      .dump();
}

const std::string& Metadata(const Checkpoint& file, const std::string& key) {
  const auto found = file.metadata().find(key);
  Check(found != file.metadata().end(), "{}: is not the trainer's part of a checkpoint: it has no '{}'",
        file.path().string(), key);
  return found->second;
}

Counters ReadCounters(const Checkpoint& trainer) {
  try {
    const json saved = json::parse(Metadata(trainer, "counters"));
    const json data = saved.value("data", json{0, 0, 0});  // checkpoints of old have none
    Counters counters{saved.at("step"),
                      {data.at(0), data.at(1), data.at(2)},
                      saved.at("updates"),
                      saved.at("seconds"),
                      saved.value("threads", 0),
                      saved.value("best_step", int64_t{-1}),
                      std::nullopt};
    if (saved.contains("best_loss") && saved["best_loss"].is_number())
      counters.best_loss = saved["best_loss"];
    return counters;
  } catch (const json::exception&) {
    Fail("{}: the counters of its run cannot be read", trainer.path().string());
  }
}

}  // namespace linnet
