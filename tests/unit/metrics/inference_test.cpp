// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Against the definitions, written down with a loop for each axis.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/base/error.hpp"
#include "gantry/base/rng.hpp"
#include "gantry/metrics/inference.hpp"
#include "gantry/metrics/inference_graph.hpp"

using namespace gantry;
using namespace gantry::metrics::inference;

namespace {

std::vector<float> random_values(std::size_t count, std::uint32_t salt) {
  std::vector<float> values(count);
  fill_normal(std::span(values), {.seed = 1, .use = purpose::evaluation, .salt = salt});
  return values;
}

float at(const image_view& x, int row, int column, int c) {
  if (row < 0 || column < 0 || row >= x.shape.h || column >= x.shape.w) return 0;
  return x.data[(row * x.shape.w + column) * x.shape.c + c];
}

/// A convolution of 3 to 5 channels and what it is made of.
struct random_conv {
  window w;
  std::vector<float> weights, gamma, beta, mean, variance;
  static constexpr int in = 3, out = 5;

  explicit random_conv(window where)
      : w(where),
        weights(random_values(static_cast<std::size_t>(in * out * w.height * w.width), 1)),
        gamma(random_values(out, 2)),
        beta(random_values(out, 3)),
        mean(random_values(out, 4)),
        variance(random_values(out, 5)) {
    for (float& v : variance) v = std::abs(v) + 0.1f;
  }
  [[nodiscard]] norm_values norm() const { return {gamma, beta, mean, variance, 1e-3}; }
  [[nodiscard]] double operator()(const image_view& x, int row, int column, int o) const {
    double sum = 0;
    for (int i = 0; i < in; ++i)
      for (int ky = 0; ky < w.height; ++ky)
        for (int kx = 0; kx < w.width; ++kx)
          sum += double{weights[static_cast<std::size_t>(((o * in + i) * w.height + ky) * w.width +
                                                         kx)]} *
                 double{at(x, row * w.stride - w.pad_y + ky, column * w.stride - w.pad_x + kx, i)};
    const auto k = static_cast<std::size_t>(o);
    return (sum - double{mean[k]}) / std::sqrt(double{variance[k]} + 1e-3) * double{gamma[k]} +
           double{beta[k]};
  }
};

}  // namespace

TEST_CASE("inference: convolutions of all windows, into channels of a wider image") {
  const hwc shape{9, 7, random_conv::in};
  const auto pixels = random_values(static_cast<std::size_t>(shape.size()), 0);
  const image_view x{pixels.data(), shape};
  for (const window& w : {window{}, window{3, 3, 2}, window{3, 3, 1, 1, 1}, window{1, 7, 1, 0, 3},
                          window{7, 1, 1, 3, 0}, window{5, 5, 2, 2, 2}, window{1, 1, 2}})
    for (const bool rectify : {false, true}) {
      CAPTURE(w.height);
      CAPTURE(w.width);
      CAPTURE(w.stride);
      const random_conv expected(w);
      const conv2d layer(w, random_conv::in, expected.weights, expected.norm(), rectify);
      const hwc out = layer.output_shape(shape);
      REQUIRE(out == hwc{(9 + 2 * w.pad_y - w.height) / w.stride + 1,
                         (7 + 2 * w.pad_x - w.width) / w.stride + 1, random_conv::out});
      constexpr int pitch = 8, first = 2;
      std::vector<float> wide(static_cast<std::size_t>(out.pixels() * pitch), 7.0f), patches;
      layer(x, {wide.data() + first, out, pitch}, patches);
      for (int p = 0; p < out.pixels(); ++p)
        for (int c = 0; c < pitch; ++c) {
          const float found = wide[static_cast<std::size_t>(p * pitch + c)];
          if (c < first || c >= first + out.c) {
            CHECK(found == 7.0f);
            continue;
          }
          const double y = expected(x, p / out.w, p % out.w, c - first);
          CHECK(double{found} == doctest::Approx(rectify ? std::max(y, 0.0) : y).epsilon(1e-4));
        }
    }
}

TEST_CASE("inference: what does not fit is refused") {
  random_conv parts(window{3, 3});
  const conv2d layer(parts.w, random_conv::in, parts.weights, parts.norm(), true);
  CHECK_THROWS_AS((void)layer.output_shape({9, 7, 4}), usage_error);
  CHECK_THROWS_AS((void)layer.output_shape({2, 7, 3}), usage_error);
  const auto build = [&] {
    return conv2d(parts.w, random_conv::in, parts.weights, parts.norm(), true);
  };
  parts.variance[1] = -1;
  CHECK_THROWS_AS(build(), numeric_error);
  parts.variance[1] = 1;
  parts.weights[4] = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_AS(build(), numeric_error);
  parts.weights.pop_back();
  CHECK_THROWS_AS(build(), usage_error);
}

TEST_CASE("inference: pooling leaves out what is outside, or counts zeros") {
  const std::vector<float> pixels{-1, -2, -3, -4, -5, -6, -7, -8, -9};  // 3 x 3
  const image_view x{pixels.data(), {3, 3, 1}};
  const auto pool = [&](window w, pool2d::rule rule) {
    const pool2d layer{w, rule};
    const hwc out = layer.output_shape(x.shape);
    std::vector<float> y(static_cast<std::size_t>(out.size()), 100.0f);
    layer(x, {y.data(), out, 1});
    return y;
  };
  using values = std::vector<float>;
  const window same{3, 3, 1, 1, 1}, halve{2, 2, 2, 1, 1};
  CHECK(pool(same, pool2d::rule::largest) == values{-1, -1, -2, -1, -1, -2, -4, -4, -5});
  CHECK(pool(same, pool2d::rule::average_inside) ==
        values{-3, -3.5f, -4, -4.5f, -5, -5.5f, -6, -6.5f, -7});
  CHECK(pool(halve, pool2d::rule::average_inside) == values{-1, -2.5f, -5.5f, -7});
  CHECK(pool(halve, pool2d::rule::average_padded) == values{-0.25f, -1.25f, -2.75f, -7});
  CHECK(pool({3, 3, 2}, pool2d::rule::largest) == values{-1});
  float mean = 0;
  average_pixels(x, std::span(&mean, 1));
  CHECK(mean == -5.0f);
}

TEST_CASE("inference: branches side by side, trunks with two tails, a residual block") {
  // Every convolution is 1 x 1 with one weight for all, so that results can be told by hand.
  const auto scale = [](int in, int out, float weight, bool rectify = true) {
    const auto n = static_cast<std::size_t>(out);
    const std::vector<float> weights(n * static_cast<std::size_t>(in), weight), one(n, 1.0f),
        zero(n, 0.0f);
    return conv2d({}, in, weights, {one, zero, zero, one, 0.0}, rectify);
  };
  const std::vector<float> pixels{1, 2, 3, 4};  // 2 x 2
  graph g;
  block fork;
  fork.branches.push_back({{scale(1, 2, 2)}, {scale(2, 1, 1), scale(2, 1, 10)}});
  fork.branches.push_back({{}, {pool2d{{1, 1}}}});
  g.add(fork);
  CHECK(g.output_shape({2, 2, 1}) == hwc{2, 2, 3});
  graph_scratch scratch;
  const auto run = [&] {
    const image_view y = g.run({pixels.data(), {2, 2, 1}}, scratch);
    return std::vector<float>(y.data, y.data + y.shape.size());
  };
  CHECK(run() == std::vector<float>{4, 40, 1, 8, 80, 2, 12, 120, 3, 16, 160, 4});

  block shrink;  // to one pixel and 5 channels: -44 each, plus 0, 4, 40, 1, 0
  shrink.branches.push_back({{pool2d{{1, 1, 2}}}, {scale(3, 5, -44.0f / 45.0f, false)}});
  shrink.residual = true;
  g.add(shrink);
  CHECK(run() == std::vector<float>{0, 0, 0, 0, 0});
  g = {};
  shrink.branches = {{{pool2d{{1, 1, 2}}}, {scale(1, 3, -0.5f, false)}}};
  g.add(shrink);
  CHECK(run() == std::vector<float>{0, 0.5f, 0});

  g.add(pool2d{{3, 3}});
  CHECK_THROWS_AS((void)g.output_shape({2, 2, 1}), usage_error);
  fork.branches.push_back({{}, {pool2d{{2, 2}}}});
  g = {};
  g.add(fork);
  CHECK_THROWS_AS((void)g.output_shape({2, 2, 1}), usage_error);
}

TEST_CASE("inference: bilinear resize by centres and by corners") {
  const std::vector<float> row{0, 10, 20, 30};
  const auto resized = [&](hwc in, int h, int w, resize_rule rule) {
    std::vector<float> y(static_cast<std::size_t>(h * w * in.c));
    bilinear_resize(in, h, w, rule)(row.data(), y.data());
    return y;
  };
  using values = std::vector<float>;
  CHECK(resized({1, 4, 1}, 1, 8, resize_rule::half_pixel) ==
        values{0, 2.5f, 7.5f, 12.5f, 17.5f, 22.5f, 27.5f, 30});
  CHECK(resized({1, 4, 1}, 1, 8, resize_rule::corner) == values{0, 5, 10, 15, 20, 25, 30, 30});
  CHECK(resized({4, 1, 1}, 2, 1, resize_rule::half_pixel) == values{5, 25});
  CHECK(resized({4, 1, 1}, 2, 1, resize_rule::corner) == values{0, 20});
  CHECK(resized({2, 1, 2}, 3, 1, resize_rule::half_pixel) == values{0, 10, 10, 20, 20, 30});
  CHECK(resized({1, 4, 1}, 1, 4, resize_rule::half_pixel) == row);
  CHECK_THROWS_AS(bilinear_resize({0, 4, 1}, 1, 1, resize_rule::corner), usage_error);
}
