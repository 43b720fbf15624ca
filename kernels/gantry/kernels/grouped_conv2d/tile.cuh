// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Convolutions in groups, directly: each result gathers its products in their order.
#pragma once

#include "gantry/kernels/common/rows.cuh"
#include "gantry/kernels/common/stream.cuh"
#include "gantry/kernels/grouped_conv2d/policy.hpp"

namespace gantry::inline v0::kernels {

/// ops' grouped_geometry as integers.
template <int H, int W, int C, int Filters, int Kernel, int Stride, int Pad, int Groups>
struct grouped_spec {
  static constexpr int h = H, w = W, c = C, filters = Filters, kernel = Kernel, stride = Stride,
                       pad = Pad, channels = C / Groups, filters_of_group = Filters / Groups;
  static constexpr int out_h = (H + 2 * Pad - Kernel) / Stride + 1,
                       out_w = (W + 2 * Pad - Kernel) / Stride + 1;

  __device__ static std::size_t weight_at(int filter, int ky, int kx) {
    return ((static_cast<std::size_t>(filter) * Kernel + ky) * Kernel + kx) * channels;
  }
};

template <class Spec>
struct grouped_forward_body {
  const float *x, *weight, *bias;  ///< bias may be null
  float* y;
  std::size_t count;

  template <int Width>
  __device__ void apply(std::size_t i) const {
    const int filter = static_cast<int>(i % Spec::filters);
    const std::size_t pixel = i / Spec::filters;
    const int top = static_cast<int>(pixel / Spec::out_w % Spec::out_h) * Spec::stride - Spec::pad;
    const int left = static_cast<int>(pixel % Spec::out_w) * Spec::stride - Spec::pad;
    const float* sample = x + pixel / (Spec::out_h * Spec::out_w) * (Spec::h * Spec::w * Spec::c) +
                          filter / Spec::filters_of_group * Spec::channels;
    float sum = bias ? bias[filter] : 0.0f;
    for (int ky = 0; ky < Spec::kernel; ++ky)
      for (int kx = 0; kx < Spec::kernel; ++kx) {
        const int row = top + ky, column = left + kx;
        if (row < 0 || row >= Spec::h || column < 0 || column >= Spec::w) continue;
        const float* from = sample + (row * Spec::w + column) * Spec::c;
        const float* by = weight + Spec::weight_at(filter, ky, kx);
        for (int c = 0; c < Spec::channels; ++c) sum += from[c] * by[c];
      }
    y[i] = sum;
  }
};

/// The output pixel whose window has a pixel at tap k of an axis, or -1.
template <class Spec>
__device__ int grouped_output(int at, int k, int extent) {
  const int first = at + Spec::pad - k;
  if (first < 0 || first % Spec::stride != 0) return -1;
  return first / Spec::stride < extent ? first / Spec::stride : -1;
}

template <class Spec>
struct grouped_backward_data_body {
  const float *dy, *weight;
  float* dx;
  std::size_t count;

  template <int Width>
  __device__ void apply(std::size_t i) const {
    const int channel = static_cast<int>(i % Spec::c), group = channel / Spec::channels;
    const std::size_t pixel = i / Spec::c;
    const int row = static_cast<int>(pixel / Spec::w % Spec::h);
    const int column = static_cast<int>(pixel % Spec::w);
    const float* sample =
        dy + pixel / (Spec::h * Spec::w) * (Spec::out_h * Spec::out_w * Spec::filters);
    float sum = 0;
    for (int ky = 0; ky < Spec::kernel; ++ky)
      for (int kx = 0; kx < Spec::kernel; ++kx) {
        const int out_row = grouped_output<Spec>(row, ky, Spec::out_h);
        const int out_column = grouped_output<Spec>(column, kx, Spec::out_w);
        if (out_row < 0 || out_column < 0) continue;
        const float* from = sample + (out_row * Spec::out_w + out_column) * Spec::filters;
        for (int f = 0; f < Spec::filters_of_group; ++f) {
          const int filter = group * Spec::filters_of_group + f;
          sum += from[filter] * weight[Spec::weight_at(filter, ky, kx) + channel % Spec::channels];
        }
      }
    dx[i] = sum;
  }
};

/// dweight += the sum over samples and output pixels, a row per weight.
template <class Spec>
struct grouped_weights_body {
  static constexpr int sums = 1, terms = Spec::out_h * Spec::out_w, results = 1;
  const float *x, *dy;
  float* dweight;
  int samples, rows;

  __device__ void add(int weight, int pixel, float (&s)[1]) const {
    const int c = weight % Spec::channels, tap = weight / Spec::channels;
    const int kx = tap % Spec::kernel, ky = tap / Spec::kernel % Spec::kernel;
    const int filter = tap / (Spec::kernel * Spec::kernel);
    const int row = pixel / Spec::out_w * Spec::stride - Spec::pad + ky;
    const int column = pixel % Spec::out_w * Spec::stride - Spec::pad + kx;
    if (row < 0 || row >= Spec::h || column < 0 || column >= Spec::w) return;
    const int channel = filter / Spec::filters_of_group * Spec::channels + c;
    const float* from = x + (row * Spec::w + column) * Spec::c + channel;
    const float* by = dy + pixel * Spec::filters + filter;
    for (std::size_t i = 0; i < static_cast<std::size_t>(samples); ++i)
      s[0] += from[i * (Spec::h * Spec::w * Spec::c)] * by[i * (terms * Spec::filters)];
  }
  __device__ float facts(int, const row_sums<1>& s) const { return static_cast<float>(s.v[0]); }
  __device__ void write(int weight, int, float sum) const { dweight[weight] += sum; }
};

}  // namespace gantry::kernels
