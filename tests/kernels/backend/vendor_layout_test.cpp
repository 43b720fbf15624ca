// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// What the libraries are told, judged without them: a plain BLAS and a plain convolution that
// follow the descriptions must give what the ops give. And what stands beside the libraries'
// launches.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/backend/cuda/cuda.cuh"
#include "gantry/backend/cuda/vendor_layout.hpp"
#include "gantry/backend/reference/reference.hpp"
#include "gantry/kernels/vendor/launch.cuh"

using namespace gantry;
using namespace gantry::backend;

namespace {

using numbers = std::vector<double>;

numbers some(std::int64_t count, int salt) {
  numbers v(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < v.size(); ++i) v[i] = std::sin(static_cast<double>(i) * 0.7 + salt);
  return v;
}

/// d = op(a) op(b) + beta d + bias, by columns.
void blas(const vendor_product& p, const numbers& a, const numbers& b, const double* bias,
          numbers& d) {
  const auto at = [](int row, int column, int pitch) {
    return static_cast<std::size_t>(column) * static_cast<std::size_t>(pitch) +
           static_cast<std::size_t>(row);
  };
  for (int j = 0; j < p.columns; ++j)
    for (int i = 0; i < p.rows; ++i) {
      double sum = (p.accumulate ? d[at(i, j, p.pitch_d)] : 0) + (p.bias ? bias[i] : 0);
      for (int k = 0; k < p.depth; ++k)
        sum += a[p.transpose_a ? at(k, i, p.pitch_a) : at(i, k, p.pitch_a)] *
               b[p.transpose_b ? at(j, k, p.pitch_b) : at(k, j, p.pitch_b)];
      d[at(i, j, p.pitch_d)] = sum;
    }
}

std::size_t place(const vendor_tensor& t, std::int64_t n, std::int64_t c, std::int64_t h,
                  std::int64_t w) {
  return static_cast<std::size_t>(n * t.strides[0] + c * t.strides[1] + h * t.strides[2] +
                                  w * t.strides[3]);
}

/// A convolution as cuDNN defines it: f(image, filter, map) for every product of the sum.
template <class F>
void each_product(const vendor_convolution& v, F f) {
  const vendor_tensor image = image_tensor(v), filter = filter_tensor(v), map = map_tensor(v);
  const auto [n, c, h, w] = image.extents;
  for (std::int64_t s = 0; s < n; ++s)
    for (std::int64_t k = 0; k < map.extents[1]; ++k)
      for (std::int64_t y = 0; y < map.extents[2]; ++y)
        for (std::int64_t x = 0; x < map.extents[3]; ++x)
          for (std::int64_t j = 0; j < filter.extents[2]; ++j)
            for (std::int64_t i = 0; i < filter.extents[3]; ++i) {
              const std::int64_t row = y * v.g.stride - v.g.pad + j,
                                 column = x * v.g.stride - v.g.pad + i;
              if (row < 0 || row >= h || column < 0 || column >= w) continue;
              for (std::int64_t channel = 0; channel < c; ++channel)
                f(place(image, s, channel, row, column), place(filter, k, channel, j, i),
                  place(map, s, k, y, x));
            }
}

void check_close(const numbers& found, const numbers& expected) {
  REQUIRE(found.size() == expected.size());
  double most = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    REQUIRE(std::isfinite(found[i]));
    most = std::max(most, std::abs(found[i] - expected[i]));
  }
  CHECK(most < 1e-10);
}

using plain = backend::reference<double>;

}  // namespace

TEST_CASE("vendor: products as BLAS sees them are ours") {
  constexpr linear_geometry g{{3, 1, 7}, 5};
  constexpr int n = 4;
  plain b;
  const numbers x = some(n * 21, 1), w = some(5 * 21, 2), bias = some(5, 3), dy = some(n * 5, 4);
  numbers found(n * 5), expected(n * 5);
  vendor_product forward = product_of_forward(g, n);
  forward.bias = true;
  CHECK(numbers_of_a(forward) == std::ssize(w));
  CHECK(numbers_of_b(forward) == std::ssize(x));
  blas(forward, w, x, bias.data(), found);
  launch(b, ops::linear_forward<g>{}, {{x.data(), n}, w.data(), bias.data(), {expected.data(), n}});
  check_close(found, expected);

  numbers dx = some(n * 21, 5), dx_found = dx;
  vendor_product data = product_of_backward_data(g, n);
  data.accumulate = true;
  CHECK(numbers_of_b(data) == std::ssize(dy));
  blas(data, w, dy, nullptr, dx_found);
  launch(b, ops::linear_backward_data<g>{}, {{dy.data(), n}, w.data(), {dx.data(), n}, true});
  check_close(dx_found, dx);

  numbers dw = some(5 * 21, 6), dw_found = dw;
  const vendor_product weights = product_of_backward_weights(g, n);
  CHECK(numbers_of_a(weights) == std::ssize(x));
  CHECK(numbers_of_b(weights) == std::ssize(dy));
  blas(weights, x, dy, nullptr, dw_found);
  launch(b, ops::linear_backward_weights<g>{}, {{x.data(), n}, {dy.data(), n}, dw.data()});
  check_close(dw_found, dw);
}

TEST_CASE("vendor: convolutions by tensors and strides are ours") {
  constexpr conv_geometry g{{7, 5, 3}, 4, 3, 2, 1};
  constexpr int n = 2;
  plain b;
  vendor_convolution v{.g = g, .n = n};
  const numbers x = some(image_tensor(v).size(), 1), w = some(filter_tensor(v).size(), 2),
                dy = some(map_tensor(v).size(), 3);
  numbers found(dy.size()), expected(dy.size());
  each_product(v, [&](auto i, auto f, auto m) { found[m] += x[i] * w[f]; });
  launch(b, ops::conv2d_forward<g>{}, {{x.data(), n}, w.data(), nullptr, {expected.data(), n}});
  check_close(found, expected);

  v.pass = conv_pass::backward_data;
  CHECK(result_tensor(v) == image_tensor(v));
  CHECK(bias_tensor(v).extents[1] == g.in.c);
  numbers dx(x.size()), dx_found(x.size());
  each_product(v, [&](auto i, auto f, auto m) { dx_found[i] += dy[m] * w[f]; });
  launch(b, ops::conv2d_backward_data<g>{}, {{dy.data(), n}, w.data(), nullptr, {dx.data(), n}});
  check_close(dx_found, dx);

  v.pass = conv_pass::backward_weights;
  numbers dw = some(std::ssize(w), 4), dw_found = dw;
  each_product(v, [&](auto i, auto f, auto m) { dw_found[f] += dy[m] * x[i]; });
  launch(b, ops::conv2d_backward_weights<g>{}, {{x.data(), n}, {dy.data(), n}, dw.data()});
  check_close(dw_found, dw);
}

TEST_CASE("vendor: operands in bf16 and a bias behind") {
  backend::cuda b;
  constexpr std::size_t count = 4 * 3 * 7 + 2;
  for (const std::size_t shift : {std::size_t{0}, std::size_t{1}}) {
    std::vector<float> x(count + shift), y(count);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = std::sin(static_cast<float>(i));
    auto from = b.allocate(x.size()), to = b.allocate(count);
    b.upload(x, from.data());
    kernels::narrow(b.context(), from.data() + shift, reinterpret_cast<std::uint16_t*>(to.data()),
                    count);
    b.download(to.data(), y);
    for (std::size_t i = 0; i < count; ++i) {
      std::uint16_t bits = 0;
      std::memcpy(&bits, reinterpret_cast<const char*>(y.data()) + 2 * i, 2);
      CHECK(bits == __bfloat16_as_ushort(__float2bfloat16_rn(x[i + shift])));
    }
    std::vector<float> wide(count);
    for (const bool accumulate : {false, true}) {
      kernels::widen(b.context(), reinterpret_cast<const std::uint16_t*>(to.data()),
                     from.data() + shift, accumulate, count);
      b.download(from.data() + shift, wide);
      for (std::size_t i = 0; i < count; ++i)
        CHECK(wide[i] ==
              (accumulate ? 2 : 1) * __bfloat162float(__float2bfloat16_rn(x[i + shift])));
    }
  }
  const std::vector<float> bias{1, 2, 3, 4, 5, 6, 7}, start(21, 0.5f);
  auto y = b.allocate(21), c = b.allocate(7);
  b.upload(start, y.data());
  b.upload(bias, c.data());
  kernels::add_bias(b.context(), y.data(), c.data(), 7, 21);
  std::vector<float> found(21);
  b.download(y.data(), found);
  for (std::size_t i = 0; i < found.size(); ++i) CHECK(found[i] == 0.5f + bias[i % 7]);
}

TEST_CASE("vendor: what a library launches is part of a recorded step") {
  backend::cuda b;
  auto x = b.allocate(64), y = b.allocate(64), z = b.allocate(64);
  int library_calls = 0;
  const auto step = [&](float value, float* target) {
    auto c = b.context();
    launch(b, ops::fill{}, {x.data(), 64, value});
    c.recorder = nullptr;  // a library knows nothing of it
    const auto work = [&library_calls, c, from = x.data(), target] {
      ++library_calls;
      launch(c, ops::copy{}, {from, target, 64});
    };
    const std::pair<const float*, float*> key(x.data(), target);
    b.context().recorder->call(std::as_bytes(std::span(&key, 1)), work);
    launch(b, ops::accumulate{}, {x.data(), target, 64});
  };
  const auto check = [&](float value, auto& target) {
    std::vector<float> found(64);
    b.download(target.data(), found);
    for (const float f : found) CHECK(f == value);
  };
  for (const float value : {1.0f, 2.0f, 3.0f}) {
    b.step([&] { step(value, y.data()); });
    check(2 * value, y);
  }
  CHECK(library_calls == 1);
  CHECK(b.graphs() == 1);
  b.step([&] { step(4, z.data()); });  // other arrays: this walk without graphs
  check(8, z);
  CHECK(library_calls == 2);
  for (const float value : {5.0f, 6.0f}) {
    b.step([&] { step(value, z.data()); });
    check(2 * value, z);
  }
  CHECK(library_calls == 3);
}
