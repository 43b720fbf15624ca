// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Text and data that can be put into an HTML page without becoming markup or script.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "gantry/io/json.hpp"
#include "gantry/io/utf8.hpp"

namespace gantry::inline v0::io {

/// Text for HTML, in elements and in quoted attributes. Bytes that no browser may see become
/// U+FFFD.
inline std::string escape_html(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    const char c = text[0];
    if (c == '&') {
      out += "&amp;";
    } else if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else if (c == '"') {
      out += "&quot;";
    } else if (c == '\'') {
      out += "&#39;";
    } else if (length == 0 || c == 0x7F ||
               (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t')) {
      append_utf8(out, 0xFFFD);
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return out;
}

/// JSON for a script element: nothing in it can end the element or open a comment.
inline std::string script_json(const json::value& v) {
  std::string out;
  for (const char c : json::dump(v)) {
    out += c == '<' ? std::string_view("\\u003c") : std::string_view(&c, 1);
  }
  return out;
}

}  // namespace gantry::io
