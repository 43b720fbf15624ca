// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>

#include "gantry/kernels/labels/kernel.cuh"
#include "gantry/ops/labels.hpp"
#include "gantry/ops/loss.hpp"

namespace gantry::inline v0::kernels {

namespace detail {

/// Calls f(first sample, samples, their labels) for as many samples as a launch takes at a time;
/// labels may be null where they are not read.
template <class F>
void for_each_label_list(const std::uint8_t* labels, int n, F&& f) {
  for (int first = 0; first < n; first += label_list::most) {
    const int some = std::min(label_list::most, n - first);
    label_list list{};
    if (labels) std::copy_n(labels + first, some, list.v);
    f(first, some, list);
  }
}

template <class Body>
void start_labels(const context& c, const Body& body) {
  if (body.count == 0) return;
  start(c, labels_kernel<labels_policy_selector, Body>,
        stream_size(c, body.count, labels_policy_selector{}()), body);
}

template <int Classes, class Body>
void start_label_table(const context& c, const Body& body) {
  using selector = label_table_policy_selector<Body::channels>;
  constexpr channel_policy policy = selector{}();
  constexpr int groups = ceil_div(Body::channels, policy.channels);
  start(c, label_table_kernel<selector, Body>,
        {dim3(static_cast<unsigned>(groups), static_cast<unsigned>(Classes)),
         static_cast<unsigned>(policy.threads)},
        body);
}

template <int Classes, int First>
void start_cross_entropy(const context& c, const cross_entropy_args<Classes, First>& args) {
  constexpr row_policy policy = cross_entropy_policy_selector{}();
  start(c, cross_entropy_kernel<cross_entropy_policy_selector, Classes, First>,
        {dim3(1), static_cast<unsigned>(policy.threads)}, args);
}

}  // namespace detail

template <hwc In, int Classes, int Dim>
void launch(const context& c, ops::concat_label<In, Classes, Dim>,
            const params_of<ops::concat_label<In, Classes, Dim>>& p) {
  constexpr hwc wide{In.h, In.w, In.c + Dim};
  detail::for_each_label_list(p.labels, p.x.n, [&](int first, int n, const label_list& labels) {
    detail::start_labels(
        c, concat_label_body<In.pixels(), In.c, Dim>{p.x.data + nhwc::elements(In, first), p.table,
                                                     p.y.data + nhwc::elements(wide, first),
                                                     nhwc::elements(wide, n), labels});
  });
}

template <hwc In, int Classes, int Dim>
void launch(const context& c, ops::concat_label_backward<In, Classes, Dim>,
            const params_of<ops::concat_label_backward<In, Classes, Dim>>& p) {
  constexpr hwc wide{In.h, In.w, In.c + Dim};
  if (p.dx.data)
    detail::start_labels(
        c, first_channels_body<In.c, Dim>{p.dy.data, p.dx.data, nhwc::elements(In, p.dy.n)});
  if (!p.dtable) return;
  detail::for_each_label_list(p.labels, p.dy.n, [&](int first, int n, const label_list& labels) {
    detail::start_label_table<Classes>(
        c, concat_label_table_body<In.pixels(), In.c, Dim>{p.dy.data + nhwc::elements(wide, first),
                                                           p.scale ? p.scale + first : nullptr,
                                                           p.dtable, n, labels});
  });
}

template <hwc In, int Classes>
void launch(const context& c, ops::label_product<In, Classes>,
            const params_of<ops::label_product<In, Classes>>& p) {
  using selector = row_policy_selector<In.size()>;
  detail::for_each_label_list(p.labels, p.x.n, [&](int first, int n, const label_list& labels) {
    using body = label_product_body<In.size()>;
    start(c, label_rows_kernel<selector, body>, row_size(n, selector{}()),
          {p.x.data + nhwc::elements(In, first), p.table, p.y.data + first, n, labels});
  });
}

template <hwc In, int Classes>
void launch(const context& c, ops::label_product_backward<In, Classes>,
            const params_of<ops::label_product_backward<In, Classes>>& p) {
  detail::for_each_label_list(p.labels, p.dy.n, [&](int first, int n, const label_list& labels) {
    const std::size_t at = nhwc::elements(In, first);
    const float* dy = p.dy.data + first;
    if (p.dx.data)
      detail::start_labels(c, label_product_gradient_body<In.size()>{
                                  dy, p.table, p.dx.data + at, nhwc::elements(In, n), labels});
    if (p.dtable)
      detail::start_label_table<Classes>(
          c, label_product_table_body<In.size()>{p.x.data + at, dy, p.dtable, n, labels});
  });
}

template <hwc Shape, int Classes>
void launch(const context& c, ops::class_affine<Shape, Classes>,
            const params_of<ops::class_affine<Shape, Classes>>& p) {
  detail::for_each_label_list(p.labels, p.x.n, [&](int first, int n, const label_list& labels) {
    const std::size_t at = nhwc::elements(Shape, first);
    detail::start_labels(
        c, class_affine_body<Shape.pixels(), Shape.c>{p.x.data + at, p.table, p.y.data + at,
                                                      nhwc::elements(Shape, n), true, labels});
  });
}

/// The table first: dh may take the place of dy.
template <hwc Shape, int Classes>
void launch(const context& c, ops::class_affine_backward<Shape, Classes>,
            const params_of<ops::class_affine_backward<Shape, Classes>>& p) {
  detail::for_each_label_list(p.labels, p.dy.n, [&](int first, int n, const label_list& labels) {
    const std::size_t at = nhwc::elements(Shape, first);
    if (p.dtable)
      detail::start_label_table<Classes>(c, class_affine_table_body<Shape.pixels(), Shape.c>{
                                                p.x.data + at, p.dy.data + at, p.mean,
                                                p.inverse_deviation, p.dtable, n, p.shift, labels});
    if (p.dh.data)
      detail::start_labels(
          c, class_affine_body<Shape.pixels(), Shape.c>{p.dy.data + at, p.table, p.dh.data + at,
                                                        nhwc::elements(Shape, n), false, labels});
  });
}

template <int Classes>
void launch(const context& c, ops::take_logit<Classes>,
            const params_of<ops::take_logit<Classes>>& p) {
  detail::start_labels(
      c, take_logit_body<1 + Classes>{p.x.data, p.to, static_cast<std::size_t>(p.x.n)});
}

template <int Classes>
void launch(const context& c, ops::auxiliary_cross_entropy<Classes>,
            const params_of<ops::auxiliary_cross_entropy<Classes>>& p) {
  const float share = p.weight / static_cast<float>(p.x.n);
  detail::for_each_label_list(p.labels, p.x.n, [&](int first, int n, const label_list& labels) {
    const std::size_t at = nhwc::elements({1, 1, 1 + Classes}, first);
    detail::start_cross_entropy<Classes, 1>(
        c, {p.x.data + at, p.logit_gradient + first, p.gradient.data + at, p.sum, nullptr, n, share,
            labels});
  });
}

/// One launch for up to label_list::most samples of each batch.
/// @throws usage_error where the scratch is too small
template <class OnA, class OnB, int Classes>
void launch(const context& c, ops::classified_loss_terms<OnA, OnB, Classes>,
            const params_of<ops::classified_loss_terms<OnA, OnB, Classes>>& p,
            const output_copies& copies = {}) {
  const auto part = [](const auto& x, const auto& gradient, float* logits,
                       const std::uint8_t* labels, int first, int some) {
    if (some == 0) return classified_batch{};
    const std::size_t at = nhwc::elements({1, 1, 1 + Classes}, first);
    classified_batch batch{x.data + at,
                           gradient.data + at,
                           logits + first,
                           x.n > 0 ? 1.0f / static_cast<float>(x.n) : 0.0f,
                           {}};
    std::copy_n(labels + first, some, batch.labels.v);
    return batch;
  };
  for (int first = 0; first < std::max(p.a.n, p.b.n); first += label_list::most) {
    const int in_a = std::clamp(p.a.n - first, 0, label_list::most),
              in_b = std::clamp(p.b.n - first, 0, label_list::most);
    const auto count_a = static_cast<std::size_t>(in_a), count = count_a + in_b;
    start(c, classified_loss_kernel<loss_policy_selector, OnA, OnB, Classes>,
          detail::loss_size(c, count),
          {{count_a,
            count,
            p.sum,
            p.f,
            p.g,
            c.partials,
            c.tickets,
            {copies.a ? copies.a + first : nullptr, copies.b ? copies.b + first : nullptr,
             copies.sum}},
           part(p.a, p.gradient_a, p.logits_a, p.labels_a, first, in_a),
           part(p.b, p.gradient_b, p.logits_b, p.labels_b, first, in_b),
           p.weight});
  }
}

template <int Classes>
void launch(const context& c, ops::softmax_cross_entropy<Classes>,
            const params_of<ops::softmax_cross_entropy<Classes>>& p) {
  const float share = 1.0f / static_cast<float>(p.logits.n);
  detail::for_each_label_list(p.labels, p.logits.n,
                              [&](int first, int n, const label_list& labels) {
                                const std::size_t at = nhwc::elements({1, 1, Classes}, first);
                                detail::start_cross_entropy<Classes, 0>(
                                    c, {p.logits.data + at, nullptr, p.gradient.data + at, p.loss,
                                        p.correct, n, share, labels});
                              });
}

}  // namespace gantry::kernels
