// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random
// numbers: as easy as 1, 2, 3", SC 2011). A number is a pure function of (seed, step, worker,
// purpose, salt, index), so a stream is the same on every backend, for any number of threads or
// ranks, and after a resume.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

namespace gantry::inline v0 {

/// What a stream is drawn for; part of the counter, so streams never overlap.
enum class purpose : std::uint32_t {
  initialise = 1,  ///< initial weights; worker = player, salt = layer
  latent,          ///< generator inputs while training; salt = batch
  shuffle,         ///< order of a shard; step = epoch
  partition,       ///< which sample goes to which worker
  dropout,         ///< masks; salt = pass and layer
  swap,            ///< who gets whose discriminator; step = iteration
  fixed_latent,    ///< latents of the sample grid
  evaluation,      ///< latents of generated samples that are scored
  user,            ///< free for programs built on the library
  penalty,         ///< where gradient penalties are taken; salt = local step and penalty
  augment,         ///< changes of images in front of a discriminator; salt = pass and change
  noise = 32,      ///< added to messages; step = message, salt = kind and receiver
  faults = 33,     ///< drop-outs and stalls of modelled nodes; step = round or call
  selection = 34,  ///< who takes part in a round, modelled channels and arrivals; step = round
};

/// Names one stream: key = seed, counter = (index, step, worker, purpose and salt).
struct stream_id {
  std::uint64_t seed{};
  std::uint32_t step{};
  std::uint32_t worker{};
  purpose use{purpose::user};
  std::uint32_t salt{};  ///< 24 bits
  friend constexpr bool operator==(const stream_id&, const stream_id&) = default;
};

namespace philox {

using block = std::array<std::uint32_t, 4>;
using key = std::array<std::uint32_t, 2>;

/// Multipliers of a round, and what it adds to the key.
inline constexpr std::uint64_t m0 = 0xD2511F53u, m1 = 0xCD9E8D57u;
inline constexpr std::uint32_t w0 = 0x9E3779B9u, w1 = 0xBB67AE85u;

/// Ten rounds of Philox4x32 on one counter.
constexpr block generate(block counter, key k) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = m0 * counter[0], p1 = m1 * counter[2];
    counter = {
        static_cast<std::uint32_t>(p1 >> 32) ^ counter[1] ^ k[0], static_cast<std::uint32_t>(p1),
        static_cast<std::uint32_t>(p0 >> 32) ^ counter[3] ^ k[1], static_cast<std::uint32_t>(p0)};
    k[0] += w0;
    k[1] += w1;
  }
  return counter;
}

/// Block `index` of a stream: four independent 32-bit words.
constexpr block at(const stream_id& id, std::uint32_t index) {
  const std::uint32_t tag = static_cast<std::uint32_t>(id.use) | (id.salt << 8);
  return generate({index, id.step, id.worker, tag},
                  {static_cast<std::uint32_t>(id.seed), static_cast<std::uint32_t>(id.seed >> 32)});
}

/// The words of blocks `index`, `index` + 1 and so on of a stream, as `at` gives them; as many as
/// `out`, a multiple of 4, has room for. 16 blocks at a time go through the rounds, so that each
/// step of a round is a loop over a vector.
inline void fill(const stream_id& id, std::uint32_t index, std::span<std::uint32_t> out) {
  constexpr std::size_t lanes = 16;
  const std::uint32_t tag = static_cast<std::uint32_t>(id.use) | (id.salt << 8);
  std::size_t done = 0;
  for (; done + 4 * lanes <= out.size(); done += 4 * lanes, index += lanes) {
    std::uint32_t word[4][lanes];
    for (std::uint32_t i = 0; i < lanes; ++i) {
      word[0][i] = index + i;
      word[1][i] = id.step;
      word[2][i] = id.worker;
      word[3][i] = tag;
    }
    key k{static_cast<std::uint32_t>(id.seed), static_cast<std::uint32_t>(id.seed >> 32)};
    for (int round = 0; round < 10; ++round) {
      for (std::size_t i = 0; i < lanes; ++i) {
        const std::uint64_t p0 = m0 * word[0][i], p1 = m1 * word[2][i];
        word[0][i] = static_cast<std::uint32_t>(p1 >> 32) ^ word[1][i] ^ k[0];
        word[1][i] = static_cast<std::uint32_t>(p1);
        word[2][i] = static_cast<std::uint32_t>(p0 >> 32) ^ word[3][i] ^ k[1];
        word[3][i] = static_cast<std::uint32_t>(p0);
      }
      k[0] += w0;
      k[1] += w1;
    }
    for (std::size_t i = 0; i < lanes; ++i)
      for (std::size_t j = 0; j < 4; ++j) out[done + 4 * i + j] = word[j][i];
  }
  for (; done + 4 <= out.size(); done += 4)
    std::ranges::copy(at(id, index++), out.begin() + static_cast<std::ptrdiff_t>(done));
}

/// Maps a word to (0, 1]: never 0, so its logarithm is finite.
constexpr float to_unit(std::uint32_t word) {
  return static_cast<float>((word >> 8) + 1) * 0x1.0p-24f;
}

}  // namespace philox

/// Uniform number `index` of a stream, in (0, 1]: word index % 4 of block index / 4.
constexpr float uniform_at(const stream_id& id, std::size_t index) {
  return philox::to_unit(philox::at(id, static_cast<std::uint32_t>(index / 4))[index % 4]);
}

/// Fills `out` with N(0, 1): element i comes from block i / 4 (Box-Muller on word pairs).
template <class T>
void fill_normal(std::span<T> out, const stream_id& id) {
  for (std::size_t i = 0; i < out.size(); i += 4) {
    const philox::block words = philox::at(id, static_cast<std::uint32_t>(i / 4));
    for (std::size_t pair = 0; pair < 2; ++pair) {
      const double radius = std::sqrt(-2.0 * std::log(philox::to_unit(words[2 * pair])));
      const double angle = 2.0 * std::numbers::pi * philox::to_unit(words[2 * pair + 1]);
      const double value[2] = {radius * std::cos(angle), radius * std::sin(angle)};
      for (std::size_t j = 0; j < 2 && i + 2 * pair + j < out.size(); ++j)
        out[i + 2 * pair + j] = static_cast<T>(value[j]);
    }
  }
}

/// Draws one after the other from a stream; for host code that needs a sequence rather than an
/// index.
class random_sequence {
 public:
  explicit random_sequence(const stream_id& id) : id_(id) {}

  /// Next 32 random bits.
  std::uint32_t next() {
    if (used_ == 4) {
      words_ = philox::at(id_, index_++);
      used_ = 0;
    }
    return words_[used_++];
  }

  /// Uniform in (0, 1].
  float uniform() { return philox::to_unit(next()); }

  /// Uniform in [0, bound) without modulo bias (Lemire's multiply and reject); bound > 0.
  std::uint32_t below(std::uint32_t bound) {
    const std::uint32_t threshold = (0u - bound) % bound;
    for (;;) {
      const std::uint64_t product = static_cast<std::uint64_t>(next()) * bound;
      if (static_cast<std::uint32_t>(product) >= threshold)
        return static_cast<std::uint32_t>(product >> 32);
    }
  }

 private:
  stream_id id_;
  philox::block words_{};
  std::uint32_t index_{};
  unsigned used_{4};
};

/// Uniformly random permutation of 0 .. n-1 (Fisher-Yates), a pure function of the stream.
inline std::vector<std::uint32_t> random_permutation(std::uint32_t n, const stream_id& id) {
  std::vector<std::uint32_t> order(n);
  std::iota(order.begin(), order.end(), 0u);
  random_sequence draw(id);
  for (std::uint32_t i = n; i > 1; --i) std::swap(order[i - 1], order[draw.below(i)]);
  return order;
}

}  // namespace gantry
