// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Any bytes are a JPEG image of at most 2^20 pixels or end in one data_error.
#include <cstddef>
#include <cstdint>

#include "gantry/io/jpeg_decoder.hpp"

#include "image_decoder.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return decode_any_bytes(data, size, gantry::io::decode_jpeg);
}
