// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// EXPECT: conv_transpose2d: the output has no pixels; use less padding or a larger kernel
#include "gantry/nn/layers.hpp"

using namespace gantry;

#ifdef GANTRY_MISTAKE
constexpr int pad = 2;
#else
constexpr int pad = 1;
#endif

using net = sequential<latent<8>, conv_transpose2d<4, 3, 1, pad>>;
constexpr std::size_t count = net::param_count;
