// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Any text is a JSON value or ends in one data_error. What is accepted is written as a text that
// reads as the same value.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "gantry/base/error.hpp"
#include "gantry/io/json.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace gantry::io;
  try {
    const json::value v = json::parse({reinterpret_cast<const char*>(data), size});
    const std::string text = json::dump(v), wide = json::dump(v, 2);
    if (json::dump(json::parse(text)) != text || json::dump(json::parse(wide)) != text)
      std::abort();
  } catch (const gantry::data_error&) {}
  return 0;
}
