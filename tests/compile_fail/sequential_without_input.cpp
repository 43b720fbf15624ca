// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// EXPECT: the first argument must be the input, image<H, W, C> or latent<N>
#include "gantry/nn/layers.hpp"

using namespace gantry;

#ifdef GANTRY_MISTAKE
using net = sequential<linear<5>, relu>;
#else
using net = sequential<latent<10>, linear<5>, relu>;
#endif
constexpr std::size_t count = net::param_count;
