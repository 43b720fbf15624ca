// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Runs (see op_runs.hpp) of the ops that read a class per sample. Labels are in host memory.
#pragma once

#include <cstdint>

#include "gantry/ops/labels.hpp"

#include "support/op_runs.hpp"

namespace gantry::test::runs {

/// A class per sample in no order; the last class has none.
inline std::vector<std::uint8_t> labels_below(int classes, int n) {
  std::vector<std::uint8_t> labels;
  for (int i = 0; i < n; ++i)
    labels.push_back(static_cast<std::uint8_t>(i * 5 % std::max(1, classes - 1)));
  return labels;
}

/// option: without a table, as for tangents.
template <hwc In, int Classes, int Dim>
struct concat_label : run_options {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const auto labels = labels_below(Classes, n);
    const auto x = poisoned_batch<In>(b, *this, 1);
    const auto table = numbers(b, Classes * Dim, 2);
    const device_batch<B, hwc{In.h, In.w, In.c + Dim}> y(b, n);
    launch(b, ops::concat_label<In, Classes, Dim>{},
           {x.view(), option ? nullptr : table.data(), labels.data(), y.view()});
    return y.read();
  }
};

/// dx, then dtable. option: with a factor per sample.
template <hwc In, int Classes, int Dim>
struct concat_label_backward : run_options {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const auto labels = labels_below(Classes, n);
    const auto dy = poisoned_batch<hwc{In.h, In.w, In.c + Dim}>(b, *this, 1);
    const auto scale = numbers(b, n, 2), dtable = numbers(b, Classes * Dim, 3);
    const device_batch<B, In> dx(b, n);
    launch(b, ops::concat_label_backward<In, Classes, Dim>{},
           {dy.view(), labels.data(), option ? scale.data() : nullptr, dx.view(), dtable.data()});
    return joined({dx.read(), dtable.read()});
  }
};

/// y, then dx and dtable.
template <hwc In, int Classes>
struct label_product : run_options {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const auto labels = labels_below(Classes, n);
    const auto x = poisoned_batch<In>(b, *this, 1);
    const auto dy = clean_batch<hwc{1, 1, 1}>(b, *this, 2);
    const auto table = numbers(b, Classes * In.size(), 3),
               dtable = numbers(b, Classes * In.size(), 4);
    const device_batch<B, hwc{1, 1, 1}> y(b, n);
    const device_batch<B, In> dx(b, n);
    launch(b, ops::label_product<In, Classes>{}, {x.view(), table.data(), labels.data(), y.view()});
    launch(b, ops::label_product_backward<In, Classes>{},
           {x.view(), dy.view(), table.data(), labels.data(), dx.view(), dtable.data()});
    return joined({y.read(), dx.read(), dtable.read()});
  }
};

/// y, then dh in the place of dy and dtable. option: without the shift.
template <hwc Shape, int Classes>
struct class_affine : run_options {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    constexpr int row = 2 * Shape.c;
    const auto labels = labels_below(Classes, n);
    const auto x = clean_batch<Shape>(b, *this, 1), dy = poisoned_batch<Shape>(b, *this, 2);
    const auto table = numbers(b, Classes * row, 3), dtable = numbers(b, Classes * row, 4),
               mean = numbers(b, Shape.c, 5);
    const device_array<B> inverse(b, positive_floats(Shape.c, 6));
    const device_batch<B, Shape> y(b, n);
    launch(b, ops::class_affine<Shape, Classes>{},
           {x.view(), table.data(), labels.data(), y.view()});
    launch(b, ops::class_affine_backward<Shape, Classes>{},
           {x.view(), dy.view(), mean.data(), inverse.data(), table.data(), labels.data(),
            dy.view(), dtable.data(), !option});
    return joined({y.read(), dy.read(), dtable.read()});
  }
};

/// The first number of each sample, the gradient, and the sum, which starts at 3.
template <int Classes>
struct auxiliary_cross_entropy : run_options {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    constexpr hwc row{1, 1, 1 + Classes};
    const auto labels = labels_below(Classes, n);
    const auto x = poisoned_batch<row>(b, *this, 1);
    const device_array<B> logits(b, static_cast<std::size_t>(n)), sum(b, std::vector<float>{3.0f});
    const device_batch<B, row> gradient(b, n);
    const auto seeds = numbers(b, n, 2);
    launch(b, ops::take_logit<Classes>{}, {x.view(), logits.data()});
    launch(b, ops::auxiliary_cross_entropy<Classes>{},
           {x.view(), labels.data(), seeds.data(), 0.75f, gradient.view(), sum.data()});
    return joined({logits.read(), gradient.read(), sum.read()});
  }
};

}  // namespace gantry::test::runs
