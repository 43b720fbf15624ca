// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// EXPECT: self_attention<Reduction>: the number of channels that the previous layer gives must be
// EXPECT: spectral_norm<layer>: the layer must be linear or conv2d
#include "gantry/nn/layers.hpp"

using namespace gantry;

#ifdef GANTRY_MISTAKE
constexpr int channels = 12;
using normalised = spectral_norm<self_attention<>>;
#else
constexpr int channels = 16;
using normalised = spectral_norm<pooled_conv2d<4>>;
#endif

using net = sequential<image<4, 4, 3>, conv2d<channels, 3, 1, 1>, self_attention<>>;
static_assert(net::output_shape.h == 4, "attention keeps the extents");
static_assert(normalised::rows > 0, "a matrix has rows");
