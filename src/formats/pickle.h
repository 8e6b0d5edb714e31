// The part of Python's pickle that torch.save uses for tensors (protocols 2 to 5; Python's pickletools
// documents the opcodes), run on a stack machine that can build values and nothing else.
//
// The globals that a pickle may name are those of kKnownGlobals; any other is refused where it is named.
// Calls are not made but recorded: OrderedDict() becomes a dict, the others stay {callee, arguments} for the
// reader of the result. Values are 16 bytes, strings point into the pickle, nodes lie in one arena: memory is
// bounded by some 40 times the pickle's bytes, shared values are never copied, cycles cost nothing, and
// destruction does not recurse.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "tensor/dtype.h"

namespace linnet {

enum class Callee : uint8_t { kOrderedDict, kRebuildTensor, kRebuildParameter, kSize, kStorage };

struct KnownGlobal {
  std::string_view module, name;
  Callee callee;
  DType dtype;  // of a storage class
};

struct PickleNode;

class PickleValue {
 public:
  enum class Kind : uint8_t {
    kNone,
    kBool,
    kInt,
    kFloat,
    kString,
    kGlobal,
    kTuple,
    kList,
    kDict,
    kCall,
    kPersistent
  };

  PickleValue() = default;
  static PickleValue Bool(bool value);
  static PickleValue Int(int64_t value);
  static PickleValue Float(double value);
  /// Throws Error beyond 4 GiB.
  static PickleValue String(std::string_view text);
  static PickleValue Global(const KnownGlobal* global);
  static PickleValue Node(Kind kind, PickleNode* node);

  Kind kind() const { return kind_; }
  bool Is(Kind kind) const { return kind_ == kind; }
  /// The accessors below require the kind that they name.
  bool boolean() const { return integer_ != 0; }
  int64_t integer() const { return integer_; }
  double real() const { return real_; }
  std::string_view text() const { return {text_, length_}; }
  const KnownGlobal& global() const { return *global_; }
  /// kTuple, kList: the items. kDict: key, value, key, value ... kCall: the global, a tuple. kPersistent: the
  /// id.
  std::vector<PickleValue>& items() const;
  bool IsCall(Callee callee) const;

 private:
  Kind kind_ = Kind::kNone;
  uint32_t length_ = 0;
  union {
    int64_t integer_ = 0;
    double real_;
    const char* text_;
    const KnownGlobal* global_;
    PickleNode* node_;
  };
};

struct PickleNode {
  std::vector<PickleValue> items;
};

struct Pickle {
  PickleValue top;
  size_t bytes = 0;              // how long the pickle was: more may follow it
  std::deque<PickleNode> nodes;  // owns what the values point to; a deque never moves them
};

/// Runs the pickle that `bytes` begin with, which must outlive the result. `where` is put in front of
/// messages. Throws Error if it is malformed or names anything but tensors and dicts.
Pickle ReadPickle(std::span<const std::byte> bytes, const std::string& where);

}  // namespace linnet
