// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace gantry::inline v0::io {

/// Bytes of the code point at the start of `text`; 0 if the text is empty or does not start with
/// valid UTF-8 (RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF).
inline std::size_t utf8_length(std::string_view text) {
  if (text.empty()) return 0;
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return 1;
  const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() < length) return 0;
  const unsigned char lowest = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  const unsigned char highest = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  if (byte(1) < lowest || byte(1) > highest) return 0;
  for (std::size_t i = 2; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  return length;
}

/// True if the whole text is valid UTF-8.
inline bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

/// Appends a code point that is not a surrogate.
inline void append_utf8(std::string& out, char32_t code) {
  const auto put = [&](char32_t byte) { out.push_back(static_cast<char>(byte)); };
  const auto put_tail = [&](int shift) { put(0x80 | ((code >> shift) & 0x3F)); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0 | (code >> 6));
    put_tail(0);
  } else if (code < 0x10000) {
    put(0xE0 | (code >> 12));
    put_tail(6);
    put_tail(0);
  } else {
    put(0xF0 | (code >> 18));
    put_tail(12);
    put_tail(6);
    put_tail(0);
  }
}

/// Appends `text` as a JSON string: quoted, escaped, always valid. Control characters are escaped,
/// those of U+0080 to U+009F too (a terminal obeys them), and bytes that are not UTF-8 become
/// U+FFFD.
inline void append_quoted(std::string& out, std::string_view text) {
  constexpr std::string_view specials = "\"\\\b\f\n\r\t";
  constexpr std::string_view letters = "\"\\bfnrt";
  constexpr char hex[] = "0123456789abcdef";
  const auto put_escape = [&](unsigned code) {
    out.append("\\u00").append(1, hex[code >> 4]).append(1, hex[code & 15]);
  };
  out += '"';
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    const auto lead = static_cast<unsigned char>(text[0]);
    const std::size_t special = specials.find(text[0]);
    if (length == 0) {
      append_utf8(out, 0xFFFD);
    } else if (special != std::string_view::npos) {
      out.append(1, '\\').append(1, letters[special]);
    } else if (lead < 0x20 || lead == 0x7F) {
      put_escape(lead);
    } else if (lead == 0xC2 && static_cast<unsigned char>(text[1]) < 0xA0) {
      put_escape(static_cast<unsigned char>(text[1]));
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  out += '"';
}

/// `text` in quotes for an error message: harmless to print, and cut when it is long.
inline std::string in_quotes(std::string_view text) {
  constexpr std::size_t longest = 80;
  std::size_t kept = 0;
  while (kept < text.size() && kept < longest) {
    const std::size_t length = utf8_length(text.substr(kept));
    kept += length == 0 ? 1 : length;
  }
  std::string out;
  append_quoted(out, text.substr(0, kept));
  if (kept < text.size()) out.insert(out.size() - 1, "...");
  return out;
}

}  // namespace gantry::io
