// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <new>
#include <span>

#include <zlib.h>

namespace gantry::inline v0::io {

/// Inflates raw deflate data (RFC 1951) that fill `out` to the last byte; false if they are
/// damaged, too long or too short.
inline bool inflate_exactly(std::span<const std::uint8_t> packed, std::span<std::uint8_t> out) {
  struct inflater {
    z_stream z{};
    inflater() {
      if (::inflateInit2(&z, -MAX_WBITS) != Z_OK) throw std::bad_alloc();
    }
    inflater(const inflater&) = delete;
    inflater& operator=(const inflater&) = delete;
    ~inflater() { ::inflateEnd(&z); }
  } stream;
  // Spans can be longer than zlib's 32-bit counters.
  constexpr std::size_t step = std::size_t{1} << 30;
  std::uint8_t beyond = 0;  // zlib wants a place to write to, even for nothing
  std::size_t taken = 0, made = 0;
  for (;;) {
    const std::size_t in = std::min(packed.size() - taken, step);
    const std::size_t room = std::min(out.size() - made, step);
    stream.z.next_in = const_cast<Bytef*>(packed.data() + taken);
    stream.z.avail_in = static_cast<uInt>(in);
    stream.z.next_out = room == 0 ? &beyond : out.data() + made;
    stream.z.avail_out = static_cast<uInt>(room);
    const int status = ::inflate(&stream.z, Z_NO_FLUSH);
    taken += in - stream.z.avail_in;
    made += room - stream.z.avail_out;
    if (status == Z_STREAM_END) return taken == packed.size() && made == out.size();
    const bool moved = stream.z.avail_in < in || stream.z.avail_out < room;
    if (status != Z_OK || !moved) return false;
  }
}

}  // namespace gantry::io
