// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gantry/kernels/common/captured.cuh"
#include "gantry/kernels/common/launch.cuh"
#include "gantry/kernels/vendor/kernel.cuh"

namespace gantry::inline v0::kernels {

namespace detail {

template <class Body>
void start_vendor(const context& c, const Body& body, bool aligned) {
  constexpr vendor_policy_selector select;
  if (body.count == 0) return;
  start(c,
        aligned ? vendor_kernel<vendor_policy_selector, true, Body>
                : vendor_kernel<vendor_policy_selector, false, Body>,
        stream_size(c, body.count, select(aligned)), body);
}

}  // namespace detail

/// y = x as bf16.
inline void narrow(const context& c, const float* x, std::uint16_t* y, std::size_t count) {
  detail::start_vendor(c, narrow_body{x, y, count}, allow_packs(x) && allow_packs(y));
}

/// y = x of bf16 numbers, or y += x.
inline void widen(const context& c, const std::uint16_t* x, float* y, bool accumulate,
                  std::size_t count) {
  detail::start_vendor(c, widen_body{x, y, accumulate, count}, allow_packs(x) && allow_packs(y));
}

/// Adds a number per channel to numbers whose last extent are the channels.
inline void add_bias(const context& c, float* y, const float* bias, int channels,
                     std::size_t count) {
  detail::start_vendor(c, add_bias_body{y, bias, static_cast<std::size_t>(channels), count},
                       allow_packs(y));
}

}  // namespace gantry::kernels
