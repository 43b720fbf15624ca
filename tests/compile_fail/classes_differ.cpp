// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Generator and discriminator of different numbers of classes.
// EXPECT: gan: generator, discriminator and objective must agree on the number of classes
#include "gantry/concepts/topology.hpp"
#include "gantry/loss/objectives.hpp"
#include "gantry/nn/layers.hpp"
#include "gantry/optim/optimizers.hpp"

using namespace gantry;

#ifdef GANTRY_MISTAKE
constexpr int classes = 9;
#else
constexpr int classes = 10;
#endif

using generator =
    sequential<latent<8>, concat_label<classes, 4>, linear<64>, tanh_, reshape<8, 8, 1>>;
using discriminator = sequential<image<8, 8, 1>, linear<16>, leaky_relu, projection<10>>;
gan<generator, discriminator, loss::hinge, optim::adam> topology;
