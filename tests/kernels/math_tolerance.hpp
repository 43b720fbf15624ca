// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>

#include "gantry/kernels/common/policy.hpp"

#include "support/compare.hpp"

namespace gantry::test {

/// What rounding both factors costs a sum of `terms` products of numbers near 1, beside what fp32
/// sums cost: tf32 keeps 11 bits, bf16 8, two parts 16, three parts all 24.
inline tolerance math_tolerance(kernels::gemm_math math, int terms) {
  using enum kernels::gemm_math;
  const int bits = math == tf32 ? 11 : math == bf16 ? 8 : math == bf16x3 ? 16 : 24;
  const double lost = 6 * std::ldexp(1.0, -bits);
  const tolerance sum = product_tolerance(terms);
  return {sum.relative + lost, sum.absolute + lost * std::sqrt(static_cast<double>(terms))};
}

}  // namespace gantry::test
