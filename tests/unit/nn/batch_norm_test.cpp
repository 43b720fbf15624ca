// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <tuple>

#include <doctest/doctest.h>

#include "gantry/nn/batch_norm.hpp"
#include "gantry/nn/residual.hpp"

#include "support/grad_check.hpp"
#include "support/penalty_check.hpp"
#include "support/tangent_check.hpp"

using namespace gantry;
using doctest::Approx;
using test::check_gradients;

TEST_CASE("batch_norm: extents and counts") {
  constexpr hwc in{4, 5, 6};
  static_assert(batch_norm::output_shape(in) == in, "batch_norm keeps the extents");
  static_assert(batch_norm::param_count(in) == 12, "scale and shift per channel");
  static_assert(batch_norm::buffer_count(in) == 12, "running mean and variance per channel");
  static_assert(batch_norm::saved_count(in, 3) == 24, "mean and deviation per channel, of a pair");
  CHECK(batch_norm::flops(in).forward == 0);
}

TEST_CASE("batch_norm: tensors are a PyTorch BatchNorm's") {
  const auto all = batch_norm::tensors({4, 5, 6}, {4, 5, 6});
  REQUIRE(all.size() == 4);
  const char* names[] = {"weight", "bias", "running_mean", "running_var"};
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(all[i].name == names[i]);
    CHECK(all[i].offset == (i % 2) * 6);
    CHECK(all[i].shape == std::vector<std::int64_t>{6});
    CHECK(all[i].is_buffer == (i >= 2));
  }
}

TEST_CASE("batch_norm: starts at scale 1 (with noise), shift 0, mean 0, variance 1") {
  constexpr hwc in{1, 1, 5000};
  std::vector<float> params(10000, 7.0f), buffers(10000, 7.0f);
  batch_norm{}.initialise(params, buffers, in, {.seed = 2});
  double mean = 0, square = 0;
  for (std::size_t i = 0; i < 5000; ++i) {
    mean += params[i] / 5000.0;
    square += (params[i] - 1.0) * (params[i] - 1.0) / 5000.0;
    CHECK(params[5000 + i] == 0.0f);
    CHECK(buffers[i] == 0.0f);
    CHECK(buffers[5000 + i] == 1.0f);
  }
  CHECK(mean == Approx(1).epsilon(0.002));
  CHECK(std::sqrt(square) == Approx(0.02).epsilon(0.05));
  batch_norm{.scale_init = {.deviation = 0.0f}}.initialise(params, buffers, in, {.seed = 2});
  CHECK(std::ranges::count(std::span(params).first(5000), 1.0f) == 5000);
}

namespace {

using one_norm = sequential<image<1, 2, 2>, batch_norm>;
using reference = backend::reference<double>;

struct norm_run {
  reference b;
  one_norm net;
  std::vector<double> params{2, 3, 10, 20}, buffers{0.5, 1.5, 4, 9};
  // Channel 0 holds 1, 2, 3, 6 (mean 3, variance 3.5); channel 1 is constant.
  std::vector<double> x{1, 5, 2, 5, 3, 5, 6, 5};
  one_norm::tape<reference> tape{b, 2};

  std::vector<double> forward(mode run_mode) {
    net.forward(b, {params, buffers}, {x.data(), 2}, tape, run_mode, {});
    const double* y = tape.output().data;
    return {y, y + 8};
  }
};

}  // namespace

TEST_CASE("batch_norm: training normalises by the batch and moves the running statistics") {
  norm_run run;
  const auto y = run.forward(mode::train);
  const double inverse = 1 / std::sqrt(3.5 + 1e-5);
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(y[2 * i] == Approx(2 * (run.x[2 * i] - 3) * inverse + 10));
    CHECK(y[2 * i + 1] == Approx(20));
  }
  // new = 0.9 old + 0.1 batch, the batch's variance unbiased: 3.5 * 4 / 3
  CHECK(run.buffers[0] == Approx(0.9 * 0.5 + 0.1 * 3));
  CHECK(run.buffers[1] == Approx(0.9 * 1.5 + 0.1 * 5));
  CHECK(run.buffers[2] == Approx(0.9 * 4 + 0.1 * 3.5 * 4 / 3));
  CHECK(run.buffers[3] == Approx(0.9 * 9));
}

TEST_CASE("batch_norm: evaluation normalises by the running statistics and leaves them") {
  norm_run run;
  const auto before = run.buffers;
  const auto y = run.forward(mode::evaluate);
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(y[2 * i] == Approx(2 * (run.x[2 * i] - 0.5) / std::sqrt(4 + 1e-5) + 10));
    CHECK(y[2 * i + 1] == Approx(3 * (5 - 1.5) / std::sqrt(9 + 1e-5) + 20));
  }
  CHECK(run.buffers == before);
}

TEST_CASE("batch_norm: momentum and epsilon are settings of the layer") {
  norm_run run;
  run.net.layer<0>() = {.momentum = 0.5f, .epsilon = 0.5f};
  const auto y = run.forward(mode::train);
  CHECK(y[0] == Approx(2 * (1 - 3) / 2.0 + 10));
  CHECK(run.buffers[0] == Approx(0.5 * 0.5 + 0.5 * 3));
}

TEST_CASE("batch_norm: a batch of one vector has no deviation and still gives numbers") {
  sequential<latent<3>, batch_norm> net;
  reference b;
  std::vector<double> params{2, 2, 2, 1, 2, 3}, buffers{0, 0, 0, 1, 1, 1}, x{4, 5, 6};
  decltype(net)::tape<reference> tape(b, 1);
  net.forward(b, {params, buffers}, {x.data(), 1}, tape, mode::train, {});
  for (int c = 0; c < 3; ++c) {
    CHECK(tape.output().data[c] == Approx(c + 1));
    CHECK(buffers[static_cast<std::size_t>(c)] == Approx(0.1 * x[static_cast<std::size_t>(c)]));
    CHECK(buffers[static_cast<std::size_t>(3 + c)] == Approx(0.9));
  }
}

using gradient_nets =
    std::tuple<sequential<latent<3>, batch_norm>, sequential<image<3, 2, 1>, batch_norm>,
               sequential<image<2, 3, 5>, batch_norm>,
               sequential<image<1, 1, 4>, batch_norm, tanh_>,
               sequential<image<4, 3, 2>, conv2d<3, 2>, batch_norm, tanh_>,
               sequential<image<4, 3, 2>, batch_norm, relu, conv2d<3, 2>>,
               sequential<latent<4>, linear<12>, reshape<2, 3, 2>, batch_norm, relu,
                          conv_transpose2d<2, 3>, batch_norm>>;

TEST_CASE_TEMPLATE_DEFINE("batch_norm: gradients", net, batch_norm_gradients) {
  for (const int n : {2, 3, 5}) {
    CHECK(check_gradients(net{}, {.n = n}));
    CHECK(check_gradients(net{}, {.n = n, .run_mode = mode::evaluate}));
  }
  CHECK(check_gradients(net{}, {.n = 1, .run_mode = mode::evaluate}));
}
TEST_CASE_TEMPLATE_APPLY(batch_norm_gradients, gradient_nets);

TEST_CASE("batch_norm: gradients of one image") {
  CHECK(check_gradients(sequential<image<3, 3, 2>, batch_norm>{}, {.n = 1}));
}

TEST_CASE("batch_norm: tangent and second derivatives, through the statistics and without") {
  for (const mode m : {mode::train, mode::evaluate})
    for (const int n : {2, 5})
      CHECK(test::check_tangents<hwc{3, 2, 4}>(batch_norm{}, {.n = n, .run_mode = m}));
  CHECK(test::check_tangents<hwc{1, 1, 3}>(batch_norm{}, {.n = 4}));
}

TEST_CASE("batch_norm: the gradient of a penalty, other samples included") {
  using net = sequential<image<4, 4, 2>, conv2d<3, 3, 1, 1>, batch_norm, leaky_relu,
                         residual<path<conv2d<3, 1>, batch_norm, tanh_>>, linear<1>>;
  CHECK(test::check_penalty(net{}, {.n = 4}));
  CHECK(test::check_penalty(net{}, {.n = 3}, gradient_norm::distance_from_one{}));
}
