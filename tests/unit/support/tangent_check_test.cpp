// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The checker must find each mistake that a layer's passes for penalties can make.
#include <doctest/doctest.h>

#include "support/tangent_check.hpp"

using namespace gantry;
using namespace gantry::test;

namespace {

enum class mistake {
  none,
  wrong_tangent,
  leaves_ty,
  wrong_ex,
  wrong_dparams,
  forgets_ey,
  assigns_dparams,
  leaves_ex,
  dparams_need_ex,
  writes_behind_ex,
  moves_x,
  wrong_merged_weight,
  wrong_merged_shift,
};

struct one_weight_per_number : nn::parameter_free {
  static constexpr hwc output_shape(hwc in) { return in; }
  template <hwc>
  static constexpr bool validate() {
    return true;
  }
};

/// y = w x^2 per component, with a mistake.
template <mistake M>
struct square : one_weight_per_number {
  static constexpr std::size_t param_count(hwc in) { return static_cast<std::size_t>(in.size()); }
  void initialise(std::span<float> params, std::span<float>, hwc, const stream_id&) const {
    std::ranges::fill(params, 1.0f);
  }
  template <hwc In, Backend B>
  void forward(B&, const forward_args<B>& a) const {
    for (std::size_t i = 0; i < nhwc::elements(In, a.x.n); ++i)
      a.y.data[i] = a.params[i % In.size()] * a.x.data[i] * a.x.data[i];
  }
  template <hwc In, Backend B>
  void backward(B&, const backward_args<B>& a) const {
    for (std::size_t i = 0; i < nhwc::elements(In, a.x.n); ++i)
      a.dx.data[i] = 2 * a.params[i % In.size()] * a.x.data[i] * a.dy.data[i];
  }
  template <hwc In, Backend B>
  void tangent(B&, const tangent_args<B>& a) const {
    const std::size_t first = M == mistake::leaves_ty ? 1 : 0;
    for (std::size_t i = first; i < nhwc::elements(In, a.x.n); ++i)
      a.ty.data[i] = 2 * a.params[i % In.size()] * a.x.data[i] * a.tx.data[i];
    if (M == mistake::wrong_tangent) a.ty.data[1] *= 1.001;
    if (M == mistake::moves_x) const_cast<double*>(a.x.data)[0] += 1e-9;
  }
  template <hwc In, Backend B>
  void second_order(B&, const second_order_args<B>& a) const {
    const std::size_t count = nhwc::elements(In, a.x.n);
    if (M == mistake::assigns_dparams) std::ranges::fill(a.dparams, 0.0);
    for (std::size_t i = 0; i < count; ++i) {
      const double x = a.x.data[i], w = a.params[i % In.size()], tx = a.tx.data[i];
      const double gy = a.gy.data[i] * (M == mistake::wrong_dparams && i == 1 ? 1.001 : 1.0);
      const double ey = a.ey.data && M != mistake::forgets_ey ? a.ey.data[i] : 0.0;
      if (!a.dparams.empty() && (M != mistake::dparams_need_ex || a.ex.data))
        a.dparams[i % In.size()] += 2 * gy * x * tx + ey * x * x;
      if (a.ex.data && (M != mistake::leaves_ex || i > 0))
        a.ex.data[i] = 2 * w * (a.gy.data[i] * tx + ey * x);
    }
    if (!a.ex.data) return;
    if (M == mistake::wrong_ex) a.ex.data[0] += 1e-4;
    if (M == mistake::writes_behind_ex) a.ex.data[count] = 0;
  }
};

/// y = w x + v per component, with a mistake.
template <mistake M>
struct affine : one_weight_per_number {
  static constexpr bool piecewise_linear = true;
  static constexpr std::size_t param_count(hwc in) { return 2 * static_cast<std::size_t>(in.c); }
  void initialise(std::span<float> params, std::span<float>, hwc, const stream_id&) const {
    std::ranges::fill(params, 1.0f);
  }
  template <hwc In, Backend B>
  void forward(B&, const forward_args<B>& a) const {
    for (std::size_t i = 0; i < nhwc::elements(In, a.x.n); ++i)
      a.y.data[i] = a.params[i % In.c] * a.x.data[i] + a.params[In.c + i % In.c];
  }
  template <hwc In, Backend B>
  void backward(B&, const backward_args<B>& a) const {
    for (std::size_t i = 0; i < nhwc::elements(In, a.x.n); ++i)
      a.dx.data[i] = a.params[i % In.c] * a.dy.data[i];
  }
  template <hwc In, Backend B>
  void tangent(B&, const tangent_args<B>& a) const {
    for (std::size_t i = 0; i < nhwc::elements(In, a.x.n); ++i)
      a.ty.data[i] = a.params[i % In.c] * a.tx.data[i];
  }
  template <hwc In, Backend B>
  void merged_gradient(B&, const merged_args<B>& a) const {
    for (std::size_t i = 0; i < nhwc::elements(In, a.m.n); ++i) {
      const double seed = a.seeds ? a.seeds[i / In.size()] : 0.0;
      a.dparams[i % In.c] += a.m.data[i] * a.gy.data[i];
      a.dparams[In.c + i % In.c] += seed * a.gy.data[i];
    }
    if (M == mistake::wrong_merged_weight) a.dparams[0] += 1e-4;
    if (M == mistake::wrong_merged_shift) a.dparams[In.c] *= 1.01;
  }
};

template <mistake M>
outcome check() {
  if constexpr (M == mistake::wrong_merged_weight || M == mistake::wrong_merged_shift)
    return check_tangents<hwc{1, 1, 3}>(affine<M>{});
  else
    return check_tangents<hwc{1, 1, 3}>(square<M>{});
}

}  // namespace

TEST_CASE("tangent_check: correct passes pass") {
  CHECK(check<mistake::none>());
  CHECK(check_tangents<hwc{1, 1, 3}>(affine<mistake::none>{}));
}

TEST_CASE("tangent_check: every mistake is found") {
  CHECK_FALSE(check<mistake::wrong_tangent>());
  CHECK_FALSE(check<mistake::leaves_ty>());
  CHECK_FALSE(check<mistake::wrong_ex>());
  CHECK_FALSE(check<mistake::wrong_dparams>());
  CHECK_FALSE(check<mistake::forgets_ey>());
  CHECK_FALSE(check<mistake::assigns_dparams>());
  CHECK_FALSE(check<mistake::leaves_ex>());
  CHECK_FALSE(check<mistake::dparams_need_ex>());
  CHECK_FALSE(check<mistake::writes_behind_ex>());
  CHECK_FALSE(check<mistake::moves_x>());
  CHECK_FALSE(check<mistake::wrong_merged_weight>());
  CHECK_FALSE(check<mistake::wrong_merged_shift>());
}
