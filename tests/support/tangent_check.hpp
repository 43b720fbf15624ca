// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// One checker for the passes that gradient penalties need (concepts/layer.hpp): one layer on one
// input, in double on the reference backend. Every pass the layer has is compared with central
// differences (grad_check.hpp says how exact those are):
//   tangent          of the forward along tx
//   second_order     of F = <gy, tangent(tx)> + <ey, forward(x)> by x and by the parameters
//   merged_gradient  of <gy, tangent(t)> + sum_i s_i <gy_i, forward(x)_i> by the parameters
#pragma once

#include <algorithm>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "gantry/backend/reference/reference.hpp"
#include "gantry/nn/plan.hpp"

#include "support/compare.hpp"
#include "support/grad_check.hpp"

namespace gantry::test {

/// A layer, its random parameters and statistics, and the batches that its passes read.
template <class L, hwc In>
class tangent_probe {
 public:
  using backend_type = backend::reference<double>;
  using storage = backend_type::storage;
  static constexpr hwc out = L::output_shape(In);
  static constexpr bool in_place = nn::is_in_place<L>;
  static constexpr std::size_t guard = 8;
  static constexpr double guard_value = 12345, prefilled = 3;
  static constexpr double poisoned = std::numeric_limits<double>::quiet_NaN();

  tangent_probe(L layer, const gradient_options& o) : layer_(std::move(layer)), options(o) {
    static_assert(L::template validate<In>(), "the layer does not fit its input");
    const std::size_t in_size = nhwc::elements(In, o.n), out_size = nhwc::elements(out, o.n);
    x = normal_doubles(in_size, o.seed, 1);
    tx = normal_doubles(in_size, o.seed, 2);
    gy = normal_doubles(out_size, o.seed, 3);
    ey = normal_doubles(out_size, o.seed, 4);
    seeds = normal_doubles(static_cast<std::size_t>(o.n), o.seed, 5);
    auto use_he = [](auto& inner) {
      if constexpr (requires { inner.weight_init; })
        inner.weight_init.how = nn::initialiser::rule::he;
    };
    if constexpr (requires { layer_.for_each_layer(use_he); })
      layer_.for_each_layer(use_he);
    else
      use_he(layer_);
    std::vector<float> p(L::param_count(In)), s(L::buffer_count(In));
    layer_.initialise(p, s, In, {.seed = o.seed, .use = purpose::initialise});
    params = normal_doubles(p.size(), o.seed, 6);
    for (std::size_t i = 0; i < p.size(); ++i) params[i] = p[i] + 0.2 * params[i];
    initial_buffers_ = normal_doubles(s.size(), o.seed, 7);
    for (double& v : initial_buffers_) v = std::exp(0.3 * v);
  }

  /// y, from the same running statistics every time; leaves what the other passes read.
  const std::vector<double>& forward() {
    buffers_ = initial_buffers_;
    saved_.assign(nn::saved_elements<L, nhwc, In>(options.n), poisoned);
    workspace_.assign(nn::workspace_elements<L, nhwc, In>(options.n), poisoned);
    kept_.assign(nn::kept_elements<L, nhwc, In>(options.n), poisoned);
    y_.assign(std::max(gy.size(), x.size()), poisoned);
    if (in_place) std::ranges::copy(x, y_.begin());
    layer_.template forward<In>(
        backend_, forward_args<backend_type>{input(), batch(y_), params, buffers_, saved_,
                                             options.run_mode, random_, workspace_});
    y_.resize(gy.size());
    result_ = y_;
    if (in_place && !nn::needs_own_output<L>) std::ranges::fill(y_, poisoned);
    return result_;
  }

  /// ty behind a forward and, as penalties have it, a backward that asked for the gradient by x.
  const std::vector<double>& tangent(const std::vector<double>& along) {
    forward();
    gradient_.assign(std::max(gy.size(), x.size()), poisoned);
    std::vector<double> dy = gy;
    dy.resize(gradient_.size());
    if (in_place) gradient_ = dy;
    backward_args<backend_type> back{input(), batch(y_), batch(in_place ? gradient_ : dy), params,
                                     saved_};
    back.dx = batch(gradient_);
    layer_.template backward<In>(backend_, run(back));
    ty_ = in_place ? along : std::vector<double>(gy.size(), poisoned);
    tangent_args<backend_type> a{input(),    batch(y_), batch(in_place ? ty_ : along),
                                 batch(ty_), params,    saved_};
    layer_.template tangent<In>(backend_, run(a));
    return ty_;
  }

  struct wanted {
    bool ey{true}, ex{true}, dparams{true};
  };
  struct result {
    std::vector<double> ex, dparams;
    bool guards_hold{true};
  };
  /// ex and dparams (less what they start with) into poisoned outputs.
  result second_order(wanted want = {}) {
    static_cast<void>(tangent(tx));
    result r = empty_result();
    second_order_args<backend_type> a{input(), batch(y_), batch(tx), batch(gy)};
    a.ey = want.ey ? batch(std::as_const(ey)) : const_batch_of<storage>{nullptr, options.n};
    a.ex = {want.ex ? r.ex.data() + guard : nullptr, options.n};
    a.params = params;
    a.saved = saved_;
    if (want.dparams) a.dparams = std::span(r.dparams).subspan(guard, params.size());
    layer_.template second_order<In>(backend_, run(a));
    return finished(std::move(r));
  }
  /// The same for merged_gradient of s x + tx, or of tx alone without seeds.
  result merged(bool with_seeds) {
    static_cast<void>(tangent(tx));
    result r = empty_result();
    std::vector<double> m = tx;
    const std::size_t size = static_cast<std::size_t>(In.size());
    for (std::size_t i = 0; i < m.size() && with_seeds; ++i) m[i] += seeds[i / size] * x[i];
    merged_args<backend_type> a{input(), batch(m), batch(gy), with_seeds ? seeds.data() : nullptr};
    a.params = params;
    a.saved = saved_;
    a.dparams = std::span(r.dparams).subspan(guard, params.size());
    layer_.template merged_gradient<In>(backend_, run(a));
    return finished(std::move(r));
  }

  /// What second_order differentiates.
  double functional(bool with_ey) {
    double sum = inner(gy, tangent(tx));
    if (with_ey) sum += inner(ey, result_);
    return sum;
  }
  /// What merged_gradient differentiates by the parameters.
  double merged_functional(bool with_seeds) {
    double sum = inner(gy, tangent(tx));
    const std::size_t size = static_cast<std::size_t>(out.size());
    for (std::size_t i = 0; i < gy.size() && with_seeds; ++i)
      sum += seeds[i / size] * gy[i] * result_[i];
    return sum;
  }

 private:
  L layer_;

 public:
  gradient_options options;
  std::vector<double> x, tx, gy, ey, seeds, params;

 private:
  batch_of<storage> batch(std::vector<double>& v) const { return {v.data(), options.n}; }
  const_batch_of<storage> batch(const std::vector<double>& v) const {
    return {v.data(), options.n};
  }
  /// What all passes behind the forward share.
  template <class Args>
  const Args& run(Args& a) {
    a.run_mode = options.run_mode;
    a.random = random_;
    a.workspace = workspace_;
    a.kept = kept_;
    return a;
  }
  /// In place, the output has overwritten the input.
  const_batch_of<storage> input() const { return batch(in_place ? y_ : x); }
  static double inner(const std::vector<double>& a, const std::vector<double>& b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
    return sum;
  }
  result empty_result() const {
    result r{std::vector<double>(x.size() + 2 * guard, guard_value),
             std::vector<double>(params.size() + 2 * guard, guard_value)};
    std::fill_n(r.ex.begin() + guard, x.size(), poisoned);
    std::fill_n(r.dparams.begin() + guard, params.size(), prefilled);
    return r;
  }
  static result finished(result r) {
    for (auto* v : {&r.ex, &r.dparams}) {
      for (std::size_t i = 0; i < guard; ++i)
        r.guards_hold &= (*v)[i] == guard_value && (*v)[v->size() - 1 - i] == guard_value;
      v->erase(v->begin(), v->begin() + guard);
      v->resize(v->size() - guard);
    }
    for (double& v : r.dparams) v -= prefilled;
    return r;
  }

  backend_type backend_;
  std::vector<double> initial_buffers_, buffers_, saved_, y_, result_, gradient_, ty_;
  std::vector<double> workspace_, kept_;
  stream_id random_{.seed = options.seed, .use = purpose::dropout};
};

namespace detail {

/// Every number of the tangent against the forward's central difference along tx.
template <class L, hwc In>
outcome check_forward_slope(tangent_probe<L, In>& probe) {
  const gradient_options& o = probe.options;
  const std::vector<double> ty = probe.tangent(probe.tx), x = probe.x;
  const auto at = [&](double t) {
    for (std::size_t i = 0; i < x.size(); ++i) probe.x[i] = x[i] + t * probe.tx[i];
    return probe.forward();
  };
  const auto right = at(o.step), left = at(-o.step), middle = at(0);
  std::size_t kinks = 0;
  for (std::size_t i = 0; i < ty.size(); ++i) {
    const double slope = (right[i] - left[i]) / (2 * o.step);
    const double bend = std::abs(right[i] - 2 * middle[i] + left[i]) / o.step;
    if (std::isfinite(ty[i]) && bend > o.kink * (1 + std::abs(slope)))
      ++kinks;
    else if (!close(ty[i], slope, {o.tolerance, o.tolerance}))
      return describe([&](std::ostream& out) {
        out << "[" << i << "] of " << ty.size() << " is " << ty[i] << ", the forward's slope "
            << slope << "; allowed " << o.tolerance << " (1 + |slope|)";
      });
  }
  if (static_cast<double>(kinks) > 1 + o.kink_share * static_cast<double>(ty.size()))
    return outcome::fail("too many numbers were skipped for kinks; choose another seed");
  return outcome::pass();
}

template <class L, hwc In>
outcome check_second_order(tangent_probe<L, In>& probe) {
  outcome o = outcome::pass();
  for (const bool ey : {true, false}) {
    const std::string with = ey ? " with ey" : " without ey";
    const auto all = probe.second_order({.ey = ey});
    const auto no_ex = probe.second_order({.ey = ey, .ex = false}),
               no_dparams = probe.second_order({.ey = ey, .dparams = false});
    const auto f = [&] { return probe.functional(ey); };
    o = o && check_slopes(probe.x, all.ex, f, probe.options).named("ex" + with) &&
        check_slopes(probe.params, all.dparams, f, probe.options).named("dparams" + with) &&
        same_bits(no_ex.dparams, all.dparams).named("dparams without ex" + with) &&
        same_bits(no_dparams.ex, all.ex).named("ex without dparams" + with);
    if (!all.guards_hold || !no_ex.guards_hold || !no_dparams.guards_hold)
      o = o && outcome::fail("second_order wrote outside ex or dparams");
  }
  return o;
}

template <class L, hwc In>
outcome check_merged(tangent_probe<L, In>& probe) {
  outcome o = outcome::pass();
  for (const bool seeds : {true, false}) {
    const auto found = probe.merged(seeds);
    const auto f = [&] { return probe.merged_functional(seeds); };
    o = o && check_slopes(probe.params, found.dparams, f, probe.options)
                 .named(seeds ? "merged gradient" : "merged gradient without seeds");
    if (!found.guards_hold) o = o && outcome::fail("merged_gradient wrote outside dparams");
  }
  return o;
}

}  // namespace detail

/// All passes for penalties of layer L on inputs of extents In: a tangent, and the merged gradient
/// if L is piecewise linear or the second derivatives if it is not.
template <hwc In, class L>
outcome check_tangents(const L& layer, const gradient_options& options = {}) {
  constexpr bool linear = nn::is_piecewise_linear<L>;
  tangent_probe<L, In> probe(layer, options);
  const auto x = probe.x, params = probe.params, tx = probe.tx, gy = probe.gy, ey = probe.ey;
  const auto first = probe.tangent(tx);
  outcome o = same_bits(probe.tangent(tx), first).named("a second tangent") &&
              detail::check_forward_slope(probe).named("tangent");
  if constexpr (!linear) o = o && detail::check_second_order(probe).named("second_order");
  if constexpr (linear && L::param_count(In) > 0) o = o && detail::check_merged(probe);
  return o && same_bits(probe.x, x).named("x") && same_bits(probe.params, params).named("params") &&
         same_bits(probe.tx, tx).named("tx") && same_bits(probe.gy, gy).named("gy") &&
         same_bits(probe.ey, ey).named("ey");
}

}  // namespace gantry::test
