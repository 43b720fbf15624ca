// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "gantry/nn/folded_conv2d.hpp"

namespace gantry::inline v0 {

/// upsample_nearest<2> and conv2d<Filters, 3, 1, 1, Bias> as one layer with the parameters of the
/// second: height and width double, for 4/9 of the products and without the enlarged input.
template <int Filters, bias Bias = bias::yes>
struct upsampled_conv2d : nn::folded_conv2d<fold_kind::upsampled, Filters, Bias> {
  static_assert(Filters > 0, "upsampled_conv2d<filters>: the number of filters must be positive");
  static constexpr std::string_view name = "upsampled_conv2d";
  template <hwc>
  static constexpr bool validate() {
    return true;
  }
};

}  // namespace gantry
