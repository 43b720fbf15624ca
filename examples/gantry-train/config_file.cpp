// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <charconv>
#include <cstddef>
#include <numeric>
#include <system_error>
#include <utility>

#include "gantry/base/error.hpp"
#include "gantry/io/utf8.hpp"

#include "config_file.hpp"

namespace {

constexpr std::string_view key_letters =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";

bool is_number(std::string_view word) {
  const std::string_view digits = word.substr(word.starts_with('-') ? 1 : 0);
  if (digits.empty() || digits.front() < '0' || digits.front() > '9') return false;
  double number{};
  const auto [end, failure] = std::from_chars(word.data(), word.data() + word.size(), number);
  return failure == std::errc{} && end == word.data() + word.size();
}

/// A value that stands in a file without quotes.
bool is_bare(std::string_view word) { return word == "true" || word == "false" || is_number(word); }

class config_reader {
 public:
  config_reader(std::string_view text, const std::string& file) : rest_(text), file_(file) {}

  std::vector<config_entry> read() {
    std::vector<config_entry> entries;
    for (skip_lines(); !rest_.empty(); skip_lines()) {
      config_entry& e = entries.emplace_back();
      e.line = line_;
      e.key = read_key();
      e.values = peek() == '[' ? read_list() : std::vector{read_value()};
      skip_blanks();
      skip_comment();
      if (!rest_.empty() && !take('\n')) refuse("the end of the line");
    }
    return entries;
  }

 private:
  [[noreturn]] void refuse(const std::string& expected) const {
    std::string_view found = rest_.substr(0, std::min(rest_.find('\n'), rest_.size()));
    const bool cut = found.size() > 40;
    found = found.substr(0, cut ? 40 : found.size());
    const bool readable = gantry::io::is_utf8(found) &&
                          std::ranges::all_of(found, [](char c) { return (c & 0xE0) != 0; });
    throw gantry::usage_error(file_ + ", line " + std::to_string(line_) + ": expected " + expected +
                              " and found " +
                              (found.empty() ? "nothing"
                               : readable    ? "\"" + std::string(found) + (cut ? "...\"" : "\"")
                                             : "unreadable bytes") +
                              "; an example of a line is batch = 16");
  }

  [[nodiscard]] char peek() const { return rest_.empty() ? '\0' : rest_.front(); }
  bool take(char c) {
    if (rest_.empty() || rest_.front() != c) return false;
    if (c == '\n') ++line_;
    rest_.remove_prefix(1);
    return true;
  }
  void skip_blanks() {
    while (take(' ') || take('\t') || take('\r')) {}
  }
  void skip_comment() {
    if (peek() == '#') rest_.remove_prefix(std::min(rest_.find('\n'), rest_.size()));
  }
  void skip_lines() {
    do {
      skip_blanks();
      skip_comment();
    } while (take('\n'));
  }

  std::string_view take_while(std::string_view letters) {
    const std::size_t end = std::min(rest_.find_first_not_of(letters), rest_.size());
    const std::string_view word = rest_.substr(0, end);
    rest_.remove_prefix(end);
    return word;
  }

  std::string read_key() {
    const std::string_view start = rest_;
    std::string key(take_while(key_letters));
    skip_blanks();
    if (key.empty() || !take('=')) {
      rest_ = start;
      refuse("a setting, its name and = and its value");
    }
    skip_blanks();
    return key;
  }

  std::vector<std::string> read_list() {
    std::vector<std::string> values;
    take('[');
    for (skip_lines(); !take(']'); skip_lines()) {
      values.push_back(read_value());
      skip_lines();
      if (!take(',') && peek() != ']') refuse("a comma or ]");
    }
    return values;
  }

  std::string read_value() {
    if (take('"')) return read_text('"');
    if (take('\'')) return read_text('\'');
    const std::string_view start = rest_;
    const std::string word(rest_.substr(0, rest_.find_first_of(" \t\r\n#,[]\"'=")));
    if (!is_bare(word)) {
      rest_ = start;
      refuse("a value, a number, true, false or a text in quotes,");
    }
    rest_.remove_prefix(word.size());
    return word;
  }

  /// The rest of a text behind its opening quote.
  std::string read_text(char quote) {
    std::string text;
    while (!take(quote)) {
      const char c = peek();
      if (rest_.empty() || (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == '\x7F')
        refuse(std::string("the closing ") + quote + " of a text");
      rest_.remove_prefix(1);
      text += c == '\\' && quote == '"' ? read_escape() : std::string(1, c);
    }
    if (!gantry::io::is_utf8(text)) refuse("a text in UTF-8 before what follows it");
    return text;
  }

  std::string read_escape() {
    constexpr std::string_view letters = "\"\\bfnrt", meanings = "\"\\\b\f\n\r\t";
    const std::size_t known = rest_.empty() ? letters.npos : letters.find(rest_.front());
    if (known == letters.npos) refuse("one of \" \\ b f n r t after a backslash");
    rest_.remove_prefix(1);
    return std::string(1, meanings[known]);
  }

  std::string_view rest_;
  const std::string& file_;
  int line_ = 1;
};

std::string quoted(const std::string& text) {
  constexpr std::string_view meanings = "\"\\\b\f\n\r\t", letters = "\"\\bfnrt";
  std::string out = "\"";
  for (const char c : text) {
    const std::size_t special = meanings.find(c);
    if (special != meanings.npos) out += '\\';
    out += special == meanings.npos ? c : letters[special];
  }
  return out + '"';
}

/// Letters to insert, remove or replace (Levenshtein).
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i + 1);
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

}  // namespace

std::vector<config_entry> parse_config(std::string_view text, const std::string& file) {
  return config_reader(text, file).read();
}

std::string config_line(const std::string& key, const std::vector<std::string>& values) {
  const auto written = [](const std::string& v) { return is_bare(v) ? v : quoted(v); };
  if (values.size() == 1) return key + " = " + written(values.front());
  std::string list;
  for (const std::string& v : values) list += (list.empty() ? "" : ", ") + written(v);
  return key + " = [" + list + "]";
}

std::string near_match(std::string_view name, const std::vector<std::string>& names) {
  std::string best;
  // Of a short name one letter has to stay.
  std::size_t least = std::min(std::max<std::size_t>(2, name.size() / 3) + 1, name.size());
  for (const std::string& n : names)
    if (const std::size_t d = distance(name, n); d < least) {
      least = d;
      best = n;
    }
  return best;
}
