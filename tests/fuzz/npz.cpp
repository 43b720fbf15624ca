// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Any bytes are an archive of images and labels or end in one data_error; all images of an archive
// can be read.
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
    const array_images set = open_npz(random_reader(std::vector(data, data + size), "input"));
    gantry::image8 out;
    for (std::size_t i = 0; i < set.size() && i < 1000; ++i) {
      set.decode(i, out);
      if (out.pixels.empty()) std::abort();
      if (set.classes() != 0 && set.label(i) >= set.classes()) std::abort();
    }
  } catch (const gantry::data_error&) {}
  return 0;
}
