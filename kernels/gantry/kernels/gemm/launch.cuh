// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gantry/kernels/gemm/kernel.cuh"
#include "gantry/ops/linear.hpp"

namespace gantry::inline v0::kernels {

namespace detail {

/// Gives a problem the scratch for its sums over results, or over lines, beside the split's.
/// @returns floats that it takes, and tickets
struct claimed {
  std::size_t floats, tickets;
};
inline claimed claim_sums(const context& c, result_sums& s, const dim3& grid,
                          const gemm_policy& p) {
  if (s.kind == sums_kind::none) return {};
  const std::size_t blocks = std::size_t{grid.x} * grid.z;  // not cut yet
  s.partials = c.partials + s.reserved;
  s.tickets = c.tickets;
  const auto batches = static_cast<std::size_t>(s.batches);
  return {s.reserved + batches * blocks * grid.y * static_cast<std::size_t>(p.columns) * 4, grid.y};
}
template <class Left, class Right, class Fusion>
claimed claim_scratch(const context& c, gemm_problem<Left, Right, matrix_result<Fusion>>& problem,
                      const dim3& grid, const gemm_policy& p) {
  if constexpr (std::is_same_v<Fusion, product_fusion>) {
    return claim_sums(c, problem.result.fusion.sums, grid, p);
  } else {
    const std::size_t reserved = problem.result.fusion.norm.reserved();
    if (!problem.lines.to) return {reserved, 0};
    problem.lines.partials = c.partials + reserved;
    return {reserved + std::size_t{grid.x} * static_cast<std::size_t>(p.rows * most_pieces), 0};
  }
}
template <class Problem>
requires requires(Problem& problem) { problem.fusion.sums; }
claimed claim_scratch(const context& c, Problem& problem, const dim3& grid, const gemm_policy& p) {
  return claim_sums(c, problem.fusion.sums, grid, p);
}

/// Whether a product's load does the pass of a batch norm.
template <class Problem>
bool normalises(const Problem& problem) {
  if constexpr (requires { problem.fusion; })
    return problem.fusion.norm.y != nullptr;
  else if constexpr (requires { problem.result.fusion.norm.y; })
    return problem.result.fusion.norm.y != nullptr;
  else
    return problem.result.fusion.norm.dx != nullptr;
}

/// Starts the kernel that `kernel<selector>` names for a problem, by the tile and the split that
/// its shape gets; a split needs partials and tickets, and is smaller where there are few. Most:
/// the extents that are known at compile time, so that no kernel is built that no launch would
/// choose.
template <gemm_shape Most, gemm_math Math, class Problem, class KernelOf>
void start_product(const math_context<Math>& c, const gemm_shape& shape, Problem problem,
                   KernelOf kernel_of) {
  if (shape.rows == 0) return;
  gemm_choice choice = select_gemm(shape, Math, c.multiprocessors);
  const auto go = [&]<class Selector>(Selector selector) {
    constexpr gemm_policy p = Selector::policy;
    dim3 grid(static_cast<unsigned>(ceil_div(shape.rows, p.rows)),
              static_cast<unsigned>(ceil_div(shape.columns, p.columns)),
              static_cast<unsigned>(shape.phases));
    const claimed sums = claim_scratch(c, problem, grid, p);
    expects(c.partial_count >= sums.floats && c.ticket_count >= sums.tickets,
            "A product that adds up its results needs scratch for four numbers per column and "
            "block, found less; make the context's scratch larger.");
    const auto tiles = static_cast<std::size_t>(gemm_tiles(shape, p));
    const std::size_t floats = tiles * p.rows * p.columns;
    if (tiles > c.ticket_count - sums.tickets) choice.split = 1;
    const auto room = static_cast<int>(
        std::min<std::size_t>((c.partial_count - sums.floats) / floats, most_pieces));
    choice.split = std::clamp(choice.split, 1, std::max(1, room));
    problem.split = {choice.split, c.partials + sums.floats, c.tickets + sums.tickets};
    grid.z *= static_cast<unsigned>(choice.split);
    using tile = gemm_tile<Math, p>;
    start(c, kernel_of(selector),
          {grid, static_cast<unsigned>(p.threads()), sizeof(typename tile::shared_storage)},
          problem);
  };
  if constexpr (is_worth_large(Most, Math)) {
    constexpr bool has_room = gemm_policy_of(Math, gemm_size::large).has_room_for_norm();
    if (choice.size == gemm_size::large && (has_room || !normalises(problem)))
      return go(gemm_selector<Math, gemm_size::large>{});
  }
  go(gemm_selector<Math, gemm_size::small>{});
}

template <gemm_shape Most, gemm_math Math, class Left, class Right, class Result>
void start_gemm(const math_context<Math>& c, const Left& left, const Right& right,
                const Result& result, const line_sums& lines = {}) {
  using problem = gemm_problem<Left, Right, Result>;
  start_product<Most>(c, {left.lines, right.lines, left.depth},
                      problem{left, right, result, left.depth, {}, lines},
                      []<class Selector>(Selector) { return gemm_kernel<Selector, problem>; });
}

/// Where a product's left operand is read. @throws usage_error if its load cannot do what is asked
inline const float* left_source(const float* data, const norm_pass& norm, bool takes_norm) {
  if (!norm.y) return data;
  expects(norm.y == data && takes_norm && norm.fits_load(),
          "A product that normalises what it loads needs pixels of whole, aligned packs of four "
          "that it sees all; start the norm by itself.");
  return norm.x;
}

/// The same for an operand of a weight gradient, which is dy or x. @throws usage_error
inline const float* operand_source(const float* data, const norm_gradient_pass& norm,
                                   bool takes_norm) {
  if (!norm.dx || norm.dx != data) return data;
  expects(takes_norm && norm.fits_load(),
          "A product that normalises what it loads needs pixels of whole, aligned packs of four "
          "that it sees all; start the norm by itself.");
  return norm.dy;
}

template <bool AlongDepth>
matrix_operand<AlongDepth> matrix(const float* data, int lines, int depth) {
  return {data, lines, depth, allow_packs(data) && (AlongDepth ? depth : lines) % 4 == 0};
}

template <class Fusion>
matrix_result<Fusion> result(float* data, int rows, int columns, const Fusion& fusion) {
  bool packs = allow_packs(data) && columns % 4 == 0;
  if constexpr (requires { fusion.gate; }) packs = packs && allow_packs(fusion.gate);
  return {data, nullptr, rows, columns, false, packs, fusion};
}

}  // namespace detail

/// Whether a product's load can do the pass of a batch norm of so many channels over its input.
template <class Op>
constexpr bool loads_norm(Op, int) {
  return false;
}
template <linear_geometry G>
constexpr bool loads_norm(ops::linear_forward<G>, int channels) {
  return G.in.size() % channels == 0;
}

/// Whether a weight gradient's load can do the gradient of a batch norm of so many channels, whose
/// dx is its dy, or its x.
template <class Op>
constexpr bool loads_norm_gradient(Op, int, bool) {
  return false;
}
template <linear_geometry G>
constexpr bool loads_norm_gradient(ops::linear_backward_weights<G>, int channels, bool is_dy) {
  return is_dy && G.out % channels == 0;
}

/// With what the fusion asks for in the same launch.
template <gemm_math Math, linear_geometry G>
void launch(const math_context<Math>& c, ops::linear_forward<G> op,
            const params_of<ops::linear_forward<G>>& p, const product_fusion& fusion = {}) {
  const bool takes_norm = loads_norm(op, std::max(1, fusion.norm.channels));
  auto y = detail::result(p.y.data, p.x.n, G.out, fusion);
  y.bias = p.bias;
  detail::start_gemm<gemm_shape{any_extent, G.out, G.in.size()}>(
      c,
      detail::matrix<true>(detail::left_source(p.x.data, fusion.norm, takes_norm), p.x.n,
                           G.in.size()),
      detail::matrix<true>(p.weight, G.out, G.in.size()), y);
}

template <gemm_math Math, linear_geometry G>
void launch(const math_context<Math>& c, ops::linear_backward_data<G>,
            const params_of<ops::linear_backward_data<G>>& p, const product_fusion& fusion = {}) {
  auto dx = detail::result(p.dx.data, p.dy.n, G.in.size(), fusion);
  dx.accumulate = p.accumulate;
  detail::start_gemm<gemm_shape{any_extent, G.in.size(), G.out}>(
      c, detail::matrix<true>(p.dy.data, p.dy.n, G.out),
      detail::matrix<false>(p.weight, G.in.size(), G.out), dx);
}

template <gemm_math Math, linear_geometry G>
void launch(const math_context<Math>& c, ops::linear_backward_weights<G> op,
            const params_of<ops::linear_backward_weights<G>>& p,
            const weights_fusion& fusion = {}) {
  const norm_gradient_pass& norm = fusion.norm_gradient;
  expects(!norm.dx || norm.dx == p.dy.data,
          "A dense layer's weight gradient normalises its dy; start the norm by itself.");
  const bool takes_norm = loads_norm_gradient(op, std::max(1, norm.channels), true);
  auto dweight =
      detail::result(p.dweight, G.out, G.in.size(), gradient_norm_fusion<false>{norm, false});
  dweight.accumulate = true;
  detail::start_gemm<gemm_shape{G.out, G.in.size(), any_extent}>(
      c, detail::matrix<false>(detail::operand_source(p.dy.data, norm, takes_norm), G.out, p.dy.n),
      detail::matrix<false>(p.x.data, G.in.size(), p.x.n), dweight, {fusion.line_sums});
}

}  // namespace gantry::kernels
