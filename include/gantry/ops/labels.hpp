// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Ops that read a class label per sample. A table has one row per class.
#pragma once

#include <cstdint>
#include <string_view>

#include "gantry/ops/operation.hpp"

namespace gantry::inline v0::ops {

/// y = [x, table[label]] in every pixel: Dim channels behind those of x. table null: zeros, for
/// tangents.
template <hwc In, int Classes, int Dim>
struct concat_label {
  static constexpr std::string_view name = "concat_label";
  template <class S>
  struct params {
    const_batch_of<S> x;
    const typename S::scalar* table;  ///< [Classes][Dim]
    const std::uint8_t* labels;
    batch_of<S> y;
  };
};

/// dx = the part of dy that belongs to x, unless null; dtable[label_i] += scale_i times the sum of
/// the other part over pixels, unless null; scale null means 1.
template <hwc In, int Classes, int Dim>
struct concat_label_backward {
  static constexpr std::string_view name = "concat_label_backward";
  template <class S>
  struct params {
    const_batch_of<S> dy;
    const std::uint8_t* labels;
    const typename S::scalar* scale;
    batch_of<S> dx;
    typename S::scalar* dtable;
  };
};

/// y_i = <x_i, table[label_i]>; the table is [Classes][h][w][c].
template <hwc In, int Classes>
struct label_product {
  static constexpr std::string_view name = "label_product";
  template <class S>
  struct params {
    const_batch_of<S> x;
    const typename S::scalar* table;
    const std::uint8_t* labels;
    batch_of<S> y;
  };
};

/// dx_i = dy_i table[label_i] unless null, dtable[label_i] += dy_i x_i unless null.
template <hwc In, int Classes>
struct label_product_backward {
  static constexpr std::string_view name = "label_product_backward";
  template <class S>
  struct params {
    const_batch_of<S> x;
    const_batch_of<S> dy;
    const typename S::scalar* table;
    const std::uint8_t* labels;
    batch_of<S> dx;
    typename S::scalar* dtable;
  };
};

/// y = gamma x + beta per channel with gamma and beta of the sample's class; table is
/// [Classes][2][c], gamma first. y may alias x.
template <hwc Shape, int Classes>
struct class_affine {
  static constexpr std::string_view name = "class_affine";
  template <class S>
  struct params {
    const_batch_of<S> x;
    const typename S::scalar* table;
    const std::uint8_t* labels;
    batch_of<S> y;
  };
};

/// Gradient of class_affine behind a normalisation h = (x - mean) inverse per channel: dh = gamma
/// dy unless null; dtable += the sums of dy h and, with `shift`, of dy, unless null. dh may alias
/// dy.
template <hwc Shape, int Classes>
struct class_affine_backward {
  static constexpr std::string_view name = "class_affine_backward";
  template <class S>
  struct params {
    const_batch_of<S> x;
    const_batch_of<S> dy;
    const typename S::scalar* mean;
    const typename S::scalar* inverse_deviation;
    const typename S::scalar* table;
    const std::uint8_t* labels;
    batch_of<S> dh;
    typename S::scalar* dtable;
    bool shift{true};
  };
};

/// to[i] = channel 0 of sample i, extents 1 x 1 x (1 + Classes).
template <int Classes>
struct take_logit {
  static constexpr std::string_view name = "take_logit";
  template <class S>
  struct params {
    const_batch_of<S> x;
    typename S::scalar* to;
  };
};

/// The output of a discriminator with an auxiliary classifier, 1 x 1 x (1 + Classes): channel 0 of
/// the gradient = logit_gradient, the others = the derivative of weight times the mean
/// cross-entropy of their softmax against the labels, whose value is added to *sum.
template <int Classes>
struct auxiliary_cross_entropy {
  static constexpr std::string_view name = "auxiliary_cross_entropy";
  template <class S>
  struct params {
    const_batch_of<S> x;
    const std::uint8_t* labels;
    const typename S::scalar* logit_gradient;
    float weight;
    batch_of<S> gradient;
    typename S::scalar* sum;
  };
};

/// Two terms of an adversarial loss (two_loss_terms) on the first of 1 + Classes outputs a sample,
/// with auxiliary_cross_entropy of the others: *sum += mean_i f(a_i0) + mean_j g(b_j0) + weight
/// times the sum of both batches' mean cross-entropies. The derivatives by all outputs go to
/// gradient_a and gradient_b, the first outputs to logits_a and logits_b. Either batch may be
/// empty.
template <class OnA, class OnB, int Classes>
struct classified_loss_terms {
  static constexpr std::string_view name = "classified_loss_terms";
  template <class S>
  struct params {
    const_batch_of<S> a;
    const_batch_of<S> b;
    const std::uint8_t* labels_a;
    const std::uint8_t* labels_b;
    batch_of<S> gradient_a;
    batch_of<S> gradient_b;
    typename S::scalar* logits_a;
    typename S::scalar* logits_b;
    float weight;
    typename S::scalar* sum;
    OnA f;
    OnB g;
  };
};

}  // namespace gantry::ops
