// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Tuning is data: an aggregate per kind of kernel. An op's policy.hpp has a stateless selector that
// returns one; kernels are templates on the selector's type.
#pragma once

#include <bit>

namespace gantry::inline v0::kernels {

/// A kernel that touches every number of some arrays once.
struct stream_policy {
  int threads;                    ///< of a block
  int width;                      ///< numbers that a thread moves with one instruction
  int blocks_per_multiprocessor;  ///< more work than these have goes through a loop
  friend constexpr bool operator==(const stream_policy&, const stream_policy&) = default;
};

/// Sixteen bytes at a time where all arrays allow that: memory is the limit, so the number of loads
/// in flight counts and nothing else does.
struct stream_policy_selector {
  constexpr stream_policy operator()(bool aligned) const { return {256, aligned ? 4 : 1, 8}; }
};

/// A kernel that adds up rows of numbers.
struct row_policy {
  int threads;      ///< of a block
  int row_threads;  ///< of a row: a warp or the block
  [[nodiscard]] constexpr int rows() const { return threads / row_threads; }
  friend constexpr bool operator==(const row_policy&, const row_policy&) = default;
};

/// A block only for rows that give each thread several terms.
template <int Terms>
struct row_policy_selector {
  constexpr row_policy operator()() const { return {256, Terms < 1024 ? 32 : 256}; }
};

/// A kernel that adds up per channel over samples and pixels.
struct channel_policy {
  int threads;
  int channels;                   ///< of a block: neighbouring threads
  int rows;                       ///< that a thread adds before a further block is worth it
  int blocks_per_multiprocessor;  ///< of all groups of channels together
  [[nodiscard]] constexpr int lines() const { return threads / channels; }
  friend constexpr bool operator==(const channel_policy&, const channel_policy&) = default;
};

/// A warp reads 32 channels of a pixel; where there are fewer, several pixels.
template <int Channels>
struct channel_policy_selector {
  constexpr channel_policy operator()() const {
    constexpr int few = static_cast<int>(std::bit_ceil(static_cast<unsigned>(Channels)));
    return {256, few < 32 ? few : 32, 16, 4};
  }
};

/// How the products of fp32 matrices are computed. Sums are fp32 everywhere. bf16x3 and bf16x6
/// split every number into two or three bf16 parts and add up three or six products of parts.
enum class gemm_math { fp32, tf32, bf16, bf16x3, bf16x6 };

}  // namespace gantry::kernels
