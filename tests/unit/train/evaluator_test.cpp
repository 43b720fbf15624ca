// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <limits>

#include <doctest/doctest.h>

#include "gantry/data/transform.hpp"
#include "gantry/train/evaluator.hpp"

#include "class_images.hpp"

using namespace gantry;
using namespace gantry::train;
using namespace class_images;

namespace {

/// What the grey classifier sees.
using grey28 = shrink_to<hwc{28, 28, 1}>;
using cpu_evaluator = evaluator<backend::cpu>;

/// An evaluator on a small set; `replay` shows given images one after the other.
struct fixture {
  data::image_set reference;
  backend::cpu b{1};
  cpu_evaluator evaluate;

  explicit fixture(data::image_set images, const evaluator_options& options = {.latent = 3})
      : reference(std::move(images)), evaluate(network(b), reference, options) {}

  static classifier<backend::cpu> network(backend::cpu& b) {
    static const classifier_weights<> weights = trained(1);
    return {b, weights, "squares train", make(50, 2, "squares test")};
  }
  static auto replay(std::vector<float> images) {
    return [images = std::move(images), at = std::size_t{0}](std::span<const float>,
                                                             std::span<float> out) mutable {
      std::copy_n(images.data() + at, out.size(), out.begin());
      at += out.size();
    };
  }
};

}  // namespace

TEST_CASE("evaluator: the same images have distance 0, and every figure carries its conditions") {
  fixture f(make(300, 5, "squares test"));
  const evaluation e = f.evaluate.evaluate(fixture::replay(floats(f.reference)), 300, 1);
  CHECK(e.fid < 1e-6);
  CHECK(e.classifier_score > 8.0);
  CHECK(e.classifier_score <= 10.0);
  CHECK(e.generated == 300);
  CHECK(e.reference == 300);
  CHECK(e.feature_network == "gantry-classifier-squares");
  CHECK(e.feature_hash == f.evaluate.network().hash());
  CHECK(e.seconds >= 0.0);
  const auto json = io::json::parse(io::json::dump(to_json(e)));
  CHECK(json.at("fid").as_double() == e.fid);
  CHECK(json.at("classifier_score").as_double() == e.classifier_score);
  CHECK(json.at("generated").as_int() == 300);
  CHECK(json.at("reference").as_int() == 300);
  CHECK(json.at("feature_network").as_string() == e.feature_network);
  CHECK(json.at("feature_sha256").as_string() == e.feature_hash);
}

TEST_CASE("evaluator: other images of the same kind are near, shifted and uniform ones far") {
  fixture f(make(300, 5, "squares test"));
  const auto fid = [&](const std::vector<float>& images) {
    return f.evaluate.evaluate(fixture::replay(images), 300, 1);
  };
  const auto fresh = floats(make(300, 6, "squares"));
  auto shifted = fresh;
  for (float& x : shifted) x += 0.5f;
  const double near = fid(fresh).fid, far = fid(shifted).fid;
  CHECK(near > 0.0);
  CHECK(far > 10.0 * near);
  const evaluation grey = fid(std::vector<float>(fresh.size(), 0.0f));
  CHECK(grey.fid > far);
  CHECK(grey.classifier_score == doctest::Approx(1.0));
}

TEST_CASE("evaluator: latents are normal, new for each chunk and the same for a seed") {
  fixture f(make(20, 5, "squares"));
  const auto latents = [&](int count, std::uint64_t seed) {
    std::vector<float> seen;
    (void)f.evaluate.evaluate(
        [&](std::span<const float> z, std::span<float> x) {
          CHECK(x.size() == z.size() / 3 * 784);
          seen.insert(seen.end(), z.begin(), z.end());
          std::ranges::fill(x, 0.0f);
        },
        count, seed);
    return seen;
  };
  const auto some = latents(300, 7), more = latents(600, 7), others = latents(300, 8);
  CHECK(some.size() == 900);
  CHECK(more.size() == 1800);
  CHECK(std::equal(some.begin(), some.end(), more.begin()));
  CHECK_FALSE(std::equal(more.begin(), more.begin() + 768, more.begin() + 768));
  CHECK(some != others);
  double sum = 0, squares = 0;
  for (const double z : more) sum += z, squares += z * z;
  CHECK(std::abs(sum / 1800) < 0.1);
  CHECK(std::abs(squares / 1800 - 1) < 0.15);
}

TEST_CASE("evaluator: NaN images are an error, not a score") {
  fixture f(make(20, 5, "squares"));
  for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity()})
    CHECK_THROWS_AS(
        (void)f.evaluate.evaluate(
            [&](std::span<const float>, std::span<float> x) { x.back() = bad; }, 300, 1),
        numeric_error);
}

TEST_CASE("evaluator: too little to compare") {
  CHECK_THROWS_AS(fixture(make(1, 5, "squares")), usage_error);
  CHECK_THROWS_AS(fixture(make(20, 5, "squares"), {.latent = 0}), usage_error);
  CHECK_THROWS_AS(fixture(make(20, 5, "squares"), {.reference_limit = 1}), usage_error);
  fixture f(make(20, 5, "squares"), {.latent = 3, .reference_limit = 12});
  const auto nothing = [](std::span<const float>, std::span<float>) {};
  CHECK_THROWS_AS((void)f.evaluate.evaluate(nothing, 1, 1), usage_error);
  CHECK(f.evaluate.evaluate(nothing, 2, 1).reference == 12);
}

TEST_CASE("evaluator: padded and enlarged colour images are scored like the grey ones") {
  const auto grey = make(300, 5, "squares"), other = make(300, 6, "squares");
  const auto fid = [](const data::image_set& reference, const data::image_set& shown) {
    fixture f(reference);
    return f.evaluate.evaluate(fixture::replay(floats(shown)), 300, 1).fid;
  };
  const double plain = fid(grey, other);
  const auto padded = [](const data::image_set& s) {
    return data::to_channels(data::pad_to(s, 32, 32), 3);
  };
  CHECK(fid(padded(grey), padded(other)) == doctest::Approx(plain).epsilon(1e-3));
  const auto large = [](const data::image_set& s) {
    return data::to_channels(data::resize_bilinear(s, 64, 64), 3);
  };
  CHECK(fid(large(grey), large(grey)) < 1e-6);
  CHECK(fid(large(grey), large(other)) < 2 * plain);
}

TEST_CASE("grey28: grey images of 28 x 28 stay, padding is undone, areas are averaged") {
  const auto images = make(3, 9, "squares");
  const auto original = floats(images);
  const auto converted = [](const data::image_set& set, shrink_rule rule = shrink_rule::automatic) {
    std::vector<float> grey(set.size() * 784);
    grey28({set.height, set.width, set.channels}, rule)(floats(set), grey);
    return grey;
  };
  CHECK(converted(images) == original);
  CHECK(converted(images, shrink_rule::average) == original);
  CHECK(converted(data::pad_to(images, 32, 32)) == original);
  CHECK(converted(data::pad_to(images, 29, 35)) == original);
  CHECK(converted(data::pad_to(images, 64, 64), shrink_rule::crop) == original);
  for (const int size : {56, 64, 100}) {
    const auto back = converted(data::to_channels(data::resize_bilinear(images, size, size), 3));
    double before = 0, after = 0;
    for (std::size_t i = 0; i < original.size(); ++i) before += original[i], after += back[i];
    CHECK(after / 2352 == doctest::Approx(before / 2352).epsilon(0.02));
    CHECK(back[3 * 28 + 5] == doctest::Approx(original[3 * 28 + 5]).epsilon(0.5));
  }
}

TEST_CASE("grey28: an average by hand") {
  const grey28 convert({56, 84, 2});
  std::vector<float> image(56 * 84 * 2), grey(784);
  for (int y = 0; y < 56; ++y)
    for (int x = 0; x < 84; ++x)
      for (int c = 0; c < 2; ++c)
        image[(y * 84 + x) * 2 + c] = static_cast<float>(y + 10 * x + 1000 * c);
  convert(image, grey);
  CHECK(grey[0] == doctest::Approx(0.5 + 10 + 500));
  CHECK(grey[2 * 28 + 7] == doctest::Approx(4.5 + 10 * 22 + 500));
  const grey28 uneven({64, 64, 1});  // an output pixel is 16/7 input pixels wide
  std::vector<float> row(64 * 64);
  for (int i = 0; i < 64 * 64; ++i) row[i] = static_cast<float>(i % 64);
  uneven(row, grey);
  CHECK(grey[0] == doctest::Approx((0 * 7 + 1 * 7 + 2 * 2) / 16.0));
  CHECK(grey[1] == doctest::Approx((2 * 5 + 3 * 7 + 4 * 4) / 16.0));
  CHECK(grey[28 * 28 - 1] == doctest::Approx((61 * 2 + 62 * 7 + 63 * 7) / 16.0));
}

TEST_CASE("grey28: what cannot be converted") {
  CHECK_THROWS_AS(grey28({27, 28, 1}), usage_error);
  CHECK_THROWS_AS(grey28({28, 27, 1}), usage_error);
  CHECK_THROWS_AS(grey28({28, 28, 0}), usage_error);
  std::vector<float> images(784 * 2), grey(784);
  CHECK_THROWS_AS(grey28({28, 28, 1})(images, grey), usage_error);
  CHECK_THROWS_AS(grey28({28, 28, 1})(std::span(images).first(785), grey), usage_error);
}
