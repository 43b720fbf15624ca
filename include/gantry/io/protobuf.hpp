// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "gantry/io/file.hpp"

namespace gantry::inline v0::io {

/// A message in protobuf's wire format, field by field. Fields of value 0 are written, too.
class protobuf_message {
 public:
  protobuf_message& integer(std::uint32_t field, std::int64_t value) {
    key(field, 0);
    varint(static_cast<std::uint64_t>(value));
    return *this;
  }
  protobuf_message& real32(std::uint32_t field, float value) {
    key(field, 5);
    little_endian(std::bit_cast<std::uint32_t>(value), 4);
    return *this;
  }
  protobuf_message& real64(std::uint32_t field, double value) {
    key(field, 1);
    little_endian(std::bit_cast<std::uint64_t>(value), 8);
    return *this;
  }
  protobuf_message& bytes(std::uint32_t field, std::span<const std::byte> content) {
    key(field, 2);
    varint(content.size());
    out_.insert(out_.end(), content.begin(), content.end());
    return *this;
  }
  protobuf_message& text(std::uint32_t field, std::string_view content) {
    return bytes(field, text_bytes(content));
  }
  protobuf_message& message(std::uint32_t field, const protobuf_message& inner) {
    return bytes(field, inner.out_);
  }
  protobuf_message& packed(std::uint32_t field, std::span<const double> values) {
    key(field, 2);
    varint(values.size() * sizeof(double));
    for (const double v : values) little_endian(std::bit_cast<std::uint64_t>(v), 8);
    return *this;
  }
  /// All fields of another message behind those that are there.
  protobuf_message& fields_of(const protobuf_message& other) {
    out_.insert(out_.end(), other.out_.begin(), other.out_.end());
    return *this;
  }

  [[nodiscard]] bool is_empty() const { return out_.empty(); }
  [[nodiscard]] std::span<const std::byte> encoded() const { return out_; }

 private:
  void key(std::uint32_t field, std::uint32_t wire_type) { varint(field << 3 | wire_type); }
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7)
      out_.push_back(static_cast<std::byte>(value & 0x7F) | std::byte{0x80});
    out_.push_back(static_cast<std::byte>(value));
  }
  void little_endian(std::uint64_t value, int count) {
    for (int i = 0; i < count; ++i) out_.push_back(static_cast<std::byte>(value >> 8 * i & 0xFF));
  }

  std::vector<std::byte> out_;
};

}  // namespace gantry::io
