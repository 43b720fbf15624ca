// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// NumPy's .npy files (format 1.0, numpy/lib/format.py) of floats or bytes.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/io/file.hpp"

namespace gantry::inline v0::io {

namespace detail {

/// A file of numbers of this type ("<f4") and size.
inline std::vector<std::byte> encode_npy(const std::string& type, std::size_t size,
                                         std::span<const std::byte> values,
                                         const std::vector<std::size_t>& shape) {
  std::size_t count = 1;
  std::string extents;
  for (const std::size_t extent : shape) {
    count *= extent;
    extents += std::to_string(extent) + ", ";
  }
  expects(count == values.size() / size,
          "an array file needs as many values as its shape has places; correct the shape");
  if (shape.size() > 1) extents.resize(extents.size() - 2);
  if (shape.size() == 1) extents.pop_back();
  std::string header =
      "{'descr': '" + type + "', 'fortran_order': False, 'shape': (" + extents + "), }";
  constexpr std::size_t magic_size = 10, alignment = 64;
  header.append(alignment - 1 - (magic_size + header.size()) % alignment, ' ');
  header += '\n';
  std::string start("\x93NUMPY\x01\x00", 8);
  start += static_cast<char>(header.size() & 0xFF);
  start += static_cast<char>(header.size() >> 8);
  start += header;
  std::vector<std::byte> out(start.size() + values.size());
  std::memcpy(out.data(), start.data(), start.size());
  if (!values.empty()) std::memcpy(out.data() + start.size(), values.data(), values.size());
  return out;
}

}  // namespace detail

/// The bytes of a file with floats of this shape, C order; numpy.load() reads it.
/// @throws usage_error if the shape does not fit the number of values
inline std::vector<std::byte> encode_npy(std::span<const float> values,
                                         const std::vector<std::size_t>& shape) {
  static_assert(std::endian::native == std::endian::little,
                ".npy files are written as little-endian floats; convert them on this machine");
  return detail::encode_npy("<f4", sizeof(float), std::as_bytes(values), shape);
}

/// As encode_npy, of whole numbers from 0 to 255.
inline std::vector<std::byte> encode_npy_bytes(std::span<const std::uint8_t> values,
                                               const std::vector<std::size_t>& shape) {
  return detail::encode_npy("|u1", 1, std::as_bytes(values), shape);
}

/// Writes such a file atomically. @throws usage_error as encode_npy, error if it cannot be written
inline void write_npy(const std::filesystem::path& path, std::span<const float> values,
                      const std::vector<std::size_t>& shape) {
  write_file_atomic(path, encode_npy(values, shape));
}

}  // namespace gantry::io
