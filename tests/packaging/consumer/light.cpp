// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <gantry/io/json.hpp>

int main() {
  const auto value = gantry::io::json::parse(R"({"answer": [4, 2]})");
  return gantry::io::json::dump(value) == R"({"answer":[4,2]})" ? 0 : 1;
}
