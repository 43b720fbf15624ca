// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Which latents gantry-latent draws, and where in its grid.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "gantry/train/latents.hpp"

/// A place of the grid; without a latent it stays white.
struct latent_cell {
  std::string caption;
  std::optional<gantry::train::latent_vector> latent{};
};

/// Rows of one length.
struct latent_grid {
  std::size_t columns{};
  std::vector<latent_cell> cells;
};

/// One operand as it was written: the images that it is the mean of.
struct operand {
  std::string name;
  std::vector<gantry::train::latent_choice> choices;
};

/// A row for each of a, b and c: its images and, in the last column, that of their mean latent;
/// below, a - b + c. `rescale` gives means and result the usual length of a latent.
latent_grid arithmetic_grid(const std::vector<operand>& abc, std::size_t size, bool rescale);

/// From the mean of the first to that of the second operand in so many images: a row of linear
/// interpolation, and a row of spherical.
latent_grid path_grid(const std::vector<operand>& ends, std::size_t size, bool rescale,
                      std::size_t steps);
