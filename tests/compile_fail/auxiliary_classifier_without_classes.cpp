// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// An auxiliary classifier behind a discriminator that ends in one number.
// EXPECT: gan: a discriminator with an auxiliary classifier must end in one number and one
#include "gantry/concepts/topology.hpp"
#include "gantry/loss/auxiliary_classifier.hpp"
#include "gantry/loss/objectives.hpp"
#include "gantry/nn/layers.hpp"
#include "gantry/optim/optimizers.hpp"

using namespace gantry;

#ifdef GANTRY_MISTAKE
constexpr int outputs = 1;
#else
constexpr int outputs = 11;
#endif

using generator = sequential<latent<8>, concat_label<10, 4>, linear<64>, tanh_, reshape<8, 8, 1>>;
using discriminator = sequential<image<8, 8, 1>, linear<outputs>>;
gan<generator, discriminator, loss::auxiliary_classifier<loss::hinge, 10>, optim::adam> topology;
