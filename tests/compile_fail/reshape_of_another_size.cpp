// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// EXPECT: reshape<H, W, C>: H * W * C must equal the number of values that the previous layer gives
#include "gantry/nn/layers.hpp"

using namespace gantry;

#ifdef GANTRY_MISTAKE
constexpr int channels = 7;
#else
constexpr int channels = 8;
#endif

using net = sequential<latent<100>, linear<7 * 7 * 8>, reshape<7, 7, channels>>;
static_assert(net::param_count == 101 * 392, "a dense layer with bias");
