// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// A small strict JSON (RFC 8259): parser and writer. Stricter than most general libraries, because
// files come from strangers: no duplicate keys, no bad UTF-8, bounded depth, nothing after the
// value.
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/io/json_value.hpp"
#include "gantry/io/utf8.hpp"

namespace gantry::inline v0::io::json {

/// Arrays and objects may be nested this deep, so that a hostile file cannot exhaust the stack.
inline constexpr int max_depth = 64;

/// Recursive descent over one text; used through parse().
class reader {
 public:
  reader(std::string_view text, std::string_view source) : text_(text), source_(source) {}

  value read_document() {
    skip_blanks();
    value result = read_value(0);
    skip_blanks();
    if (at_ < text_.size()) refuse("the end of the text");
    return result;
  }

 private:
  [[noreturn]] void refuse(const std::string& expected) const {
    const std::string found =
        at_ < text_.size() ? in_quotes(text_.substr(at_, 1)) : "the end of the text";
    refuse_because("expected " + expected + " and found " + found);
  }
  [[noreturn]] void refuse_because(const std::string& reason) const {
    throw data_error(std::string(source_) + " is not valid JSON at byte " + std::to_string(at_) +
                     ": " + reason + "; correct it or restore it from a copy");
  }

  [[nodiscard]] char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  [[nodiscard]] bool next_is_digit() const { return peek() >= '0' && peek() <= '9'; }
  bool take(char c) {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void skip_blanks() {
    while (at_ < text_.size() &&
           std::string_view(" \t\n\r").find(text_[at_]) != std::string_view::npos)
      ++at_;
  }

  value read_value(int depth) {
    switch (peek()) {
      case '{':
        return read_object(depth + 1);
      case '[':
        return read_array(depth + 1);
      case '"':
        return read_string();
      case 't':
        return read_word("true", value(true));
      case 'f':
        return read_word("false", value(false));
      case 'n':
        return read_word("null", value());
      default:
        return read_number();
    }
  }

  value read_word(std::string_view word, value meaning) {
    if (text_.substr(at_, word.size()) != word) refuse_because("expected " + std::string(word));
    at_ += word.size();
    return meaning;
  }

  void check_depth(int depth) const {
    if (depth > max_depth)
      refuse_because("arrays and objects are nested deeper than " + std::to_string(max_depth));
  }

  value read_array(int depth) {
    check_depth(depth);
    ++at_;
    array elements;
    skip_blanks();
    if (take(']')) return elements;
    for (;;) {
      skip_blanks();
      elements.push_back(read_value(depth));
      skip_blanks();
      if (take(']')) return elements;
      if (!take(',')) refuse("',' or ']'");
    }
  }

  value read_object(int depth) {
    check_depth(depth);
    ++at_;
    object result;
    skip_blanks();
    if (take('}')) return result;
    for (;;) {
      skip_blanks();
      if (peek() != '"') refuse("a key in double quotes");
      std::string key = read_string();
      skip_blanks();
      if (!take(':')) refuse("':'");
      skip_blanks();
      result.members_.push_back({std::move(key), read_value(depth)});
      skip_blanks();
      if (take('}')) break;
      if (!take(',')) refuse("',' or '}'");
    }
    check_unique_keys(result);
    return result;
  }

  /// Sorted once per object: a hostile header with a million keys must not cost a million searches.
  void check_unique_keys(const object& read) const {
    std::vector<std::string_view> keys;
    keys.reserve(read.size());
    for (const member& m : read.members()) keys.push_back(m.key);
    std::sort(keys.begin(), keys.end());
    const auto twice = std::adjacent_find(keys.begin(), keys.end());
    if (twice != keys.end())
      refuse_because("the object before it has the key " + in_quotes(*twice) + " twice");
  }

  std::string read_string() {
    ++at_;
    std::string result;
    for (;;) {
      if (at_ >= text_.size()) refuse("a closing quote");
      const char c = text_[at_];
      if (static_cast<unsigned char>(c) < 0x20) refuse("an escape for a control character");
      if (take('"')) return result;
      if (take('\\')) {
        read_escape(result);
        continue;
      }
      const std::size_t length = utf8_length(text_.substr(at_));
      if (length == 0) refuse("valid UTF-8");
      result.append(text_.substr(at_, length));
      at_ += length;
    }
  }

  void read_escape(std::string& result) {
    constexpr std::string_view letters = "\"\\/bfnrt";
    constexpr std::string_view meanings = "\"\\/\b\f\n\r\t";
    if (take('u')) {
      append_utf8(result, read_code_point());
      return;
    }
    const std::size_t index =
        at_ < text_.size() ? letters.find(text_[at_]) : std::string_view::npos;
    if (index == std::string_view::npos) refuse("one of \" \\ / b f n r t u after a backslash");
    result.push_back(meanings[index]);
    ++at_;
  }

  char32_t read_code_point() {
    const char32_t first = read_four_hex();
    if (first < 0xD800 || first > 0xDFFF) return first;
    if (first > 0xDBFF || !take('\\') || !take('u'))
      refuse_because("half of a surrogate pair stands alone");
    const char32_t second = read_four_hex();
    if (second < 0xDC00 || second > 0xDFFF) refuse_because("half of a surrogate pair stands alone");
    return 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
  }

  char32_t read_four_hex() {
    std::uint32_t code = 0;
    const std::string_view digits = text_.substr(at_, 4);
    const auto [end, failure] =
        std::from_chars(digits.data(), digits.data() + digits.size(), code, 16);
    if (failure != std::errc{} || end != digits.data() + 4)
      refuse_because("expected four hexadecimal digits");
    at_ += 4;
    return code;
  }

  value read_number() {
    const std::size_t start = at_;
    const bool negative = take('-');
    if (!next_is_digit()) refuse(negative ? "a digit" : "a value");
    if (!take('0')) skip_digits();
    bool integral = true;
    if (take('.')) {
      integral = false;
      skip_digits();
    }
    if (peek() == 'e' || peek() == 'E') {
      integral = false;
      ++at_;
      if (!take('+')) take('-');
      skip_digits();
    }
    const std::string_view digits = text_.substr(start, at_ - start);
    const char* const end = digits.data() + digits.size();
    std::int64_t exact = 0;
    if (integral && digits != "-0" && std::from_chars(digits.data(), end, exact).ec == std::errc{})
      return exact;
    double number = 0;
    if (std::from_chars(digits.data(), end, number).ec != std::errc{}) {
      refuse_because("a number before it is outside the range of a double");
    }
    return number;
  }

  void skip_digits() {
    if (!next_is_digit()) refuse("a digit");
    while (next_is_digit()) ++at_;
  }

  std::string_view text_;
  std::string_view source_;
  std::size_t at_ = 0;
};

/// Reads exactly one JSON value. `source` names the text in messages, usually the file.
/// @throws data_error with the byte position and the reason
inline value parse(std::string_view text, std::string_view source = "the JSON text") {
  return reader(text, source).read_document();
}

/// Shortest digits that read back as the same double; keeps a point or an exponent so that it stays
/// a double. Numbers that JSON cannot write (NaN, infinities) become null.
inline void append_number(std::string& out, double number) {
  if (!std::isfinite(number)) {
    out += "null";
    return;
  }
  char digits[32];
  const auto written = std::to_chars(digits, digits + sizeof digits, number);
  const std::string_view text(digits, static_cast<std::size_t>(written.ptr - digits));
  out += text;
  if (text.find_first_of(".e") == std::string_view::npos) out += ".0";
}

/// Writes one value onto the end of `out`; used through dump().
class writer {
 public:
  writer(std::string& out, int indent) : out_(out), indent_(indent) {}

  void write(const value& v, int depth = 0) {
    if (v.is_null()) out_ += "null";
    if (v.is_bool()) out_ += v.as_bool() ? "true" : "false";
    if (v.is_int()) out_ += std::to_string(v.as_int());
    if (v.is_double()) append_number(out_, v.as_double());
    if (v.is_string()) append_quoted(out_, v.as_string());
    if (v.is_array()) {
      write_list('[', ']', v.as_array(), depth,
                 [&](const value& element) { write(element, depth + 1); });
    }
    if (v.is_object()) {
      write_list('{', '}', v.as_object().members(), depth, [&](const member& m) {
        append_quoted(out_, m.key);
        out_ += indent_ > 0 ? ": " : ":";
        write(m.content, depth + 1);
      });
    }
  }

 private:
  template <class List, class WriteItem>
  void write_list(char open, char close, const List& list, int depth, WriteItem write_item) {
    out_ += open;
    bool first = true;
    for (const auto& item : list) {
      if (!first) out_ += ',';
      first = false;
      break_line(depth + 1);
      write_item(item);
    }
    if (!first) break_line(depth);
    out_ += close;
  }

  void break_line(int depth) {
    if (indent_ > 0) out_.append(1, '\n').append(static_cast<std::size_t>(indent_ * depth), ' ');
  }

  std::string& out_;
  int indent_;
};

/// The JSON text of a value, on one line if `indent` is 0. Bytes that are not UTF-8 become U+FFFD.
inline std::string dump(const value& v, int indent = 0) {
  std::string out;
  writer(out, indent).write(v);
  return out;
}

}  // namespace gantry::io::json
