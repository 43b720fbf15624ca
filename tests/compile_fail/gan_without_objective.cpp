// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// An optimizer where the objective belongs.
// EXPECT: the third argument must be an adversarial objective
#include "gantry/backend/cpu/cpu.hpp"
#include "gantry/dist/discriminator_player.hpp"
#include "gantry/dist/generator_player.hpp"
#include "gantry/loss/objectives.hpp"
#include "gantry/nn/layers.hpp"
#include "gantry/optim/optimizers.hpp"

using namespace gantry;
using generator = sequential<latent<8>, linear<2>>;
using discriminator = sequential<latent<2>, linear<1>>;
#ifdef GANTRY_MISTAKE
using topology = gan<generator, discriminator, optim::adam, optim::adam>;
#else
using topology = gan<generator, discriminator, loss::hinge, optim::adam>;
#endif

template class dist::discriminator_player<topology, backend::cpu>;
