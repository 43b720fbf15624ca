// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// An objective where the optimizer belongs.
// EXPECT: must be an optimizer that this backend can run
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
using topology = gan<generator, discriminator, loss::hinge, loss::hinge>;
#else
using topology = gan<generator, discriminator, loss::hinge, optim::adam>;
#endif

template class dist::generator_player<topology, backend::cpu>;
