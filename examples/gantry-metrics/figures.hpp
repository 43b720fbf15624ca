// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// From images to figures.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "gantry/io/json.hpp"
#include "gantry/metrics/classifier_score.hpp"
#include "gantry/metrics/neighbourhoods.hpp"

#include "gantry-train/feature_extractor.hpp"
#include "images.hpp"
#include "options.hpp"

using note_sink = std::function<void(const std::string&)>;

/// What a network says about images.
struct seen_images {
  std::vector<float> features;       ///< [n][feature_count]
  std::vector<float> probabilities;  ///< [n][classes], if asked for
  std::vector<float> images;         ///< [n][h][w][c], if asked for
};

/// Which of them are kept beside the features.
struct kept_results {
  bool probabilities{false}, images{false};
};
seen_images look_at(const image_stream& stream, feature_extractor& network, kept_results kept);

/// Features of real images, from the cache if it has them. `set_hash` is of the whole set.
std::vector<float> reference_features(const metrics_options& o, const image_stream& real,
                                      const std::string& set_hash, feature_extractor& network,
                                      const note_sink& note);

/// Those that were asked for.
struct figures {
  std::optional<double> fid;
  std::optional<gantry::metrics::score> kid, is;
  std::optional<gantry::metrics::neighbourhood_score> prdc;
  std::optional<double> tstr;
};

/// All but tstr.
/// @throws gantry::error as the metrics do
figures compute_figures(const metrics_options& o, const seen_images& scored,
                        const std::vector<float>& real, const feature_extractor& network);

/// Lines for people, one for each figure.
std::string table_of(const figures& f);
/// For programs.
gantry::io::json::object to_json(const figures& f);
