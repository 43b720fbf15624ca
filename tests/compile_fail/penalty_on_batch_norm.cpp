// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// A gradient penalty on a discriminator that couples the samples of a batch.
// EXPECT: a gradient penalty takes dD/dx of each sample by itself, but a layer of this
#include "gantry/backend/cpu/cpu.hpp"
#include "gantry/dist/players.hpp"
#include "gantry/loss/objectives.hpp"
#include "gantry/loss/penalties.hpp"
#include "gantry/nn/layers.hpp"
#include "gantry/optim/optimizers.hpp"

using namespace gantry;

#ifdef GANTRY_MISTAKE
using norm = batch_norm;
#else
using norm = layer_norm;
#endif

using generator = sequential<latent<8>, linear<64>, tanh_, reshape<8, 8, 1>>;
using discriminator = sequential<image<8, 8, 1>, conv2d<4, 3>, norm, leaky_relu, linear<1>>;
using topology =
    gan<generator, discriminator, loss::penalised<loss::critic, loss::wgan_gp>, optim::adam>;
template class gantry::dist::discriminator_player<topology, backend::cpu>;
