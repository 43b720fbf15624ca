// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Sizes that fused layers refuse.
// EXPECT: upsampled_conv2d<filters>: the number of filters must be positive
// EXPECT: pooled_conv2d<filters>: the number of filters must be positive
// EXPECT: pooled_conv2d: the input must have at least 2 x 2 pixels
#include "gantry/nn/layers.hpp"

using namespace gantry;

#ifdef GANTRY_MISTAKE
constexpr int size = 0;
#else
constexpr int size = 1;
#endif

upsampled_conv2d<size> larger;
pooled_conv2d<size> smaller;
using net = sequential<image<1 + size, 2, 3>, pooled_conv2d<4>>;
static_assert(net::param_count == 4 * 9 * 3 + 4, "a 3 x 3 kernel and a bias per filter");
