// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Any text is a file of settings or ends in one usage_error. What is accepted reads as the same
// settings after it has been written.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "gantry/base/error.hpp"

#include "gantry-train/config_file.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  std::vector<config_entry> entries;
  try {
    entries = parse_config(input, "input");
  } catch (const gantry::usage_error&) {
    return 0;
  }
  std::string text;
  for (const config_entry& e : entries) text += config_line(e.key, e.values) + "\n";
  const std::vector<config_entry> again = parse_config(text, "copy");
  if (again.size() != entries.size()) std::abort();
  for (std::size_t i = 0; i < again.size(); ++i)
    if (again[i].key != entries[i].key || again[i].values != entries[i].values) std::abort();
  return 0;
}
