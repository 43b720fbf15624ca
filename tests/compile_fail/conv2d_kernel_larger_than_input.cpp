// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// EXPECT: conv2d: the kernel is larger than the padded input
// EXPECT: fewer strided layers before it
#include "gantry/nn/layers.hpp"

using namespace gantry;

#ifdef GANTRY_MISTAKE
constexpr int pad = 0;
#else
constexpr int pad = 1;
#endif

using net =
    sequential<image<8, 8, 1>, conv2d<4, 4, 2, 1>, conv2d<4, 4, 2, 1>, conv2d<1, 4, 1, pad>>;
static_assert(net::output_shape == hwc{1, 1, 1}, "four by four pixels end as one");
