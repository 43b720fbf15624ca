// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gantry/kernels/gemm/kernel.cuh"
#include "gantry/ops/linear.hpp"

namespace gantry::inline v0::kernels {

/// y = f(x W^T + bias): a dense layer and its activation in one launch.
template <linear_geometry G, class Function>
struct linear_and_activation {
  params_of<ops::linear_forward<G>> linear;
  Function f;
};

namespace detail {

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
    const auto tiles = static_cast<std::size_t>(gemm_tiles(shape, p));
    const std::size_t floats = tiles * p.rows * p.columns;
    if (tiles > c.ticket_count) choice.split = 1;
    choice.split = std::clamp(
        choice.split, 1,
        std::max(1, static_cast<int>(std::min<std::size_t>(c.partial_count / floats, 1 << 10))));
    problem.split = {choice.split, c.partials, c.tickets};
    const dim3 grid(static_cast<unsigned>(ceil_div(shape.rows, p.rows)),
                    static_cast<unsigned>(ceil_div(shape.columns, p.columns)),
                    static_cast<unsigned>(shape.phases * choice.split));
    using tile = gemm_tile<Math, p>;
    start(c, kernel_of(selector),
          {grid, static_cast<unsigned>(p.threads()), sizeof(typename tile::shared_storage)},
          problem);
  };
  if constexpr (is_worth_large(Most, Math)) {
    if (choice.size == gemm_size::large) return go(gemm_selector<Math, gemm_size::large>{});
  }
  go(gemm_selector<Math, gemm_size::small>{});
}

template <gemm_shape Most, gemm_math Math, class Left, class Right, class Result>
void start_gemm(const math_context<Math>& c, const Left& left, const Right& right,
                const Result& result) {
  using problem = gemm_problem<Left, Right, Result>;
  start_product<Most>(c, {left.lines, right.lines, left.depth},
                      problem{left, right, result, left.depth, {}},
                      []<class Selector>(Selector) { return gemm_kernel<Selector, problem>; });
}

template <bool AlongDepth>
matrix_operand<AlongDepth> matrix(const float* data, int lines, int depth) {
  return {data, lines, depth, allow_packs(data) && (AlongDepth ? depth : lines) % 4 == 0};
}

template <class Function>
matrix_result<Function> result(float* data, int rows, int columns, Function f) {
  return {data, nullptr, rows, columns, false, allow_packs(data) && columns % 4 == 0, f};
}

}  // namespace detail

template <gemm_math Math, linear_geometry G, class Function>
void launch(const math_context<Math>& c, const linear_and_activation<G, Function>& a) {
  const auto& p = a.linear;
  auto y = detail::result(p.y.data, p.x.n, G.out, a.f);
  y.bias = p.bias;
  detail::start_gemm<gemm_shape{any_extent, G.out, G.in.size()}>(
      c, detail::matrix<true>(p.x.data, p.x.n, G.in.size()),
      detail::matrix<true>(p.weight, G.out, G.in.size()), y);
}

template <gemm_math Math, linear_geometry G>
void launch(const math_context<Math>& c, ops::linear_forward<G>,
            const params_of<ops::linear_forward<G>>& p) {
  launch(c, linear_and_activation<G, identity>{p, {}});
}

template <gemm_math Math, linear_geometry G>
void launch(const math_context<Math>& c, ops::linear_backward_data<G>,
            const params_of<ops::linear_backward_data<G>>& p) {
  auto dx = detail::result(p.dx.data, p.dy.n, G.in.size(), identity{});
  dx.accumulate = p.accumulate;
  detail::start_gemm<gemm_shape{any_extent, G.in.size(), G.out}>(
      c, detail::matrix<true>(p.dy.data, p.dy.n, G.out),
      detail::matrix<false>(p.weight, G.in.size(), G.out), dx);
}

template <gemm_math Math, linear_geometry G>
void launch(const math_context<Math>& c, ops::linear_backward_weights<G>,
            const params_of<ops::linear_backward_weights<G>>& p) {
  auto dweight = detail::result(p.dweight, G.out, G.in.size(), identity{});
  dweight.accumulate = true;
  detail::start_gemm<gemm_shape{G.out, G.in.size(), any_extent}>(
      c, detail::matrix<false>(p.dy.data, G.out, p.dy.n),
      detail::matrix<false>(p.x.data, G.in.size(), p.x.n), dweight);
}

}  // namespace gantry::kernels
