// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// upsampled_conv2d and pooled_conv2d against the two layers that they stand for.
#include <tuple>

#include <doctest/doctest.h>

#include "gantry/nn/layers.hpp"

#include "support/host_backends.hpp"
#include "support/penalty_check.hpp"
#include "support/tangent_check.hpp"

using namespace gantry;
using test::check_gradients;
using test::check_penalty;
using test::check_tangents;

namespace {

/// The fused layer, and the pair with the same parameters in the same order.
template <int H, int W, int C, int Filters, bias Bias = bias::yes>
struct up {
  using fused = sequential<image<H, W, C>, upsampled_conv2d<Filters, Bias>>;
  using pair = sequential<image<H, W, C>, upsample_nearest<2>, conv2d<Filters, 3, 1, 1, Bias>>;
};
template <int H, int W, int C, int Filters, bias Bias = bias::yes>
struct down {
  using fused = sequential<image<H, W, C>, pooled_conv2d<Filters, Bias>>;
  using pair = sequential<image<H, W, C>, conv2d<Filters, 3, 1, 1, Bias>, average_pool<2>>;
};

/// The same with sigma of the 3 x 3 kernel; layers have the same numbers, so that u and v agree.
struct normalised_up {
  using fused = sequential<image<4, 5, 3>, reshape<4, 5, 3>, spectral_norm<upsampled_conv2d<4>>>;
  using pair = sequential<image<4, 5, 3>, upsample_nearest<2>, spectral_norm<conv2d<4, 3, 1, 1>>>;
};
struct normalised_down {
  using fused = sequential<image<4, 5, 3>, spectral_norm<pooled_conv2d<4>>>;
  using pair = sequential<image<4, 5, 3>, spectral_norm<conv2d<4, 3, 1, 1>>, average_pool<2>>;
};

/// y, dx and dparams in double, where two sums differ by rounding alone.
template <class Case>
test::outcome agrees_with_the_pair(int n) {
  using fused = typename Case::fused;
  using pair = typename Case::pair;
  static_assert(fused::output_shape == pair::output_shape, "the pair has the same extents");
  static_assert(fused::param_count == pair::param_count, "and the same parameters");
  test::network_probe<fused> a(fused{}, {.n = n});
  test::network_probe<pair> b(pair{}, {.n = n});
  b.params = a.params;
  const auto found = a.gradients();
  const auto expected = b.gradients();
  constexpr test::tolerance exact{1e-12, 1e-12};
  return test::compare(a.output(), b.output(), exact).named("y") &&
         test::compare(found.dx, expected.dx, exact).named("dx") &&
         test::compare(found.dparams, expected.dparams, exact).named("dparams");
}

}  // namespace

using exact_cases = std::tuple<up<1, 1, 3, 2>, up<1, 5, 2, 3>, up<7, 4, 5, 3, bias::no>,
                               up<5, 5, 17, 19>, down<2, 3, 3, 2>, down<3, 3, 2, 5>,
                               down<9, 6, 5, 3, bias::no>, down<6, 7, 17, 19>, normalised_up,
                               normalised_down>;

TEST_CASE_TEMPLATE_DEFINE("folded conv2d: equals the pair to 1e-12", Case, exact) {
  for (const int n : {1, 2, 5}) CHECK(agrees_with_the_pair<Case>(n));
}
TEST_CASE_TEMPLATE_APPLY(exact, exact_cases);

TEST_CASE("folded conv2d: borders by hand") {
  // One pixel becomes four: each sees a 2 x 2 part of the kernel.
  backend::reference<double> b;
  std::vector<double> x{2}, params{1, 10, 100, 3, 30, 300, 5, 50, 500, 7};
  sequential<image<1, 1, 1>, upsampled_conv2d<1>> larger;
  decltype(larger)::tape<backend::reference<double>> tape(b, 1);
  larger.forward(b, {params, {}}, {x.data(), 1}, tape, mode::train, {});
  const double* y = tape.output().data;
  CHECK(y[0] == 2 * (30 + 300 + 50 + 500) + 7);
  CHECK(y[1] == 2 * (3 + 30 + 5 + 50) + 7);
  CHECK(y[2] == 2 * (10 + 100 + 30 + 300) + 7);
  CHECK(y[3] == 2 * (1 + 10 + 3 + 30) + 7);
  // Four pixels become their mean, each weighted by another 2 x 2 part.
  std::vector<double> four{1, 0, 0, 8};
  sequential<image<2, 2, 1>, pooled_conv2d<1>> smaller;
  decltype(smaller)::tape<backend::reference<double>> pooled(b, 1);
  smaller.forward(b, {params, {}}, {four.data(), 1}, pooled, mode::train, {});
  CHECK(pooled.output().data[0] == (1 + 10 + 3 + 30 + 8 * (30 + 300 + 50 + 500)) / 4.0 + 7);
}

TEST_CASE("folded conv2d: extents, counts and FLOPs") {
  constexpr hwc in{5, 4, 3};
  using larger = upsampled_conv2d<7>;
  using smaller = pooled_conv2d<7, bias::no>;
  static_assert(larger::output_shape(in) == hwc{10, 8, 7}, "twice as large");
  static_assert(smaller::output_shape(in) == hwc{2, 2, 7}, "half, rounded down");
  static_assert(larger::param_count(in) == 7 * 9 * 3 + 7, "those of the 3 x 3 kernel");
  static_assert(smaller::param_count(in) == 7 * 9 * 3, "no bias");
  static_assert(larger::saved_count(in, 5) == 0, "nothing is saved");
  CHECK(larger::flops(in).forward == 2.0 * 16 * 7 * 3 * 5 * 4);
  CHECK(larger::flops(in).forward * 9 == conv2d<7, 3, 1, 1>::flops({10, 8, 3}).forward * 4);
  CHECK(smaller::flops({6, 4, 3}).weight_gradient * 9 ==
        conv2d<7, 3, 1, 1>::flops({6, 4, 3}).weight_gradient * 4);
}

TEST_CASE("folded conv2d: tensors are a PyTorch Conv2d's") {
  for (const auto& all : {upsampled_conv2d<8>::tensors({5, 4, 3}, {10, 8, 8}),
                          pooled_conv2d<8>::tensors({5, 4, 3}, {2, 2, 8})}) {
    REQUIRE(all.size() == 2);
    CHECK(all[0].name == "weight");
    CHECK(all[0].order == std::vector<int>{0, 3, 1, 2});
    CHECK(all[0].shape == std::vector<std::int64_t>{8, 3, 3, 3});
    CHECK(all[1].name == "bias");
    CHECK(all[1].offset == 8 * 9 * 3);
  }
}

TEST_CASE("folded conv2d: gradients and tangents") {
  using net = sequential<image<5, 4, 2>, pooled_conv2d<3>, leaky_relu, upsampled_conv2d<2>, tanh_,
                         pooled_conv2d<2, bias::no>>;
  for (const int n : {1, 3}) {
    CHECK(check_gradients(net{}, {.n = n}));
    CHECK(check_tangents<hwc{3, 2, 2}>(upsampled_conv2d<3>{}, {.n = n}));
    CHECK(check_tangents<hwc{3, 2, 2}>(upsampled_conv2d<3, bias::no>{}, {.n = n}));
    CHECK(check_tangents<hwc{5, 4, 2}>(pooled_conv2d<3>{}, {.n = n}));
    CHECK(check_tangents<hwc{5, 4, 2}>(pooled_conv2d<3, bias::no>{}, {.n = n}));
  }
}

TEST_CASE("folded conv2d: penalties, plain, within residual blocks and with spectral norm") {
  using plain = sequential<image<4, 4, 2>, pooled_conv2d<3>, leaky_relu, upsampled_conv2d<2>,
                           leaky_relu, linear<1>>;
  using block = residual<path<leaky_relu, conv2d<3, 3, 1, 1>, leaky_relu, pooled_conv2d<4>>,
                         path<average_pool<2>, conv2d<4, 1>>>;
  CHECK(check_penalty(plain{}));
  CHECK(check_penalty(plain{}, {.n = 3}, gradient_norm::distance_from_one{}));
  CHECK(check_penalty(sequential<image<5, 4, 2>, block, leaky_relu, linear<1>>{}));
  CHECK(check_penalty(sequential<image<5, 4, 2>, block, tanh_, linear<1>>{}));
  using normalised =
      sequential<image<5, 4, 2>, spectral_norm<pooled_conv2d<3>>, leaky_relu,
                 spectral_norm<upsampled_conv2d<2>>, tanh_, spectral_norm<linear<1>>>;
  const test::gradient_options evaluated{.n = 3, .run_mode = mode::evaluate, .seed = 2};
  CHECK(check_gradients(normalised{}, evaluated));
  CHECK(check_penalty(normalised{}, evaluated));
}

namespace {

/// y, dx, dparams and buffers of a network whose parameters are the same numbers.
template <class Net, class B>
std::vector<float> step(B& b, int n) {
  const Net net;
  std::vector<float> params(Net::param_count), buffers(Net::buffer_count);
  net.initialise(params, buffers, {.seed = 3, .use = purpose::initialise});
  const auto size = static_cast<std::size_t>(n * Net::input_shape.size());
  const test::device_batch<B, Net::input_shape> x(b, n, test::normal_floats(size, 1)), dx(b, n);
  const test::device_array<B> p(b, params), q(b, buffers),
      g(b, std::vector<float>(Net::param_count));
  const network_view<B> values{{p.data(), Net::param_count}, {q.data(), Net::buffer_count}};
  typename Net::template tape<B> tape(b, n);
  net.forward(b, values, x.view(), tape, mode::train, {});
  const test::device_batch<B, Net::output_shape> seed(
      b, n, test::normal_floats(static_cast<std::size_t>(n * Net::output_shape.size()), 2));
  launch(b, ops::copy{},
         {seed.view().data, tape.output_gradient().data,
          B::storage::layout::elements(Net::output_shape, n)});
  std::vector<float> y(static_cast<std::size_t>(n * Net::output_shape.size()));
  launch(b, ops::export_samples<Net::output_shape>{}, {{tape.output().data, n}, y.data(), 1.0f});
  net.backward(b, values, x.view(), tape, {g.data(), Net::param_count}, dx.view());
  return test::joined({y, g.read(), dx.read(), q.read()});
}

}  // namespace

TEST_CASE("folded conv2d: the CPU backend agrees with the reference, whatever the threads") {
  using net = sequential<image<9, 6, 19>, pooled_conv2d<33>, leaky_relu, upsampled_conv2d<18>,
                         leaky_relu, pooled_conv2d<5>, upsampled_conv2d<3, bias::no>>;
  using large = sequential<image<8, 8, 64>, pooled_conv2d<64, bias::no>, leaky_relu,
                           upsampled_conv2d<64, bias::no>>;
  backend::reference<double> oracle;
  for (const int n : {1, 3, 17}) {
    const auto expected = step<net>(oracle, n), found = step<net>(test::cpu_with(1), n);
    CHECK(test::compare(found, expected, {1e-4f, 1e-4f}));
    CHECK(test::same_bits(step<net>(test::cpu_with(2), n), found));
  }
  const auto found = step<large>(test::cpu_with(1), 3);
  CHECK(test::compare(found, step<large>(oracle, 3), {2e-4f, 2e-4f}));
  CHECK(test::same_bits(step<large>(test::cpu_with(2), 3), found));
}
