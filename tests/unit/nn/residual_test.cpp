// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <set>

#include <doctest/doctest.h>

#include "gantry/nn/layers.hpp"

#include "support/host_backends.hpp"
#include "support/penalty_check.hpp"

using namespace gantry;

namespace {

template <int C>
using plain = residual<path<relu, conv2d<C, 3, 1, 1>, leaky_relu, conv2d<C, 3, 1, 1>>>;
using widening = residual<path<conv2d<4, 3, 2, 1>, leaky_relu, conv2d<5, 3, 1, 1>>,
                          path<leaky_relu, conv2d<5, 1, 2>>>;
/// Blocks in both paths of a block.
using nested =
    residual<path<plain<3>, leaky_relu, conv2d<4, 3, 1, 1>>, path<conv2d<4, 1>, plain<4>>>;
/// Paths whose last layer reads its output in the backward, and one that ends in place.
using activated = residual<path<conv2d<3, 3, 1, 1>, tanh_>, path<conv2d<3, 1>, sigmoid>>;
using dropping = residual<path<conv2d<3, 1>, dropout>, path<dropout>>;
using normalised = residual<path<batch_norm, relu, conv2d<3, 1>>>;

template <class... Layers>
using on_image = sequential<image<5, 4, 3>, Layers...>;

}  // namespace

TEST_CASE("residual: both gradients, in training and evaluation") {
  for (const mode m : {mode::train, mode::evaluate}) {
    const test::gradient_options o{.n = 3, .run_mode = m};
    CHECK(test::check_gradients(on_image<plain<3>>{}, o));
    CHECK(test::check_gradients(on_image<widening, linear<2>>{}, o));
    CHECK(test::check_gradients(on_image<conv2d<3, 1>, nested, leaky_relu, linear<2>>{}, o));
    CHECK(test::check_gradients(on_image<activated, linear<2>>{}, o));
    CHECK(test::check_gradients(
        on_image<dropping, conv2d<2, 1>, residual<path<conv2d<2, 1>, dropout>>>{}, o));
    CHECK(test::check_gradients(on_image<normalised, normalised>{}, o));
  }
}

TEST_CASE("residual: penalties go through both paths") {
  CHECK(test::check_penalty(on_image<plain<3>, linear<1>>{}));
  CHECK(test::check_penalty(on_image<widening, leaky_relu, linear<1>>{}));
  CHECK(test::check_penalty(on_image<conv2d<3, 1>, nested, leaky_relu, linear<1>>{}));
  CHECK(test::check_penalty(on_image<activated, linear<1>>{}));
  CHECK(test::check_penalty(on_image<activated, nested, tanh_, linear<1>, tanh_>{}));
  CHECK(test::check_penalty(on_image<conv2d<3, 1>, dropping, plain<3>, linear<1>>{}));
  // Bends in one path only.
  CHECK(test::check_penalty(on_image<residual<path<conv2d<3, 1>>, path<conv2d<3, 1>, tanh_>>,
                                     conv2d<2, 1>, linear<1>>{}));
  CHECK(test::check_penalty(
      on_image<residual<path<conv2d<3, 1>, tanh_, conv2d<3, 1>>>, linear<1>>{}));
}

TEST_CASE("residual: a property of the paths is one of the block") {
  static_assert(plain<3>::piecewise_linear && nested::piecewise_linear);
  static_assert(!activated::piecewise_linear);
  static_assert(normalised::couples_samples && !plain<3>::couples_samples);
  static_assert(plain<3>::stream_count == 4 && nested::stream_count == 6 + 5);
  CHECK(plain<3>::param_count({5, 4, 3}) == 2 * (3 * 3 * 3 * 3 + 3));
  CHECK(normalised::buffer_count({5, 4, 3}) == 6);
  CHECK(widening::output_shape({5, 4, 3}) == hwc{3, 2, 5});
  CHECK(widening::flops({5, 4, 3}).forward == 2.0 * 6 * (9 * 3 * 4 + 9 * 4 * 5 + 3 * 5));
}

TEST_CASE("residual: tensors have names of their own and cover all parameters") {
  using net = on_image<nested, residual<path<batch_norm, relu, conv2d<4, 1>>>, linear<1>>;
  std::set<std::string> names;
  std::vector<int> params(net::param_count), buffers(net::buffer_count);
  for (const tensor_info& t : net::tensors()) {
    CHECK(names.insert(t.name).second);
    auto& all = t.is_buffer ? buffers : params;
    for (std::size_t i = 0; i < t.size(); ++i) ++all[t.offset + i];
  }
  CHECK(names.contains("0.branch.0.branch.1.weight"));
  CHECK(names.contains("0.shortcut.1.branch.3.bias"));
  CHECK(names.contains("1.branch.0.running_mean"));
  CHECK(std::ranges::all_of(params, [](int n) { return n == 1; }));
  CHECK(std::ranges::all_of(buffers, [](int n) { return n == 1; }));
}

TEST_CASE("residual: layers inside start with streams of their own and are visited") {
  using net = on_image<plain<3>, plain<3>>;
  net n;
  int visited = 0;
  n.for_each_layer([&](auto&) { ++visited; });
  CHECK(visited == 8);
  std::vector<float> p(net::param_count);
  n.initialise(p, {}, {.seed = 1, .use = purpose::initialise});
  const std::size_t one = 3 * 3 * 3 * 3, block = net::param_count / 2;
  std::set<float> first{p[0], p[one + 3], p[block], p[block + one + 3]};
  CHECK(first.size() == 4);
}

TEST_CASE("residual: the CPU backend agrees with the reference and plans its memory") {
  using net = sequential<image<8, 8, 3>, conv2d<16, 3, 1, 1>, plain<16>,
                         residual<path<relu, conv2d<19, 3, 2, 1>>, path<conv2d<19, 1, 2>>>, relu,
                         linear<1>>;
  const net n;
  std::vector<float> params(net::param_count);
  n.initialise(params, {}, {.seed = 3, .use = purpose::initialise});
  const auto run = [&](auto& b) {
    using B = std::remove_reference_t<decltype(b)>;
    const test::device_batch<B, hwc{8, 8, 3}> x(b, 5, test::normal_floats(5 * 192, 1)), dx(b, 5);
    const test::device_array<B> p(b, params), g(b, std::vector<float>(net::param_count));
    const network_view<B> values{{p.data(), net::param_count}, {}};
    typename net::template tape<B> tape(b, 5);
    n.forward(b, values, x.view(), tape, mode::train, {});
    launch(b, ops::fill{}, {tape.output_gradient().data, 5, 1.0f});
    n.backward(b, values, x.view(), tape, {g.data(), net::param_count}, dx.view());
    return test::joined({g.read(), dx.read()});
  };
  backend::reference<double> oracle;
  backend::cpu cpu(2);
  CHECK(test::compare(run(cpu), run(oracle), {1e-4f, 1e-4f}));
}
