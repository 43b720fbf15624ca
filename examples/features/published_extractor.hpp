// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "gantry/tensor/shape.hpp"

#include "gantry-train/feature_extractor.hpp"

/// The network with published weights that --features names, for images of all extents; the first
/// are of `shape`. @throws gantry::usage_error for another text or extents that do not fit,
/// gantry::data_error if the file is missing, damaged or of another network
std::unique_ptr<feature_extractor> load_published_network(const std::string& text,
                                                          gantry::hwc shape, int threads);
