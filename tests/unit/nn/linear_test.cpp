// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "gantry/nn/linear.hpp"

#include "support/grad_check.hpp"

using namespace gantry;
using test::check_gradients;

TEST_CASE("linear: extents, counts and FLOPs") {
  using layer = linear<7>;
  constexpr hwc in{2, 3, 4};
  static_assert(layer::output_shape(in) == hwc{1, 1, 7}, "linear gives a vector of its outputs");
  static_assert(layer::param_count(in) == 24 * 7 + 7, "weights and a bias per output");
  static_assert(linear<7, bias::no>::param_count(in) == 24 * 7, "no bias, no parameters for it");
  static_assert(layer::buffer_count(in) == 0, "linear has no running statistics");
  static_assert(layer::saved_count(in, 5) == 0, "linear saves nothing");
  CHECK(layer::flops(in).forward == 2 * 24 * 7);
  CHECK(layer::flops(in).input_gradient == 2 * 24 * 7);
  CHECK(layer::flops(in).weight_gradient == 2 * 24 * 7);
}

TEST_CASE("linear: tensors are a PyTorch Linear's") {
  const auto all = linear<6>::tensors({2, 2, 3}, {1, 2, 3});
  REQUIRE(all.size() == 2);
  CHECK(all[0].name == "weight");
  CHECK(all[0].offset == 0);
  CHECK(all[0].storage_extents == std::vector<int>{1, 2, 3, 2, 2, 3});
  CHECK(all[0].shape == std::vector<std::int64_t>{6, 12});
  CHECK(all[1].name == "bias");
  CHECK(all[1].offset == 72);
  CHECK(all[1].shape == std::vector<std::int64_t>{6});
  CHECK_FALSE(all[1].is_buffer);
  CHECK(linear<6, bias::no>::tensors({2, 2, 3}, {1, 1, 6}).size() == 1);
}

TEST_CASE("linear: initial weights follow the rule, biases are 0") {
  constexpr hwc in{1, 1, 500};
  using layer = linear<40>;
  std::vector<float> params(layer::param_count(in), 7.0f);
  const auto deviation = [&](const layer& l) {
    l.initialise(params, {}, in, {.seed = 3});
    double square = 0;
    for (std::size_t i = 0; i < layer::weight_count(in); ++i) square += params[i] * params[i];
    for (std::size_t i = layer::weight_count(in); i < params.size(); ++i) CHECK(params[i] == 0.0f);
    return std::sqrt(square / layer::weight_count(in));
  };
  // 20,000 draws: the deviation is known to 0.5 %.
  CHECK(deviation({}) == doctest::Approx(0.02).epsilon(0.02));
  CHECK(deviation({.weight_init = {.deviation = 0.5f}}) == doctest::Approx(0.5).epsilon(0.02));
  CHECK(deviation({.weight_init = {.how = nn::initialiser::rule::he}}) ==
        doctest::Approx(std::sqrt(2.0 / 500)).epsilon(0.02));
}

TEST_CASE("linear: a product by hand") {
  sequential<latent<3>, linear<2>> net;
  backend::reference<double> b;
  std::vector<double> params{1, 2, 3, -1, 0, 5, 10, 20}, x{1, 10, 100, 2, 0, -1};
  decltype(net)::tape<backend::reference<double>> tape(b, 2);
  net.forward(b, {params, {}}, {x.data(), 2}, tape, mode::train, {});
  const double* y = tape.output().data;
  CHECK(std::vector<double>(y, y + 4) == std::vector<double>{331, 519, 9, 13});
}

TEST_CASE("linear: gradients") {
  CHECK(check_gradients(sequential<latent<1>, linear<1>>{}, {.n = 1}));
  CHECK(check_gradients(sequential<latent<5>, linear<3>>{}, {.n = 5}));
  CHECK(check_gradients(sequential<latent<5>, linear<3, bias::no>>{}, {.n = 2}));
  CHECK(check_gradients(sequential<image<3, 2, 4>, linear<6>>{}, {.n = 1}));
  CHECK(check_gradients(sequential<image<2, 5, 1>, linear<4>, tanh_, linear<2>>{}, {.n = 5}));
  CHECK(check_gradients(sequential<latent<4>, linear<3>>{}, {.n = 2, .run_mode = mode::evaluate}));
}
