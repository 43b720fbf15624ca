// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "gantry/nn/layers.hpp"

#include "support/host_backends.hpp"
#include "support/penalty_check.hpp"
#include "support/tangent_check.hpp"

using namespace gantry;
using test::check_gradients;
using test::check_penalty;
using test::check_tangents;

TEST_CASE("self_attention: extents, counts and FLOPs") {
  constexpr hwc in{4, 3, 16};
  using layer = self_attention<>;
  static_assert(layer::output_shape(in) == in, "as the input");
  static_assert(layer::param_count(in) == 16 * (2 + 2 + 8) + 8 * 16 + 1, "four matrices, gamma");
  static_assert(self_attention<2>::geometry(in) == attention_geometry{4, 3, 8, 8}, "c / 2 keys");
  CHECK(layer::flops(in).forward == 2.0 * 12 * 16 * (12 + 8) + 2.0 * 12 * 12 * (2 + 8));
}

TEST_CASE("self_attention: tensors are those of BigGAN's Attention") {
  constexpr hwc in{4, 3, 16};
  const auto all = self_attention<>::tensors(in, in);
  REQUIRE(all.size() == 5);
  const char* names[] = {"theta.weight", "phi.weight", "g.weight", "o.weight", "gamma"};
  const int filters[] = {2, 2, 8, 16};
  std::size_t offset = 0;
  for (std::size_t i = 0; i < 5; ++i) {
    CHECK(all[i].name == names[i]);
    CHECK(all[i].offset == offset);
    offset += all[i].size();
    if (i < 4) CHECK(all[i].shape == std::vector<std::int64_t>{filters[i], i < 3 ? 16 : 8, 1, 1});
  }
  CHECK(offset == self_attention<>::param_count(in));
  CHECK(all[4].shape == std::vector<std::int64_t>{1});
}

TEST_CASE("self_attention: starts as the identity") {
  using net = sequential<image<3, 2, 8>, self_attention<4>>;
  std::vector<float> p(net::param_count);
  net{}.initialise(p, {}, {.seed = 1, .use = purpose::initialise});
  CHECK(p.back() == 0.0f);
  CHECK(p[0] != p[8 * (2 + 2 + 4)]);  // projections and o draw from streams of their own
  backend::reference<double> b;
  std::vector<double> params(p.begin(), p.end());
  auto x = test::normal_doubles(2 * 48, 1, 1);
  net::tape<backend::reference<double>> tape(b, 2);
  net{}.forward(b, {params, {}}, {x.data(), 2}, tape, mode::train, {});
  for (std::size_t i = 0; i < x.size(); ++i) CHECK(tape.output().data[i] == x[i]);
}

TEST_CASE("self_attention: by hand") {
  // Two pixels of two channels; theta and phi read channel 0, g channel 1, o writes it to both.
  backend::reference<double> b;
  std::vector<double> x{1, 10, 3, 20}, params{1, 0, 1, 0, 0, 1, 1, -1, 0.5};
  sequential<image<1, 2, 2>, self_attention<2>> net;
  decltype(net)::tape<backend::reference<double>> tape(b, 1);
  net.forward(b, {params, {}}, {x.data(), 1}, tape, mode::train, {});
  const double first = (10 * std::exp(1.0) + 20 * std::exp(3.0)) / (std::exp(1.0) + std::exp(3.0)),
               second = (10 * std::exp(3.0) + 20 * std::exp(9.0)) / (std::exp(3.0) + std::exp(9.0));
  const double* y = tape.output().data;
  CHECK(y[0] == doctest::Approx(1 + 0.5 * first).epsilon(1e-12));
  CHECK(y[1] == doctest::Approx(10 - 0.5 * first).epsilon(1e-12));
  CHECK(y[2] == doctest::Approx(3 + 0.5 * second).epsilon(1e-12));
  CHECK(y[3] == doctest::Approx(20 - 0.5 * second).epsilon(1e-12));
}

TEST_CASE("self_attention: gradients, tangents and second derivatives") {
  for (const int n : {1, 3}) {
    CHECK(check_gradients(sequential<image<1, 1, 4>, self_attention<2>>{}, {.n = n}));
    CHECK(check_gradients(sequential<image<3, 2, 8>, self_attention<4>>{}, {.n = n}));
    CHECK(check_gradients(
        sequential<image<3, 2, 2>, conv2d<4, 3, 1, 1>, self_attention<4>, conv2d<1, 2>>{},
        {.n = n}));
    CHECK(check_tangents<hwc{3, 2, 4}>(self_attention<2>{}, {.n = n}));
    CHECK(check_tangents<hwc{2, 3, 8}>(self_attention<8>{}, {.n = n}));
  }
}

TEST_CASE("self_attention: penalties through a network") {
  using net = sequential<image<4, 4, 2>, conv2d<4, 3, 1, 1>, leaky_relu, self_attention<2>,
                         pooled_conv2d<3>, leaky_relu, linear<1>>;
  CHECK(check_penalty(net{}));
  CHECK(check_penalty(net{}, {.n = 3}, gradient_norm::distance_from_one{}));
  CHECK(check_penalty(sequential<image<3, 2, 4>, self_attention<4>, tanh_, linear<1>>{}));
}

namespace {

/// y, dx and dparams of two layers in a row, gamma off 0.
template <class Net, class B>
std::vector<float> step(B& b, int n) {
  Net net;
  nn::use_he_initialisation(net);
  std::vector<float> params(Net::param_count);
  net.initialise(params, {}, {.seed = 3, .use = purpose::initialise});
  for (const tensor_info& t : Net::tensors())
    if (t.name.ends_with("gamma")) params[t.offset] = 0.75f;
  const auto count = static_cast<std::size_t>(n * Net::input_shape.size());
  const test::device_batch<B, Net::input_shape> x(b, n, test::normal_floats(count, 1)), dx(b, n);
  const test::device_array<B> p(b, params), g(b, std::vector<float>(Net::param_count));
  const network_view<B> values{{p.data(), Net::param_count}, {}};
  typename Net::template tape<B> tape(b, n);
  net.forward(b, values, x.view(), tape, mode::train, {});
  std::vector<float> y(static_cast<std::size_t>(n * Net::output_shape.size()));
  launch(b, ops::export_samples<Net::output_shape>{}, {tape.output(), y.data(), 1.0f});
  launch(b, ops::import_samples<Net::output_shape>{},
         {test::normal_floats(y.size(), 2).data(), tape.output_gradient()});
  net.backward(b, values, x.view(), tape, {g.data(), Net::param_count}, dx.view());
  return test::joined({y, g.read(), dx.read()});
}

/// Numbers of up to 1,000 beside some near 0; tests/unit/backend/ looks at every number.
test::outcome close_to(const std::vector<float>& found, const std::vector<float>& expected) {
  return test::compare_lengths(std::span(found), std::span(expected), 5e-5);
}

}  // namespace

TEST_CASE("self_attention: the CPU backend agrees with the reference, whatever the threads") {
  using small =
      sequential<image<3, 5, 12>, self_attention<4>, conv2d<64, 3, 1, 1>, self_attention<>>;
  using large = sequential<image<8, 9, 40>, self_attention<2>>;
  backend::reference<double> oracle;
  for (const int n : {1, 3, 17}) {
    const auto found = step<small>(test::cpu_with(1), n);
    CHECK(close_to(found, step<small>(oracle, n)));
    CHECK(test::same_bits(step<small>(test::cpu_with(2), n), found));
  }
  const auto found = step<large>(test::cpu_with(1), 3);
  CHECK(close_to(found, step<large>(oracle, 3)));
  CHECK(test::same_bits(step<large>(test::cpu_with(2), 3), found));
}
