// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// A conditional GAN on data that has no labels.
// EXPECT: a conditional GAN needs data with labels; give it a source with
#include "gantry/backend/cpu/cpu.hpp"
#include "gantry/dist/standalone.hpp"
#include "gantry/loss/objectives.hpp"
#include "gantry/nn/layers.hpp"
#include "gantry/optim/optimizers.hpp"

using namespace gantry;

struct source {
  void read(std::uint32_t, std::span<float>, int) {}
  [[nodiscard]] std::int64_t size() const { return 1; }
#ifndef GANTRY_MISTAKE
  std::span<const std::uint8_t> labels(std::uint32_t, int) { return {}; }
#endif
};

using generator = sequential<latent<8>, concat_label<10, 4>, linear<64>, tanh_, reshape<8, 8, 1>>;
using discriminator = sequential<image<8, 8, 1>, linear<16>, leaky_relu, projection<10>>;
using topology = gan<generator, discriminator, loss::hinge, optim::adam>;
template class gantry::dist::standalone::node<topology, backend::cpu, source>;
