// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <tuple>

#include <doctest/doctest.h>

#include "gantry/nn/resample.hpp"

#include "support/grad_check.hpp"
#include "support/penalty_check.hpp"
#include "support/tangent_check.hpp"

using namespace gantry;
using doctest::Approx;
using test::check_gradients;
using test::check_penalty;
using test::check_tangents;

TEST_CASE("resampling: extents") {
  constexpr hwc in{5, 4, 3};
  static_assert(upsample_nearest<2>::output_shape(in) == hwc{10, 8, 3}, "twice as large");
  static_assert(upsample_bilinear<3>::output_shape(in) == hwc{15, 12, 3}, "three times as large");
  static_assert(average_pool<2>::output_shape(in) == hwc{2, 2, 3}, "the last row is left out");
  static_assert(global_sum_pool::output_shape(in) == hwc{1, 1, 3}, "one pixel");
  static_assert(global_average_pool::output_shape(in) == hwc{1, 1, 3}, "one pixel");
  static_assert(average_pool<2>::param_count(in) == 0, "no parameters");
  CHECK(average_pool<2>::tensors(in, {2, 2, 3}).empty());
}

namespace {

template <hwc In, class L>
std::vector<double> of(const std::vector<double>& x) {
  backend::reference<double> b;
  sequential<image<In.h, In.w, In.c>, L> net;
  const int n = static_cast<int>(x.size()) / In.size();
  typename decltype(net)::template tape<backend::reference<double>> tape(b, n);
  net.forward(b, {{}, {}}, {x.data(), n}, tape, mode::train, {});
  const double* y = tape.output().data;
  return {y, y + n * decltype(net)::output_shape.size()};
}

}  // namespace

TEST_CASE("resampling: by hand") {
  CHECK(of<hwc{1, 2, 1}, upsample_nearest<2>>({1, 2}) ==
        std::vector<double>{1, 1, 2, 2, 1, 1, 2, 2});
  CHECK(of<hwc{1, 2, 1}, upsample_bilinear<2>>({1, 5}) ==
        std::vector<double>{1, 2, 4, 5, 1, 2, 4, 5});
  CHECK(of<hwc{3, 2, 1}, average_pool<2>>({1, 2, 3, 6, 50, 60}) == std::vector<double>{3});
  CHECK(of<hwc{2, 4, 1}, downsample_filtered>({8, 0, 0, 0, 0, 0, 0, 64}) ==
        std::vector<double>{8 * 9 / 64.0, 64 * 9 / 64.0});
  CHECK(of<hwc{1, 2, 1}, upsample_filtered>({16, 0}) ==
        std::vector<double>{9, 9, 3, 0, 9, 9, 3, 0});
  CHECK(of<hwc{2, 1, 2}, global_sum_pool>({1, 10, 2, 20}) == std::vector<double>{3, 30});
  CHECK(of<hwc{2, 1, 2}, global_average_pool>({1, 10, 2, 20}) == std::vector<double>{1.5, 15});
}

using gradient_nets = std::tuple<
    sequential<image<3, 2, 2>, upsample_nearest<2>>,
    sequential<image<3, 2, 2>, upsample_bilinear<2>>,
    sequential<image<3, 1, 2>, upsample_bilinear<3>>, sequential<image<5, 4, 2>, average_pool<2>>,
    sequential<image<3, 2, 2>, upsample_filtered, conv2d<2, 3>, downsample_filtered>,
    sequential<image<3, 2, 2>, global_sum_pool>, sequential<image<3, 2, 2>, global_average_pool>,
    sequential<image<3, 3, 1>, conv2d<2, 2>, upsample_bilinear<2>, leaky_relu, average_pool<3>,
               conv2d<2, 1>, global_average_pool>>;

TEST_CASE_TEMPLATE_DEFINE("resampling: gradients", net, resample_gradients) {
  for (const int n : {1, 3}) CHECK(check_gradients(net{}, {.n = n}));
}
TEST_CASE_TEMPLATE_APPLY(resample_gradients, gradient_nets);

TEST_CASE("resampling: tangents") {
  constexpr hwc in{5, 4, 3};
  CHECK(check_tangents<in>(upsample_nearest<2>{}));
  CHECK(check_tangents<in>(upsample_bilinear<2>{}));
  CHECK(check_tangents<in>(average_pool<2>{}));
  CHECK(check_tangents<in>(upsample_filtered{}));
  CHECK(check_tangents<hwc{4, 6, 3}>(downsample_filtered{}));
  CHECK(check_tangents<in>(global_sum_pool{}));
  CHECK(check_tangents<in>(global_average_pool{}));
}

TEST_CASE("resampling: penalties through a network") {
  CHECK(check_penalty(sequential<image<4, 3, 2>, upsample_bilinear<2>, conv2d<3, 3>, leaky_relu,
                                 average_pool<2>, conv2d<2, 2>, tanh_, upsample_nearest<2>,
                                 conv2d<2, 2>, sigmoid, global_sum_pool, linear<1>>{}));
}
