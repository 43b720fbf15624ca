// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Arithmetic with the inputs of a generator (Radford, Metz, Chintala, arXiv 1511.06434, section
// 6.3.2): averages of latents whose images share something, sums and differences of such averages,
// and paths from one latent to another.
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/base/rng.hpp"

namespace gantry::inline v0::train {

using latent_vector = std::vector<float>;

/// Image `index` of the grid that `gantry-train --sample N --seed S` draws with this seed.
struct latent_choice {
  std::uint64_t seed{};
  std::uint32_t index{};
  friend bool operator==(const latent_choice&, const latent_choice&) = default;
};

/// "7:3,7:12,9" are images 3 and 12 of the grid of seed 7 and image 0 of that of seed 9.
/// @throws usage_error for anything else
inline std::vector<latent_choice> parse_latent_choices(std::string_view text) {
  const auto number = [&](std::string_view word, auto& value) {
    const auto [end, failed] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (failed != std::errc{} || end != word.data() + word.size())
      throw usage_error(
          "latents were expected as SEED or SEED:INDEX with commas between, found \"" +
          std::string(text) + "\"; an example is 7:3,7:12,9");
  };
  std::vector<latent_choice> chosen;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(',', at), text.size());
    const std::string_view word = text.substr(at, end - at);
    const std::size_t colon = std::min(word.find(':'), word.size());
    latent_choice& c = chosen.emplace_back();
    number(word.substr(0, colon), c.seed);
    if (colon < word.size()) number(word.substr(colon + 1), c.index);
    at = end + 1;
  }
  return chosen;
}

/// The latent that a choice names, `size` numbers of N(0, 1).
inline latent_vector latent_of(const latent_choice& c, std::size_t size) {
  constexpr std::uint32_t most = 100'000;
  expects(size > 0 && c.index < most,
          "a latent needs a size above 0 and an index below 100000; name an image of a grid");
  latent_vector all((std::size_t{c.index} + 1) * size);
  fill_normal(std::span<float>(all), {.seed = c.seed, .use = purpose::fixed_latent});
  return {all.end() - static_cast<std::ptrdiff_t>(size), all.end()};
}

namespace detail {

inline void expect_equal_sizes(std::size_t a, std::size_t b) {
  if (a != b || a == 0)
    throw usage_error("latents of one size were expected, found sizes " + std::to_string(a) +
                      " and " + std::to_string(b) + "; take them from one generator");
}

inline double inner_product(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}

/// p a + q b
inline latent_vector blend(std::span<const float> a, std::span<const float> b, double p, double q) {
  latent_vector z(a.size());
  for (std::size_t i = 0; i < z.size(); ++i)
    z[i] = static_cast<float>(p * static_cast<double>(a[i]) + q * static_cast<double>(b[i]));
  return z;
}

}  // namespace detail

/// Mean of at least one latent. That of n latents is shorter than each by about sqrt(n).
/// @throws usage_error for none, or sizes that differ
inline latent_vector mean_latent(std::span<const latent_vector> latents) {
  expects(!latents.empty(), "a mean of latents needs at least one; name some");
  std::vector<double> sum(latents.front().size());
  for (const latent_vector& z : latents) {
    detail::expect_equal_sizes(sum.size(), z.size());
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += static_cast<double>(z[i]);
  }
  latent_vector mean(sum.size());
  for (std::size_t i = 0; i < sum.size(); ++i)
    mean[i] = static_cast<float>(sum[i] / static_cast<double>(latents.size()));
  return mean;
}

/// a - b + c: "smiling woman - neutral woman + neutral man". @throws usage_error if sizes differ
inline latent_vector latent_analogy(std::span<const float> a, std::span<const float> b,
                                    std::span<const float> c) {
  detail::expect_equal_sizes(a.size(), b.size());
  detail::expect_equal_sizes(a.size(), c.size());
  latent_vector z(a.size());
  for (std::size_t i = 0; i < z.size(); ++i) z[i] = a[i] - b[i] + c[i];
  return z;
}

/// The same direction with the length sqrt(size), at which nearly all latents of N(0, 1) lie that a
/// generator was trained with. A latent of zeros stays as it is.
inline latent_vector with_usual_length(latent_vector z) {
  const double length = std::sqrt(detail::inner_product(z, z));
  if (!(length > 0)) return z;
  const double factor = std::sqrt(static_cast<double>(z.size())) / length;
  for (float& x : z) x = static_cast<float>(factor * static_cast<double>(x));
  return z;
}

/// (1 - t) a + t b. @throws usage_error if sizes differ
inline latent_vector interpolate_linear(std::span<const float> a, std::span<const float> b,
                                        double t) {
  detail::expect_equal_sizes(a.size(), b.size());
  return detail::blend(a, b, 1 - t, t);
}

/// Along the great circle through a and b (White, arXiv 1609.04468), so that latents in between are
/// not shorter than both. Latents on one line, for which there is no such circle, are interpolated
/// linearly. @throws usage_error if sizes differ
inline latent_vector interpolate_spherical(std::span<const float> a, std::span<const float> b,
                                           double t) {
  detail::expect_equal_sizes(a.size(), b.size());
  const double lengths =
      std::sqrt(detail::inner_product(a, a)) * std::sqrt(detail::inner_product(b, b));
  if (!(lengths > 0)) return interpolate_linear(a, b, t);
  const double angle = std::acos(std::clamp(detail::inner_product(a, b) / lengths, -1.0, 1.0));
  const double sine = std::sin(angle);
  if (sine < 1e-6) return interpolate_linear(a, b, t);
  return detail::blend(a, b, std::sin((1 - t) * angle) / sine, std::sin(t * angle) / sine);
}

}  // namespace gantry::train
