// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Files of settings: the part of TOML 1.0 that command lines need, one `key = value` per line with
// a text, a number, true or false, or a list of these as value, and comments after #.
#pragma once

#include <string>
#include <string_view>
#include <vector>

/// What one line of a file sets.
struct config_entry {
  std::string key;
  std::vector<std::string> values;  ///< one, or those of a list
  int line{};
};

/// @throws gantry::usage_error that names the file and the line
std::vector<config_entry> parse_config(std::string_view text, const std::string& file);

/// One line of such a file, without its end; texts that are a number or a truth need no quotes.
std::string config_line(const std::string& key, const std::vector<std::string>& values);

/// That of `names` which differs least from `name`, or nothing if none is near.
std::string near_match(std::string_view name, const std::vector<std::string>& names);
