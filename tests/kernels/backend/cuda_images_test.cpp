// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Data sets and latents on the device, and the arithmetic that is chosen at run time.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/backend/cuda/any.cuh"
#include "gantry/data/sampler.hpp"
#include "gantry/dist/real_images.hpp"

using namespace gantry;
using enum kernels::gemm_math;

namespace {

constexpr hwc shape{6, 4, 3};

/// Half of a set of noise, not in its order.
data::shuffled_source some_images() {
  data::image_set set{.height = shape.h, .width = shape.w, .channels = shape.c};
  set.pixels.resize(40 * static_cast<std::size_t>(shape.size()));
  for (std::size_t i = 0; i < set.pixels.size(); ++i)
    set.pixels[i] = static_cast<std::uint8_t>(i * 2654435761u >> 13);
  data::index_list own;
  for (std::uint32_t i = 0; i < 20; ++i) own.push_back(i * 7 % 40);
  return {{std::make_shared<const data::image_set>(std::move(set)), own}, 5, 0};
}

/// Batches of some steps as a device has them; graphs: each step is recorded.
std::vector<std::vector<float>> batches(const backend::cuda_options& options, bool graphs) {
  backend::cuda b(options);
  auto source = some_images();
  dist::real_images<shape, backend::cuda, data::shuffled_source> images(b, source, 8);
  CHECK(b.meter().bytes() == 0);  // no part of a plan
  const auto y = b.allocate(nhwc::elements(shape, 8));
  std::vector<float> host(y.size());
  std::vector<std::vector<float>> all;
  for (std::uint32_t step = 0; step < 7; ++step) {
    const auto take = [&] { images.read(b, source, step, host, {y.data(), 8}); };
    graphs ? b.step(take) : take();
    b.download(y.data(), all.emplace_back(y.size()));
  }
  if (graphs) CHECK(b.graphs() == 1);
  return all;
}

template <class B>
std::vector<float> product(B& b) {
  static constexpr linear_geometry g{{1, 1, 24}, 16};
  std::vector<float> numbers(24 * 16 + 16 + 3 * 24);
  for (std::size_t i = 0; i < numbers.size(); ++i)
    numbers[i] = static_cast<float>(i % 101) / 101.0f - 0.5f;
  const auto m = b.allocate(numbers.size()), y = b.allocate(3 * 16);
  b.upload(numbers, m.data());
  const float *weight = m.data(), *bias = weight + 24 * 16, *x = bias + 16;
  launch(b, ops::linear_forward<g>{}, {{x, 3}, weight, bias, {y.data(), 3}});
  std::vector<float> found(y.size());
  b.download(y.data(), found);
  return found;
}

}  // namespace

TEST_CASE("cuda: batches of images on the device have the bits that the host would send") {
  auto source = some_images();
  const auto held = batches({}, false);
  for (std::uint32_t step = 0; step < held.size(); ++step) {
    std::vector<float> expected(nhwc::elements(shape, 8));
    source.read(step, expected, 8);
    CHECK(held[step] == expected);
  }
  CHECK(batches({}, true) == held);
  CHECK(batches({.hold_images = false}, false) == held);
  CHECK(batches({.hold_images = false}, true) == held);
}

TEST_CASE("cuda: images beside which nothing else would fit are not held") {
  backend::cuda b;
  CHECK(b.hold(std::size_t{1} << 40).data() == nullptr);
  CHECK(b.hold(1000).data() != nullptr);
}

TEST_CASE("cuda: images of another size are refused") {
  backend::cuda b;
  const auto source = some_images();
  using other = dist::real_images<hwc{4, 4, 3}, backend::cuda, data::shuffled_source>;
  CHECK_THROWS_AS(other(b, source, 8), usage_error);
}

TEST_CASE("cuda: latents are the host's, up to roundings") {
  constexpr hwc latent{1, 1, 7};
  const stream_id id{.seed = 3, .step = 9, .worker = 1, .use = purpose::latent};
  std::vector<float> expected(5 * 7), found(5 * 7);
  fill_normal(std::span<float>(expected), id);
  backend::cuda b;
  const auto z = b.allocate(found.size());
  launch(b, ops::draw_normal<latent>{}, {{z.data(), 5}, id});
  b.download(z.data(), found);
  for (std::size_t i = 0; i < found.size(); ++i) CHECK(std::abs(found[i] - expected[i]) < 1e-6f);
}

TEST_CASE("cuda: a precision by its name has the bits of its own backend") {
  using chosen = backend::any_cuda<fp32, bf16>;
  backend::basic_cuda<fp32> exact;
  backend::basic_cuda<bf16> rounded;
  chosen first, second("bf16");
  CHECK(first.math() == fp32);
  CHECK(product(first) == product(exact));
  CHECK(product(second) == product(rounded));
  CHECK(product(second) != product(exact));
  try {
    chosen unknown("tf32");
    FAIL("there is no such arithmetic in this class");
  } catch (const usage_error& e) {
    CHECK(std::string(e.what()).find("one of fp32, bf16 and is \"tf32\"") != std::string::npos);
  }
}
