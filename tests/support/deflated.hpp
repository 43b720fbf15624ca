// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include <zlib.h>

namespace gantry::test {

/// What zlib makes of the bytes; `window` as deflateInit2 takes it: -15 bare, 15 + 16 a gzip
/// member.
inline std::vector<std::uint8_t> deflated(const std::vector<std::uint8_t>& contents, int level,
                                          int window) {
  z_stream z{};
  deflateInit2(&z, level, Z_DEFLATED, window, 8, Z_DEFAULT_STRATEGY);
  std::vector<std::uint8_t> out(deflateBound(&z, static_cast<uLong>(contents.size())) + 64);
  z.next_in = const_cast<Bytef*>(contents.data());
  z.avail_in = static_cast<uInt>(contents.size());
  z.next_out = out.data();
  z.avail_out = static_cast<uInt>(out.size());
  deflate(&z, Z_FINISH);
  out.resize(z.total_out);
  deflateEnd(&z);
  return out;
}

}  // namespace gantry::test
