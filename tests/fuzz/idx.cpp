// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Any bytes are IDX images, IDX labels or both are refused by one data_error each.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "gantry/base/error.hpp"
#include "gantry/data/byte_reader.hpp"
#include "gantry/data/idx.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace gantry::data;
  try {
    byte_reader in(std::span(data, size), "input");
    const idx_images images = read_idx_images(in);
    const std::size_t one = static_cast<std::size_t>(images.height) * images.width;
    if (images.pixels.size() != images.count * one) std::abort();
  } catch (const gantry::data_error&) {}
  try {
    byte_reader in(std::span(data, size), "input");
    for (const std::uint8_t label : read_idx_labels(in, {.classes = 10}))
      if (label >= 10) std::abort();
  } catch (const gantry::data_error&) {}
  return 0;
}
