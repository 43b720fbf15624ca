// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Tuning is data: an aggregate per kind of kernel. An op's policy.hpp has a stateless selector that
// returns one; kernels are templates on the selector's type.
#pragma once

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

/// How the products of fp32 matrices are computed. Sums are fp32 everywhere. bf16x3 and bf16x6
/// split every number into two or three bf16 parts and add up three or six products of parts.
enum class gemm_math { fp32, tf32, bf16, bf16x3, bf16x6 };

}  // namespace gantry::kernels
