// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "gantry/io/json.hpp"

namespace gantry::inline v0::train {

/// How good generated images are, with what the two figures depend on. They are comparable only
/// where counts and hash agree.
struct evaluation {
  double fid{};  ///< Frechet distance in the classifier's features, 0 is best; not the FID of an
                 ///< Inception network
  double classifier_score{};  ///< 1 .. number of classes, higher is better; NaN without classes
  std::int64_t generated{};   ///< images scored
  std::int64_t reference{};   ///< real images they are compared with
  std::string feature_network;
  std::string feature_hash;
  double seconds{};
  std::vector<std::pair<std::string, double>> more{};  ///< other figures, by name
};

/// For log files.
inline io::json::object to_json(const evaluation& e) {
  io::json::object all{{"fid", e.fid}};
  if (std::isfinite(e.classifier_score)) all.set("classifier_score", e.classifier_score);
  all.set("generated", e.generated);
  all.set("reference", e.reference);
  all.set("feature_network", e.feature_network);
  all.set("feature_sha256", e.feature_hash);
  all.set("seconds", e.seconds);
  for (const auto& [name, value] : e.more) all.set(name, value);
  return all;
}

}  // namespace gantry::train
