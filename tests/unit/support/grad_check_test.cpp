// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The checker must find each mistake that a layer can make.
#include <doctest/doctest.h>

#include "support/grad_check.hpp"

using namespace gantry;
using namespace gantry::test;

namespace {

enum class mistake {
  none,
  wrong_dx,
  wrong_dparams,
  assigns_dparams,
  adds_to_dx,
  leaves_dx,
  nan_in_dx,
  dx_depends_on_dparams,
  dparams_depend_on_dx,
  writes_behind_dx,
  forward_counts,
  leaves_y,
  moves_x,
  moves_buffers,
};

/// y = w x^2 per component, with a mistake.
template <mistake M>
struct square : nn::parameter_free {
  static constexpr std::string_view name = "square";
  static constexpr hwc output_shape(hwc in) { return in; }
  static constexpr std::size_t param_count(hwc in) { return static_cast<std::size_t>(in.size()); }
  static constexpr std::size_t buffer_count(hwc) { return 1; }
  template <hwc>
  static constexpr bool validate() {
    return true;
  }
  template <hwc>
  using required_ops = op_list<>;
  static std::vector<tensor_info> tensors(hwc in, hwc) {
    return {nn::plain_tensor("weight", 0, in.c)};
  }
  void initialise(std::span<float> params, std::span<float>, hwc, const stream_id&) const {
    std::ranges::fill(params, 1.0f);
  }

  template <hwc In, Backend B>
  void forward(B&, const forward_args<B>& a) const {
    static int calls = 0;
    ++calls;
    const std::size_t count = nhwc::elements(In, a.x.n), c = a.params.size();
    for (std::size_t i = 0; i < count; ++i)
      if (M != mistake::leaves_y || i > 0)
        a.y.data[i] = a.params[i % c] * a.x.data[i] * a.x.data[i];
    if (M == mistake::forward_counts) a.y.data[0] += 1e-14 * calls;
    if (M == mistake::moves_x) const_cast<double*>(a.x.data)[0] += 1e-3;
    if (M == mistake::moves_buffers || a.run_mode == mode::train) a.buffers[0] += 1;
  }

  template <hwc In, Backend B>
  void backward(B&, const backward_args<B>& a) const {
    const std::size_t count = nhwc::elements(In, a.x.n), c = a.params.size();
    if (M == mistake::assigns_dparams) std::ranges::fill(a.dparams, 0.0);
    for (std::size_t i = 0; i < count; ++i) {
      const double x = a.x.data[i], dy = a.dy.data[i];
      if (!a.dparams.empty())
        a.dparams[i % c] += dy * x * x * (M == mistake::wrong_dparams && i == 1 ? 1.001 : 1.0);
      if (a.dx.data && (M != mistake::leaves_dx || i > 0))
        a.dx.data[i] = 2 * a.params[i % c] * x * dy + (M == mistake::adds_to_dx ? a.dx.data[i] : 0);
    }
    if (!a.dx.data) {
      if (M == mistake::dparams_depend_on_dx) a.dparams[0] *= 1 + 1e-15;
      return;
    }
    if (M == mistake::wrong_dx) a.dx.data[count - 1] += 1e-4;
    if (M == mistake::nan_in_dx) a.dx.data[0] = std::numeric_limits<double>::quiet_NaN();
    if (M == mistake::dx_depends_on_dparams && a.dparams.empty()) a.dx.data[0] *= 1 + 1e-15;
    if (M == mistake::writes_behind_dx) a.dx.data[count] = 0;
  }
};

template <mistake M>
outcome check(mode run_mode = mode::train) {
  return check_gradients(sequential<latent<3>, square<M>>{}, {.n = 2, .run_mode = run_mode});
}

}  // namespace

TEST_CASE("check_gradients: accepts a correct layer") {
  CHECK(check<mistake::none>());
  CHECK(check<mistake::none>(mode::evaluate));
}

TEST_CASE("check_gradients: refuses every mistake and names the result") {
  const auto refused = [](const outcome& o, const std::string& beginning) {
    CHECK_FALSE(o);
    CHECK_MESSAGE(o.sentence().starts_with(beginning), o.sentence());
  };
  refused(check<mistake::wrong_dx>(), "dx: [5] of 6 is ");
  refused(check<mistake::wrong_dparams>(), "dparams: [1] of 3 is ");
  refused(check<mistake::assigns_dparams>(), "dparams: [0] of 3 is ");
  refused(check<mistake::adds_to_dx>(), "dx: [0] of 6 is nan");
  refused(check<mistake::leaves_dx>(), "dx: [0] of 6 is nan");
  refused(check<mistake::nan_in_dx>(), "dx: [0] of 6 is nan");
  refused(check<mistake::dx_depends_on_dparams>(), "dx without dparams: ");
  refused(check<mistake::dparams_depend_on_dx>(), "dparams without dx: ");
  refused(check<mistake::writes_behind_dx>(), "backward wrote outside dx");
  refused(check<mistake::forward_counts>(), "second forward: ");
  refused(check<mistake::leaves_y>(), "forward: [0] of 6 is nan");
  refused(check<mistake::moves_x>(), "second forward: ");
  refused(check<mistake::moves_buffers>(mode::evaluate), "running statistics in evaluation: ");
}

TEST_CASE("check_slopes: skips kinks, but not many") {
  const auto loss = [](const std::vector<double>& x) {
    double sum = 0;
    for (const double v : x) sum += std::abs(v);
    return sum;
  };
  std::vector<double> x(300, 1.0), gradient(300, 1.0);
  x[7] = 1e-6;
  gradient[7] = 0;  // any value: the slope does not exist
  const auto f = [&] { return loss(x); };
  CHECK(check_slopes(x, gradient, f, {}));
  gradient[7] = std::numeric_limits<double>::quiet_NaN();
  CHECK_FALSE(check_slopes(x, gradient, f, {}));
  gradient[7] = 0;
  for (std::size_t i = 0; i < 5; ++i) x[i] = 0;
  CHECK_FALSE(check_slopes(x, gradient, f, {}));
  CHECK_FALSE(check_slopes(x, std::span(gradient).first(299), f, {}));
}
