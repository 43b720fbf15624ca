// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// From an image of any size to one of a network's.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "gantry/concepts/image_source.hpp"
#include "gantry/tensor/shape.hpp"

#include "pack.hpp"

/// Crops, converts between grey and colour, and resizes. A copy per thread: it keeps its memory.
class image_fitter {
 public:
  explicit image_fitter(const pack_settings& settings);
  void operator()(const gantry::image8& from, gantry::hwc extents, std::span<std::uint8_t> out);

 private:
  bool crops_;
  int filter_;
  gantry::image8 cut_, narrow_;
};

image_fitter fitter_of(const pack_settings& settings);
