// The fields of a request's JSON, each checked when it is read: what is wrong is said by name, with status
// 400. A field that is null is the same as one that is not there.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "serve/json.h"

namespace linnet {

/// A request's body: an object, nested at most 64 deep. Throws HttpError 400.
Json ParseBody(std::string_view body);

/// What a text in a request or in an answer says in JSON; discarded (nlohmann's is_discarded()) if it is none
/// or nested more than 64 deep: copying and writing it takes as much stack.
Json ParseText(std::string_view text);

class Fields {
 public:
  /// Of an object, which must outlive this; `where` stands before the names in messages: "messages[0].".
  /// Throws HttpError 400 if it is no object.
  explicit Fields(const Json& object, std::string where = "");

  /// Null if there is none.
  const Json* Find(const char* name) const;
  std::optional<bool> Bool(const char* name) const;
  std::optional<double> Number(const char* name, double lowest, double highest) const;
  std::optional<int64_t> Integer(const char* name, int64_t lowest, int64_t highest) const;
  std::optional<std::string> String(const char* name) const;
  /// A string or a list of strings, none of them empty; at most `most`.
  std::vector<std::string> Strings(const char* name, size_t most) const;

  /// Throws HttpError 400 naming the field.
  [[noreturn]] void Refuse(const std::string& name, const std::string& why) const;
  /// Refuses those that are there: known, but not supported.
  void RefuseAll(std::initializer_list<const char*> names) const;

 private:
  const Json& object_;
  std::string where_;
};

}  // namespace linnet
