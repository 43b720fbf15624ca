// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// A gradient penalty on a layer that has no tangent pass.
// EXPECT: a gradient penalty needs the tangent pass of every layer of the discriminator, and
#include "gantry/backend/cpu/cpu.hpp"
#include "gantry/dist/discriminator_player.hpp"
#include "gantry/dist/generator_player.hpp"
#include "gantry/loss/objectives.hpp"
#include "gantry/loss/penalties.hpp"
#include "gantry/nn/layers.hpp"
#include "gantry/optim/optimizers.hpp"

using namespace gantry;

/// Keeps its input.
struct identity : nn::parameter_free {
  static constexpr std::string_view name = "identity";
  static constexpr bool piecewise_linear = true;
  static constexpr hwc output_shape(hwc in) { return in; }
  template <hwc>
  static constexpr bool validate() {
    return true;
  }
  template <hwc>
  using required_ops = op_list<ops::copy>;
  template <hwc In, Backend B>
  void forward(B& b, const forward_args<B>& a) const {
    launch(b, ops::copy{}, {a.x.data, a.y.data, B::storage::layout::elements(In, a.x.n)});
  }
  template <hwc In, Backend B>
  void backward(B& b, const backward_args<B>& a) const {
    if (a.dx.data)
      launch(b, ops::copy{}, {a.dy.data, a.dx.data, B::storage::layout::elements(In, a.x.n)});
  }
#ifndef GANTRY_MISTAKE
  template <hwc In, Backend B>
  void tangent(B& b, const tangent_args<B>& a) const {
    launch(b, ops::copy{}, {a.tx.data, a.ty.data, B::storage::layout::elements(In, a.x.n)});
  }
#endif
};

using generator = sequential<latent<8>, linear<64>, tanh_, reshape<8, 8, 1>>;
using discriminator = sequential<image<8, 8, 1>, linear<4>, identity, linear<1>>;
using topology =
    gan<generator, discriminator, loss::penalised<loss::critic, loss::r1>, optim::adam>;
template class gantry::dist::discriminator_player<topology, backend::cpu>;
