// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/base/error.hpp"
#include "gantry/io/safetensors.hpp"
#include "gantry/metrics/inference.hpp"
#include "gantry/models/trained_network.hpp"

#include "unit/io/scratch.hpp"

using namespace gantry;
using namespace gantry::models;

namespace {

using values = std::vector<float>;

/// A file with a dense layer from 3 features to 2 classes, and on demand a tensor more.
void write_head(const std::filesystem::path& path, bool one_more) {
  const values weight{1, 0, 0, 0, 2, 0}, bias{0, 1};
  std::vector<io::tensor_entry> all{io::tensor_entry::of<float>("head.weight", {2, 3}, weight),
                                    io::tensor_entry::of<float>("head.bias", {2}, bias)};
  if (one_more) all.push_back(io::tensor_entry::of<float>("more", {2}, bias));
  io::write_safetensors(path, all);
}

/// Features are the means over the pixels of 2 x 2 x 3 images, times 2, plus 1.
trained_network make(int threads, bool plain = false, bool one_more = false) {
  const io::test::scratch_folder folder;
  const auto path = folder / "head.safetensors";
  write_head(path, one_more);
  auto weights = torch_weights::read(path);
  infer::graph graph;
  graph.add(infer::pool2d{});
  return {{.name = "tiny",
           .input = {2, 2, 3},
           .features = 3,
           .classes = 2,
           .scale = values(3, 2.0f),
           .shift = values(3, 1.0f),
           .graph = std::move(graph),
           .plain_softmax = plain},
          weights,
          "head",
          threads};
}

}  // namespace

TEST_CASE("trained_network: pixels are normalised, features averaged, probabilities a softmax") {
  for (const int threads : {1, 3}) {
    auto network = make(threads);
    values images, features(5 * 3), probabilities(5 * 2);
    for (int i = 0; i < 5; ++i)
      for (int p = 0; p < 4; ++p)
        images.insert(images.end(), {0.25f * static_cast<float>(i), 0, 1});
    network.evaluate(images, {2, 2, 3}, 5, features, probabilities);
    for (std::size_t i = 0; i < 5; ++i) {
      const float x = 0.5f * static_cast<float>(i) + 1;
      CHECK(values(&features[3 * i], &features[3 * i] + 3) == values{x, 1, 3});
      CHECK(probabilities[2 * i] == doctest::Approx(1 / (1 + std::exp(3 - x))));  // logits x, 3
      CHECK(probabilities[2 * i] + probabilities[2 * i + 1] == doctest::Approx(1));
    }
    values logits(2);
    network.logits(values{5, 4, 3}, logits);
    CHECK(logits == values{5, 9});
    CHECK(network.hash().size() == 64);
  }
  auto plain = make(1, true);
  values probabilities(2);
  plain.evaluate(values(12, 0.0f), {2, 2, 3}, 1, {}, probabilities);
  CHECK(probabilities[0] == doctest::Approx(1 / (1 + std::exp(1.0f))));  // logits 1, 2
}

TEST_CASE("trained_network: images of one channel and of other extents") {
  auto network = make(2);
  values features(3);
  network.evaluate(values{0, 1, 1, 2}, {2, 2, 1}, 1, features, {});
  CHECK(features == values{3, 3, 3});
  network.evaluate(values{-1, 0, 1, -1, 0, 1}, {1, 2, 3}, 1, features, {});
  CHECK(features == values{-1, 1, 3});
  network.evaluate(values(16, 0.5f), {4, 4, 1}, 1, features, {});
  CHECK(features == values{2, 2, 2});
}

TEST_CASE("trained_network: what does not fit is refused") {
  auto network = make(2);
  values image(12), features(3);
  CHECK_THROWS_AS(network.evaluate(image, {2, 2, 3}, 2, features, {}), usage_error);
  CHECK_THROWS_AS(network.evaluate(image, {2, 3, 2}, 1, features, {}), usage_error);
  CHECK_THROWS_AS(network.evaluate(image, {2, 2, 3}, 1, std::span(features).first(2), {}),
                  usage_error);
  CHECK_THROWS_AS(network.evaluate(image, {2, 2, 3}, 1, {}, features), usage_error);
  CHECK_THROWS_AS(network.logits(image, features), usage_error);
  network.evaluate({}, {2, 2, 3}, 0, {}, {});
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    image[7] = bad;
    CHECK_THROWS_AS(network.evaluate(image, {2, 2, 3}, 1, features, {}), numeric_error);
  }
  CHECK_THROWS_AS(make(1, false, true), data_error);
}
