// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Labels that the discriminator reads and the generator does not.
// EXPECT: gan: labels reach the discriminator or its auxiliary classifier but not the
#include "gantry/concepts/topology.hpp"
#include "gantry/loss/objectives.hpp"
#include "gantry/nn/layers.hpp"
#include "gantry/optim/optimizers.hpp"

using namespace gantry;

#ifdef GANTRY_MISTAKE
using generator = sequential<latent<8>, linear<64>, tanh_, reshape<8, 8, 1>>;
#else
using generator = sequential<latent<8>, concat_label<10, 4>, linear<64>, tanh_, reshape<8, 8, 1>>;
#endif
using discriminator = sequential<image<8, 8, 1>, linear<16>, leaky_relu, projection<10>>;
gan<generator, discriminator, loss::hinge, optim::adam> topology;
