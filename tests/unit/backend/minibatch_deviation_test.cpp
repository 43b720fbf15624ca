// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "gantry/ops/minibatch_deviation.hpp"

#include "support/host_backends.hpp"

using namespace gantry;
using namespace gantry::test;

namespace {

template <hwc Shape>
inline constexpr hwc wider{Shape.h, Shape.w, Shape.c + 1};

template <hwc Shape, int Size>
struct deviation_forward : run_options {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const auto x = runs::poisoned_batch<Shape>(b, *this, 1);
    const device_batch<B, wider<Shape>> y(b, n);
    launch(b, ops::minibatch_deviation_forward<Shape, Size>{}, {x.view(), y.view()});
    return y.read();
  }
};

template <hwc Shape, int Size>
struct deviation_backward : run_options {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const auto x = runs::clean_batch<Shape>(b, *this, 1);
    const auto dy = runs::poisoned_batch<wider<Shape>>(b, *this, 2);
    const device_batch<B, Shape> dx(b, n);
    launch(b, ops::minibatch_deviation_backward<Shape, Size>{}, {x.view(), dy.view(), dx.view()});
    return dx.read();
  }
};

template <hwc Shape, int Size>
struct deviation_tangent : run_options {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const auto x = runs::clean_batch<Shape>(b, *this, 1);
    const auto tx = runs::poisoned_batch<Shape>(b, *this, 2);
    const device_batch<B, wider<Shape>> ty(b, n);
    launch(b, ops::minibatch_deviation_tangent<Shape, Size>{}, {x.view(), tx.view(), ty.view()});
    return ty.read();
  }
};

/// option: with ey.
template <hwc Shape, int Size>
struct deviation_second_order : run_options {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const auto x = runs::clean_batch<Shape>(b, *this, 1),
               tx = runs::clean_batch<Shape>(b, *this, 2);
    const auto gy = runs::poisoned_batch<wider<Shape>>(b, *this, 3),
               ey = runs::clean_batch<wider<Shape>>(b, *this, 4);
    const device_batch<B, Shape> ex(b, n);
    const batch_of<typename B::storage> none{nullptr, n};
    launch(b, ops::minibatch_deviation_second_order<Shape, Size>{},
           {x.view(), tx.view(), gy.view(), option ? ey.view() : none, ex.view()});
    return ex.read();
  }
};

/// Thin samples, samples that the new channel makes thick, whole blocks of 16, more numbers than
/// are worked on together; groups of one, of some, of more than there are samples.
template <class F>
void sweep(F&& f) {
  const auto one = [&]<hwc Shape, int Size>() {
    CAPTURE(Shape.c);
    CAPTURE(Size);
    for_each_batch_size([&](int n) {
      CAPTURE(n);
      f.template operator()<Shape, Size>(run_options{.n = n});
    });
  };
  one.template operator()<hwc{1, 1, 1}, 2>();
  one.template operator()<hwc{3, 2, 5}, 4>();
  one.template operator()<hwc{2, 3, 15}, 1>();
  one.template operator()<hwc{4, 4, 48}, 4>();
  one.template operator()<hwc{3, 3, 70}, 32>();
}

}  // namespace

TEST_CASE("mini-batch deviation ops: forward, gradient, tangent and second derivatives") {
  sweep([]<hwc S, int Size>(const run_options& o) {
    CHECK(agrees_on_host(deviation_forward<S, Size>{o}, {1e-5, 1e-5}));
    // Slopes are sums over pixels and samples; the deviation of one number is 1e-4.
    CHECK(agrees_on_host(deviation_backward<S, Size>{o}, {1e-5, 2e-5}));
    CHECK(agrees_on_host(deviation_tangent<S, Size>{o}, {1e-5, 2e-5}));
    auto with_ey = o;
    with_ey.option = true;
    CHECK(agrees_on_host(deviation_second_order<S, Size>{o}, {1e-5, 1e-4}));
    CHECK(agrees_on_host(deviation_second_order<S, Size>{with_ey}, {1e-5, 1e-4}));
  });
}

TEST_CASE("mini-batch deviation ops: groups") {
  constexpr sample_groups whole{8, 4}, cut{7, 3};
  static_assert(whole.count() == 2 && whole.members(0) == 4 && whole.group_of(5) == 1,
                "0 2 4 6 and 1 3 5 7");
  static_assert(
      cut.count() == 3 && cut.members(0) == 3 && cut.members(1) == 2 && cut.members(2) == 2,
      "0 3 6, 1 4 and 2 5");
  CHECK(sample_groups{2, 4}.count() == 1);
}

TEST_CASE("mini-batch deviation ops: NaN reaches everything that depends on it") {
  constexpr hwc s{4, 3, 16};
  constexpr int poison = (12 + 5) * 16 + 3;
  // The number itself, and the new channel of both samples of its group (1 and 3 of 4).
  CHECK(spreads_nan(deviation_forward<s, 2>{{.n = 4, .poison = poison}}, 1 + 2 * 12));
  CHECK(spreads_nan(deviation_tangent<s, 2>{{.n = 4, .poison = poison}}, 1 + 2 * 12));
  CHECK(spreads_nan(deviation_second_order<s, 2>{{.n = 4, .poison = 17 * 12 + 16}}, 2 * s.size()));
  CHECK(spreads_nan(deviation_backward<s, 2>{{.n = 4, .poison = 17 * 12 + 16}}, 2 * s.size()));
}
