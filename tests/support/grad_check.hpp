// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// One gradient checker for every layer, network and loss: central differences with a fixed step, in
// double, on the reference backend.
//
// The error of a central difference is step^2 / 6 |f'''| + 1e-16 |f| / step: with a step of 1e-5
// and derivatives near 1 about 1e-10. The default tolerance of 1e-6 leaves room for third
// derivatives of up to 1e4.
#pragma once

#include <algorithm>
#include <functional>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "gantry/backend/reference/reference.hpp"
#include "gantry/nn/layers.hpp"

#include "support/compare.hpp"

namespace gantry::test {

struct gradient_options {
  int n{2};
  mode run_mode{mode::train};
  std::uint64_t seed{1};
  double step{1e-5};
  double tolerance{1e-6};  ///< |gradient - slope| <= tolerance (1 + |slope|)
  /// A coordinate sits on a kink if its two one-sided slopes differ by more than this times
  /// (1 + |slope|); smooth functions stay below step |f''|.
  double kink{1e-3};
  double kink_share{0.01};  ///< of the coordinates at most this share may be skipped for kinks
};

/// Labels of n samples, all classes of a network in turn.
template <class Net>
std::vector<std::uint8_t> some_labels(int n) {
  std::vector<std::uint8_t> labels;
  for (int i = 0; i < n; ++i)
    labels.push_back(static_cast<std::uint8_t>(5 * i % std::max(1, Net::plan::pack::classes)));
  return labels;
}

inline std::vector<double> normal_doubles(std::size_t count, std::uint64_t seed,
                                          std::uint32_t salt) {
  std::vector<double> values(count);
  fill_normal(std::span<double>(values), {.seed = seed, .use = purpose::user, .salt = salt});
  return values;
}

/// `gradient` against the slopes of f by each of the `variables`, which f reads.
inline outcome check_slopes(std::span<double> variables, std::span<const double> gradient,
                            const std::function<double()>& f, const gradient_options& o) {
  if (gradient.size() != variables.size()) return outcome::fail("the gradient has a wrong length");
  const double middle = f();
  std::size_t kinks = 0;
  for (std::size_t i = 0; i < variables.size(); ++i) {
    const double kept = variables[i];
    variables[i] = kept + o.step;
    const double right = f();
    variables[i] = kept - o.step;
    const double left = f();
    variables[i] = kept;
    const double slope = (right - left) / (2 * o.step);
    const double bend = std::abs(right - 2 * middle + left) / o.step;
    if (std::isfinite(gradient[i]) && bend > o.kink * (1 + std::abs(slope))) {
      ++kinks;
    } else if (!close(gradient[i], slope, {o.tolerance, o.tolerance})) {
      return detail::describe([&](std::ostream& out) {
        out << "[" << i << "] of " << variables.size() << " is " << gradient[i]
            << ", its central difference " << slope << "; allowed " << o.tolerance
            << " (1 + |slope|)";
      });
    }
  }
  if (static_cast<double>(kinks) > 1 + o.kink_share * static_cast<double>(variables.size()))
    return outcome::fail(std::to_string(kinks) + " of " + std::to_string(variables.size()) +
                         " coordinates were skipped for kinks; choose another seed");
  return outcome::pass();
}

/// A network in double with random parameters, running statistics, inputs and a random linear
/// functional of its output as loss.
template <class Net>
class network_probe {
 public:
  using backend_type = backend::reference<double>;
  using tape_type = typename Net::template tape<backend_type>;
  using plan = typename Net::plan;
  static constexpr std::size_t guard = 8;
  static constexpr double guard_value = 12345, prefilled = 3;

  network_probe(Net network, const gradient_options& o)
      : net(std::move(network)), options(o), tape_(backend_, o.n + 1) {
    const auto count = [&](hwc s) { return nhwc::elements(s, o.n); };
    x = normal_doubles(count(Net::input_shape), o.seed, 1);
    functional = normal_doubles(count(Net::output_shape), o.seed, 2);
    initialise();
    kept_buffers_ = buffers;
    poison();
  }

  /// The loss, from the same running statistics every time.
  double loss() {
    forward();
    const auto y = tape_.output();
    double sum = 0;
    for (std::size_t i = 0; i < functional.size(); ++i) sum += functional[i] * y.data[i];
    return sum;
  }

  void forward() {
    buffers = kept_buffers_;
    net.forward(backend_, values(), {input(), labels_.data()}, tape_, options.run_mode, random_);
  }

  /// Forward and backward into poisoned outputs; `want` chooses what is asked for.
  struct wanted {
    bool dx{true}, dparams{true};
  };
  struct result {
    std::vector<double> dx, dparams;
    bool guards_hold{true};
  };
  result gradients(wanted want = {}) {
    forward();
    std::copy(functional.begin(), functional.end(), tape_.output_gradient().data);
    constexpr double poisoned = std::numeric_limits<double>::quiet_NaN();
    result r{std::vector<double>(x.size() + 2 * guard, guard_value),
             std::vector<double>(params.size() + 2 * guard, guard_value)};
    std::fill_n(r.dx.begin() + guard, x.size(), poisoned);
    std::fill_n(r.dparams.begin() + guard, params.size(), prefilled);
    double* dx = want.dx ? r.dx.data() + guard : nullptr;
    std::span<double> dparams;
    if (want.dparams) dparams = std::span(r.dparams).subspan(guard, params.size());
    net.backward(backend_, values(), input(), tape_, dparams, {dx, options.n});
    for (auto* v : {&r.dx, &r.dparams}) {
      for (std::size_t i = 0; i < guard; ++i)
        r.guards_hold &= (*v)[i] == guard_value && (*v)[v->size() - 1 - i] == guard_value;
      v->erase(v->begin(), v->begin() + guard);
      v->resize(v->size() - guard);
    }
    return r;
  }

  [[nodiscard]] std::vector<double> output() {
    const auto y = tape_.output();
    return {y.data, y.data + functional.size()};
  }
  [[nodiscard]] const std::vector<double>& initial_buffers() const { return kept_buffers_; }

  Net net;
  gradient_options options;
  std::vector<double> x, params, buffers, functional;

 private:
  network_view<backend_type> values() { return {params, buffers}; }
  const_batch_of<backend_type::storage> input() { return {x.data(), options.n}; }

  /// He's rule keeps activations near 1 through any depth; noise moves biases off 0 and scales
  /// off 1.
  void initialise() {
    net.for_each_layer([](auto& layer) {
      if constexpr (requires { layer.weight_init; })
        layer.weight_init.how = nn::initialiser::rule::he;
    });
    std::vector<float> p(Net::param_count), b(Net::buffer_count);
    net.initialise(p, b, {.seed = options.seed, .use = purpose::initialise});
    params.assign(p.begin(), p.end());
    buffers.assign(b.begin(), b.end());
    const auto noise = normal_doubles(params.size(), options.seed, 3);
    for (std::size_t i = 0; i < params.size(); ++i) params[i] += 0.1 * noise[i];
    const auto shift = normal_doubles(buffers.size(), options.seed, 4);
    for (std::size_t i = 0; i < buffers.size(); ++i)
      buffers[i] = buffers[i] > 0.5 ? std::exp(0.3 * shift[i]) : 0.3 * shift[i];
  }

  /// NaN in every activation, every layer's state and, by a backward from NaN, the gradient
  /// buffers: whatever forward and backward do not overwrite shows.
  void poison() {
    constexpr double poisoned = std::numeric_limits<double>::quiet_NaN();
    const auto kept = functional;
    std::ranges::fill(functional, poisoned);
    gradients();
    functional = kept;
    for (std::size_t i = 0; i < plan::depth; ++i) {
      std::fill_n(tape_.activation(i + 1).data, nhwc::elements(plan::shapes[i + 1], options.n),
                  poisoned);
      std::ranges::fill(tape_.saved(i), poisoned);
    }
  }

  backend_type backend_;
  tape_type tape_;
  std::vector<double> kept_buffers_;
  std::vector<std::uint8_t> labels_ = some_labels<Net>(options.n);
  stream_id random_{.seed = options.seed, .use = purpose::dropout};
};

/// What the layer contract (concepts/layer.hpp) asks of outputs, without a look at their values'
/// correctness: repeatable, overwritten or added to, skipped when not wanted, inputs untouched.
template <class Net>
outcome check_contract(network_probe<Net>& probe) {
  using probe_type = network_probe<Net>;
  const auto x = probe.x, params = probe.params;
  probe.forward();
  const auto y = probe.output(), moved = probe.buffers;
  probe.forward();
  const auto all = probe.gradients();
  const auto no_dx = probe.gradients({.dx = false}),
             no_dparams = probe.gradients({.dparams = false});
  const std::vector<double> kept(params.size(), probe_type::prefilled);
  outcome o = all_finite(std::span<const double>(y)).named("forward") &&
              same_bits(probe.output(), y).named("second forward") &&
              same_bits(probe.buffers, moved).named("running statistics of a second forward") &&
              all_finite(std::span<const double>(all.dx)).named("dx") &&
              all_finite(std::span<const double>(all.dparams)).named("dparams") &&
              same_bits(no_dx.dparams, all.dparams).named("dparams without dx") &&
              same_bits(no_dparams.dx, all.dx).named("dx without dparams") &&
              same_bits(no_dparams.dparams, kept).named("dparams that nobody wanted") &&
              same_bits(probe.x, x).named("x after backward") &&
              same_bits(probe.params, params).named("params after backward");
  if (probe.options.run_mode == mode::evaluate)
    o = o && same_bits(moved, probe.initial_buffers()).named("running statistics in evaluation");
  if (!all.guards_hold || !no_dx.guards_hold || !no_dparams.guards_hold)
    o = o && outcome::fail("backward wrote outside dx or dparams");
  return o;
}

/// The contract, and every component of dx and dparams against central differences.
template <class Net>
outcome check_gradients(const Net& net, const gradient_options& o = {}) {
  network_probe<Net> probe(net, o);
  const outcome contract = check_contract(probe);
  if (!contract) return contract;
  auto g = probe.gradients();
  for (double& v : g.dparams) v -= network_probe<Net>::prefilled;
  const auto loss = [&probe] { return probe.loss(); };
  return check_slopes(probe.x, g.dx, loss, o).named("dx") &&
         check_slopes(probe.params, g.dparams, loss, o).named("dparams");
}

/// For networks with too many parameters to move one at a time: the slope along random directions,
/// in which every tensor and the input have the same share.
template <class Net>
outcome check_directions(const Net& net, int directions, const gradient_options& o) {
  network_probe<Net> probe(net, o);
  auto g = probe.gradients();
  for (double& v : g.dparams) v -= network_probe<Net>::prefilled;
  const outcome finite = all_finite(std::span<const double>(g.dx)).named("dx") &&
                         all_finite(std::span<const double>(g.dparams)).named("dparams");
  if (!finite) return finite;
  const auto x = probe.x, params = probe.params;
  for (int d = 0; d < directions; ++d) {
    auto vx = normal_doubles(x.size(), o.seed, 100 + 2 * static_cast<std::uint32_t>(d));
    auto vp = normal_doubles(params.size(), o.seed, 101 + 2 * static_cast<std::uint32_t>(d));
    for (double& v : vx) v /= std::sqrt(static_cast<double>(vx.size()));
    for (const tensor_info& t : Net::tensors())
      for (std::size_t i = 0; i < t.size() && !t.is_buffer; ++i)
        vp[t.offset + i] /= std::sqrt(static_cast<double>(t.size()));
    double expected = 0;
    for (std::size_t i = 0; i < vx.size(); ++i) expected += g.dx[i] * vx[i];
    for (std::size_t i = 0; i < vp.size(); ++i) expected += g.dparams[i] * vp[i];
    const auto loss_at = [&](double t) {
      for (std::size_t i = 0; i < vx.size(); ++i) probe.x[i] = x[i] + t * vx[i];
      for (std::size_t i = 0; i < vp.size(); ++i) probe.params[i] = params[i] + t * vp[i];
      return probe.loss();
    };
    const double slope = (loss_at(o.step) - loss_at(-o.step)) / (2 * o.step);
    if (!close(expected, slope, {o.tolerance, o.tolerance}))
      return detail::describe([&](std::ostream& out) {
        out << "along direction " << d << " the gradient gives " << expected
            << ", the central difference " << slope << "; allowed " << o.tolerance
            << " (1 + |slope|)";
      });
  }
  return outcome::pass();
}

}  // namespace gantry::test
