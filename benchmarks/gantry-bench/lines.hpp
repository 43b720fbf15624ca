// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// What the commands print: a JSON line per result, of quantiles of times.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <vector>

#include "gantry/io/json.hpp"

/// Flushed, so that a run that is stopped has printed what it measured.
inline void print_line(const gantry::io::json::object& line) {
  std::printf("%s\n", gantry::io::json::dump(line).c_str());
  std::fflush(stdout);
}

/// The value that a share q of the others does not exceed, the lower one between two.
inline double quantile(std::vector<double> seconds, double q) {
  const auto at = static_cast<std::ptrdiff_t>(q * static_cast<double>(seconds.size() - 1));
  std::nth_element(seconds.begin(), seconds.begin() + at, seconds.end());
  return seconds[static_cast<std::size_t>(at)];
}
