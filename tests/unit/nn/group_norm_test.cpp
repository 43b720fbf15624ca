// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <tuple>

#include <doctest/doctest.h>

#include "gantry/nn/group_norm.hpp"

#include "support/grad_check.hpp"
#include "support/penalty_check.hpp"
#include "support/tangent_check.hpp"

using namespace gantry;
using doctest::Approx;
using test::check_gradients;
using test::check_penalty;
using test::check_tangents;

TEST_CASE("group norms: extents, counts and names") {
  constexpr hwc in{4, 5, 6};
  static_assert(group_norm<3>::output_shape(in) == in, "group_norm keeps the extents");
  static_assert(group_norm<3>::param_count(in) == 12, "scale and shift per channel");
  static_assert(group_norm<3>::buffer_count(in) == 0, "no running statistics");
  static_assert(group_norm<3>::saved_count(in, 5) == 2 * 5 * 3, "two numbers per sample and group");
  static_assert(layer_norm::saved_count(in, 5) == 2 * 5, "one group");
  static_assert(instance_norm::saved_count(in, 5) == 2 * 5 * 6, "a group per channel");
  CHECK(group_norm<3>::flops(in).forward == 0);
  const auto all = instance_norm::tensors(in, in);
  REQUIRE(all.size() == 2);
  CHECK(all[0].name == "weight");
  CHECK(all[1].name == "bias");
  CHECK(all[1].offset == 6);
  CHECK(all[1].shape == std::vector<std::int64_t>{6});
}

TEST_CASE("group norms: start at scale 1 and shift 0") {
  std::vector<float> params(12, 7.0f);
  layer_norm{}.initialise(params, {}, {4, 5, 6}, {});
  CHECK(std::ranges::count(std::span(params).first(6), 1.0f) == 6);
  CHECK(std::ranges::count(std::span(params).subspan(6), 0.0f) == 6);
}

namespace {

using reference = backend::reference<double>;

/// One sample of 1 x 2 pixels and 4 channels through a norm with scale 2 and shift 10.
template <class Norm>
std::vector<double> normalised(const std::vector<double>& x, mode run_mode = mode::train) {
  reference b;
  sequential<image<1, 2, 4>, Norm> net;
  std::vector<double> params{2, 2, 2, 2, 10, 10, 10, 10};
  typename decltype(net)::template tape<reference> tape(b, 1);
  net.forward(b, {params, {}}, {x.data(), 1}, tape, run_mode, {});
  return {tape.output().data, tape.output().data + 8};
}

const std::vector<double> sample{1, 2, 5, 5, 3, 6, 5, 5};

}  // namespace

TEST_CASE("group_norm: a group is a run of channels over all pixels") {
  const auto y = normalised<group_norm<2>>(sample);
  // Channels 0 and 1 hold 1, 2, 3, 6 (mean 3, variance 3.5); 2 and 3 are constant.
  const double inverse = 1 / std::sqrt(3.5 + 1e-5);
  for (const std::size_t i : {0u, 1u, 4u, 5u})
    CHECK(y[i] == Approx(2 * (sample[i] - 3) * inverse + 10));
  for (const std::size_t i : {2u, 3u, 6u, 7u}) CHECK(y[i] == Approx(10));
  CHECK(normalised<group_norm<2>>(sample, mode::evaluate) == y);
}

TEST_CASE("layer_norm is one group, instance_norm a group per channel") {
  CHECK(normalised<layer_norm>(sample) == normalised<group_norm<1>>(sample));
  CHECK(normalised<instance_norm>(sample) == normalised<group_norm<4>>(sample));
  const auto y = normalised<instance_norm>(sample);
  CHECK(y[0] == Approx(10 - 2 / std::sqrt(1 + 1e-5)));
  CHECK(y[4] == Approx(10 + 2 / std::sqrt(1 + 1e-5)));
}

/// Three numbers: with two constant ones g++ 12 for AVX-512 joins the wrong halves of the vectors.
TEST_CASE("layer_norm: epsilon is a setting of the layer") {
  reference b;
  sequential<latent<3>, layer_norm> net;
  net.layer<0>().epsilon = 3.0f;
  std::vector<double> params{1, 1, 1, 0, 0, 0}, x{2, 3, 4};
  decltype(net)::tape<reference> tape(b, 1);
  net.forward(b, {params, {}}, {x.data(), 1}, tape, mode::train, {});
  CHECK(tape.output().data[2] == Approx(1 / std::sqrt(2.0 / 3 + 3)));
}

using gradient_nets =
    std::tuple<sequential<latent<6>, group_norm<3>>, sequential<latent<5>, layer_norm>,
               sequential<image<3, 2, 4>, group_norm<2>>, sequential<image<3, 2, 4>, layer_norm>,
               sequential<image<3, 2, 4>, instance_norm>, sequential<image<2, 2, 1>, layer_norm>,
               sequential<image<4, 3, 2>, conv2d<6, 2>, group_norm<2>, tanh_>,
               sequential<image<4, 3, 2>, instance_norm, relu, conv2d<3, 2>, layer_norm>>;

TEST_CASE_TEMPLATE_DEFINE("group norms: gradients", net, group_norm_gradients) {
  for (const int n : {1, 2, 3}) {
    CHECK(check_gradients(net{}, {.n = n}));
    CHECK(check_gradients(net{}, {.n = n, .run_mode = mode::evaluate}));
  }
}
TEST_CASE_TEMPLATE_APPLY(group_norm_gradients, gradient_nets);

TEST_CASE("group norms: tangents and second derivatives") {
  for (const int n : {1, 3}) {
    CHECK(check_tangents<hwc{1, 1, 6}>(group_norm<3>{}, {.n = n}));
    CHECK(check_tangents<hwc{3, 2, 6}>(group_norm<3>{}, {.n = n}));
    CHECK(check_tangents<hwc{3, 2, 6}>(group_norm<2>{}, {.n = n, .run_mode = mode::evaluate}));
    CHECK(check_tangents<hwc{1, 1, 5}>(layer_norm{}, {.n = n}));
    CHECK(check_tangents<hwc{3, 3, 4}>(layer_norm{}, {.n = n}));
    CHECK(check_tangents<hwc{3, 3, 4}>(instance_norm{}, {.n = n}));
    CHECK(check_tangents<hwc{2, 3, 1}>(instance_norm{}, {.n = n}));
  }
}

TEST_CASE("group norms: penalties through a network") {
  CHECK(check_penalty(sequential<image<5, 4, 2>, conv2d<4, 3, 1, 1>, group_norm<2>, leaky_relu,
                                 conv2d<3, 3, 2>, instance_norm, tanh_, linear<1>>{}));
  CHECK(check_penalty(sequential<latent<5>, layer_norm, linear<4>, layer_norm, linear<1>>{}));
}
