// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "gantry/nn/dropout.hpp"

#include "support/grad_check.hpp"

using namespace gantry;
using test::check_gradients;

namespace {

using reference = backend::reference<double>;

/// Output of dropout on ones, and the gradient of the sum of the output.
struct dropout_run {
  std::vector<double> y, dx;
};

template <class Net>
dropout_run run(const Net& net, int n, mode run_mode, const stream_id& random) {
  reference b;
  const std::size_t count = nhwc::elements(Net::input_shape, n);
  std::vector<double> x(count, 1.0), dx(count);
  typename Net::template tape<reference> tape(b, n);
  net.forward(b, {}, {x.data(), n}, tape, run_mode, random);
  std::vector<double> y(tape.output().data, tape.output().data + count);
  std::fill_n(tape.output_gradient().data, count, 1.0);
  net.backward(b, {}, {x.data(), n}, tape, {}, {dx.data(), n});
  return {y, dx};
}

}  // namespace

TEST_CASE("dropout: keeps extents, owns nothing, works in place") {
  constexpr hwc in{3, 4, 5};
  static_assert(dropout::output_shape(in) == in, "dropout keeps the extents");
  static_assert(dropout::param_count(in) == 0, "dropout has no parameters");
  static_assert(dropout::saved_count(in, 7) == 0, "the mask is drawn again, not saved");
  static_assert(nn::is_in_place<dropout>, "dropout may overwrite its input");
  static_assert(!nn::needs_own_output<dropout>, "its backward does not read its output");
  CHECK(dropout::tensors(in, in).empty());
}

TEST_CASE("dropout: keeps the expectation; survivors are scaled by 1 / (1 - rate)") {
  for (const float rate : {0.0f, 0.25f, 0.5f, 0.9f}) {
    sequential<latent<100>, dropout> net;
    net.layer<0>().rate = rate;
    const auto y = run(net, 400, mode::train, {.seed = 5}).y;
    double sum = 0;
    for (const double v : y) {
      sum += v;
      CHECK((v == 0 || v == doctest::Approx(1 / (1 - rate))));
    }
    // 40,000 draws: five standard deviations of the mean.
    CHECK(std::abs(sum / 40000 - 1) <= 5 * std::sqrt(rate / (1 - rate) / 40000));
  }
}

TEST_CASE("dropout: the backward uses the forward's mask") {
  const auto r = run(sequential<image<5, 3, 2>, dropout>{}, 7, mode::train, {.seed = 9});
  CHECK(r.dx == r.y);
}

TEST_CASE("dropout: evaluation is the identity, forward and backward") {
  const auto r = run(sequential<image<5, 3, 2>, dropout>{}, 7, mode::evaluate, {.seed = 9});
  CHECK(r.y == std::vector<double>(210, 1.0));
  CHECK(r.dx == r.y);
}

TEST_CASE("dropout: masks differ between steps, workers, passes and layers of a network") {
  const sequential<latent<64>, dropout> net;
  const stream_id id{.seed = 3, .step = 4, .worker = 5, .use = purpose::dropout, .salt = 6};
  const auto mask = [&](stream_id other) { return run(net, 1, mode::train, other).y; };
  const auto own = mask(id);
  CHECK(mask(id) == own);
  for (std::uint32_t stream_id::*field : {&stream_id::step, &stream_id::worker, &stream_id::salt}) {
    stream_id other = id;
    ++(other.*field);
    CHECK(mask(other) != own);
  }
  // Two masks in a row are independent: about a quarter survives, at four times the value.
  const auto twice = run(sequential<latent<64>, dropout, dropout>{}, 100, mode::train, id).y;
  const auto survivors = std::ranges::count(twice, 4.0);
  CHECK(survivors + std::ranges::count(twice, 0.0) == 6400);
  CHECK(std::abs(survivors - 1600) <= 5 * 35);
}

TEST_CASE("dropout: gradients") {
  for (const int n : {1, 2, 5}) {
    CHECK(check_gradients(sequential<latent<7>, dropout>{}, {.n = n}));
    CHECK(check_gradients(sequential<latent<7>, dropout>{}, {.n = n, .run_mode = mode::evaluate}));
    CHECK(check_gradients(sequential<latent<3>, linear<5>, dropout, tanh_>{}, {.n = n}));
    CHECK(check_gradients(sequential<latent<3>, linear<5>, tanh_, dropout, linear<2>>{}, {.n = n}));
    CHECK(check_gradients(
        sequential<image<3, 3, 1>, conv2d<2, 2>, leaky_relu, dropout, dropout, linear<1>>{},
        {.n = n}));
  }
}
