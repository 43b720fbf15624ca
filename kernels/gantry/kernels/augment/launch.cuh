// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>

#include "gantry/kernels/augment/kernel.cuh"
#include "gantry/ops/augment.hpp"

namespace gantry::inline v0::kernels {

namespace detail {

template <class Body>
void start_augment(const context& c, const Body& body) {
  if (body.count == 0) return;
  start(c, augment_kernel<augment_policy_selector, Body>,
        stream_size(c, body.count, augment_policy_selector{}()), body);
}

/// In place a sample is read where it is written: as many samples at a time as the scratch holds
/// are copied there first. @throws usage_error if it does not hold one
template <hwc Shape>
void translate_in_place(const context& c, const params_of<ops::augment_translation<Shape>>& p) {
  const int at_a_time =
      static_cast<int>(std::min(c.partial_count / Shape.size(), static_cast<std::size_t>(p.x.n)));
  expects(at_a_time > 0 || p.x.n == 0,
          "A translation in place needs scratch for a sample, found less; make the context's "
          "scratch larger.");
  for (int first = 0; first < p.x.n; first += at_a_time) {
    const std::size_t count = nhwc::elements(Shape, std::min(at_a_time, p.x.n - first));
    float* images = p.y.data + nhwc::elements(Shape, first);
    start_augment(c, augment_copy_body{images, c.partials, count});
    start_augment(
        c, augment_translation_body<Shape.h, Shape.w, Shape.c>{
               c.partials, images, count, p.probability, p.ratio, p.stream, p.transposed, first});
  }
}

}  // namespace detail

template <hwc Shape>
void launch(const context& c, ops::augment_color<Shape>,
            const params_of<ops::augment_color<Shape>>& p) {
  using body = augment_color_body<Shape.pixels(), Shape.c>;
  using selector = augment_rows_policy_selector<body::terms>;
  if (p.x.n == 0) return;
  start(c, augment_rows_kernel<selector, body>, row_size(p.x.n, selector{}()),
        {p.x.data, p.y.data, p.x.n, p.probability, p.stream, p.shift});
}

template <hwc Shape>
void launch(const context& c, ops::augment_translation<Shape>,
            const params_of<ops::augment_translation<Shape>>& p) {
  if (p.x.data == p.y.data) return detail::translate_in_place<Shape>(c, p);
  detail::start_augment(c, augment_translation_body<Shape.h, Shape.w, Shape.c>{
                               p.x.data, p.y.data, nhwc::elements(Shape, p.x.n), p.probability,
                               p.ratio, p.stream, p.transposed, 0});
}

template <hwc Shape>
void launch(const context& c, ops::augment_cutout<Shape>,
            const params_of<ops::augment_cutout<Shape>>& p) {
  detail::start_augment(
      c, augment_cutout_body<Shape.h, Shape.w, Shape.c>{
             p.x.data, p.y.data, nhwc::elements(Shape, p.x.n), p.probability, p.ratio, p.stream});
}

template <hwc Shape>
void launch(const context& c, ops::augment_flip<Shape>,
            const params_of<ops::augment_flip<Shape>>& p) {
  using body = augment_flip_body<Shape.h, Shape.w, Shape.c>;
  detail::start_augment(
      c, body{p.x.data, p.y.data, nhwc::elements({Shape.h, body::half, Shape.c}, p.x.n),
              p.probability, p.stream});
}

}  // namespace gantry::kernels
