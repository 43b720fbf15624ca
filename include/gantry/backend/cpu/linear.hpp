// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Dense layers. Their weights are read once per product, so they are never packed but stream
// through in canonical order: for y^T = W x^T the batch is turned into columns, for dx = dy W the
// weights are the right operand as they lie. Layers with fewer than 16 outputs (the logit of a
// discriminator) are sums over the blocks where they lie.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>

#include "gantry/backend/cpu/backend.hpp"
#include "gantry/backend/cpu/epilogue.hpp"
#include "gantry/backend/cpu/tile.hpp"
#include "gantry/backend/cpu/transpose.hpp"
#include "gantry/ops/fused.hpp"
#include "gantry/ops/linear.hpp"

namespace gantry::inline v0::backend {

namespace detail {

/// Up to 16 values of all samples in the blocked layout: value k + j of sample i lies at offset + i
/// * stride + j.
struct value_block {
  int k, width;
  std::size_t offset;
  std::ptrdiff_t stride;
};

/// Calls f(block) for the values begin .. end of a sample in canonical order.
template <hwc Shape, class F>
void for_each_value_block(int n, int begin, int end, F&& f) {
  for (int k = begin; k < end;) {
    const int width = std::min({16, blocked::run(Shape, k), end - k});
    f(value_block{k, width, blocked::offset(Shape, n, 0, k),
                  blocked::is_thin(Shape) ? Shape.w * Shape.c : 16});
    k += width;
  }
}

/// Values of a sample that one piece of work computes.
inline constexpr int value_grain = 64;
/// Values of a reduction that are multiplied before the next rows: their columns stay in the cache.
inline constexpr int reduction_chunk = 256;

/// Values as columns: value k of sample i at [i / 16][k][i % 16], `values` of them.
struct columns {
  float* data;
  int values;
  [[nodiscard]] float* at(int sample, int k) const {
    return data + (static_cast<std::size_t>(sample / 16) * values + k) * 16;
  }
  [[nodiscard]] std::ptrdiff_t block_stride() const { return std::ptrdiff_t{16} * values; }
};

/// Columns for a batch, in the scratch memory of the given use.
inline columns make_columns(scratch_use use, int n, int values) {
  return {scratch(use, static_cast<std::size_t>(round_up(n, 16)) * values), values};
}

/// All of a batch transposed: value k of the samples from i on, 16 at most, to place(i, k), the
/// next value `stride` behind.
template <hwc Shape, class Place>
void transpose_batch(cpu& b, const float* x, int n, std::ptrdiff_t stride, Place place) {
  b.split(Shape.size(), value_grain, [&](std::size_t first, std::size_t last) {
    for_each_value_block<Shape>(
        n, static_cast<int>(first), static_cast<int>(last), [&](const value_block& v) {
          for (int i = 0; i < n; i += 16)
            transpose_part(x + v.offset + i * v.stride, v.stride, std::min(16, n - i), v.width,
                           place(i, v.k), stride);
        });
  });
}

/// All of a batch as columns.
template <hwc Shape>
columns batch_to_columns(cpu& b, const float* x, int n) {
  const columns c = make_columns(scratch_use::op, n, Shape.size());
  transpose_batch<Shape>(b, x, n, 16, [&](int i, int k) { return c.at(i, k); });
  return c;
}

/// The way back for the values `begin` on, as many as there are columns.
template <hwc Shape>
void columns_to_batch(const columns& c, int n, int begin, float* y) {
  for_each_value_block<Shape>(n, begin, begin + c.values, [&](const value_block& v) {
    for (int i = 0; i < n; i += 16) {
      const float* from = c.at(i, v.k - begin);
      float* to = y + v.offset + i * v.stride;
      transpose_part(from, 16, v.width, std::min(16, n - i), to, v.stride);
    }
  });
}

/// All of a batch as rows: value k of sample i at [k][i].
template <hwc Shape>
const float* batch_to_rows(cpu& b, const float* x, int n) {
  float* rows = scratch(scratch_use::op, static_cast<std::size_t>(n) * Shape.size());
  transpose_batch<Shape>(b, x, n, n, [&](int i, int k) {
    return rows + static_cast<std::size_t>(k) * static_cast<std::size_t>(n) + i;
  });
  return rows;
}

/// y (+)= the values begin .. behind of all samples, value_grain at most, which lie as
/// [sample][value - begin].
template <hwc Shape>
void rows_to_batch(const float* rows, int n, int begin, int behind, float* y, bool accumulate) {
  for_each_value_block<Shape>(n, begin, behind, [&](const value_block& v) {
    for (int i = 0; i < n; ++i) {
      const float* from = rows + static_cast<std::ptrdiff_t>(i) * value_grain + v.k - begin;
      float* to = y + v.offset + i * v.stride;
      for (int j = 0; j < v.width; ++j) to[j] = accumulate ? to[j] + from[j] : from[j];
    }
  });
}

/// y = x W^T (+ bias).
template <linear_geometry G>
void dense_forward(cpu& b, const layer_product& p) {
  const int n = p.n;
  constexpr int inputs = G.in.size();
  const columns source = batch_to_columns<G.in>(b, p.x, n);
  b.split(G.out, value_grain, [&](std::size_t first, std::size_t last) {
    const int begin = static_cast<int>(first), rows = static_cast<int>(last - first);
    const columns sums = make_columns(scratch_use::piece, n, rows);
    const product_target target{sums.data, 16, sums.block_stride()};
    for (int k = 0; k < inputs; k += reduction_chunk)
      for_each_column_group(0, ceil_div(n, 16), [&](int j, int blocks) {
        const reduction_run run{p.weight + static_cast<std::size_t>(begin) * inputs + k,
                                source.at(16 * j, k)};
        multiply({&run, 1},
                 {.length = std::min(reduction_chunk, inputs - k),
                  .column_stride = source.block_stride(),
                  .a_stride = inputs,
                  .a_group = 16},
                 rows, blocks, target.from_column(j), k > 0);
      });
    if (p.bias)
      for (int i = 0; i < n; i += 16)
        for (int r = 0; r < rows; ++r)
          for (int s = 0; s < 16; ++s) sums.at(i, r)[s] += p.bias[begin + r];
    p.end(sums.data, 0, static_cast<std::size_t>(round_up(n, 16)) * static_cast<std::size_t>(rows));
    columns_to_batch<hwc{1, 1, G.out}>(sums, n, begin, p.y);
  });
}

/// Whether a piece of work has whole blocks of an input gradient: they take an epilogue.
constexpr bool has_whole_blocks(hwc input) { return input.c % blocked::block == 0; }

/// What the end of a product makes of the values begin .. behind, all in blocks of 16.
template <hwc Shape>
void finish_blocks(const layer_product& p, int begin, int behind) {
  for_each_value_block<Shape>(p.n, begin, behind, [&](const value_block& v) {
    p.end(p.y + v.offset, v.offset, std::size_t{16} * static_cast<std::size_t>(p.n));
  });
}

/// The columns of W from `begin` on, 16 at most, with zeros behind the last one.
template <linear_geometry G>
void copy_last_columns(const float* weight, int begin, float* to) {
  constexpr int inputs = G.in.size();
  for (int k = 0; k < G.out; ++k)
    for (int j = 0; j < 16; ++j)
      to[k * 16 + j] =
          begin + j < inputs ? weight[static_cast<std::size_t>(k) * inputs + begin + j] : 0.0f;
}

/// y (+)= x W, the gradient by the inputs; its end, where there is one, needs whole blocks. Rows of
/// the product are samples, so that the weights come as vectors and results lie as the layout has
/// them.
template <linear_geometry G>
void dense_backward_data(cpu& b, const layer_product& p, bool accumulate) {
  const int n = p.n;
  constexpr int inputs = G.in.size();
  const float* source = batch_to_rows<hwc{1, 1, G.out}>(b, p.x, n);
  b.split(inputs, value_grain, [&](std::size_t first, std::size_t last) {
    const int begin = static_cast<int>(first), count = static_cast<int>(last - first);
    constexpr bool direct = has_whole_blocks(G.in);
    float* sums = direct ? p.y + first * static_cast<std::size_t>(n)
                         : scratch(scratch_use::piece, static_cast<std::size_t>(n) * value_grain);
    const product_target target = direct ? product_target{sums, 16, std::ptrdiff_t{16} * n}
                                         : product_target{sums, value_grain, 16};
    for (int k = 0; k < G.out; k += reduction_chunk)
      for_each_column_group(0, count / 16, [&](int j, int blocks) {
        const reduction_run run{source + static_cast<std::size_t>(k) * n,
                                p.weight + static_cast<std::size_t>(k) * inputs + begin + 16 * j};
        multiply_transposed({&run, 1},
                            {.length = std::min(reduction_chunk, G.out - k),
                             .column_stride = 16,
                             .a_stride = n,
                             .b_stride = inputs},
                            n, blocks, target.from_column(j), k > 0 || (direct && accumulate));
      });
    if constexpr (direct) {
      finish_blocks<G.in>(p, begin, begin + count);
    } else {
      if (count % 16 > 0) {
        float* tail = scratch(scratch_use::piece_output, std::size_t{16} * G.out);
        copy_last_columns<G>(p.weight, begin + count / 16 * 16, tail);
        const reduction_run run{source, tail};
        multiply_transposed({&run, 1},
                            {.length = G.out, .column_stride = 16, .a_stride = n, .b_stride = 16},
                            n, 1, target.from_column(count / 16), false);
      }
      rows_to_batch<G.in>(sums, n, begin, begin + count, p.y, accumulate);
    }
  });
}

/// dweight += dy^T x for x in blocks of 16; rows of the result are outputs, columns inputs.
template <hwc In, int Out>
void dense_backward_weights(cpu& b, const float* x, const float* dy, int n, float* dweight) {
  constexpr int blocks = In.c / 16, tail = In.c % 16;
  const std::ptrdiff_t block = std::ptrdiff_t{16} * n;
  const reduction_shape shape{.length = n, .column_stride = block, .a_stride = 16, .b_stride = 16};
  b.split(Out, value_grain, [&](std::size_t first, std::size_t last) {
    const auto add = [&](int pixel, int j, int columns) {
      for (std::size_t out = first; out < last; out += 16) {
        const reduction_run run{dy + out / 16 * static_cast<std::size_t>(block),
                                x + (pixel * blocked::blocks(In) + j) * block};
        add_product({&run, 1}, shape, static_cast<int>(std::min<std::size_t>(16, last - out)),
                    columns, {dweight + out * In.size() + pixel * In.c + j * 16, In.size(), 16});
      }
    };
    for (int pixel = 0; pixel < In.pixels(); ++pixel) {
      for_each_column_group(0, blocks, [&](int j, int count) { add(pixel, j, count * 16); });
      if constexpr (tail > 0) add(pixel, blocks, tail);
    }
  });
}

/// Scalars of a batch of vectors in blocks of 16.
constexpr std::size_t block_elements(hwc vector, int n) {
  return static_cast<std::size_t>(round_up(vector.c, 16)) * static_cast<std::size_t>(n);
}

/// A thin batch as vectors in blocks of 16.
template <hwc Shape>
void thin_to_blocks(cpu& b, const float* x, int n, float* to) {
  b.split(static_cast<std::size_t>(n), 8, [=](std::size_t first, std::size_t last) {
    for_each_value_block<Shape>(n, 0, Shape.size(), [&](const value_block& v) {
      for (std::size_t i = first; i < last; ++i)
        for (int j = 0; j < v.width; ++j)
          to[((v.k + j) / 16 * static_cast<std::size_t>(n) + i) * 16 + (v.k + j) % 16] =
              x[v.offset + i * v.stride + j];
    });
  });
}

/// The products of a layer with fewer than 16 outputs, whose batch of outputs is [n][out]. Pieces
/// of forward are samples; pieces of the others are blocks of inputs.
template <linear_geometry G>
void few_forward(cpu& b, const float* x, int n, const float* weight, const float* bias, float* y) {
  b.split(static_cast<std::size_t>(n), 16, [&](std::size_t first, std::size_t last) {
    const int begin = static_cast<int>(first), count = static_cast<int>(last - first);
    for (int o = 0; o < G.out; ++o) {
      // 16 partial sums per sample, in float over 64 blocks and in double over those.
      std::array<simd::vec, std::size_t{16} * simd::vectors> part{};
      std::array<double, 16> sums{};
      int pending = 0;
      const auto settle = [&] {
        for (int i = 0; i < count * simd::vectors; ++i)
          for (int j = 0; j < simd::lanes; ++j)
            sums[static_cast<std::size_t>(i / simd::vectors)] += static_cast<double>(part[i][j]);
        part.fill(simd::vec{});
        pending = 0;
      };
      for_each_value_block<G.in>(n, 0, G.in.size(), [&](const value_block& v) {
        const float* w = weight + static_cast<std::size_t>(o) * G.in.size() + v.k;
        for (int i = 0; i < count; ++i) {
          const float* from = x + v.offset + (begin + i) * v.stride;
          if (v.width < 16) {
            for (int j = 0; j < v.width; ++j)
              sums[static_cast<std::size_t>(i)] += static_cast<double>(from[j] * w[j]);
            continue;
          }
          for (int j = 0; j < simd::vectors; ++j)
            part[i * simd::vectors + j] +=
                simd::load(from + j * simd::lanes) * simd::load(w + j * simd::lanes);
        }
        if (++pending == 64) settle();
      });
      settle();
      for (int i = 0; i < count; ++i)
        y[(begin + i) * G.out + o] = static_cast<float>(sums[static_cast<std::size_t>(i)] +
                                                        (bias ? static_cast<double>(bias[o]) : 0));
    }
  });
}

template <linear_geometry G>
void few_backward_data(cpu& b, const layer_product& p, bool accumulate) {
  const int n = p.n;
  b.split(G.in.size(), 256, [&](std::size_t first, std::size_t last) {
    for_each_value_block<G.in>(
        n, static_cast<int>(first), static_cast<int>(last), [&](const value_block& v) {
          for (int i = 0; i < n; ++i) {
            float* to = p.y + v.offset + i * v.stride;
            for (int j = 0; j < v.width; ++j) {
              float sum = accumulate ? to[j] : 0.0f;
              for (int o = 0; o < G.out; ++o)
                sum += p.x[i * G.out + o] *
                       p.weight[static_cast<std::size_t>(o) * G.in.size() + v.k + j];
              to[j] = sum;
            }
          }
        });
    if constexpr (has_whole_blocks(G.in))
      finish_blocks<G.in>(p, static_cast<int>(first), static_cast<int>(last));
  });
}

template <linear_geometry G>
void few_backward_weights(cpu& b, const float* x, const float* dy, int n, float* dweight) {
  b.split(G.in.size(), 256, [&](std::size_t first, std::size_t last) {
    for_each_value_block<G.in>(
        n, static_cast<int>(first), static_cast<int>(last), [&](const value_block& v) {
          for (int o = 0; o < G.out; ++o) {
            std::array<float, 16> sum{};
            for (int i = 0; i < n; ++i)
              for (int j = 0; j < v.width; ++j)
                sum[static_cast<std::size_t>(j)] +=
                    dy[i * G.out + o] * x[v.offset + i * v.stride + j];
            float* to = dweight + static_cast<std::size_t>(o) * G.in.size() + v.k;
            for (int j = 0; j < v.width; ++j) to[j] += sum[static_cast<std::size_t>(j)];
          }
        });
  });
}

}  // namespace detail

template <linear_geometry G>
void launch(cpu& b, ops::linear_forward<G>,
            const typename ops::linear_forward<G>::template params<cpu::storage>& p) {
  if constexpr (G.out < blocked::block)
    detail::few_forward<G>(b, p.x.data, p.x.n, p.weight, p.bias, p.y.data);
  else
    detail::dense_forward<G>(b, {p.x.data, p.x.n, p.weight, p.bias, p.y.data});
}
template <linear_geometry G, class F>
requires(G.out >= blocked::block) void launch(
    cpu& b, ops::activated<ops::linear_forward<G>, F>,
    const typename ops::activated<ops::linear_forward<G>, F>::template params<cpu::storage>& p) {
  detail::dense_forward<G>(
      b, {p.op.x.data, p.op.x.n, p.op.weight, p.op.bias, p.op.y.data, detail::epilogue_of(p)});
}

namespace detail {

template <linear_geometry G, class Params>
void linear_backward_data(cpu& b, const Params& p, const epilogue& end) {
  const layer_product product{p.dy.data, p.dy.n, p.weight, nullptr, p.dx.data, end};
  if constexpr (G.out < blocked::block)
    few_backward_data<G>(b, product, p.accumulate);
  else
    dense_backward_data<G>(b, product, p.accumulate);
}

}  // namespace detail

template <linear_geometry G>
void launch(cpu& b, ops::linear_backward_data<G>,
            const typename ops::linear_backward_data<G>::template params<cpu::storage>& p) {
  detail::linear_backward_data<G>(b, p, {});
}
template <linear_geometry G, class F>
requires(detail::has_whole_blocks(G.in)) void launch(
    cpu& b, ops::gated<ops::linear_backward_data<G>, F>,
    const typename ops::gated<ops::linear_backward_data<G>, F>::template params<cpu::storage>& p) {
  detail::linear_backward_data<G>(b, p.op, detail::epilogue_of(p));
}

template <linear_geometry G>
void launch(cpu& b, ops::linear_backward_weights<G>,
            const typename ops::linear_backward_weights<G>::template params<cpu::storage>& p) {
  if constexpr (G.out < blocked::block) {
    detail::few_backward_weights<G>(b, p.x.data, p.dy.data, p.x.n, p.dweight);
  } else if constexpr (blocked::is_thin(G.in)) {
    constexpr hwc flat{1, 1, G.in.size()};
    float* x = scratch(scratch_use::op, detail::block_elements(flat, p.x.n));
    detail::thin_to_blocks<G.in>(b, p.x.data, p.x.n, x);
    detail::dense_backward_weights<flat, G.out>(b, x, p.dy.data, p.x.n, p.dweight);
  } else {
    detail::dense_backward_weights<G.in, G.out>(b, p.x.data, p.dy.data, p.x.n, p.dweight);
  }
}

}  // namespace gantry::backend
