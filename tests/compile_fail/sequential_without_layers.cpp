// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// EXPECT: sequential<input, layers...>: give at least one layer
#include "gantry/nn/layers.hpp"

using namespace gantry;

#ifdef GANTRY_MISTAKE
using net = sequential<latent<10>>;
#else
using net = sequential<latent<10>, relu>;
#endif
constexpr std::size_t count = net::param_count;
