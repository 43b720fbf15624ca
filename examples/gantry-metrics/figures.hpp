// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// From images to figures.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "gantry/comm/any.hpp"
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

/// Which of them are kept beside the features, the same on all ranks.
struct kept_results {
  bool probabilities{false}, images{false};
};
/// Every rank looks at its share, rank 0 has all of them; the others have nothing. Who has looked
/// at what leaves no trace in the numbers.
seen_images look_at(const image_stream& stream, feature_extractor& network, kept_results kept,
                    gantry::comm::any_communicator& comm);

/// Features of real images, from the cache of rank 0 if it has them; all ranks call it and rank 0
/// has them. `set_hash` is of the whole set.
std::vector<float> reference_features(const metrics_options& o, const image_stream& real,
                                      const std::string& set_hash, feature_extractor& network,
                                      gantry::comm::any_communicator& comm, const note_sink& note);

/// @throws gantry::data_error on rank 0 for another one that scores other images, compares with
/// others or has another network, all of which `text` names
void require_agreement(gantry::comm::any_communicator& comm, const std::string& text);

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
std::string table_of(const figures& f, int is_splits);
/// For programs.
gantry::io::json::object to_json(const figures& f);
