// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <span>
#include <string>

#include "gantry/base/hex.hpp"
#include "gantry/io/file.hpp"

namespace gantry::inline v0::io {

/// SHA-256 (FIPS 180-4) of bytes that arrive in pieces.
class sha256 {
 public:
  using digest_type = std::array<std::byte, 32>;

  void update(std::span<const std::byte> bytes) {
    length_ += bytes.size();
    while (!bytes.empty()) {
      const std::size_t taken = std::min(bytes.size(), block_.size() - held_);
      std::memcpy(block_.data() + held_, bytes.data(), taken);
      held_ += taken;
      bytes = bytes.subspan(taken);
      if (held_ == block_.size()) mix_block();
    }
  }

  /// The digest of everything so far; the object can be updated further.
  [[nodiscard]] digest_type digest() const {
    sha256 last = *this;
    std::array<std::byte, 72> padding{std::byte{0x80}};
    const std::size_t zeros_end = (held_ < 56 ? 56 : 120) - held_;
    store_big_endian(length_ * 8, padding.data() + zeros_end, 8);
    last.update(std::span(padding).first(zeros_end + 8));
    digest_type result{};
    for (std::size_t i = 0; i < 8; ++i) store_big_endian(last.state_[i], result.data() + 4 * i, 4);
    return result;
  }

  /// The digest as 64 lower-case hexadecimal digits.
  [[nodiscard]] std::string hex() const { return hex_of(digest()); }

 private:
  static void store_big_endian(std::uint64_t number, std::byte* to, std::size_t bytes) {
    for (std::size_t i = 0; i < bytes; ++i)
      to[i] = static_cast<std::byte>(number >> (8 * (bytes - 1 - i)));
  }

  void mix_block() {
    static constexpr std::uint32_t k[64] = {
        0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,
        0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
        0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,
        0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
        0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
        0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
        0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116,
        0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
        0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
        0xc67178f2};
    std::uint32_t w[64];
    for (std::size_t t = 0; t < 16; ++t) {
      w[t] = 0;
      for (std::size_t i = 0; i < 4; ++i)
        w[t] = w[t] << 8 | std::to_integer<std::uint32_t>(block_[4 * t + i]);
    }
    for (std::size_t t = 16; t < 64; ++t) {
      const std::uint32_t s0 = std::rotr(w[t - 15], 7) ^ std::rotr(w[t - 15], 18) ^ w[t - 15] >> 3;
      const std::uint32_t s1 = std::rotr(w[t - 2], 17) ^ std::rotr(w[t - 2], 19) ^ w[t - 2] >> 10;
      w[t] = w[t - 16] + s0 + w[t - 7] + s1;
    }
    auto [a, b, c, d, e, f, g, h] = state_;
    for (std::size_t t = 0; t < 64; ++t) {
      const std::uint32_t s1 = std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25);
      const std::uint32_t s0 = std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22);
      const std::uint32_t t1 = h + s1 + ((e & f) ^ (~e & g)) + k[t] + w[t];
      const std::uint32_t t2 = s0 + ((a & b) ^ (a & c) ^ (b & c));
      h = g, g = f, f = e, e = d + t1, d = c, c = b, b = a, a = t1 + t2;
    }
    const std::array<std::uint32_t, 8> mixed{a, b, c, d, e, f, g, h};
    for (std::size_t i = 0; i < 8; ++i) state_[i] += mixed[i];
    held_ = 0;
  }

  std::array<std::uint32_t, 8> state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<std::byte, 64> block_{};
  std::size_t held_ = 0;
  std::uint64_t length_ = 0;
};

/// SHA-256 of the bytes as 64 hexadecimal digits.
inline std::string sha256_hex(std::span<const std::byte> bytes) {
  sha256 hash;
  hash.update(bytes);
  return hash.hex();
}

/// SHA-256 of a file, read in pieces. @throws data_error if the file cannot be read
inline std::string sha256_file(const std::filesystem::path& path) {
  sha256 hash;
  for_each_chunk(path, [&](std::span<const std::byte> chunk) { hash.update(chunk); });
  return hash.hex();
}

}  // namespace gantry::io
