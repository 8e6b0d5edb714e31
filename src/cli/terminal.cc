#include "cli/terminal.h"

#include <fmt/format.h>
#include <langinfo.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <clocale>
#include <cmath>
#include <cstdlib>
#include <string_view>

#include "text/utf8.h"

namespace linnet {
namespace {

constexpr std::chrono::milliseconds kRedraw{100}, kPlainLine{5000};

bool UnderstandsEscapes(std::FILE* out) {
  const char* type = std::getenv("TERM");
  return isatty(fileno(out)) != 0 && type != nullptr && std::string_view(type) != "dumb";
}

}  // namespace

int TerminalColumns(std::FILE* out) {
  winsize size{};
  if (ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}

bool LocaleIsUtf8() {
  std::setlocale(LC_CTYPE, "");
  return std::string_view(nl_langinfo(CODESET)) == "UTF-8";
}

std::string WithCommas(int64_t number) {
  const std::string digits = fmt::format("{}", number);
  std::string text;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) text += ',';
    text += digits[i];
  }
  return text;
}

std::string ClockTime(double seconds) {
  const auto whole = static_cast<long long>(std::ceil(std::max(0.0, seconds)));
  if (whole < 3600) return fmt::format("{}:{:02}", whole / 60, whole % 60);
  return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
}

std::string Printable(std::string_view text) {
  Utf8Stream stream(Utf8Stream::Mode::kTerminal);
  std::string printable = stream.Push(text);
  return printable + stream.Finish();
}

void PrintLabelled(const std::vector<std::pair<std::string, std::string>>& lines) {
  size_t width = 0;
  for (const auto& [label, text] : lines) width = std::max(width, label.size());
  for (const auto& [label, text] : lines) fmt::print("{:<{}}  {}\n", label, width, text);
}

ProgressLine::ProgressLine(std::FILE* out) : out_(out), live_(UnderstandsEscapes(out)) {}

ProgressLine::~ProgressLine() {
  if (drawn_) std::fputc('\n', out_);
  std::fflush(out_);
}

void ProgressLine::Draw(const std::string& text) {
  last_ = Clock::now();
  shown_ = true;
  if (live_) {
    // One column is left free: a terminal may wrap after its last.
    const std::string cut = text.substr(0, static_cast<size_t>(std::max(1, TerminalColumns(out_) - 1)));
    fmt::print(out_, "\r{}\x1b[K", cut);
    drawn_ = true;
  } else {
    fmt::print(out_, "{}\n", text);
  }
  std::fflush(out_);
}

void ProgressLine::Erase() {
  if (drawn_) std::fputs("\r\x1b[K", out_);
  drawn_ = false;
}

void ProgressLine::Show(const std::string& text) {
  if (!shown_ || Clock::now() - last_ >= (live_ ? kRedraw : kPlainLine)) Draw(text);
}

void ProgressLine::Finish(const std::string& text) {
  Draw(text);
  if (drawn_) std::fputc('\n', out_);
  drawn_ = false;
  std::fflush(out_);
}

void ProgressLine::Print(const std::string& text) {
  Erase();
  fmt::print(out_, "{}\n", text);
  std::fflush(out_);
}

}  // namespace linnet
