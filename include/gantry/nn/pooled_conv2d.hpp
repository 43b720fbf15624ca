// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "gantry/nn/folded_conv2d.hpp"

namespace gantry::inline v0 {

/// conv2d<Filters, 3, 1, 1, Bias> and average_pool<2> as one layer with the parameters of the
/// first: height and width are halved (an odd last row or column is in the windows, but in no
/// square of its own, as in the two layers), for 4/9 of the products and without the large output.
template <int Filters, bias Bias = bias::yes>
struct pooled_conv2d : nn::folded_conv2d<fold_kind::pooled, Filters, Bias> {
  static_assert(Filters > 0, "pooled_conv2d<filters>: the number of filters must be positive");
  static constexpr std::string_view name = "pooled_conv2d";
  template <hwc In>
  static constexpr bool validate() {
    static_assert(In.h >= 2 && In.w >= 2,
                  "pooled_conv2d: the input must have at least 2 x 2 pixels; use fewer pools or "
                  "strided layers before it");
    return true;
  }
};

}  // namespace gantry
