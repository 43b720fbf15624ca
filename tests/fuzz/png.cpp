// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Any bytes are a PNG image of at most 2^20 pixels or end in one data_error.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "gantry/base/error.hpp"
#include "gantry/concepts/image_source.hpp"
#include "gantry/io/png_decoder.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  gantry::image8 out;
  try {
    gantry::io::decode_png(std::span(data, size), "input", 1 << 20, out);
  } catch (const gantry::data_error&) {
    return 0;
  }
  if (out.channels != 1 && out.channels != 3) std::abort();
  const auto pixels = static_cast<std::size_t>(out.height) * static_cast<std::size_t>(out.width);
  if (pixels > 1 << 20 || out.pixels.size() != pixels * static_cast<std::size_t>(out.channels))
    std::abort();
  return 0;
}
