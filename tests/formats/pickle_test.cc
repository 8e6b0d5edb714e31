#include "formats/pickle.h"

#include "formats/pth_builder.h"
#include "formats/refusal.h"

namespace linnet {
namespace {

using Kind = PickleValue::Kind;
using std::string_literals::operator""s;

std::span<const std::byte> AsBytes(const std::string& text) { return std::as_bytes(std::span(text)); }

/// Runs opcodes and returns the value that they leave as text, e.g. "{'a': (1, None)}".
std::string Show(const PickleValue& value, int depth = 0) {
  if (depth > 4) return "...";
  const char* brackets = value.Is(Kind::kTuple) ? "()" : value.Is(Kind::kList) ? "[]" : "{}";
  switch (value.kind()) {
    case Kind::kNone:
      return "None";
    case Kind::kBool:
      return value.boolean() ? "True" : "False";
    case Kind::kInt:
      return std::to_string(value.integer());
    case Kind::kFloat:
      return fmt::format("{}", value.real());
    case Kind::kString:
      return fmt::format("'{}'", value.text());
    case Kind::kGlobal:
      return fmt::format("{}.{}", value.global().module, value.global().name);
    case Kind::kPersistent:
      return "persistent " + Show(value.items()[0], depth + 1);
    case Kind::kCall:
      return Show(value.items()[0]) + Show(value.items()[1], depth + 1);
    default:
      break;
  }
  std::string text(1, brackets[0]);
  for (size_t i = 0; i < value.items().size(); ++i) {
    if (i > 0) text += value.Is(Kind::kDict) && i % 2 == 1 ? ": " : ", ";
    text += Show(value.items()[i], depth + 1);
  }
  return text + brackets[1];
}

std::string Result(const std::string& opcodes) {
  const std::string program = "\x80\x02" + opcodes + ".";
  const Pickle pickle = ReadPickle(AsBytes(program), "test");
  return Show(pickle.top);
}

auto Evaluating(const std::string& opcodes) {
  return [=] { Result(opcodes); };
}

TEST(Pickle, Scalars) {
  EXPECT_EQ(Result("N"), "None");
  EXPECT_EQ(Result("\x88"), "True");
  EXPECT_EQ(Result("\x89"), "False");
  EXPECT_EQ(Result("K\xFF"), "255");
  EXPECT_EQ(Result("M\xFF\xFF"), "65535");
  EXPECT_EQ(Result("J\xFE\xFF\xFF\xFF"), "-2");
  EXPECT_EQ(Result("G\xC0\x04\0\0\0\0\0\0"s), "-2.5");
  EXPECT_EQ(Result("X\3\0\0\0abc"s), "'abc'");
  EXPECT_EQ(Result("\x8C\3abc"), "'abc'");
  EXPECT_EQ(Result("\x8D\3\0\0\0\0\0\0\0abc"s), "'abc'");
}

TEST(Pickle, IntegersOfAnyLength) {
  EXPECT_EQ(Result("\x8A\0"s), "0");
  EXPECT_EQ(Result("\x8A\1\xFF"), "-1");
  EXPECT_EQ(Result("\x8A\2\xFF\0"s), "255");
  EXPECT_EQ(Result("\x8A\x05\0\0\0\0\1"s), "4294967296");
  EXPECT_EQ(Result("\x8A\x08" + Bytes(INT64_MIN)), "-9223372036854775808");
  EXPECT_TRUE(
      Refuses(Evaluating("\x8A\x09" + std::string(9, '\1')), "test: the pickle has an integer of 9 bytes"));
}

TEST(Pickle, Containers) {
  EXPECT_EQ(Result(")"), "()");
  EXPECT_EQ(Result("K\1\x85"), "(1)");
  EXPECT_EQ(Result("K\1K\2\x86"), "(1, 2)");
  EXPECT_EQ(Result("K\1K\2K\3\x87"), "(1, 2, 3)");
  EXPECT_EQ(Result("(K\1K\2K\3K\4t"), "(1, 2, 3, 4)");
  EXPECT_EQ(Result("]K\1a(K\2K\3e"), "[1, 2, 3]");
  EXPECT_EQ(Result("}K\1K\2s(K\3K\4K\5K\6u"), "{1: 2, 3: 4, 5: 6}");
  EXPECT_EQ(Result("K\1K\2"
                   "0"),
            "1");
  EXPECT_EQ(Result("K\1(K\2K\3"
                   "1"),
            "1");
}

TEST(Pickle, TheMemoShares) {
  EXPECT_EQ(Result("]q\0K\1ah\0"
                   "0"s),
            "[1]");
  EXPECT_EQ(Result("K\7q\0K\x08r\1\0\0\0h\0j\1\0\0\0\x87"s.insert(0,
                                                                  "K\1"
                                                                  "0")),
            "(8, 7, 8)");
  EXPECT_EQ(Result("\x8C\1a\x94\x8C\1b\x94h\0h\1\x86"s), "('a', 'b')");
}

TEST(Pickle, KnownGlobals) {
  EXPECT_EQ(Result("ctorch\nFloatStorage\n"), "torch.FloatStorage");
  EXPECT_EQ(Result("\x8C\5torch\x8C\4Size\x93"), "torch.Size");
  EXPECT_EQ(Result("ctorch\nSize\n(K\2K\3t\x85R"), "torch.Size((2, 3))");
  EXPECT_EQ(Result("ccollections\nOrderedDict\n)R(K\1K\2u"), "{1: 2}");
  EXPECT_EQ(Result("K\1Q"), "persistent 1");
}

TEST(Pickle, AttributesAreIgnored) { EXPECT_EQ(Result("}K\1K\2s}b"), "{1: 2}"); }

TEST(Pickle, AFrameIsIgnored) { EXPECT_EQ(Result("\x95\0\0\0\0\0\0\0\0K\1"s), "1"); }

// None of these is ever called; they are refused as soon as they are named.
TEST(Pickle, RefusesAnyOtherGlobal) {
  EXPECT_TRUE(Refuses(Evaluating("cos\nsystem\n(X\4\0\0\0true\x85R"s),
                      "test: refers to os.system: linnet reads tensors only and runs no code"));
  EXPECT_TRUE(Refuses(Evaluating("\x8C\5posix\x8C\6system\x93"), "refers to posix.system"));
  EXPECT_TRUE(Refuses(Evaluating("cbuiltins\neval\n"), "refers to builtins.eval"));
  EXPECT_TRUE(Refuses(Evaluating("ctorch\nload\n"), "refers to torch.load: linnet reads tensors only"));
  EXPECT_TRUE(Refuses(Evaluating("ctorch._utils\n_rebuild_tensor_v3\n"),
                      "refers to torch._utils._rebuild_tensor_v3"));
  EXPECT_TRUE(Refuses(Evaluating("ctorch\nShortStorage\n"),
                      "test: has a tensor in torch.ShortStorage, an element type that linnet does not have"));
  EXPECT_TRUE(Refuses(Evaluating("K\1K\2\x93"), "names a global by something else than text"));
  EXPECT_TRUE(Refuses(Evaluating("c" + std::string(1 << 20, 'm') + "\nf\n"), "refers to mmm"));
}

TEST(Pickle, RefusesOtherOpcodes) {
  // INST, OBJ, NEWOBJ, EXT1, PERSID, REDUCE by name in protocol 0
  for (const char* opcodes : {"ios\nsystem\n", "o", "\x81", "\x82\1", "P1\n", "I1\n", "\xFF"}) {
    EXPECT_TRUE(Refuses(Evaluating(opcodes), "which no state dict needs")) << opcodes;
  }
  EXPECT_TRUE(Refuses(Evaluating("\xFF"), "test: has the pickle opcode 0xff at 2"));
  EXPECT_TRUE(Refuses(Evaluating("\x80\6"), "is a pickle of protocol 6; linnet knows 2 to 5"));
  EXPECT_TRUE(Refuses(Evaluating("\x80\1"), "is a pickle of protocol 1"));
}

TEST(Pickle, RefusesWhatTakesMoreThanThereIs) {
  for (const char* opcodes :
       {"", "0", "\x85", "K\1\x86", "K\1(\x85", "a", "(e", "}K\1s", "(u", "R", "K\1R", "Q", "b", "q\1"}) {
    EXPECT_TRUE(Refuses(Evaluating(opcodes), "takes more than it put on its stack")) << opcodes;
  }
  for (const char* opcodes : {"t", "e", "u", "1"}) {
    EXPECT_TRUE(Refuses(Evaluating(opcodes), "test: the pickle lacks a mark at 3")) << opcodes;
  }
}

TEST(Pickle, RefusesTheWrongKind) {
  EXPECT_TRUE(Refuses(Evaluating("]K\1K\2s"), "adds items to something else than a dict"));
  EXPECT_TRUE(Refuses(Evaluating("}K\1a"), "adds items to something else than a list"));
  EXPECT_TRUE(Refuses(Evaluating(")K\1a"), "adds items to something else than a list"));
  EXPECT_TRUE(Refuses(Evaluating("}(K\1K\2K\3u"), "has a key without a value"));
  EXPECT_TRUE(Refuses(Evaluating("K\1)R"), "calls something that is no function"));
  EXPECT_TRUE(Refuses(Evaluating("ctorch\nSize\nK\1R"), "calls something that is no function"));
  EXPECT_TRUE(
      Refuses(Evaluating("ccollections\nOrderedDict\nK\1\x85R"), "makes an OrderedDict from arguments"));
  EXPECT_TRUE(Refuses(Evaluating("K\1}b"), "sets attributes of a plain value"));
}

TEST(Pickle, RefusesStrangeMemoSlots) {
  EXPECT_TRUE(Refuses(Evaluating("h\0"s), "reads the empty memo slot 0"));
  EXPECT_TRUE(Refuses(Evaluating("Nq\3h\2"), "reads the empty memo slot 2"));
  EXPECT_TRUE(Refuses(Evaluating("j\xFF\xFF\xFF\xFF"), "reads the empty memo slot 4294967295"));
  EXPECT_TRUE(Refuses(Evaluating("Nr\xFF\xFF\xFF\xFF"), "uses memo slot 4294967295"));
}

TEST(Pickle, RefusesAnEarlyEnd) {
  const std::string whole = "\x80\x02X\3\0\0\0abcctorch\nSize\nG12345678\x8A\2xx\x95zzzzzzzz."s;
  for (size_t n = 0; n < whole.size(); ++n) {
    EXPECT_TRUE(Refuses([&] { ReadPickle(AsBytes(whole).first(n), "test"); }, "test: is cut short")) << n;
  }
  EXPECT_TRUE(Refuses(Evaluating("X\xFF\xFF\xFF\xFFxx"), "test: is cut short: needs 4294967295 bytes"));
}

// Deep and cyclic values are built and destroyed without recursion.
TEST(Pickle, DepthAndCyclesAreHarmless) {
  constexpr size_t kDepth = 1'000'000;
  EXPECT_EQ(Result(std::string(kDepth, '(') + std::string(kDepth, 't')), "(((((...)))))");
  EXPECT_EQ(Result("]q\0h\0a"s), "[[[[[...]]]]]");
}

}  // namespace
}  // namespace linnet
