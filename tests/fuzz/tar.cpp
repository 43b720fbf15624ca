// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Any bytes are a tar archive or end in one data_error; the entries lie in the archive, one behind
// the other.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <utility>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/io/random_reader.hpp"
#include "gantry/io/tar.hpp"
#include "gantry/io/webdataset.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace gantry::io;
  const std::vector<std::uint8_t> contents(data, data + size);
  try {
    std::uint64_t end = 0;
    for (const tar_entry& entry : read_tar(random_reader(contents, "input"))) {
      if (entry.at < end || entry.at > size || entry.size > size - entry.at) std::abort();
      end = entry.at + entry.size;
    }
    std::vector<random_reader> shards;
    shards.emplace_back(contents, "input");
    const webdataset set(std::move(shards), {});
    for (std::size_t i = 0; i < set.size(); ++i)
      if (set.classes() != 0 && set.label(i) >= set.classes()) std::abort();
  } catch (const gantry::data_error&) {}
  return 0;
}
