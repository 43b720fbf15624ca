// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <tuple>

#include <doctest/doctest.h>

#include "gantry/nn/sequential.hpp"

#include "support/grad_check.hpp"

using namespace gantry;
using test::check_gradients;

namespace {

using reference = backend::reference<double>;
using small = sequential<image<6, 4, 2>, conv2d<3, 4, 2, 1, bias::no>, batch_norm, leaky_relu,
                         dropout, linear<4>, tanh_, minibatch_discrimination<2, 2>, linear<1>>;

/// What one network needs to run: values, a batch, a tape.
template <class Net>
struct runner {
  explicit runner(int batch)
      : x(test::normal_doubles(nhwc::elements(Net::input_shape, batch), 1, 1)), n(batch) {
    std::vector<float> p(Net::param_count), s(Net::buffer_count);
    net.initialise(p, s, {.seed = 4, .use = purpose::initialise});
    params.assign(p.begin(), p.end());
    buffers.assign(s.begin(), s.end());
  }
  network_view<reference> values() { return {params, buffers}; }
  const_batch_of<reference::storage> batch() { return {x.data(), n}; }
  void forward(mode run_mode = mode::train) {
    net.forward(b, values(), batch(), tape, run_mode, {.seed = 5});
  }
  void backward(std::span<double> gradients, double* dx) {
    const auto dy = tape.output_gradient();
    std::fill_n(dy.data, nhwc::elements(Net::output_shape, n), 1.0);
    net.backward(b, values(), batch(), tape, gradients, {dx, n});
  }

  reference b;
  Net net;
  std::vector<double> x, params, buffers;
  int n;
  typename Net::template tape<reference> tape{b, n};
};

}  // namespace

TEST_CASE("sequential: a network, and one that the backend runs") {
  static_assert(Network<small>, "sequential is a network");
  static_assert(RunsOn<small, reference>, "the reference backend runs every layer");
  static_assert(small::input_shape == hwc{6, 4, 2}, "what goes in");
  static_assert(small::output_shape == hwc{1, 1, 1}, "what comes out");
  static_assert(small::shape(1) == hwc{3, 2, 3}, "what layer 0 gives");
  static_assert(small::param_count == 96 + 6 + (18 * 4 + 4) + 4 * 4 + (6 + 1), "by layer");
  static_assert(small::buffer_count == 6, "the batch norm's");
  static_assert(small::param_offset(4) == 102, "conv2d and batch_norm are before linear");
  CHECK(small::flops.forward == 2.0 * (96 * 6 + 72 + 16 + 6));
  CHECK(small::first_input_gradient_flops == 2.0 * 96 * 6);
}

TEST_CASE("sequential: networks that take two batches in one pass") {
  static_assert(sequential<image<6, 4, 2>, conv2d<3, 4, 2, 1>, batch_norm, leaky_relu, dropout,
                           linear<1>>::takes_pairs);
  static_assert(!small::takes_pairs, "a sample is compared with its own batch");
  static_assert(!sequential<image<6, 4, 2>, spectral_norm<linear<1>>>::takes_pairs,
                "a pass is a step of its power iteration");
  static_assert(!augmented_network<sequential<image<6, 4, 2>, linear<1>>>::takes_pairs,
                "it draws for one batch");
  static_assert(!sequential<image<6, 4, 2>, residual<path<relu, dropout>>, linear<1>>::takes_pairs,
                "its paths are walked for one batch");
}

TEST_CASE("sequential: settings of layers keep their defaults until they are set") {
  small net;
  CHECK(net.layer<1>().momentum == 0.1f);
  CHECK(net.layer<1>().epsilon == 1e-5f);
  CHECK(net.layer<2>().slope == 0.2f);
  CHECK(net.layer<3>().rate == 0.5f);
  CHECK(net.layer<4>().weight_init.deviation == 0.02f);
  net.layer<3>().rate = 0.3f;
  const small copy = net;
  CHECK(copy.layer<3>().rate == 0.3f);
  CHECK(copy.layer<2>().slope == 0.2f);
}

TEST_CASE("sequential: for_each_layer visits the layers in order") {
  small net;
  std::vector<std::string_view> names;
  net.for_each_layer([&](auto& layer) { names.push_back(layer.name); });
  CHECK(names == std::vector<std::string_view>{"conv2d", "batch_norm", "leaky_relu", "dropout",
                                               "linear", "tanh", "minibatch_discrimination",
                                               "linear"});
}

TEST_CASE("sequential: tensors cover the arenas without holes") {
  const auto all = small::tensors();
  const char* names[] = {"0.weight", "1.weight", "1.bias",   "1.running_mean", "1.running_var",
                         "4.weight", "4.bias",   "6.weight", "7.weight",       "7.bias"};
  REQUIRE(all.size() == std::size(names));
  std::size_t params = 0, buffers = 0;
  for (std::size_t i = 0; i < all.size(); ++i) {
    CHECK(all[i].name == names[i]);
    std::size_t& end = all[i].is_buffer ? buffers : params;
    CHECK(all[i].offset == end);
    end += all[i].size();
  }
  CHECK(params == small::param_count);
  CHECK(buffers == small::buffer_count);
}

TEST_CASE("sequential: initial values are a pure function of the stream") {
  const auto initial = [](std::uint64_t seed, std::uint32_t player) {
    std::vector<float> params(small::param_count), buffers(small::buffer_count);
    small{}.initialise(params, buffers,
                       {.seed = seed, .worker = player, .use = purpose::initialise});
    return params;
  };
  CHECK(initial(1, 0) == initial(1, 0));
  CHECK(initial(1, 0) != initial(2, 0));
  CHECK(initial(1, 0) != initial(1, 1));
  using twins = sequential<latent<3>, linear<3>, linear<3>>;
  std::vector<float> p(twins::param_count);
  twins{}.initialise(p, {}, {});
  CHECK_FALSE(std::equal(p.begin(), p.begin() + 9, p.begin() + 12));
}

TEST_CASE("sequential: gradients of two batches add up") {
  runner<small> real(3), fake(3);
  for (double& v : fake.x) v *= -0.5;
  std::vector<double> both(small::param_count), one(small::param_count), other(small::param_count);
  for (auto* r : {&real, &fake}) {
    r->forward();
    r->backward(both, nullptr);
    r->forward();
    r->backward(r == &real ? one : other, nullptr);
  }
  for (std::size_t i = 0; i < one.size(); ++i) one[i] += other[i];
  CHECK(test::compare(both, one, {1e-12, 1e-12}));
}

TEST_CASE("sequential: a batch's result does not depend on the tape's capacity") {
  runner<small> r(3);
  small::tape<reference> wide(r.b, 8);
  r.forward(mode::evaluate);
  r.net.forward(r.b, r.values(), r.batch(), wide, mode::evaluate, {.seed = 5});
  for (int i = 0; i < 3; ++i) CHECK(wide.output().data[i] == r.tape.output().data[i]);
}

TEST_CASE("sequential: samples do not see each other in evaluation") {
  using net = sequential<image<6, 4, 2>, conv2d<3, 4, 2, 1>, batch_norm, relu, dropout, linear<2>>;
  runner<net> r(4);
  r.forward(mode::evaluate);
  const std::vector<double> all(r.tape.output().data, r.tape.output().data + 8);
  for (int i = 0; i < 4; ++i) {
    r.net.forward(r.b, r.values(), {r.x.data() + 48 * i, 1}, r.tape, mode::evaluate, {});
    CHECK(r.tape.output().data[0] == all[static_cast<std::size_t>(2 * i)]);
    CHECK(r.tape.output().data[1] == all[static_cast<std::size_t>(2 * i + 1)]);
  }
}

TEST_CASE("sequential: a step allocates nothing") {
  runner<small> r(3);
  std::vector<double> gradients(small::param_count), dx(r.x.size());
  const std::size_t before = r.b.meter().allocations();
  r.forward();
  r.backward(gradients, dx.data());
  CHECK(r.b.meter().allocations() == before);
}

TEST_CASE("sequential: a batch that is larger than the tape is refused") {
  runner<small> r(3);
  CHECK_THROWS_AS(r.net.forward(r.b, r.values(), {r.x.data(), 4}, r.tape, mode::train, {}),
                  usage_error);
}

using gradient_nets =
    std::tuple<small, sequential<image<2, 2, 1>, relu, dropout>,
               sequential<image<3, 3, 1>, leaky_relu, flatten, dropout, linear<2>>,
               sequential<image<3, 3, 1>, flatten, linear<4>, relu, linear<4>, tanh_>,
               sequential<latent<3>, linear<8>, reshape<2, 2, 2>, batch_norm, relu,
                          conv_transpose2d<3, 4, 2, 1, bias::no>, batch_norm, relu,
                          conv_transpose2d<1, 4, 2, 1>, tanh_>>;

TEST_CASE_TEMPLATE_DEFINE("sequential: gradients", net, sequential_gradients) {
  for (const int n : {2, 5})
    for (const mode m : {mode::train, mode::evaluate})
      CHECK(check_gradients(net{}, {.n = n, .run_mode = m, .seed = 3}));
}
TEST_CASE_TEMPLATE_APPLY(sequential_gradients, gradient_nets);
