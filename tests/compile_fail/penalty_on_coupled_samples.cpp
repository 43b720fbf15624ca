// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// A gradient penalty on a layer that couples the samples of a batch and has no passes for it.
// EXPECT: a gradient penalty needs the tangent pass of every layer of the discriminator, and
#include "gantry/backend/cpu/cpu.hpp"
#include "gantry/dist/players.hpp"
#include "gantry/loss/objectives.hpp"
#include "gantry/loss/penalties.hpp"
#include "gantry/nn/layers.hpp"
#include "gantry/optim/optimizers.hpp"

using namespace gantry;

#ifdef GANTRY_MISTAKE
using norm = conditional_batch_norm<3>;
#else
using norm = batch_norm;
#endif

using generator = sequential<latent<8>, concat_label<3, 2>, linear<64>, tanh_, reshape<8, 8, 1>>;
using discriminator = sequential<image<8, 8, 1>, conv2d<4, 3>, norm, leaky_relu, linear<1>>;
using topology =
    gan<generator, discriminator, loss::penalised<loss::critic, loss::wgan_gp>, optim::adam>;
template class gantry::dist::discriminator_player<topology, backend::cpu>;
