// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

#include "gantry/base/error.hpp"

namespace gantry::inline v0::io {

/// Text of a stranger for a message: short, and without what could steer a terminal.
inline std::string printable(std::string_view text) {
  constexpr std::size_t longest = 80;
  std::string shown(text.substr(0, longest));
  std::ranges::replace_if(
      shown, [](char c) { return c < ' ' || c > '~'; }, '?');
  return text.size() > longest ? shown + "..." : shown;
}

/// Refuses a file or a part of one in one sentence. @throws data_error, always
[[noreturn]] inline void refuse_file(const std::string& name, const std::string& expected,
                                     const std::string& found, const std::string& advice) {
  throw data_error(name + ": expected " + expected + ", found " + found + "; " + advice);
}

}  // namespace gantry::io
