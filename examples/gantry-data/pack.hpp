// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// From a data set at a path to a packed one, which is kept for the next time.
#pragma once

#include <filesystem>
#include <string>

#include "gantry/data/image_fitter.hpp"
#include "gantry/data/packed.hpp"
#include "gantry/io/sha256.hpp"
#include "gantry/tensor/shape.hpp"
#include "gantry/train/pack_images.hpp"

#include "picture_set.hpp"

/// How images become those of a packed file.
struct pack_settings {
  gantry::hwc image{64, 64, 3};
  std::string crop{"centre"}, filter{"lanczos"};  ///< by their names
  std::string attribute{};                        ///< of CelebA
  int threads{0};                                 ///< that decode; 0: one for each core
  bool quiet{false};                              ///< no progress
};

/// @throws gantry::usage_error for a crop or filter of another name
gantry::data::image_fitter fitter_of(const pack_settings& settings);

/// "12.50" for (12.5, 2)
std::string decimals(double value, int digits);

/// "28 x 28 x 1"
std::string extents_text(gantry::hwc image);

/// SHA-256 of the names, sizes and times of the files at a path and of the settings: equal where
/// packing again would give the same file. Reads no contents.
/// @throws gantry::data_error if the path cannot be listed
gantry::io::sha256::digest_type pack_key(const std::filesystem::path& path,
                                         const pack_settings& settings);

/// Packs with progress on stderr. @throws as gantry::train::pack_images
gantry::train::pack_report pack(const picture_set& pictures, const pack_settings& settings,
                                const std::filesystem::path& target,
                                const gantry::io::sha256::digest_type& key);

/// One sentence on what packing took.
std::string pack_text(const gantry::train::pack_report& report, gantry::hwc image);

/// A data set at the extents of a network.
struct fitted_pictures {
  gantry::data::packed_images packed;
  std::string note;  ///< what was done for it, for the user
};

/// Maps the packed copy of the data set at `path`: the file itself if it is one of these extents,
/// the copy that an earlier call left in `cache`, or a new one.
/// @throws gantry::data_error for what is damaged, gantry::usage_error if the cache cannot be
/// written
fitted_pictures fit_pictures(const std::filesystem::path& path, const pack_settings& settings,
                             const std::filesystem::path& cache);

/// $XDG_CACHE_HOME/gantry or ~/.cache/gantry; empty where neither is known.
std::filesystem::path user_cache();
