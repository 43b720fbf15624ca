// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// A generator of 28 x 28 images before a discriminator of 32 x 32 images.
// EXPECT: gan: the generator's output and the discriminator's input must have
// EXPECT: the same height, width and channels
#include "gantry/concepts/topology.hpp"
#include "gantry/loss/objectives.hpp"
#include "gantry/nn/layers.hpp"
#include "gantry/optim/optimizers.hpp"

using namespace gantry;

#ifdef GANTRY_MISTAKE
constexpr int side = 28;
#else
constexpr int side = 32;
#endif

using generator = sequential<latent<8>, linear<side * side>, tanh_, reshape<side, side, 1>>;
using discriminator = sequential<image<32, 32, 1>, linear<1>>;
gan<generator, discriminator, loss::hinge, optim::adam> topology;
