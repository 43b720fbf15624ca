// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The gradient checker for penalties: a network in double, the loss weight mean_i f(|dD/dx_i|) +
// sum_i s_i D(x_i), its derivative by the parameters from the layers' passes against central
// differences of its value, which itself takes only the first-order passes.
#pragma once

#include <limits>

#include "gantry/ops/penalty.hpp"

#include "support/grad_check.hpp"

namespace gantry::test {

template <class Net, class Function>
class penalty_probe {
 public:
  using backend_type = backend::reference<double>;
  using storage = backend_type::storage;

  penalty_probe(Net network, const gradient_options& o, bool with_loss, Function f)
      : net(std::move(network)),
        options(o),
        with_loss_(with_loss),
        function_(f),
        tape_(backend_, o.n + 1),
        tangents_(backend_, o.n + 1) {
    static_assert(Net::output_shape == hwc{1, 1, 1});
    x_ = normal_doubles(nhwc::elements(Net::input_shape, o.n), o.seed, 1);
    seeds_ = normal_doubles(static_cast<std::size_t>(o.n), o.seed, 2);
    nn::use_he_initialisation(net);
    std::vector<float> p(Net::param_count), b(Net::buffer_count);
    net.initialise(p, b, {.seed = o.seed, .use = purpose::initialise});
    params.assign(p.begin(), p.end());
    buffers_.assign(b.begin(), b.end());
    const auto noise = normal_doubles(params.size(), o.seed, 3);
    for (std::size_t i = 0; i < params.size(); ++i) params[i] += 0.1 * noise[i];
    g_.assign(x_.size(), std::numeric_limits<double>::quiet_NaN());
    std::fill_n(tangents_.kept(),
                Net::template tangent_tape<backend_type>::elements(1) - 2 * slice_alignment,
                std::numeric_limits<double>::quiet_NaN());
  }

  double value() {
    double sum = input_gradient();
    const auto y = tape_.output();
    for (int i = 0; with_loss_ && i < options.n; ++i) sum += seeds_[i] * y.data[i];
    return sum;
  }

  std::vector<double> gradient() {
    std::vector<double> dparams(params.size());
    input_gradient();
    net.penalty_backward(
        backend_, tape_, tangents_,
        {values(), input(), {g_.data(), options.n}, with_loss_ ? seeds_.data() : nullptr, dparams});
    return dparams;
  }

  Net net;
  gradient_options options;
  std::vector<double> params;

 private:
  network_view<backend_type> values() { return {params, moved_}; }
  const_batch_of<storage> input() { return {x_.data(), options.n}; }

  /// Leaves the penalty's derivative in g_. @returns the penalty
  double input_gradient() {
    moved_ = buffers_;
    double sum = 0;
    const batch_of<storage> g{g_.data(), options.n};
    net.forward(backend_, values(), {input(), labels_.data()}, tape_, options.run_mode,
                {.seed = options.seed, .use = purpose::dropout});
    net.input_gradient(backend_, values(), input(), tape_, tangents_, g);
    launch(backend_, ops::gradient_penalty<Net::input_shape, Function>{},
           {g, g, 1.5f, &sum, function_});
    return sum;
  }

  bool with_loss_;
  Function function_;
  backend_type backend_;
  typename Net::template tape<backend_type> tape_;
  typename Net::template tangent_tape<backend_type> tangents_;
  std::vector<double> x_, seeds_, buffers_, moved_, g_;
  std::vector<std::uint8_t> labels_ = some_labels<Net>(options.n);
};

/// Every component of the parameter gradient, with and without a loss beside the penalty.
template <class Net, class Function = gradient_norm::squared>
outcome check_penalty(const Net& net, const gradient_options& o = {}, Function f = {}) {
  outcome all = outcome::pass();
  for (const bool with_loss : {false, true}) {
    penalty_probe<Net, Function> probe(net, o, with_loss, f);
    const auto g = probe.gradient();
    all = all && check_slopes(
                     probe.params, g, [&] { return probe.value(); }, o)
                     .named(with_loss ? "penalty and loss" : "penalty");
  }
  return all;
}

}  // namespace gantry::test
