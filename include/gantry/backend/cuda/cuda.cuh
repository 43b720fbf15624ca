// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The CUDA backend with all its ops: every op that kernels/ has a launch for, and those that are
// copies in this layout.
#pragma once

#include <cstddef>

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
template <class Context, gemm_math Math, class Op>
void launch_in(const Context& c, basic_cuda<Math>& b, Op op, const kernels::params_of<Op>& p) {
  try {
    launch(c, op, p);
    if (b.options().wait_for_each_op) b.synchronize();
  } catch (const device_error& e) {
    throw e.during(description(op, p));
  }
}

}  // namespace detail

/// @throws device_error that names the op and its shapes
template <gemm_math Math, class Op>
requires HasKernel<Op, Math>
void launch(basic_cuda<Math>& b, Op op,
            const typename Op::template params<typename basic_cuda<Math>::storage>& p) {
  detail::launch_in(b.context(), b, op, p);
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
