// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "support/host_backends.hpp"
#include "support/op_runs_deviation.hpp"

using namespace gantry;
using namespace gantry::test;

namespace {

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
    CHECK(agrees_on_host(runs::deviation_forward<S, Size>{o}, {1e-5, 1e-5}));
    // Slopes are sums over pixels and samples; the deviation of one number is 1e-4.
    CHECK(agrees_on_host(runs::deviation_backward<S, Size>{o}, {1e-5, 2e-5}));
    CHECK(agrees_on_host(runs::deviation_tangent<S, Size>{o}, {1e-5, 2e-5}));
    auto with_ey = o;
    with_ey.option = true;
    CHECK(agrees_on_host(runs::deviation_second_order<S, Size>{o}, {1e-5, 1e-4}));
    CHECK(agrees_on_host(runs::deviation_second_order<S, Size>{with_ey}, {1e-5, 1e-4}));
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
  CHECK(spreads_nan(runs::deviation_forward<s, 2>{{.n = 4, .poison = poison}}, 1 + 2 * 12));
  CHECK(spreads_nan(runs::deviation_tangent<s, 2>{{.n = 4, .poison = poison}}, 1 + 2 * 12));
  CHECK(spreads_nan(runs::deviation_second_order<s, 2>{{.n = 4, .poison = 17 * 12 + 16}},
                    2 * s.size()));
  CHECK(
      spreads_nan(runs::deviation_backward<s, 2>{{.n = 4, .poison = 17 * 12 + 16}}, 2 * s.size()));
}
