// The table of architectures. A new one is a file in this folder and a row here.
#include "models/lineage.h"
#include "models/rwkv4.h"
#include "models/rwkv5.h"
#include "models/rwkv6.h"
#include "models/rwkv7.h"
#include "models/rwkv8.h"
#include "models/scans.h"
#include "models/sizes.h"

namespace linnet {

std::span<const Architecture> Architectures() {
  static const Architecture kTable[] = {
      models::Rwkv2(),
      {"rwkv4",
       "RWKV-4",
       models::IsRwkv4,
       models::ReadRwkv4Sizes,
       models::CompleteRwkv4Sizes,
       models::MakeRwkv4,
       {},
       models::Rwkv4RecurrenceFlops},
      {"rwkv5",
       "RWKV-5 \"Eagle\"",
       models::IsRwkv5,
       models::ReadRwkv5Sizes,
       models::CompleteRwkv5Sizes,
       models::MakeRwkv5,
       {},
       models::Wkv6RecurrenceFlops,
       /*state_is_key_value=*/true},
      {"rwkv6",
       "RWKV-6 \"Finch\"",
       models::IsRwkv6,
       models::ReadRwkv6Sizes,
       models::CompleteRwkv6Sizes,
       models::MakeRwkv6,
       {},
       models::Wkv6RecurrenceFlops,
       /*state_is_key_value=*/true},
      {"rwkv7",
       "RWKV-7 \"Goose\"",
       models::IsRwkv7,
       models::ReadRwkv7Sizes,
       models::CompleteRwkv7Sizes,
       models::MakeRwkv7,
       // RWKV-LM's trainer saves the value residual of the first layer too, which nothing reads.
       {"blocks.0.att.v0", "blocks.0.att.v1", "blocks.0.att.v2"},
       models::Rwkv7RecurrenceFlops},
      {"rwkv7a",
       "RWKV-7a (deep embeddings)",
       models::IsRwkv7a,
       models::ReadRwkv7Sizes,
       models::CompleteRwkv7Sizes,
       models::MakeRwkv7a,
       {"blocks.0.att.v0", "blocks.0.att.v1", "blocks.0.att.v2"},
       models::Rwkv7aRecurrenceFlops},
      {"rwkv7b",
       "RWKV-7b (deep embeddings and attention)",
       models::IsRwkv7b,
       models::ReadRwkv7bSizes,
       models::CompleteRwkv7bSizes,
       models::MakeRwkv7b,
       {"blocks.0.att.v0", "blocks.0.att.v1", "blocks.0.att.v2"},
       models::Rwkv7bRecurrenceFlops},
      models::Rwkv8(),
      models::RosaOnly(),
      models::Qrnn(),
      models::Sru(),
      models::GilrLstm(),
      models::MinimalRnn(),
      models::Lru(),
      models::S4(),
      models::S4d(),
      models::S5(),
      models::Transformer(),
      models::Rnn(),
      models::Gru(),
      models::Lstm(),
      models::LinearTransformer(),
      models::AftWithoutBias(),
      models::AftFull(),
      models::AftLocal(),
      models::AftConvolution(),
      models::SpikeGpt(),
  };
  return kTable;
}

}  // namespace linnet
