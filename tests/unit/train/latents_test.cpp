// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/train/latents.hpp"

using gantry::usage_error;
using namespace gantry::train;

namespace {

double length(const latent_vector& z) {
  double sum = 0;
  for (const float x : z) sum += static_cast<double>(x) * static_cast<double>(x);
  return std::sqrt(sum);
}

}  // namespace

TEST_CASE("latents: a choice is an image of a grid of samples") {
  std::vector<float> grid(5 * 7);
  gantry::fill_normal(std::span<float>(grid), {.seed = 9, .use = gantry::purpose::fixed_latent});
  CHECK(latent_of({9, 0}, 7) == latent_vector(grid.begin(), grid.begin() + 7));
  CHECK(latent_of({9, 3}, 7) == latent_vector(grid.begin() + 21, grid.begin() + 28));
  CHECK_THROWS_AS((void)latent_of({9, 3}, 0), usage_error);
  CHECK_THROWS_AS((void)latent_of({9, 4'000'000'000}, 100), usage_error);
}

TEST_CASE("latents: choices are read from text") {
  const std::vector<latent_choice> expected{{7, 3}, {7, 12}, {9, 0}};
  CHECK(parse_latent_choices("7:3,7:12,9") == expected);
  for (const char* text : {"", ",", "1,", "1:", ":1", "1 ", "-1", "1:2:3", "a", "1;2"}) {
    CAPTURE(text);
    CHECK_THROWS_AS((void)parse_latent_choices(text), usage_error);
  }
}

TEST_CASE("latents: averages and analogies") {
  const std::vector<latent_vector> both{{1, 2, 3}, {3, -2, 0}};
  CHECK(mean_latent(both) == latent_vector{2, 0, 1.5f});
  CHECK(latent_analogy(both[0], both[1], both[1]) == both[0]);
  CHECK(latent_analogy(both[0], both[0], both[1]) == both[1]);
  CHECK(latent_analogy(latent_vector{5}, latent_vector{3}, latent_vector{1}) == latent_vector{3});
  CHECK_THROWS_AS((void)mean_latent({}), usage_error);
  CHECK_THROWS_WITH_AS((void)latent_analogy(both[0], both[1], latent_vector{1}),
                       doctest::Contains("found sizes 3 and 1"), usage_error);
  const std::vector<latent_vector> ragged{{1, 2}, {1}};
  CHECK_THROWS_AS((void)mean_latent(ragged), usage_error);
}

TEST_CASE("latents: lengths") {
  CHECK(with_usual_length({3, 4}) == latent_vector{static_cast<float>(0.6 * std::sqrt(2.0)),
                                                   static_cast<float>(0.8 * std::sqrt(2.0))});
  CHECK(with_usual_length({0, 0}) == latent_vector{0, 0});
}

TEST_CASE("latents: paths begin and end where they should") {
  const latent_vector a = latent_of({1, 0}, 64), b = latent_of({2, 0}, 64);
  for (const auto path : {interpolate_linear, interpolate_spherical}) {
    const latent_vector first = path(a, b, 0), last = path(a, b, 1);
    for (std::size_t i = 0; i < a.size(); ++i) {
      CHECK(first[i] == doctest::Approx(a[i]).epsilon(1e-6));
      CHECK(last[i] == doctest::Approx(b[i]).epsilon(1e-6));
    }
  }
  CHECK(interpolate_linear(latent_vector{0, 8}, latent_vector{4, 0}, 0.25) == latent_vector{1, 6});
}

TEST_CASE("latents: the spherical path keeps the length and a steady angle") {
  const latent_vector a{2, 0, 0}, b{0, 0, 2};
  for (const double t : {0.1, 0.5, 0.8}) {
    const latent_vector z = interpolate_spherical(a, b, t);
    CHECK(length(z) == doctest::Approx(2));
    CHECK(std::atan2(z[2], z[0]) == doctest::Approx(t * std::acos(0.0)));
  }
  // On one line, in either direction, and from nowhere.
  CHECK(interpolate_spherical(a, a, 0.3) == a);
  CHECK(interpolate_spherical(a, latent_vector{-2, 0, 0}, 0.5) == latent_vector{0, 0, 0});
  CHECK(interpolate_spherical(latent_vector{0, 0, 0}, a, 0.5) == latent_vector{1, 0, 0});
}
