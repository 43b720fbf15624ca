// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "gantry-train/data_sets.hpp"
#include "images.hpp"
#include "options.hpp"

/// What is scored, and what against.
struct comparison {
  program_options program;  ///< as gantry-train would have it
  bool published{false};
  image_stream scored, real;
  std::string real_hash;
  data_sets sets;  ///< as gantry-train has them, if a classifier of them is needed
};

/// As one node computes, with so many threads. @throws gantry::usage_error for figures or features
/// that such images have not, gantry::data_error for images that cannot be read
comparison read_comparison(const metrics_options& o, int threads);
