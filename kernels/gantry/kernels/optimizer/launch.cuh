// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>

#include "gantry/kernels/optimizer/kernel.cuh"
#include "gantry/ops/optimizer_step.hpp"

namespace gantry::inline v0::kernels {

/// Adam and all that rides with it: one launch for a network.
struct adam_and_copies {
  params_of<ops::adam_step> step;
  __nv_bfloat16* half{};     ///< the weights in bf16, or null
  weight_average buffers{};  ///< of what is no weight: running statistics
};

namespace detail {

template <class Body>
void start_update(const context& c, const Body& body, bool aligned) {
  constexpr optimizer_policy_selector select;
  if (body.count == 0) return;
  const auto size = stream_size(c, body.count, select(aligned));
  start(c,
        aligned ? optimizer_step_kernel<optimizer_policy_selector, true, Body>
                : optimizer_step_kernel<optimizer_policy_selector, false, Body>,
        size, body);
}

}  // namespace detail

/// weight, moments and average as ops::adam_step; `half` = the new weights rounded to bf16.
inline void launch(const context& c, const adam_and_copies& a) {
  const auto& p = a.step;
  const auto step = static_cast<float>(p.rate / p.correction1);
  const auto scale = static_cast<float>(1.0 / std::sqrt(p.correction2));
  detail::start_update(
      c,
      adam_body{p.weight,
                p.gradient,
                p.first_moment,
                p.second_moment,
                p.count,
                step,
                p.beta1,
                p.beta2,
                p.epsilon,
                scale,
                {p.average, p.average_decay, a.half},
                a.buffers},
      allow_packs(p.weight, p.gradient, p.first_moment, p.second_moment, p.average, a.half));
}
inline void launch(const context& c, ops::adam_step, const params_of<ops::adam_step>& p) {
  launch(c, adam_and_copies{p});
}
/// With the average that `parts.more` names.
template <class Parts>
requires requires(const Parts& parts) { parts.more.average; }
void launch(const context& c, ops::adam_step, const params_of<ops::adam_step>& p,
            const Parts& parts) {
  launch(c, adam_and_copies{p, nullptr, parts.more});
}

inline void launch(const context& c, ops::sgd_step, const params_of<ops::sgd_step>& p) {
  detail::start_update(c, sgd_body{p.weight, p.gradient, p.velocity, p.count, p.rate, p.momentum},
                       allow_packs(p.weight, p.gradient, p.velocity));
}

inline void launch(const context& c, ops::rmsprop_step, const params_of<ops::rmsprop_step>& p) {
  detail::start_update(
      c, rmsprop_body{p.weight, p.gradient, p.square_average, p.count, p.rate, p.decay, p.epsilon},
      allow_packs(p.weight, p.gradient, p.square_average));
}

inline void launch(const context& c, ops::ema_step, const params_of<ops::ema_step>& p) {
  detail::start_update(c, ema_body{p.value, p.count, {p.average, p.decay, nullptr}},
                       allow_packs(p.value, p.average));
}

}  // namespace gantry::kernels
