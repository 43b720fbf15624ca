// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Handing real samples to the server of each strategy: there is no constructor that takes them.
// EXPECT: no matching
// EXPECT: dist::md_gan
// EXPECT: dist::federated_average
// EXPECT: dist::averaged_discriminator
// EXPECT: dist::basic_layerwise_overlap
// EXPECT: dist::label_parallel
// EXPECT: dist::output_aggregation
#include "gantry/backend/reference/reference.hpp"
#include "gantry/data/synthetic.hpp"
#include "gantry/dist/averaged_discriminator.hpp"
#include "gantry/dist/federated_average.hpp"
#include "gantry/dist/label_parallel.hpp"
#include "gantry/dist/layerwise_overlap.hpp"
#include "gantry/dist/md_gan.hpp"
#include "gantry/dist/output_aggregation.hpp"
#include "gantry/loss/objectives.hpp"
#include "gantry/nn/layers.hpp"
#include "gantry/optim/optimizers.hpp"

using namespace gantry;
using generator = sequential<latent<8>, linear<2>>;
using discriminator = sequential<latent<2>, linear<1>>;
using topology = gan<generator, discriminator, loss::non_saturating, optim::adam>;
using oracle = backend::reference<float>;

template <class S>
void make(oracle& b, const data::gaussian_mixture& real) {
  using server = typename S::template server<topology, oracle>;
#ifdef GANTRY_MISTAKE
  server role(b, common_config<topology>{}, typename S::config{}, 4, real);
#else
  server role(b, common_config<topology>{}, typename S::config{}, 4);
  (void)real;
#endif
}

void make_all(oracle& b, const data::gaussian_mixture& real) {
  make<dist::md_gan>(b, real);
  make<dist::federated_average>(b, real);
  make<dist::averaged_discriminator>(b, real);
  make<dist::layerwise_overlap>(b, real);
  make<dist::label_parallel>(b, real);
  make<dist::output_aggregation>(b, real);
}
