// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The CUDA backend with all its ops: every op that kernels/ has a launch for, and those that are
// copies in this layout.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>
#include <vector>

#include "gantry/backend/cuda/backend.cuh"
#include "gantry/backend/cuda/describe.hpp"
#include "gantry/kernels/attention/launch.cuh"
#include "gantry/kernels/augment/launch.cuh"
#include "gantry/kernels/batch_norm/launch.cuh"
#include "gantry/kernels/conv2d/launch.cuh"
#include "gantry/kernels/gemm/launch.cuh"
#include "gantry/kernels/group_norm/launch.cuh"
#include "gantry/kernels/grouped_conv2d/launch.cuh"
#include "gantry/kernels/image_batch/launch.cuh"
#include "gantry/kernels/labels/launch.cuh"
#include "gantry/kernels/learned_basis/launch.cuh"
#include "gantry/kernels/minibatch/launch.cuh"
#include "gantry/kernels/optimizer/launch.cuh"
#include "gantry/kernels/penalty/launch.cuh"
#include "gantry/kernels/philox/launch.cuh"
#include "gantry/kernels/pixel_norm/launch.cuh"
#include "gantry/kernels/pointwise/launch.cuh"
#include "gantry/kernels/resample/launch.cuh"
#include "gantry/kernels/spectral_norm/launch.cuh"
#include "gantry/ops/pointwise.hpp"

namespace gantry::inline v0::backend {

/// True if kernels/ can start Op in the given arithmetic.
template <class Op, gemm_math Math>
concept HasKernel = requires(const kernels::math_context<Math>& c,
                             const kernels::params_of<Op>& p) {
  launch(c, Op{}, p);
};

namespace detail {

/// @throws device_error that names the op and its shapes
template <class Op, class F>
void named(Op op, const kernels::params_of<Op>& p, const F& start) {
  try {
    start();
  } catch (const device_error& e) {
    throw e.during(description(op, p));
  }
}

/// Ops that take part in fusion see what is held; before all others it starts.
template <class Op>
inline constexpr bool sees_window = false;
template <hwc Shape>
inline constexpr bool sees_window<ops::batch_norm_forward<Shape>> = true;
template <hwc Shape>
inline constexpr bool sees_window<ops::batch_norm_backward<Shape>> = true;
template <conv_geometry G>
inline constexpr bool sees_window<ops::conv2d_forward<G>> = true;
template <conv_geometry G>
inline constexpr bool sees_window<ops::conv2d_backward_data<G>> = true;
template <conv_geometry G>
inline constexpr bool sees_window<ops::conv2d_backward_weights<G>> = true;
template <linear_geometry G>
inline constexpr bool sees_window<ops::linear_forward<G>> = true;
template <linear_geometry G>
inline constexpr bool sees_window<ops::linear_backward_weights<G>> = true;

/// Starts an op, or lets it wait for the next one where that may become part of it.
template <class Context, gemm_math Math, class Op>
void start_or_hold(const Context& c, basic_cuda<Math>& b, Op op, const kernels::params_of<Op>& p) {
  if constexpr (requires(const fused_parts& parts) { launch(c, op, p, parts); }) {
    fused_parts before;
    if constexpr (sees_window<Op>) {
      before = b.window().take_into(op, p);
      b.window().flush();
    }
    b.window().hold(
        fusable_of(op, p),
        [c, op, p](const fused_parts& parts) { named(op, p, [&] { launch(c, op, p, parts); }); },
        before);
  } else {
    named(op, p, [&] { launch(c, op, p); });
  }
}
/// Labels may change before the kernel starts, so they are kept.
template <class Context, gemm_math Math, class F, class G, int Classes>
void start_or_hold(const Context& c, basic_cuda<Math>& b,
                   ops::classified_loss_terms<F, G, Classes> op,
                   const kernels::params_of<ops::classified_loss_terms<F, G, Classes>>& p) {
  std::vector<std::uint8_t> labels(p.labels_a, p.labels_a + p.a.n);
  labels.insert(labels.end(), p.labels_b, p.labels_b + p.b.n);
  b.window().hold(fusable_of(op, p),
                  [c, op, now = p, labels = std::move(labels)](const fused_parts& parts) mutable {
                    now.labels_a = labels.data();
                    now.labels_b = labels.data() + now.a.n;
                    named(op, now, [&] { launch(c, op, now, parts); });
                  });
}
/// Copies and masks wait for an activation in place.
template <class Context, gemm_math Math, class Op, class Params>
void hold_for_activation(const Context& c, basic_cuda<Math>& b, Op op, const Params& p,
                         const float* result, std::size_t count) {
  b.window().hold({result, count, true}, [c, op, p](const fused_parts& parts) {
    named(op, p, [&] { launch(c, op, p, kernels::activation_behind{parts.f, parts.gate}); });
  });
}
template <class Context, gemm_math Math>
void start_or_hold(const Context& c, basic_cuda<Math>& b, ops::copy op,
                   const kernels::params_of<ops::copy>& p) {
  hold_for_activation(c, b, op, p, p.y, p.count);
}
template <class Context, gemm_math Math, hwc Shape>
void start_or_hold(const Context& c, basic_cuda<Math>& b, ops::dropout<Shape> op,
                   const kernels::params_of<ops::dropout<Shape>>& p) {
  hold_for_activation(c, b, op, p, p.y.data, nhwc::elements(Shape, p.y.n));
}
/// Gradients of one network wait for those of another.
template <class Context, gemm_math Math>
void start_or_hold(const Context& c, basic_cuda<Math>& b, ops::fill op,
                   const kernels::params_of<ops::fill>& p) {
  const bool zeros = p.value == 0 && !std::signbit(p.value);
  b.window().hold({.zeros = zeros}, [c, op, p](const fused_parts& parts) {
    named(op, p, [&] {
      if (parts.zeros.y)
        launch(c, ops::clear{}, parts.zeros, kernels::cleared{p.y, p.count});
      else
        launch(c, op, p);
    });
  });
}
/// The statistics come from the product before where it can add them up; the rest waits for an
/// activation.
template <class Context, gemm_math Math, class Op, class Params, hwc Shape>
void hold_norm(const Context& c, basic_cuda<Math>& b, Op op, const Params& p) {
  b.window().hold({.result = p.y.data,
                   .count = nhwc::elements(Shape, p.y.n),
                   .activation = true,
                   .norm = kernels::norm_pass_of<Shape>(p)},
                  [c, op, p](const fused_parts& parts) {
                    named(op, p, [&] { kernels::normalise<Shape>(c, p, parts.f); });
                  });
}
template <class Context, gemm_math Math, hwc Shape>
void start_or_hold(const Context& c, basic_cuda<Math>& b, ops::batch_norm_forward<Shape> op,
                   const kernels::params_of<ops::batch_norm_forward<Shape>>& p) {
  kernels::result_sums sums{kernels::sums_kind::statistics, Shape.c, p.paired ? 2 : 1};
  sums.statistics = kernels::statistics_of<Shape>(p);
  if (!b.window().sum_results(p.x.data, nhwc::elements(Shape, p.x.n), sums)) {
    b.window().flush();
    named(op, p, [&] { kernels::find_statistics<Shape>(c, p); });
  }
  hold_norm<Context, Math, decltype(op), std::remove_cvref_t<decltype(p)>, Shape>(c, b, op, p);
}
template <class Context, gemm_math Math, hwc Shape>
void start_or_hold(const Context& c, basic_cuda<Math>& b, ops::batch_norm_inference<Shape> op,
                   const kernels::params_of<ops::batch_norm_inference<Shape>>& p) {
  b.window().flush();
  named(op, p, [&] { kernels::find_statistics<Shape>(c, p); });
  hold_norm<Context, Math, decltype(op), std::remove_cvref_t<decltype(p)>, Shape>(c, b, op, p);
}
template <class Context, gemm_math Math, hwc Shape>
void start_or_hold(const Context& c, basic_cuda<Math>& b, ops::batch_norm_backward<Shape> op,
                   const kernels::params_of<ops::batch_norm_backward<Shape>>& p) {
  kernels::result_sums sums{kernels::sums_kind::gradients, Shape.c, p.paired ? 2 : 1};
  sums.gradients = kernels::gradient_sums_of<Shape>(p, c.partials);
  sums.reserved = round_up(kernels::means_count(p, Shape.c), std::size_t{4});
  const bool summed = kernels::needs_sums(p) &&
                      b.window().sum_results(p.dy.data, nhwc::elements(Shape, p.dy.n), sums);
  b.window().flush();
  if (!summed && kernels::needs_sums(p))
    named(op, p, [&] { kernels::find_gradient_sums<Shape>(c, p); });
  if (!p.dx.data) return;
  b.window().hold({.norm_gradient = kernels::norm_gradient_pass_of<Shape>(c, p)},
                  [c, op, p](const fused_parts&) {
                    named(op, p, [&] { kernels::normalise_backward<Shape>(c, p); });
                  });
}

/// @throws device_error that names the op and its shapes
template <class Context, gemm_math Math, class Op>
void launch_in(const Context& c, basic_cuda<Math>& b, Op op, const kernels::params_of<Op>& p) {
  if (!b.fuses()) {
    named(op, p, [&] {
      launch(c, op, p);
      if (b.options().wait_for_each_op) b.synchronize();
    });
    return;
  }
  if (b.window().take(op, p)) return;
  if (!sees_window<Op>) b.window().flush();
  start_or_hold(c, b, op, p);
}

}  // namespace detail

/// @throws device_error that names the op and its shapes
template <gemm_math Math, class Op>
requires HasKernel<Op, Math>
void launch(basic_cuda<Math>& b, Op op,
            const typename Op::template params<typename basic_cuda<Math>::storage>& p) {
  detail::launch_in(b.held_context(), b, op, p);
}

template <gemm_math Math, hwc From, hwc To>
void launch(basic_cuda<Math>& b, ops::reshape<From, To>,
            const kernels::params_of<ops::reshape<From, To>>& p) {
  if (p.x.data != p.y.data)
    launch(b, ops::copy{}, {p.x.data, p.y.data, nhwc::elements(From, p.x.n)});
}

/// The host goes on at once; `source` may change.
template <gemm_math Math, hwc Shape>
void launch(basic_cuda<Math>& b, ops::import_samples<Shape>,
            const kernels::params_of<ops::import_samples<Shape>>& p) {
  b.send({p.source, nhwc::elements(Shape, p.y.n)}, p.y.data);
}

/// Waits: `target` is complete on return.
template <gemm_math Math, hwc Shape>
void launch(basic_cuda<Math>& b, ops::export_samples<Shape>,
            const kernels::params_of<ops::export_samples<Shape>>& p) {
  const std::size_t count = nhwc::elements(Shape, p.x.n);
  b.download(p.x.data, {p.target, count});
  if (p.scale == 1.0f) return;
  for (std::size_t i = 0; i < count; ++i) p.target[i] *= p.scale;
}

}  // namespace gantry::backend
