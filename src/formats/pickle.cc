#include "formats/pickle.h"

#include <array>
#include <bit>
#include <utility>

#include "formats/bytes.h"

namespace linnet {
namespace {

using Kind = PickleValue::Kind;

constexpr KnownGlobal kKnownGlobals[] = {
    {"collections", "OrderedDict", Callee::kOrderedDict, {}},
    {"torch._utils", "_rebuild_tensor_v2", Callee::kRebuildTensor, {}},
    {"torch._utils", "_rebuild_parameter", Callee::kRebuildParameter, {}},
    {"torch", "Size", Callee::kSize, {}},
    {"torch", "FloatStorage", Callee::kStorage, DType::kF32},
    {"torch", "BFloat16Storage", Callee::kStorage, DType::kBf16},
    {"torch", "HalfStorage", Callee::kStorage, DType::kF16},
    {"torch", "DoubleStorage", Callee::kStorage, DType::kF64},
    {"torch", "IntStorage", Callee::kStorage, DType::kI32},
    {"torch", "LongStorage", Callee::kStorage, DType::kI64},
    {"torch", "ByteStorage", Callee::kStorage, DType::kU8},
    {"torch", "UntypedStorage", Callee::kStorage, DType::kU8},
    {"torch.storage", "UntypedStorage", Callee::kStorage, DType::kU8},
};

class Machine {
 public:
  Machine(std::span<const std::byte> bytes, const std::string& where) : reader_(bytes, where) {}

  Pickle Run();

  // What the opcodes do; kOperations below says which does what.

  void Protocol(int version) {
    Check(version >= 2 && version <= 5, "{}: is a pickle of protocol {}; linnet knows 2 to 5",
          reader_.where(), version);
  }

  template <class T>
  T Read() {
    return reader_.Read<T>();
  }

  void Push(PickleValue value) { stack_.push_back(value); }

  void PushInt(int64_t value) { Push(PickleValue::Int(value)); }

  void PushText(uint64_t length) { Push(PickleValue::String(reader_.TakeText(length))); }

  void Mark() { marks_.push_back(stack_.size()); }

  void DropToMark() { stack_.resize(PopMark()); }

  size_t Height() const { return stack_.size(); }

  void Memoize() { Put(memo_.size()); }

  /// Moves the stack from `begin` on into a new node.
  void PushNode(Kind kind, size_t begin) {
    PickleNode& node = pickle_.nodes.emplace_back();
    node.items.assign(stack_.begin() + static_cast<ptrdiff_t>(begin), stack_.end());
    stack_.resize(begin);
    Push(PickleValue::Node(kind, &node));
  }

  /// The position of the topmost `n` values, which must all lie above the last mark.
  size_t Below(size_t n) {
    const size_t floor = marks_.empty() ? 0 : marks_.back();
    Check(stack_.size() - floor >= n, "{}: the pickle takes more than it put on its stack, at {}",
          reader_.where(), reader_.at());
    return stack_.size() - n;
  }

  PickleValue Pop() {
    const PickleValue value = stack_[Below(1)];
    stack_.pop_back();
    return value;
  }

  size_t PopMark() {
    Check(!marks_.empty(), "{}: the pickle lacks a mark at {}", reader_.where(), reader_.at());
    const size_t mark = marks_.back();
    marks_.pop_back();
    return mark;
  }

  /// Moves the stack from `begin` on to the end of the list or dict below.
  void Extend(Kind kind, size_t begin) {
    const std::vector<PickleValue> added(stack_.begin() + static_cast<ptrdiff_t>(begin), stack_.end());
    stack_.resize(begin);
    const PickleValue target = stack_[Below(1)];
    Check(target.Is(kind), "{}: the pickle adds items to something else than a {} at {}", reader_.where(),
          kind == Kind::kDict ? "dict" : "list", reader_.at());
    Check(kind == Kind::kList || added.size() % 2 == 0, "{}: the pickle has a key without a value at {}",
          reader_.where(), reader_.at());
    target.items().insert(target.items().end(), added.begin(), added.end());
  }

  void Put(uint64_t slot) {
    // torch numbers its slots from 0, so a slot beyond the pickle's own size is a trick to make the memo
    // large.
    Check(slot < reader_.size(), "{}: the pickle uses memo slot {} at {}", reader_.where(), slot,
          reader_.at());
    if (slot >= memo_.size()) memo_.resize(slot + 1);
    memo_[slot] = {stack_[Below(1)], true};
  }

  PickleValue Get(uint64_t slot) {
    const bool known = slot < memo_.size() && memo_[slot].used;
    Check(known, "{}: the pickle reads the empty memo slot {} at {}", reader_.where(), slot, reader_.at());
    return memo_[slot].value;
  }

  int64_t Long() {
    const auto bytes = reader_.Take(reader_.Read<uint8_t>());
    Check(bytes.size() <= 8, "{}: the pickle has an integer of {} bytes", reader_.where(), bytes.size());
    if (bytes.empty()) return 0;
    uint64_t bits = 0;
    for (size_t i = 0; i < bytes.size(); ++i) bits |= std::to_integer<uint64_t>(bytes[i]) << (8 * i);
    const auto unused = static_cast<int>(64 - 8 * bytes.size());  // two's complement: extend the sign
    return static_cast<int64_t>(bits << unused) >> unused;
  }

  double BigEndianDouble() { return std::bit_cast<double>(__builtin_bswap64(reader_.Read<uint64_t>())); }

  std::string_view Line() {
    const size_t begin = reader_.at();
    while (reader_.Read<char>() != '\n') {
    }
    const size_t length = reader_.at() - begin - 1;
    reader_.Seek(begin);
    const std::string_view line = reader_.TakeText(length);
    reader_.Seek(begin + length + 1);
    return line;
  }

  void NamedGlobal() {
    const std::string_view module = Line();
    PushGlobal(module, Line());
  }

  void StackGlobal() {
    const PickleValue name = Pop(), module = Pop();
    Check(name.Is(Kind::kString) && module.Is(Kind::kString),
          "{}: the pickle names a global by something else than text", reader_.where());
    PushGlobal(module.text(), name.text());
  }

  void PushGlobal(std::string_view module, std::string_view name) {
    for (const KnownGlobal& row : kKnownGlobals) {
      if (row.module == module && row.name == name) return Push(PickleValue::Global(&row));
    }
    constexpr size_t kShown = 100;
    const std::string full = fmt::format("{}.{}", module.substr(0, kShown), name.substr(0, kShown));
    Check(!full.starts_with("torch.") || !full.ends_with("Storage"),
          "{}: has a tensor in {}, an element type that linnet does not have", reader_.where(), full);
    Fail("{}: refers to {}: linnet reads tensors only and runs no code; save the model's state_dict() alone",
         reader_.where(), full);
  }

  void Call() {
    const size_t begin = Below(2);
    const PickleValue callee = stack_[begin], arguments = stack_[begin + 1];
    Check(callee.Is(Kind::kGlobal) && arguments.Is(Kind::kTuple),
          "{}: the pickle calls something that is no function", reader_.where());
    if (callee.global().callee != Callee::kOrderedDict) return PushNode(Kind::kCall, begin);
    Check(arguments.items().empty(),
          "{}: the pickle makes an OrderedDict from arguments, which torch does not", reader_.where());
    stack_.resize(begin);
    PushNode(Kind::kDict, begin);
  }

  /// Sets attributes. Those that a state dict has (_metadata: versions of modules) mean nothing here.
  void Build() {
    Pop();
    const PickleValue target = stack_[Below(1)];
    Check(target.Is(Kind::kDict) || target.Is(Kind::kCall), "{}: the pickle sets attributes of a plain value",
          reader_.where());
  }

 private:
  struct MemoSlot {
    PickleValue value;
    bool used = false;
  };

  ByteReader reader_;
  std::vector<PickleValue> stack_;
  std::vector<size_t> marks_;  // heights of the stack
  std::vector<MemoSlot> memo_;
  Pickle pickle_;
};

/// One row an opcode, under its name in Python's pickletools.
struct Operation {
  uint8_t opcode;
  std::string_view name;
  void (*run)(Machine& m);
};
constexpr uint8_t kStop = '.';
constexpr Operation kOperations[] = {
    {0x80, "PROTO", [](Machine& m) { m.Protocol(m.Read<uint8_t>()); }},
    {0x95, "FRAME", [](Machine& m) { m.Read<uint64_t>(); }},  // a hint for buffered reading
    {'N', "NONE", [](Machine& m) { m.Push({}); }},
    {0x88, "NEWTRUE", [](Machine& m) { m.Push(PickleValue::Bool(true)); }},
    {0x89, "NEWFALSE", [](Machine& m) { m.Push(PickleValue::Bool(false)); }},
    {'J', "BININT", [](Machine& m) { m.PushInt(m.Read<int32_t>()); }},
    {'K', "BININT1", [](Machine& m) { m.PushInt(m.Read<uint8_t>()); }},
    {'M', "BININT2", [](Machine& m) { m.PushInt(m.Read<uint16_t>()); }},
    {0x8A, "LONG1", [](Machine& m) { m.PushInt(m.Long()); }},
    {'G', "BINFLOAT", [](Machine& m) { m.Push(PickleValue::Float(m.BigEndianDouble())); }},
    {0x8C, "SHORT_BINUNICODE", [](Machine& m) { m.PushText(m.Read<uint8_t>()); }},
    {'X', "BINUNICODE", [](Machine& m) { m.PushText(m.Read<uint32_t>()); }},
    {0x8D, "BINUNICODE8", [](Machine& m) { m.PushText(m.Read<uint64_t>()); }},
    {'q', "BINPUT", [](Machine& m) { m.Put(m.Read<uint8_t>()); }},
    {'r', "LONG_BINPUT", [](Machine& m) { m.Put(m.Read<uint32_t>()); }},
    {0x94, "MEMOIZE", [](Machine& m) { m.Memoize(); }},
    {'h', "BINGET", [](Machine& m) { m.Push(m.Get(m.Read<uint8_t>())); }},
    {'j', "LONG_BINGET", [](Machine& m) { m.Push(m.Get(m.Read<uint32_t>())); }},
    {'(', "MARK", [](Machine& m) { m.Mark(); }},
    {'0', "POP", [](Machine& m) { m.Pop(); }},
    {'1', "POP_MARK", [](Machine& m) { m.DropToMark(); }},
    {')', "EMPTY_TUPLE", [](Machine& m) { m.PushNode(Kind::kTuple, m.Height()); }},
    {']', "EMPTY_LIST", [](Machine& m) { m.PushNode(Kind::kList, m.Height()); }},
    {'}', "EMPTY_DICT", [](Machine& m) { m.PushNode(Kind::kDict, m.Height()); }},
    {'t', "TUPLE", [](Machine& m) { m.PushNode(Kind::kTuple, m.PopMark()); }},
    {0x85, "TUPLE1", [](Machine& m) { m.PushNode(Kind::kTuple, m.Below(1)); }},
    {0x86, "TUPLE2", [](Machine& m) { m.PushNode(Kind::kTuple, m.Below(2)); }},
    {0x87, "TUPLE3", [](Machine& m) { m.PushNode(Kind::kTuple, m.Below(3)); }},
    {'a', "APPEND", [](Machine& m) { m.Extend(Kind::kList, m.Below(1)); }},
    {'e', "APPENDS", [](Machine& m) { m.Extend(Kind::kList, m.PopMark()); }},
    {'s', "SETITEM", [](Machine& m) { m.Extend(Kind::kDict, m.Below(2)); }},
    {'u', "SETITEMS", [](Machine& m) { m.Extend(Kind::kDict, m.PopMark()); }},
    {'c', "GLOBAL", [](Machine& m) { m.NamedGlobal(); }},
    {0x93, "STACK_GLOBAL", [](Machine& m) { m.StackGlobal(); }},
    {'Q', "BINPERSID", [](Machine& m) { m.PushNode(Kind::kPersistent, m.Below(1)); }},
    {'R', "REDUCE", [](Machine& m) { m.Call(); }},
    {'b', "BUILD", [](Machine& m) { m.Build(); }},
};

using Step = void (*)(Machine&);

constexpr std::array<Step, 256> kSteps = [] {
  std::array<Step, 256> steps{};
  for (const Operation& operation : kOperations) steps[operation.opcode] = operation.run;
  return steps;
}();

Pickle Machine::Run() {
  for (uint8_t opcode = Read<uint8_t>(); opcode != kStop; opcode = Read<uint8_t>()) {
    const Step step = kSteps[opcode];
    Check(step != nullptr, "{}: has the pickle opcode {:#04x} at {}, which no state dict needs",
          reader_.where(), opcode, reader_.at() - 1);
    step(*this);
  }
  pickle_.top = Pop();
  pickle_.bytes = reader_.at();
  return std::move(pickle_);
}

}  // namespace

PickleValue PickleValue::Bool(bool value) {
  PickleValue v = Int(value);
  v.kind_ = Kind::kBool;
  return v;
}

PickleValue PickleValue::Int(int64_t value) {
  PickleValue v;
  v.kind_ = Kind::kInt;
  v.integer_ = value;
  return v;
}

PickleValue PickleValue::Float(double value) {
  PickleValue v;
  v.kind_ = Kind::kFloat;
  v.real_ = value;
  return v;
}

PickleValue PickleValue::String(std::string_view text) {
  Check(text.size() <= UINT32_MAX, "[pickle] has a string of {} bytes", text.size());
  PickleValue v;
  v.kind_ = Kind::kString;
  v.length_ = static_cast<uint32_t>(text.size());
  v.text_ = text.data();
  return v;
}

PickleValue PickleValue::Global(const KnownGlobal* global) {
  PickleValue v;
  v.kind_ = Kind::kGlobal;
  v.global_ = global;
  return v;
}

PickleValue PickleValue::Node(Kind kind, PickleNode* node) {
  PickleValue v;
  v.kind_ = kind;
  v.node_ = node;
  return v;
}

std::vector<PickleValue>& PickleValue::items() const { return node_->items; }

bool PickleValue::IsCall(Callee callee) const {
  return Is(Kind::kCall) && items()[0].global().callee == callee;
}

Pickle ReadPickle(std::span<const std::byte> bytes, const std::string& where) {
  return Machine(bytes, where).Run();
}

}  // namespace linnet
