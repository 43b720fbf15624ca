// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// EXPECT: grouped_conv2d: the number of channels that the previous layer gives must be
// EXPECT: a multiple of the groups
#include "gantry/nn/layers.hpp"

using namespace gantry;

#ifdef GANTRY_MISTAKE
constexpr int channels = 30;
#else
constexpr int channels = 32;
#endif

using net = sequential<image<8, 8, 1>, conv2d<channels, 4, 2, 1>, grouped_conv2d<32, 3, 1, 1, 4>>;
static_assert(net::output_shape == hwc{4, 4, 32}, "groups of eight channels and filters");
