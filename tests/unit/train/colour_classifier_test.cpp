// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The classifier of colour images; what both have in common is in classifier_test.cpp.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <numeric>

#include <doctest/doctest.h>

#include "gantry/data/transform.hpp"
#include "gantry/train/evaluator.hpp"

#include "class_images.hpp"

using namespace gantry;
using namespace gantry::train;
using namespace class_images;

namespace {

using colour = classifier<backend::cpu, colour_classifier<10>>;
using shrink32 = shrink_to<hwc{32, 32, 3}>;

/// n noisy images of 32 x 32 whose class i % 10 is the colour of a patch and its height.
data::image_set patches(std::size_t n, std::uint64_t seed, std::string name) {
  data::image_set set{32, 32, 3, {}, {}, std::move(name)};
  random_sequence draw({.seed = seed, .use = purpose::user});
  for (std::size_t i = 0; i < n; ++i) {
    const int label = static_cast<int>(i % 10), top = label < 5 ? 4 : 18, mix = label % 5 + 1;
    for (int y = 0; y < 32; ++y)
      for (int x = 0; x < 32; ++x)
        for (int c = 0; c < 3; ++c) {
          const bool bright = y >= top && y < top + 10 && x >= 6 && x < 26 && (mix >> c & 1) != 0;
          set.pixels.push_back(static_cast<std::uint8_t>((bright ? 150 : 0) + draw.below(100)));
        }
    set.labels.push_back(static_cast<std::uint8_t>(label));
  }
  return set;
}

constexpr classifier_settings quick_colour{.passes = 6, .batch = 20, .rate = 2e-3, .shift = 2};

classifier_weights<colour_classifier<10>> trained_colour(int threads,
                                                         const classifier_settings& s) {
  backend::cpu b(threads);
  const auto set = patches(200, 1, "patches train");
  return classifier_training<backend::cpu, colour_classifier<10>>(b, set, s).run();
}

}  // namespace

TEST_CASE("colour classifier: learns, is kept and used again, and is a function of its settings") {
  const temporary_directory dir;
  const std::vector folders{dir.path()};
  backend::cpu b(2);
  const auto train = patches(200, 1, "patches train"), test = patches(100, 2, "patches test");
  std::vector<std::string> notes;
  const note_sink sink = [&](const std::string& text) { notes.push_back(text); };
  const auto network = colour::load_or_train(b, train, test, folders, sink, quick_colour);
  CHECK(network.accuracy() > 0.95);
  CHECK(network.name() == "gantry-classifier-patches");
  CHECK(network.hash() == hash_of(trained_colour(1, quick_colour)));
  const auto again = colour::load_or_train(b, train, test, folders, sink, quick_colour);
  CHECK(again.hash() == network.hash());
  CHECK(notes.back().starts_with("using the trained classifier"));
  classifier_settings still = quick_colour;
  still.shift = 0;
  CHECK(hash_of(trained_colour(1, still)) != network.hash());
  const auto other = colour::load_or_train(b, train, test, folders, sink, still);
  CHECK(other.hash() != network.hash());
  const auto file =
      io::safetensors_file::read(dir.path() / "gantry-classifier-patches.safetensors");
  CHECK(file.find("features.0.weight")->shape == std::vector<std::int64_t>{32, 3, 4, 4});
  CHECK(file.find("head.0.weight")->shape == std::vector<std::int64_t>{10, 64});
}

TEST_CASE("colour classifier: images and labels of other kinds are refused") {
  backend::cpu b(1);
  const auto attempt = [&](const data::image_set& set, const classifier_settings& s) {
    (void)colour::load_or_train(b, set, set, {}, {}, s);
  };
  CHECK_THROWS_WITH_AS(attempt(make(20, 1, "grey"), quick_colour),
                       doctest::Contains("colour images of 32 x 32"), usage_error);
  auto set = patches(20, 1, "patches");
  set.labels[3] = 10;
  CHECK_THROWS_WITH_AS(attempt(set, quick_colour), doctest::Contains("from 0 to 9"), usage_error);
  classifier_settings far = quick_colour;
  far.shift = 32;
  CHECK_THROWS_AS(attempt(patches(20, 1, "patches"), far), usage_error);
}

TEST_CASE("colour classifier: 100 classes have 100 probabilities") {
  backend::cpu b(1);
  using wide = classifier<backend::cpu, colour_classifier<100>>;
  auto set = patches(40, 1, "patches");
  set.labels[7] = 99;
  auto network = wide::load_or_train(b, set, set, {}, {}, {.passes = 1, .batch = 20, .rate = 1e-3});
  std::vector<float> probabilities(40 * 100);
  network.evaluate(floats(set), 40, {}, probabilities);
  CHECK(std::accumulate(probabilities.begin(), probabilities.end(), 0.0) ==
        doctest::Approx(40).epsilon(1e-4));
}

TEST_CASE("colour evaluator: colour counts, and enlarged images are scored like small ones") {
  backend::cpu b(2);
  const auto weights = trained_colour(2, quick_colour);
  const auto real = patches(300, 5, "patches"), other = patches(300, 6, "patches");
  const auto fid = [&](const data::image_set& reference, const data::image_set& shown) {
    evaluator<backend::cpu, colour_classifier<10>> evaluate(
        colour(b, weights, "patches train", real), reference, {.latent = 3});
    const auto images = floats(shown);
    return evaluate
        .evaluate(
            [&, at = std::size_t{0}](std::span<const float>, std::span<float> out) mutable {
              std::copy_n(images.data() + at, out.size(), out.begin());
              at += out.size();
            },
            300, 1)
        .fid;
  };
  CHECK(fid(real, real) < 1e-6);
  auto swapped = other;
  for (std::size_t i = 0; i < swapped.pixels.size(); i += 3)
    std::swap(swapped.pixels[i], swapped.pixels[i + 2]);
  const double near = fid(real, other);
  CHECK(fid(real, swapped) > 10 * near);
  const auto large = [](const data::image_set& s) { return data::resize_bilinear(s, 64, 64); };
  CHECK(fid(large(real), large(other)) < 2 * near);
}

TEST_CASE("shrink_to: colours stay apart, and other channels are refused") {
  const auto images = patches(2, 3, "patches");
  const auto original = floats(images);
  std::vector<float> out(original.size());
  shrink32({32, 32, 3})(original, out);
  CHECK(out == original);
  shrink32({40, 40, 3})(floats(data::pad_to(images, 40, 40)), out);
  CHECK(out == original);
  std::vector<float> doubled(64 * 64 * 3), small(32 * 32 * 3);
  for (std::size_t i = 0; i < doubled.size(); ++i)
    doubled[i] = static_cast<float>(i % 3 * 10000 + i / 3);
  shrink32({64, 64, 3})(doubled, small);
  for (std::size_t c = 0; c < 3; ++c)
    CHECK(small[3 * 33 + c] == doctest::Approx(10000.0 * c + (2 * 64 + 2) + 32.5));
  CHECK_THROWS_WITH_AS(shrink32({32, 32, 1}), doctest::Contains("32 x 32 x 3"), usage_error);
  CHECK_THROWS_AS(shrink32({31, 32, 3}), usage_error);
}

TEST_CASE("vary_images: an image is moved and mirrored as a whole") {
  constexpr hwc shape{6, 7, 2};
  std::vector<float> images(200 * 84, 0.0f);
  for (std::size_t i = 0; i < 200; ++i) {  // two bright pixels side by side, in the middle
    images[84 * i + 2 * (7 * 3 + 3)] = 1.0f;
    images[84 * i + 2 * (7 * 3 + 4) + 1] = 2.0f;
  }
  train::detail::vary_images(images, shape, 1, {.seed = 3, .use = purpose::user});
  std::array<int, 9> places{};
  int mirrored = 0;
  for (std::size_t i = 0; i < 200; ++i) {
    const auto image = std::span(images).subspan(84 * i, 84);
    const auto place = [&](float value) {
      return static_cast<int>(std::ranges::find(image, value) - image.begin()) / 2;
    };
    const int one = place(1.0f), two = place(2.0f);
    REQUIRE(std::abs(one - two) == 1);
    mirrored += two < one;
    const int down = one / 7 - 3, right = one % 7 - 3;
    REQUIRE(std::abs(down) <= 1);
    REQUIRE(std::abs(right) <= 1);
    ++places[static_cast<std::size_t>(3 * (down + 1) + right + 1)];
    REQUIRE(std::accumulate(image.begin(), image.end(), 0.0f) == 3.0f);
  }
  CHECK(mirrored > 60);
  CHECK(mirrored < 140);
  for (const int count : places) CHECK(count > 0);
}
