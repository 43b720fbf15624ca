// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gantry/kernels/batch_norm/kernel.cuh"
#include "gantry/ops/norm.hpp"

namespace gantry::inline v0::kernels {

namespace detail {

/// Sums over n samples of extents Shape; the scratch begins with `reserved` floats.
/// @throws usage_error
template <hwc Shape, class Body>
void start_channel_sums(const context& c, int n, const Body& body,
                        std::size_t reserved = 2 * Shape.c) {
  using selector = channel_policy_selector<Shape.c>;
  start_columns<selector>(c, channel_sums_kernel<selector, Body>, body, n * Shape.pixels(), Shape.c,
                          reserved);
}

template <class Body>
void start_batch_norm(const context& c, const Body& body, bool aligned) {
  constexpr batch_norm_policy_selector select;
  if (body.count == 0) return;
  start(c,
        aligned ? batch_norm_kernel<batch_norm_policy_selector, true, Body>
                : batch_norm_kernel<batch_norm_policy_selector, false, Body>,
        stream_size(c, body.count, select(aligned)), body);
}

}  // namespace detail

/// Samples that statistics are taken over.
template <class Params>
int samples_of_batch(const Params& p) {
  return p.paired ? p.x.n / 2 : p.x.n;
}
/// The first number with the second batch's statistics.
template <hwc Shape, class Params>
std::size_t second_batch(const Params& p) {
  if constexpr (requires { p.paired; })
    return nhwc::elements(Shape, samples_of_batch(p));
  else
    return nhwc::elements(Shape, p.x.n);
}
/// The sums that batch_norm_forward needs first, and what follows from them.
template <hwc Shape>
statistics_body statistics_of(const params_of<ops::batch_norm_forward<Shape>>& p) {
  return {p.x.data,
          Shape.c,
          samples_of_batch(p) * Shape.pixels(),
          p.running_mean,
          p.running_variance,
          p.saved_mean,
          p.saved_inverse_deviation,
          p.momentum,
          p.epsilon};
}
/// The same for batch_norm_backward: none are needed if its dgamma and `means` are null.
template <hwc Shape>
gradient_sums_body gradient_sums_of(const params_of<ops::batch_norm_backward<Shape>>& p,
                                    float* means) {
  return {p.x.data,     p.dy.data,
          p.saved_mean, p.saved_inverse_deviation,
          Shape.c,      samples_of_batch(p) * Shape.pixels(),
          p.dgamma,     p.dbeta,
          means};
}
/// Floats of the scratch that a backward keeps for `means`.
template <class Params>
std::size_t means_count(const Params& p, int channels) {
  return static_cast<std::size_t>((p.paired ? 4 : 2) * channels);
}

/// Statistics of their own launch.
template <hwc Shape>
void find_statistics(const context& c, const params_of<ops::batch_norm_forward<Shape>>& p) {
  const statistics_body body = statistics_of<Shape>(p);
  for (int batch = 0; batch < (p.paired ? 2 : 1); ++batch)
    detail::start_channel_sums<Shape>(c, samples_of_batch(p), body.of_batch(batch));
}
template <hwc Shape>
void find_statistics(const context& c, const params_of<ops::batch_norm_inference<Shape>>& p) {
  detail::start_batch_norm(
      c,
      fixed_statistics_body{p.running_mean, p.running_variance, p.saved_mean,
                            p.saved_inverse_deviation, static_cast<std::size_t>(Shape.c),
                            p.epsilon},
      allow_packs(p.running_mean, p.running_variance, p.saved_mean, p.saved_inverse_deviation));
}
/// y = f of what is left to do when the statistics are there; p: of the forward or of inference.
template <hwc Shape, class Params>
norm_pass norm_pass_of(const Params& p, any_activation f = {}) {
  return {p.x.data,
          p.gamma,
          p.beta,
          p.saved_mean,
          p.saved_inverse_deviation,
          p.y.data,
          nhwc::elements(Shape, p.x.n),
          second_batch<Shape>(p),
          Shape.c,
          f};
}
template <hwc Shape, class Params>
void normalise(const context& c, const Params& p, any_activation f = {}) {
  detail::start_batch_norm(c, normalise_body<Shape.c>{norm_pass_of<Shape>(p, f)},
                           allow_packs(p.x.data, p.y.data));
}

template <hwc Shape>
void launch(const context& c, ops::batch_norm_forward<Shape>,
            const params_of<ops::batch_norm_forward<Shape>>& p) {
  find_statistics<Shape>(c, p);
  normalise<Shape>(c, p);
}

template <hwc Shape>
void launch(const context& c, ops::batch_norm_inference<Shape>,
            const params_of<ops::batch_norm_inference<Shape>>& p) {
  find_statistics<Shape>(c, p);
  normalise<Shape>(c, p);
}

/// Whether batch_norm_backward needs sums, and whether dx does.
template <class Params>
bool needs_sums(const Params& p) {
  return p.dgamma || (p.dx.data && !p.fixed_statistics);
}
/// Sums of their own launch.
template <hwc Shape>
void find_gradient_sums(const context& c, const params_of<ops::batch_norm_backward<Shape>>& p) {
  const gradient_sums_body body = gradient_sums_of<Shape>(p, c.partials);
  for (int batch = 0; batch < (p.paired ? 2 : 1); ++batch)
    detail::start_channel_sums<Shape>(c, samples_of_batch(p), body.of_batch(batch),
                                      means_count(p, Shape.c));
}
/// dx, when the sums are in the context's scratch.
template <hwc Shape>
norm_gradient_pass norm_gradient_pass_of(const context& c,
                                         const params_of<ops::batch_norm_backward<Shape>>& p) {
  return {p.x.data,
          p.dy.data,
          p.gamma,
          p.saved_mean,
          p.saved_inverse_deviation,
          p.fixed_statistics ? nullptr : c.partials,
          p.dx.data,
          nhwc::elements(Shape, p.x.n),
          second_batch<Shape>(p),
          Shape.c};
}
template <hwc Shape>
void normalise_backward(const context& c, const params_of<ops::batch_norm_backward<Shape>>& p) {
  if (!p.dx.data) return;
  detail::start_batch_norm(c, normalise_backward_body<Shape.c>{norm_gradient_pass_of<Shape>(c, p)},
                           allow_packs(p.x.data, p.dy.data, p.dx.data));
}

template <hwc Shape>
void launch(const context& c, ops::batch_norm_backward<Shape>,
            const params_of<ops::batch_norm_backward<Shape>>& p) {
  if (needs_sums(p)) find_gradient_sums<Shape>(c, p);
  normalise_backward<Shape>(c, p);
}

template <hwc Shape>
void launch(const context& c, ops::batch_norm_second_order<Shape>,
            const params_of<ops::batch_norm_second_order<Shape>>& p) {
  constexpr std::size_t means = std::size_t{bend_means} * Shape.c;
  const bool needs_means = p.ex.data && !p.fixed_statistics;
  if (p.dgamma || needs_means)
    detail::start_channel_sums<Shape>(
        c, p.x.n,
        bend_sums_body{p.x.data, p.tx.data, p.gy.data, p.ey.data, p.gamma, p.saved_mean,
                       p.saved_inverse_deviation, Shape.c, p.x.n * Shape.pixels(), p.dgamma,
                       p.dbeta, c.partials, p.fixed_statistics},
        means);
  if (!p.ex.data) return;
  detail::start_batch_norm(
      c,
      bend_body<Shape.c>{p.x.data, p.tx.data, p.gy.data, p.ey.data, p.gamma, p.saved_mean,
                         p.saved_inverse_deviation, c.partials, p.ex.data,
                         nhwc::elements(Shape, p.x.n), p.fixed_statistics},
      allow_packs(p.x.data, p.tx.data, p.gy.data, p.ey.data, p.ex.data));
}

template <hwc Shape>
void launch(const context& c, ops::channel_sum<Shape>,
            const params_of<ops::channel_sum<Shape>>& p) {
  detail::start_channel_sums<Shape>(c, p.x.n, channel_sum_body{p.x.data, Shape.c, p.sum});
}

template <hwc Shape>
void launch(const context& c, ops::scaled_channel_sum<Shape>,
            const params_of<ops::scaled_channel_sum<Shape>>& p) {
  detail::start_channel_sums<Shape>(
      c, p.x.n, scaled_channel_sum_body{p.x.data, p.scale, Shape.c, Shape.pixels(), p.sum});
}

}  // namespace gantry::kernels
