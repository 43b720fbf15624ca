// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Any bytes are a zip archive or end in one data_error. Entries of an archive do not overlap, and
// each can be read or is refused.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/io/image_zip.hpp"
#include "gantry/io/random_reader.hpp"
#include "gantry/io/zip.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace gantry::io;
  const std::vector<std::uint8_t> contents(data, data + size);
  try {
    const zip_archive archive(random_reader(contents, "input"));
    std::uint64_t packed = 0;
    for (const zip_entry& entry : archive.entries()) {
      packed += entry.packed;
      if (packed > size) std::abort();
      try {
        if (archive.read(entry, 1 << 26).size() != entry.size) std::abort();
      } catch (const gantry::data_error&) {}
    }
    const image_zip set(random_reader(contents, "input"), {});
    if (set.size() == 0) std::abort();
  } catch (const gantry::data_error&) {}
  return 0;
}
