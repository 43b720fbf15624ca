// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Spectral normalisation of a layer that is no product.
// EXPECT: spectral_norm<layer>: the layer must be linear or conv2d
#include "gantry/nn/layers.hpp"

using namespace gantry;

#ifdef GANTRY_MISTAKE
using layer = batch_norm;
#else
using layer = linear<4>;
#endif

constexpr auto count = sequential<latent<8>, spectral_norm<layer>, linear<1>>::param_count;
