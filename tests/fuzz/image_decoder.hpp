// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "gantry/base/error.hpp"
#include "gantry/concepts/image_source.hpp"

/// The bytes are an image of at most 2^20 pixels for the decoder or end in one data_error.
template <class Decode>
int decode_any_bytes(const std::uint8_t* data, std::size_t size, Decode decode) {
  gantry::image8 out;
  try {
    decode(std::span(data, size), "input", 1 << 20, out);
  } catch (const gantry::data_error&) {
    return 0;
  }
  if (out.channels != 1 && out.channels != 3) std::abort();
  const auto pixels = static_cast<std::size_t>(out.height) * static_cast<std::size_t>(out.width);
  if (pixels > 1 << 20 || out.pixels.size() != pixels * static_cast<std::size_t>(out.channels))
    std::abort();
  return 0;
}
