// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdio>
#include <utility>

#include "latent_grid.hpp"

namespace {

using namespace gantry::train;

std::vector<latent_vector> latents_of(const operand& o, std::size_t size) {
  std::vector<latent_vector> all;
  for (const latent_choice& c : o.choices) all.push_back(latent_of(c, size));
  return all;
}

latent_vector mean_of(const operand& o, std::size_t size, bool rescale) {
  latent_vector mean = mean_latent(latents_of(o, size));
  return rescale ? with_usual_length(std::move(mean)) : mean;
}

}  // namespace

latent_grid arithmetic_grid(const std::vector<operand>& abc, std::size_t size, bool rescale) {
  latent_grid grid{.columns = 2, .cells = {}};
  for (const operand& o : abc) grid.columns = std::max(grid.columns, o.choices.size() + 1);
  std::vector<latent_vector> means;
  for (const operand& o : abc) {
    const std::vector<latent_vector> own = latents_of(o, size);
    for (std::size_t i = 0; i + 1 < grid.columns; ++i) {
      latent_cell& cell = grid.cells.emplace_back();
      if (i >= own.size()) continue;
      const latent_choice& c = o.choices[i];
      cell = {o.name + " " + std::to_string(c.seed) + ":" + std::to_string(c.index), own[i]};
    }
    means.push_back(mean_of(o, size, rescale));
    grid.cells.push_back({o.name + " mean", means.back()});
  }
  grid.cells.resize(grid.cells.size() + grid.columns - 1);
  latent_vector result = latent_analogy(means[0], means[1], means[2]);
  grid.cells.push_back({"a-b+c", rescale ? with_usual_length(std::move(result)) : result});
  return grid;
}

latent_grid path_grid(const std::vector<operand>& ends, std::size_t size, bool rescale,
                      std::size_t steps) {
  const latent_vector a = mean_of(ends[0], size, rescale), b = mean_of(ends[1], size, rescale);
  latent_grid grid{.columns = steps, .cells = {}};
  for (const bool spherical : {false, true})
    for (std::size_t i = 0; i < steps; ++i) {
      const double t = static_cast<double>(i) / static_cast<double>(steps - 1);
      char caption[32];
      std::snprintf(caption, sizeof caption, "%s %.2f", spherical ? "sph" : "lin", t);
      grid.cells.push_back(
          {caption, spherical ? interpolate_spherical(a, b, t) : interpolate_linear(a, b, t)});
    }
  return grid;
}
