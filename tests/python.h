// A Python for the tests that ask other programs what linnet's files are to them.
#pragma once

#include <fmt/format.h>

#include <cstdlib>
#include <string>

namespace linnet {

/// A Python that carries out this statement, or "".
inline std::string PythonThatCan(const std::string& statement) {
  for (const char* python : {"python3", "/usr/bin/python3"}) {
    if (std::system(fmt::format("{} -c '{}' 2>/dev/null", python, statement).c_str()) == 0) return python;
  }
  return "";
}

}  // namespace linnet
