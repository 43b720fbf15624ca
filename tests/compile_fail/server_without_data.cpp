// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Handing real samples to MD-GAN's server: there is no constructor that takes them.
// EXPECT: no matching
#include "gantry/backend/cpu/cpu.hpp"
#include "gantry/data/synthetic.hpp"
#include "gantry/dist/md_gan.hpp"
#include "gantry/loss/objectives.hpp"
#include "gantry/nn/layers.hpp"
#include "gantry/optim/optimizers.hpp"

using namespace gantry;
using generator = sequential<latent<8>, linear<2>>;
using discriminator = sequential<latent<2>, linear<1>>;
using topology = gan<generator, discriminator, loss::hinge, optim::adam>;

void make(backend::cpu& b, const data::gaussian_mixture& real) {
#ifdef GANTRY_MISTAKE
  dist::md_gan::server<topology, backend::cpu> server(b, common_config<topology>{}, {}, 4, real);
#else
  dist::md_gan::server<topology, backend::cpu> server(b, common_config<topology>{}, {}, 4);
  (void)real;
#endif
}
