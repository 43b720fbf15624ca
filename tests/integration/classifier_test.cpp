// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The classifier and the evaluator on published images, fewer than a run uses.
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>

#include <doctest/doctest.h>

#include "gantry/backend/cpu/cpu.hpp"
#include "gantry/data/cifar.hpp"
#include "gantry/data/mnist.hpp"
#include "gantry/train/classifier.hpp"
#include "gantry/train/evaluator.hpp"

using namespace gantry;
using namespace gantry::train;

namespace {

data::image_set first_images(data::image_set set, std::size_t count) {
  set.pixels.resize(count * set.sample_size());
  set.labels.resize(count);
  return set;
}

/// The folder with the data, or nothing and a message.
std::optional<std::string> fashion_mnist_folder() {
  const char* variable = std::getenv("GANTRY_FASHION_MNIST_DIR");
  const std::string folder = variable && *variable ? variable : data::debian_fashion_mnist;
  if (std::filesystem::exists(folder)) return folder;
  MESSAGE(
      "skipped: no Fashion-MNIST; set GANTRY_FASHION_MNIST_DIR or install dataset-fashion-mnist");
  return std::nullopt;
}

}  // namespace

TEST_CASE("classifier: Fashion-MNIST is learned, and real images score better than noise") {
  const auto folder = fashion_mnist_folder();
  if (!folder) return;
  const auto train = first_images(data::fashion_mnist(*folder, data::split::train), 8000);
  const auto test = first_images(data::fashion_mnist(*folder, data::split::test), 2000);
  backend::cpu b(2);
  auto network = classifier<backend::cpu>::load_or_train(b, train, test, {}, {}, {.passes = 3});
  CHECK(network.accuracy() > 0.82);
  CHECK(network.name() == "gantry-classifier-fashion-mnist");

  evaluator<backend::cpu> evaluate(std::move(network), test, {.latent = 784});
  std::size_t at = 0;
  const evaluation real = evaluate.evaluate(
      [&](std::span<const float>, std::span<float> images) {
        for (float& x : images) x = data::pixel_to_float[train.pixels[at++]];
      },
      2000, 0);
  const evaluation noise = evaluate.evaluate(
      [](std::span<const float> latents, std::span<float> images) {
        for (std::size_t i = 0; i < images.size(); ++i) images[i] = std::tanh(latents[i]);
      },
      2000, 0);
  MESSAGE("accuracy " << evaluate.network().accuracy() << ", FID of real images " << real.fid
                      << ", of noise " << noise.fid << ", classifier score "
                      << real.classifier_score << " and " << noise.classifier_score);
  CHECK(real.reference == 2000);
  CHECK(noise.fid > 20 * real.fid);
  CHECK(real.classifier_score > 6.0);
  CHECK(noise.classifier_score < 0.5 * real.classifier_score);
}

TEST_CASE("classifier: CIFAR-10 is learned, and real images score better than noise") {
  const char* folder = std::getenv("GANTRY_CIFAR10_DIR");
  if (!folder || !*folder) {
    MESSAGE("skipped: no CIFAR-10; set GANTRY_CIFAR10_DIR to the directory of its binary files");
    return;
  }
  const auto train = first_images(data::cifar10(folder, data::split::train), 10'000);
  const auto test = data::cifar10(folder, data::split::test);
  backend::cpu b(2);
  using colour = colour_classifier<10>;
  auto network = classifier<backend::cpu, colour>::load_or_train(b, train, test, {});
  CHECK(network.accuracy() > 0.55);
  CHECK(network.name() == "gantry-classifier-cifar-10");

  evaluator<backend::cpu, colour> evaluate(std::move(network), test, {.latent = 3072});
  std::size_t at = 0;
  const evaluation real = evaluate.evaluate(
      [&](std::span<const float>, std::span<float> images) {
        for (float& x : images) x = data::pixel_to_float[train.pixels[at++]];
      },
      1000, 0);
  const evaluation noise = evaluate.evaluate(
      [](std::span<const float> latents, std::span<float> images) {
        for (std::size_t i = 0; i < images.size(); ++i) images[i] = std::tanh(latents[i]);
      },
      1000, 0);
  MESSAGE("accuracy " << evaluate.network().accuracy() << ", FID of real images " << real.fid
                      << ", of noise " << noise.fid << ", classifier score "
                      << real.classifier_score << " and " << noise.classifier_score);
  CHECK(noise.fid > 5 * real.fid);
  CHECK(real.classifier_score > noise.classifier_score);
}
