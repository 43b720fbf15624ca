// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Any bytes are an array of images or end in one data_error; all images of an array can be read.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/concepts/image_source.hpp"
#include "gantry/io/array_images.hpp"
#include "gantry/io/random_reader.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace gantry::io;
  try {
    const array_images set = open_npy(random_reader(std::vector(data, data + size), "input"));
    gantry::image8 out;
    // No image is empty, so that there are no more than bytes.
    for (std::size_t i = 0; i < set.size(); ++i) {
      set.decode(i, out);
      if (out.pixels.empty()) std::abort();
    }
  } catch (const gantry::data_error&) {}
  return 0;
}
