// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Fusion by a window of one op: a product, a norm or an update is not started before the next op is
// known, which may become part of it. Layers know nothing of it, and results are those of the ops
// one after the other: an op is taken in only where what it would have read is overwritten or is
// still written.
#pragma once

#include <cstddef>
#include <functional>
#include <utility>

#include "gantry/kernels/batch_norm/launch.cuh"
#include "gantry/kernels/conv2d/launch.cuh"
#include "gantry/kernels/gemm/launch.cuh"
#include "gantry/kernels/labels/launch.cuh"
#include "gantry/kernels/optimizer/launch.cuh"
#include "gantry/kernels/pointwise/launch.cuh"
#include "gantry/ops/loss.hpp"
#include "gantry/ops/pointwise.hpp"

namespace gantry::inline v0::backend::detail {

using kernels::params_of;

/// What an op that waits has become.
struct fused_parts : kernels::product_fusion, kernels::weights_fusion, kernels::output_copies {
  kernels::weight_average more{};  ///< of an update
  params_of<ops::clear> zeros{};   ///< of a fill
};

/// What a loss reads and writes.
struct loss_arrays {
  const float *a{}, *b{};  ///< outputs, `count_a` and `count_b` of them
  std::size_t count_a{}, count_b{};
  const float *gradient_a{}, *gradient_b{}, *sum{};
  /// Where the outputs are some of `width` numbers a sample that the loss reads: those, and the
  /// gradients' width.
  const float *all_a{}, *all_b{};
  std::size_t width{1};

  [[nodiscard]] bool touches(const float* y, std::size_t count) const {
    const auto overlaps = [&](const float* x, std::size_t n) {
      return x && y < x + n && x < y + count;
    };
    return overlaps(a, count_a) || overlaps(b, count_b) || overlaps(sum, 1) ||
           overlaps(gradient_a, width * count_a) || overlaps(gradient_b, width * count_b) ||
           overlaps(all_a, width * count_a) || overlaps(all_b, width * count_b);
  }
};

/// What the ops behind may be.
struct fusable {
  const float* result{};      ///< of the op
  std::size_t count{};        ///< of results
  bool activation{};          ///< behind it, or the gradient of the one before
  bool sums{};                ///< of results per channel
  const float* gradient{};    ///< of a weight gradient: its bias's is the sum of these numbers
  bool update{};              ///< an optimizer's step
  bool zeros{};               ///< other zeros
  loss_arrays loss{};         ///< copies of its outputs and of its sum
  kernels::norm_pass norm{};  ///< of a batch norm: a product that reads what it writes
  kernels::norm_gradient_pass norm_gradient{};  ///< of its backward: a weight gradient that does
};

/// What the window may do with an op; nothing by default.
template <class Op>
fusable fusable_of(Op, const params_of<Op>&) {
  return {};
}
template <conv_geometry G>
fusable fusable_of(ops::conv2d_forward<G>, const params_of<ops::conv2d_forward<G>>& p) {
  return {p.y.data, nhwc::elements(G.out(), p.y.n), true, true};
}
template <conv_geometry G>
fusable fusable_of(ops::conv2d_backward_data<G>, const params_of<ops::conv2d_backward_data<G>>& p) {
  return {p.dx.data, nhwc::elements(G.in, p.dx.n), true, true};
}
template <linear_geometry G>
fusable fusable_of(ops::linear_forward<G>, const params_of<ops::linear_forward<G>>& p) {
  return {p.y.data, nhwc::elements(hwc{1, 1, G.out}, p.y.n), true, true};
}
template <linear_geometry G>
fusable fusable_of(ops::linear_backward_data<G>, const params_of<ops::linear_backward_data<G>>& p) {
  return {p.dx.data, nhwc::elements(G.in, p.dx.n), true, true};
}
template <conv_geometry G>
fusable fusable_of(ops::conv2d_backward_weights<G>,
                   const params_of<ops::conv2d_backward_weights<G>>& p) {
  return {.gradient = p.dy.data};
}
template <linear_geometry G>
fusable fusable_of(ops::linear_backward_weights<G>,
                   const params_of<ops::linear_backward_weights<G>>& p) {
  return {.gradient = p.dy.data};
}

inline fusable fusable_of(ops::adam_step, const params_of<ops::adam_step>& p) {
  return {.update = p.count > 0};
}
/// Without outputs a loss starts nothing, so that it cannot copy either.
inline fusable fusable_loss(const loss_arrays& arrays) {
  return arrays.count_a + arrays.count_b > 0 ? fusable{.loss = arrays} : fusable{};
}
template <class F>
fusable fusable_of(ops::loss_term<F>, const params_of<ops::loss_term<F>>& p) {
  return fusable_loss({.a = p.logits, .count_a = p.count, .gradient_a = p.gradient, .sum = p.sum});
}
template <class F, class G>
fusable fusable_of(ops::two_loss_terms<F, G>, const params_of<ops::two_loss_terms<F, G>>& p) {
  return fusable_loss({p.a, p.b, p.count_a, p.count_b, p.gradient_a, p.gradient_b, p.sum});
}
template <class F>
fusable fusable_of(ops::paired_term<F>, const params_of<ops::paired_term<F>>& p) {
  return fusable_loss({p.a, p.b, p.count, p.count, p.gradient_a, p.gradient_b, p.sum});
}
template <class F, class G>
fusable fusable_of(ops::relativistic_average_terms<F, G>,
                   const params_of<ops::relativistic_average_terms<F, G>>& p) {
  return fusable_loss({p.a, p.b, p.count, p.count, p.gradient_a, p.gradient_b, p.sum});
}

template <class F, class G, int Classes>
fusable fusable_of(ops::classified_loss_terms<F, G, Classes>,
                   const params_of<ops::classified_loss_terms<F, G, Classes>>& p) {
  return fusable_loss({p.logits_a, p.logits_b, static_cast<std::size_t>(p.a.n),
                       static_cast<std::size_t>(p.b.n), p.gradient_a.data, p.gradient_b.data, p.sum,
                       p.a.data, p.b.data, 1 + Classes});
}

/// What a product reads through a load that can normalise, all of it.
struct loaded_numbers {
  const float* data;
  std::size_t count;
  friend bool operator==(const loaded_numbers&, const loaded_numbers&) = default;
};
template <conv_geometry G>
loaded_numbers product_input(ops::conv2d_forward<G>, const params_of<ops::conv2d_forward<G>>& p) {
  return {p.x.data, nhwc::elements(G.in, p.x.n)};
}
template <conv_geometry G>
loaded_numbers product_input(ops::conv2d_backward_data<G>,
                             const params_of<ops::conv2d_backward_data<G>>& p) {
  return {p.dy.data, nhwc::elements(G.out(), p.dy.n)};
}
template <linear_geometry G>
loaded_numbers product_input(ops::linear_forward<G>, const params_of<ops::linear_forward<G>>& p) {
  return {p.x.data, nhwc::elements(G.in, p.x.n)};
}
/// Of a weight gradient: dy, or x.
template <conv_geometry G>
loaded_numbers gradient_operand(ops::conv2d_backward_weights<G>,
                                const params_of<ops::conv2d_backward_weights<G>>& p, bool is_dy) {
  if (is_dy) return {p.dy.data, nhwc::elements(G.out(), p.dy.n)};
  return {p.x.data, nhwc::elements(G.in, p.x.n)};
}
template <linear_geometry G>
loaded_numbers gradient_operand(ops::linear_backward_weights<G>,
                                const params_of<ops::linear_backward_weights<G>>& p, bool is_dy) {
  if (is_dy) return {p.dy.data, nhwc::elements(hwc{1, 1, G.out}, p.dy.n)};
  return {p.x.data, nhwc::elements(G.in, p.x.n)};
}

class launch_window {
 public:
  /// Blocks whose sums the last one adds up, and results for whose sums the scratch has room.
  static constexpr std::size_t most_blocks = 512, most_results = std::size_t{1} << 25;

  void hold(const fusable& what, std::function<void(const fused_parts&)> start,
            const fused_parts& parts = {}) {
    what_ = what;
    parts_ = parts;
    start_ = std::move(start);
  }
  /// Starts what is held.
  void flush() {
    if (start_) std::exchange(start_, {})(parts_);
  }
  /// Forgets it, after an error.
  void drop() { start_ = {}; }

  /// True if the op has become part of what is held.
  template <class Op>
  bool take(Op, const params_of<Op>&) {
    return false;
  }
  template <class F>
  bool take(ops::activation_forward<F>, const params_of<ops::activation_forward<F>>& p) {
    return p.x == p.y && activate(p.y, p.count, kernels::chosen(p.f), nullptr);
  }
  template <class F>
  bool take(ops::activation_backward<F>, const params_of<ops::activation_backward<F>>& p) {
    return p.dy == p.dx && activate(p.dx, p.count, kernels::chosen(p.f), p.y);
  }
  template <hwc Shape>
  bool take(ops::channel_sum<Shape>, const params_of<ops::channel_sum<Shape>>& p) {
    if (!start_ || !what_.gradient || what_.gradient != p.x.data) return false;
    parts_.line_sums = p.sum;
    flush();
    return true;
  }
  bool take(ops::ema_step, const params_of<ops::ema_step>& p) {
    if (!start_ || !what_.update) return false;
    parts_.more = {p.value, p.average, p.count, p.decay};
    flush();
    return true;
  }

  bool take(ops::clear, const params_of<ops::clear>& p) {
    if (!start_ || !what_.zeros) return false;
    parts_.zeros = p;
    flush();
    return true;
  }
  bool take(ops::copy, const params_of<ops::copy>& p) {
    const loss_arrays& loss = what_.loss;
    if (!start_ || !loss.sum || loss.touches(p.y, p.count)) return false;
    const auto copies = [&p](const float* from, std::size_t count, float*& to) {
      if (p.x != from || p.count != count || to) return false;
      to = p.y;
      return true;
    };
    kernels::output_copies& to = parts_;
    return copies(loss.a, loss.count_a, to.a) || copies(loss.b, loss.count_b, to.b) ||
           copies(loss.sum, 1, to.sum);
  }

  /// True if what is held adds up its results, which lie at x, and has started.
  bool sum_results(const float* x, std::size_t count, const kernels::result_sums& sums) {
    if (!start_ || !what_.sums || what_.result != x || what_.count != count) return false;
    constexpr auto block = static_cast<std::size_t>(
        kernels::gemm_policy_of(kernels::gemm_math::fp32, kernels::gemm_size::small).rows);
    const std::size_t pixels = count / static_cast<std::size_t>(sums.channels);
    const std::size_t most = most_results / static_cast<std::size_t>(sums.batches);
    if (pixels > most_blocks * block || count > most) return false;
    parts_.sums = sums;
    flush();
    return true;
  }

  /// What is held if it can be part of an op that reads its results; it is then held no longer.
  template <class Op>
  fused_parts take_into(Op op, const params_of<Op>& p) {
    fused_parts parts;
    if (!start_) return parts;
    if constexpr (requires { p.dweight; }) {
      if (loads_gradient_of(op, p, true) || loads_gradient_of(op, p, false))
        parts.norm_gradient = what_.norm_gradient;
    } else {
      kernels::norm_pass norm = what_.norm;
      norm.f = parts_.f;
      const fusable next = fusable_of(op, p);
      const auto apart = [&](const float* a) {
        return std::less_equal<>{}(a + norm.count, next.result) ||
               std::less_equal<>{}(next.result + next.count, a);
      };
      if (norm.fits_load() && loaded_numbers{norm.y, norm.count} == product_input(op, p) &&
          !parts_.gate && kernels::loads_norm(op, norm.channels) && apart(norm.x) && apart(norm.y))
        parts.norm = norm;
    }
    if (parts.norm.y || parts.norm_gradient.dx) start_ = {};
    return parts;
  }

 private:
  template <class Op>
  bool loads_gradient_of(Op op, const params_of<Op>& p, bool is_dy) const {
    const kernels::norm_gradient_pass& norm = what_.norm_gradient;
    return norm.fits_load() &&
           loaded_numbers{norm.dx, norm.count} == gradient_operand(op, p, is_dy) &&
           kernels::loads_norm_gradient(op, norm.channels, is_dy);
  }
  bool activate(const float* result, std::size_t count, const kernels::any_activation& f,
                const float* gate) {
    if (!start_ || !what_.activation || what_.result != result || what_.count != count ||
        f.kind == kernels::activation_kind::none || gate == result)
      return false;
    parts_.f = f;
    parts_.gate = gate;
    what_.activation = false;
    return true;
  }

  fusable what_;
  fused_parts parts_;
  std::function<void(const fused_parts&)> start_;
};

}  // namespace gantry::backend::detail
