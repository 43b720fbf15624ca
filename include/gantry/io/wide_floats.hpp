// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Tensors of any floating point type as floats.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <string_view>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/io/safetensors.hpp"

namespace gantry::inline v0::io {

constexpr bool is_floating(std::string_view dtype) {
  return dtype == "F32" || dtype == "F64" || dtype == "F16" || dtype == "BF16";
}

/// A half (IEEE 754 binary16) as a float, exactly.
inline float half_to_float(std::uint16_t bits) {
  const int exponent = (bits >> 10) & 31, fraction = bits & 1023;
  const float sign = (bits & 0x8000) != 0 ? -1.0f : 1.0f;
  if (exponent == 31)
    return fraction != 0 ? std::numeric_limits<float>::quiet_NaN()
                         : sign * std::numeric_limits<float>::infinity();
  if (exponent == 0) return sign * std::ldexp(static_cast<float>(fraction), -24);
  return sign * std::ldexp(static_cast<float>(1024 + fraction), exponent - 25);
}

/// A bfloat16 as a float, exactly: its upper half.
inline float bfloat16_to_float(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

/// The numbers of a tensor of a floating point type; those of F64 are rounded.
/// @throws usage_error for another type
inline std::vector<float> to_floats(const tensor_entry& entry) {
  expects(is_floating(entry.dtype),
          "a tensor becomes floats only from F32, F64, F16 or BF16; check its dtype first");
  const std::size_t size = dtype_size(entry.dtype);
  std::vector<float> values(entry.data.size() / size);
  const auto read = [&]<class Bits>(std::size_t i, Bits bits) {
    std::memcpy(&bits, entry.data.data() + i * size, sizeof bits);
    return bits;
  };
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (entry.dtype == "F32") values[i] = read(i, 0.0f);
    if (entry.dtype == "F64") values[i] = static_cast<float>(read(i, 0.0));
    if (entry.dtype == "F16") values[i] = half_to_float(read(i, std::uint16_t{}));
    if (entry.dtype == "BF16") values[i] = bfloat16_to_float(read(i, std::uint16_t{}));
  }
  return values;
}

}  // namespace gantry::io
