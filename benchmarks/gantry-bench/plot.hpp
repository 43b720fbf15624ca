// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Curves as an SVG picture that stands alone.
#pragma once

#include <string>
#include <utility>
#include <vector>

struct curve {
  std::string name;
  std::vector<std::pair<double, double>> points;
  std::vector<std::string> notes{};  ///< beside the points, which then have dots; or none
};

/// What the axes are called and how they run.
struct plot_axes {
  std::string x, y;
  bool log_x{false}, log_y{true};
};

/// Points that are not finite, or not positive on a logarithmic axis, are left out.
std::string svg_of(const std::vector<curve>& curves, const plot_axes& axes);

/// A number with so many digits behind the point.
std::string number(double value, int digits);

/// A number of any size in few characters: 0.03, 3955, 4.4e+07.
std::string short_number(double value);
