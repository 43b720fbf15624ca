// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// EXPECT: the number of channels that the previous layer gives must be a multiple of Groups
#include "gantry/nn/layers.hpp"

using namespace gantry;

#ifdef GANTRY_MISTAKE
constexpr int groups = 5;
#else
constexpr int groups = 4;
#endif

using net = sequential<image<8, 8, 1>, conv2d<32, 4, 2, 1>, group_norm<groups>, leaky_relu>;
static_assert(net::output_shape == hwc{4, 4, 32}, "a norm keeps the extents");
