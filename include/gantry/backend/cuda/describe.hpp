// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// What an op was about to compute, for the message of an error.
#pragma once

#include <cstddef>
#include <string>

#include "gantry/ops/conv2d.hpp"
#include "gantry/ops/linear.hpp"
#include "gantry/ops/operation.hpp"

namespace gantry::inline v0::backend::detail {

inline std::string words(hwc shape) {
  return std::to_string(shape.h) + " x " + std::to_string(shape.w) + " x " +
         std::to_string(shape.c);
}
inline std::string words(const conv_geometry& g) {
  return words(g.in) + ", " + std::to_string(g.filters) + " filters of " +
         std::to_string(g.kernel) + " x " + std::to_string(g.kernel) + ", stride " +
         std::to_string(g.stride) + ", padding " + std::to_string(g.pad);
}
inline std::string words(const linear_geometry& g) {
  return words(g.in) + " to " + std::to_string(g.out);
}

/// The extents in an op's template arguments.
template <class Op>
struct extents_of {
  static std::string words() { return {}; }
};
template <template <hwc> class Op, hwc Shape>
struct extents_of<Op<Shape>> {
  static std::string words() { return detail::words(Shape); }
};
template <template <conv_geometry> class Op, conv_geometry G>
struct extents_of<Op<G>> {
  static std::string words() { return detail::words(G); }
};
template <template <linear_geometry> class Op, linear_geometry G>
struct extents_of<Op<G>> {
  static std::string words() { return detail::words(G); }
};

/// Samples of a batch, or numbers of an array.
template <class Params>
std::string amount(const Params& p) {
  if constexpr (requires { p.x.n; })
    return std::to_string(p.x.n) + " samples";
  else if constexpr (requires { p.dy.n; })
    return std::to_string(p.dy.n) + " samples";
  else if constexpr (requires { p.y.n; })
    return std::to_string(p.y.n) + " samples";
  else if constexpr (requires { p.count; })
    return std::to_string(p.count) + " numbers";
  else
    return "one call";
}

/// "conv2d_forward of 64 samples (32 x 32 x 3, 64 filters of 4 x 4, stride 2, padding 1)".
template <class Op, class Params>
std::string description(Op, const Params& p) {
  const std::string extents = extents_of<Op>::words();
  return std::string(Op::name) + " of " + amount(p) +
         (extents.empty() ? extents : " (" + extents + ")");
}

}  // namespace gantry::backend::detail
