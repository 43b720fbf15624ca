// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gantry/kernels/philox/kernel.cuh"
#include "gantry/ops/draw.hpp"
#include "gantry/ops/pointwise.hpp"

namespace gantry::inline v0::kernels {

/// Numbers to draw: y[0 .. count - 1] from the beginning of a stream.
struct draw {
  float* y;
  std::size_t count;
  device_stream stream;
};

namespace detail {

template <class Body>
void start_philox(const context& c, const Body& body, bool aligned) {
  constexpr philox_policy_selector select;
  if (body.count == 0) return;
  start(c,
        aligned ? philox_kernel<philox_policy_selector, true, Body>
                : philox_kernel<philox_policy_selector, false, Body>,
        stream_size(c, body.count, select(aligned)), body);
}

}  // namespace detail

/// Uniform in (0, 1]: word i % 4 of block i / 4.
inline void fill_uniform(const context& c, const draw& d) {
  detail::start_philox(c, uniform_body{d.y, d.count, d.stream}, allow_packs(d.y));
}

/// N(0, 1): the numbers of gantry::fill_normal, up to the last digits of the device's log, sin,
/// cos.
inline void fill_normal(const context& c, const draw& d) {
  if (d.count == 0) return;
  const std::size_t blocks = ceil_div(d.count, std::size_t{4});
  start(c, philox_kernel<philox_policy_selector, false, normal_body>,
        stream_size(c, blocks, philox_policy_selector{}(false)), {d.y, d.count, blocks, d.stream});
}

template <hwc Shape>
void launch(const context& c, ops::draw_normal<Shape>,
            const params_of<ops::draw_normal<Shape>>& p) {
  fill_normal(c, {p.y.data, nhwc::elements(Shape, p.y.n), {p.stream, nullptr}});
}

template <hwc Shape>
void launch(const context& c, ops::dropout<Shape>, const params_of<ops::dropout<Shape>>& p,
            const activation_behind& behind = {}) {
  const std::size_t count = nhwc::elements(Shape, p.x.n),
                    second = p.second_salt ? count / 2 : count;
  detail::start_philox(
      c,
      dropout_body{p.x.data,
                   p.y.data,
                   count,
                   second,
                   {p.stream, nullptr},
                   p.second_salt.value_or(0),
                   p.rate,
                   1.0f / (1.0f - p.rate),
                   behind},
      (!p.second_salt || second % 4 == 0) && allow_packs(p.x.data, p.y.data, behind.gate));
}

}  // namespace gantry::kernels
