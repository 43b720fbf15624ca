// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Ops that read a class per sample (ops/labels.hpp): results that gather, and sums per row of a
// table, whose blocks look for the samples of their class, so that nothing is added to from two
// places.
#pragma once

#include "gantry/kernels/common/columns.cuh"
#include "gantry/kernels/common/loss.cuh"
#include "gantry/kernels/common/reduce.cuh"
#include "gantry/kernels/common/rows.cuh"
#include "gantry/kernels/common/stream.cuh"
#include "gantry/kernels/labels/policy.hpp"

namespace gantry::inline v0::kernels {

/// y = [x, table[label]]; table null: zeros.
template <int Pixels, int C, int Dim>
struct concat_label_body {
  const float *x, *table;
  float* y;
  std::size_t count;
  label_list labels;

  template <int Width>
  __device__ void apply(std::size_t i) const {
    const std::size_t pixel = i / (C + Dim), channel = i % (C + Dim);
    if (channel < C)
      y[i] = x[pixel * C + channel];
    else
      y[i] = table ? table[labels.v[pixel / Pixels] * Dim + channel - C] : 0.0f;
  }
};

/// dx = the first C of the C + Dim channels of dy.
template <int C, int Dim>
struct first_channels_body {
  const float* dy;
  float* dx;
  std::size_t count;

  template <int Width>
  __device__ void apply(std::size_t i) const {
    dx[i] = dy[i / C * (C + Dim) + i % C];
  }
};

/// dx_i = dy_i table[label_i].
template <int Size>
struct label_product_gradient_body {
  const float *dy, *table;
  float* dx;
  std::size_t count;
  label_list labels;

  template <int Width>
  __device__ void apply(std::size_t i) const {
    const std::size_t sample = i / Size;
    dx[i] = dy[sample] * table[static_cast<std::size_t>(labels.v[sample]) * Size + i % Size];
  }
};

/// y = gamma x + beta of the sample's class; without `shift` y = gamma x.
template <int Pixels, int C>
struct class_affine_body {
  const float *x, *table;
  float* y;
  std::size_t count;
  bool shift;
  label_list labels;

  template <int Width>
  __device__ void apply(std::size_t i) const {
    const float* row = table + labels.v[i / (Pixels * C)] * 2 * C;
    const std::size_t c = i % C;
    y[i] = shift ? row[c] * x[i] + row[C + c] : row[c] * x[i];
  }
};

/// to[i] = the first of Width numbers.
template <int Size>
struct take_logit_body {
  const float* x;
  float* to;
  std::size_t count;

  template <int Width>
  __device__ void apply(std::size_t i) const {
    to[i] = x[i * Size];
  }
};

/// <x_i, table[label_i]>, a row per sample.
template <int Size>
struct label_product_body {
  static constexpr int sums = 1;
  static constexpr int terms = Size, results = 1;
  const float *x, *table;
  float* y;
  int rows;
  label_list labels;

  __device__ void add(int row, int term, float (&s)[1]) const {
    s[0] += x[static_cast<std::size_t>(row) * Size + term] *
            table[static_cast<std::size_t>(labels.v[row]) * Size + term];
  }
  __device__ float facts(int, const row_sums<1>& s) const { return static_cast<float>(s.v[0]); }
  __device__ void write(int row, int, float sum) const { y[row] = sum; }
};

/// A body has `channels`, `pixels`, `samples`, labels, add(sample, row, channel, sums) for a pixel
/// and finish(label, channel, terms).
template <int Threads, int Channels, int Sums>
struct label_table_tile {
  static constexpr int lines = Threads / Channels;

  struct shared_storage {
    channel_terms<Sums> sums[lines][Channels];
  };

  template <class Body>
  __device__ void operator()(const Body& body, shared_storage& shared) const {
    const int lane = static_cast<int>(threadIdx.x) % Channels;
    const int line = static_cast<int>(threadIdx.x) / Channels;
    const int channel = static_cast<int>(blockIdx.x) * Channels + lane;
    const int label = static_cast<int>(blockIdx.y);
    const bool is_channel = channel < Body::channels;
    float sums[Sums] = {};
    for (int sample = 0; sample < body.samples; ++sample) {
      if (body.labels.v[sample] != label || !is_channel) continue;
      for (int pixel = line; pixel < Body::pixels; pixel += lines)
        body.add(sample, static_cast<std::size_t>(sample) * Body::pixels + pixel, channel, sums);
    }
    const auto all = over_lines(terms_of(sums), lane, line, shared.sums);
    if (line == 0 && is_channel) body.finish(label, channel, all);
  }
};

/// dtable[label_i] += scale_i times the sum of the last Dim channels over pixels.
template <int Pixels, int C, int Dim>
struct concat_label_table_body {
  static constexpr int sums = 1, channels = Dim, pixels = Pixels;
  const float *dy, *scale;  ///< scale null: 1
  float* dtable;
  int samples;
  label_list labels;

  __device__ void add(int sample, std::size_t row, int channel, float (&s)[1]) const {
    s[0] += (scale ? scale[sample] : 1.0f) * dy[row * (C + Dim) + C + channel];
  }
  __device__ void finish(int label, int channel, const channel_terms<1>& s) const {
    dtable[label * Dim + channel] += static_cast<float>(s.v[0]);
  }
};

/// dtable[label_i] += dy_i x_i.
template <int Size>
struct label_product_table_body {
  static constexpr int sums = 1, channels = Size, pixels = 1;
  const float *x, *dy;
  float* dtable;
  int samples;
  label_list labels;

  __device__ void add(int sample, std::size_t row, int channel, float (&s)[1]) const {
    s[0] += dy[sample] * x[row * Size + channel];
  }
  __device__ void finish(int label, int channel, const channel_terms<1>& s) const {
    dtable[static_cast<std::size_t>(label) * Size + channel] += static_cast<float>(s.v[0]);
  }
};

/// dtable += the sums of dy (x - mean) inverse and, with `shift`, of dy.
template <int Pixels, int C>
struct class_affine_table_body {
  static constexpr int sums = 2, channels = C, pixels = Pixels;
  const float *x, *dy, *mean, *inverse_deviation;
  float* dtable;
  int samples;
  bool shift;
  label_list labels;

  __device__ void add(int, std::size_t row, int channel, float (&s)[2]) const {
    const std::size_t i = row * C + channel;
    s[0] += dy[i] * ((x[i] - mean[channel]) * inverse_deviation[channel]);
    s[1] += dy[i];
  }
  __device__ void finish(int label, int channel, const channel_terms<2>& s) const {
    float* row = dtable + label * 2 * C;
    row[channel] += static_cast<float>(s.v[0]);
    if (shift) row[C + channel] += static_cast<float>(s.v[1]);
  }
};

/// One sample's outputs that name a class, and where their gradient goes.
template <int Classes>
struct class_logits {
  const float* row;
  float* gradient;

  /// The cross-entropy; the gradient is `share` times its derivative.
  __device__ float differentiate(int label, float share, float& hits) const {
    int best = 0;
    for (int k = 1; k < Classes; ++k)
      if (row[best] < row[k]) best = k;
    const float top = row[best];
    float total = 0;
    for (int k = 0; k < Classes; ++k) total += expf(row[k] - top);
    for (int k = 0; k < Classes; ++k)
      gradient[k] = share * (expf(row[k] - top) / total - (k == label ? 1.0f : 0.0f));
    hits += best == label ? 1.0f : 0.0f;
    return logf(total) - (row[label] - top);
  }
};

/// Mean cross-entropy of the softmax of Classes numbers behind `First` others per sample.
template <int Classes, int First>
struct cross_entropy_args {
  const float *x, *logit_gradient;  ///< the latter for the number in front, where there is one
  float *gradient, *sum, *correct;  ///< correct may be null
  int samples;
  float share;
  label_list labels;

  /// The cross-entropy of a sample; writes its gradient.
  __device__ float of_sample(int i, float& hits) const {
    const std::size_t first = static_cast<std::size_t>(i) * (First + Classes);
    const class_logits<Classes> row{x + first + First, gradient + first + First};
    if (First > 0) gradient[first] = logit_gradient[i];
    return row.differentiate(labels.v[i], share, hits);
  }
};

template <int Threads>
struct cross_entropy_tile {
  struct shared_storage {
    double losses[Threads / 32], hits[Threads / 32];
  };

  template <int Classes, int First>
  __device__ void operator()(const cross_entropy_args<Classes, First>& a,
                             shared_storage& shared) const {
    double loss = 0;
    float hits = 0;
    for (int i = static_cast<int>(threadIdx.x); i < a.samples; i += Threads)
      loss += a.of_sample(i, hits);
    loss = block_sum<Threads>(loss, shared.losses);
    const double all_hits = block_sum<Threads>(hits, shared.hits);
    if (threadIdx.x != 0) return;
    *a.sum += static_cast<float>(a.share * loss);
    if (a.correct) *a.correct += static_cast<float>(all_hits);
  }
};

/// One batch of a loss with class labels: 1 + Classes outputs a sample.
struct classified_batch {
  const float* x;
  float *gradient, *logits;
  float scale;  ///< one over the samples of the whole batch
  label_list labels;
};

/// Terms for loss_tile: f of the first outputs of one batch, g of those of the other, and the
/// cross-entropies.
template <class OnA, class OnB, int Classes>
struct classified_args : two_batch_loss<OnA, OnB> {
  classified_batch a, b;
  float weight;

  __device__ double term(std::size_t i) const {
    return i < this->count_a ? half(this->f, a, this->copies.a, i)
                             : half(this->g, b, this->copies.b, i - this->count_a);
  }

 private:
  template <class Function>
  __device__ double half(const Function& objective, const classified_batch& batch, float* copy,
                         std::size_t i) const {
    const std::size_t first = i * (1 + Classes);
    const class_logits<Classes> row{batch.x + first + 1, batch.gradient + first + 1};
    const float x = output_copies::pass(batch.x[first], copy, i);
    batch.logits[i] = x;
    batch.gradient[first] = batch.scale * objective.derivative(x);
    float hits = 0;
    const double named = row.differentiate(batch.labels.v[i], weight * batch.scale, hits);
    return batch.scale * (static_cast<double>(objective.value(x)) + weight * named);
  }
};

}  // namespace gantry::kernels
