// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gantry/kernels/common/functions.cuh"
#include "gantry/kernels/common/loss.cuh"
#include "gantry/kernels/common/reduce.cuh"
#include "gantry/kernels/common/stream.cuh"

namespace gantry::inline v0::kernels {

template <class Function>
struct activation_forward_body {
  const float* x;
  float* y;
  std::size_t count;
  Function f;

  template <int Width>
  __device__ void apply(std::size_t i) const {
    const auto in = load<Width>(x + i);
    store(y + i, generate<Width>([&](int j) { return value(f, in.v[j]); }));
  }
};

template <class Function>
struct activation_backward_body {
  const float *y, *dy;
  float* dx;
  std::size_t count;
  Function f;

  template <int Width>
  __device__ void apply(std::size_t i) const {
    const auto out = load<Width>(y + i), gradient = load<Width>(dy + i);
    store(dx + i, generate<Width>([&](int j) { return gradient.v[j] * derivative(f, out.v[j]); }));
  }
};

/// ex = ey f'(x) + gy tx f''(x); ey may be null.
template <class Function>
struct activation_second_order_body {
  const float *y, *tx, *gy, *ey;
  float* ex;
  std::size_t count;
  Function f;

  template <int Width>
  __device__ void apply(std::size_t i) const {
    const auto out = load<Width>(y + i), tangent = load<Width>(tx + i);
    const auto gradient = load<Width>(gy + i);
    const auto more = ey ? load<Width>(ey + i) : pack<Width>{};
    store(ex + i, generate<Width>([&](int j) {
            const float bend = gradient.v[j] * tangent.v[j] * f.second_derivative(out.v[j]);
            return ey ? more.v[j] * derivative(f, out.v[j]) + bend : bend;
          }));
  }
};

struct copy_body {
  const float* x;
  float* y;
  std::size_t count;
  activation_behind behind;

  template <int Width>
  __device__ void apply(std::size_t i) const {
    store(y + i, behind.finish(i, load<Width>(x + i)));
  }
};

struct accumulate_body {
  const float* x;
  float* y;
  std::size_t count;

  template <int Width>
  __device__ void apply(std::size_t i) const {
    const auto more = load<Width>(x + i), old = load<Width>(y + i);
    store(y + i, generate<Width>([&](int j) { return old.v[j] + more.v[j]; }));
  }
};

/// y += a number per sample times x.
template <int Size>
struct accumulate_scaled_body {
  const float *x, *scale;
  float* y;
  std::size_t count;

  template <int Width>
  __device__ void apply(std::size_t i) const {
    const auto more = load<Width>(x + i), old = load<Width>(y + i);
    store(y + i,
          generate<Width>([&](int j) { return old.v[j] + scale[(i + j) / Size] * more.v[j]; }));
  }
};

struct fill_body {
  float* y;
  std::size_t count;
  float number;

  template <int Width>
  __device__ void apply(std::size_t i) const {
    store(y + i, generate<Width>([&](int) { return number; }));
  }
};

/// An array to clear.
struct cleared {
  float* y{};
  std::size_t count{};
};

struct clear_body {
  float* y;
  std::size_t count;
  cleared more, others;  ///< not longer than y

  template <int Width>
  __device__ void apply(std::size_t i) const {
    store(y + i, pack<Width>{});
    if (i + Width <= others.count)
      store(others.y + i, pack<Width>{});
    else
      clear_rest<Width>(others, i);
    clear_rest<Width>(more, i);
  }

 private:
  template <int Width>
  __device__ static void clear_rest(const cleared& a, std::size_t i) {
    for (std::size_t j = i; j < i + Width && j < a.count; ++j) a.y[j] = 0;
  }
};

struct clamp_body {
  float* y;
  std::size_t count;
  float bound;

  template <int Width>
  __device__ void apply(std::size_t i) const {
    const auto old = load<Width>(y + i);
    // Comparisons, not fminf: NaN has to stay.
    store(y + i, generate<Width>([&](int j) {
            return old.v[j] < -bound ? -bound : bound < old.v[j] ? bound : old.v[j];
          }));
  }
};

/// gradient = scale f'(logits), the per-sample seeds of the backward pass; *sum += scale sum f.
template <class Function>
struct loss_args {
  const float* logits;
  float* gradient;
  std::size_t count;
  float scale;
  float* sum;
  Function f;
  float* partials;  ///< [blocks]
  unsigned* ticket;
  output_copies copies;

  __device__ float term(std::size_t i) const {
    const float x = output_copies::pass(logits[i], copies.a, i);
    gradient[i] = scale * f.derivative(x);
    return f.value(x);
  }
};

/// Means of f over the one half of `count` numbers and of g over the other, in one pass.
template <class OnA, class OnB>
struct two_terms_args : two_batch_loss<OnA, OnB> {
  const float *a, *b;
  float *gradient_a, *gradient_b;
  float scale_a, scale_b;

  __device__ double term(std::size_t i) const {
    return i < this->count_a
               ? half(this->f, a, gradient_a, scale_a, this->copies.a, i)
               : half(this->g, b, gradient_b, scale_b, this->copies.b, i - this->count_a);
  }

 private:
  template <class Function>
  __device__ static double half(const Function& f, const float* outputs, float* gradient,
                                float scale, float* copy, std::size_t i) {
    const float x = output_copies::pass(outputs[i], copy, i);
    gradient[i] = scale * f.derivative(x);
    return static_cast<double>(scale) * f.value(x);
  }
};

/// The same as loss_args of differences a - b; either gradient may be null.
template <class Function>
struct paired_args {
  const float *a, *b;
  float *gradient_a, *gradient_b;
  std::size_t count;
  float scale;
  float* sum;
  Function f;
  float* partials;  ///< [blocks]
  unsigned* ticket;
  output_copies copies;

  __device__ float term(std::size_t i) const {
    const float x = output_copies::pass(a[i], copies.a, i) - output_copies::pass(b[i], copies.b, i);
    const float slope = scale * f.derivative(x);
    if (gradient_a) gradient_a[i] = slope;
    if (gradient_b) gradient_b[i] = -slope;
    return f.value(x);
  }
};

/// Outputs against the mean of the others, see ops::relativistic_average_terms.
template <class OnA, class OnB>
struct average_args {
  const float *a, *b;
  float *gradient_a, *gradient_b;  ///< either may be null
  std::size_t count;
  float* sum;
  OnA f;
  OnB g;
  output_copies copies;
};

/// One block: the means, then the sums of values and slopes, then the gradients.
template <int Threads>
struct average_tile {
  struct shared_storage {
    double warps[Threads / 32];
    double result;
  };

  template <class OnA, class OnB>
  __device__ void operator()(const average_args<OnA, OnB>& p, shared_storage& shared) const {
    const auto mean = [&](auto term) {
      double mine = 0;
      for (std::size_t i = threadIdx.x; i < p.count; i += Threads) mine += term(i);
      const double total = block_sum<Threads>(mine, shared.warps);
      if (threadIdx.x == 0) shared.result = total / static_cast<double>(p.count);
      __syncthreads();
      const double found = shared.result;
      __syncthreads();
      return found;
    };
    const double mean_a = mean([&](std::size_t i) { return p.a[i]; });
    const double mean_b = mean([&](std::size_t i) { return p.b[i]; });
    const auto at_a = [&](std::size_t i) { return static_cast<float>(p.a[i] - mean_b); };
    const auto at_b = [&](std::size_t i) { return static_cast<float>(p.b[i] - mean_a); };
    const double loss =
        mean([&](std::size_t i) { return p.f.value(at_a(i)) + p.g.value(at_b(i)); });
    const auto slope_a =
        static_cast<float>(mean([&](std::size_t i) { return p.f.derivative(at_a(i)); }));
    const auto slope_b =
        static_cast<float>(mean([&](std::size_t i) { return p.g.derivative(at_b(i)); }));
    if (threadIdx.x == 0) {
      const float all = *p.sum + static_cast<float>(loss);
      *p.sum = all;
      if (p.copies.sum) *p.copies.sum = all;
    }
    const float share = 1.0f / static_cast<float>(p.count);
    for (std::size_t i = threadIdx.x; i < p.count; i += Threads) {
      if (p.gradient_a) p.gradient_a[i] = share * (p.f.derivative(at_a(i)) - slope_b);
      if (p.gradient_b) p.gradient_b[i] = share * (p.g.derivative(at_b(i)) - slope_a);
      output_copies::pass(p.a[i], p.copies.a, i);
      output_copies::pass(p.b[i], p.copies.b, i);
    }
  }
};

}  // namespace gantry::kernels
