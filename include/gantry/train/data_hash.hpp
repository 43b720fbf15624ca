// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>

#include "gantry/data/image_set.hpp"
#include "gantry/io/sha256.hpp"

namespace gantry::inline v0::train {

/// SHA-256 over the pixels of a set and then its labels: tells data sets apart whose files have the
/// same names and sizes.
inline std::string data_sha256(const data::image_set& set) {
  io::sha256 hash;
  hash.update(std::as_bytes(set.all_pixels()));
  hash.update(std::as_bytes(std::span(set.labels)));
  return hash.hex();
}

}  // namespace gantry::train
