// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// A discriminator that ends in two numbers per sample.
// EXPECT: gan: the discriminator must end in one number per sample; end it with linear<1>
#include "gantry/concepts/topology.hpp"
#include "gantry/loss/objectives.hpp"
#include "gantry/nn/layers.hpp"
#include "gantry/optim/optimizers.hpp"

using namespace gantry;

#ifdef GANTRY_MISTAKE
constexpr int outputs = 2;
#else
constexpr int outputs = 1;
#endif

using generator = sequential<latent<8>, linear<64>, tanh_, reshape<8, 8, 1>>;
using discriminator = sequential<image<8, 8, 1>, linear<outputs>>;
gan<generator, discriminator, loss::hinge, optim::adam> topology;
