// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <doctest/doctest.h>

#include "gantry/nn/layers.hpp"
#include "gantry/nn/summary.hpp"

using namespace gantry;

TEST_CASE("summary: a line per layer, those of a block indented, and the sums") {
  using net = sequential<image<8, 8, 3>, conv2d<4, 3, 1, 1>,
                         residual<path<relu, conv2d<6, 3, 2, 1>>, path<conv2d<6, 1, 2>>>,
                         spectral_norm<linear<1>>>;
  const std::string text = nn::summary<net>();
  CHECK(std::ranges::count(text, '\n') == 1 + 3 + 3 + 1);
  CHECK(text.find("0 conv2d ") != std::string::npos);
  CHECK(text.find("  branch 1 conv2d ") != std::string::npos);
  CHECK(text.find("  shortcut 0 conv2d ") != std::string::npos);
  CHECK(text.find("2 spectral_norm ") != std::string::npos);
  CHECK(text.find("8 x 8 x 4") != std::string::npos);
  CHECK(text.find("4 x 4 x 6") != std::string::npos);
  const std::string last = text.substr(text.rfind("\nall ") + 1);
  CHECK(last.find(" " + std::to_string(net::param_count) + " ") != std::string::npos);
}
