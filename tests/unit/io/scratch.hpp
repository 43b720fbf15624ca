// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <exception>
#include <string>

#include "support/scratch_folder.hpp"

namespace gantry::inline v0::io::test {

using gantry::test::scratch_folder;

/// The message of the Error that `act` must throw, or a text that says what happened instead.
template <class Error, class Act>
std::string message_of(Act act) {
  try {
    act();
  } catch (const Error& e) {
    return e.what();
  } catch (const std::exception& e) {
    return std::string("[another error] ") + e.what();
  }
  return "[no error]";
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace gantry::io::test
