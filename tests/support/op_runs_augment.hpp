// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Runs (op_runs.hpp) of the augmentations.
#pragma once

#include "gantry/ops/augment.hpp"

#include "support/op_runs.hpp"

namespace gantry::test::runs {

inline constexpr stream_id augment_stream{
    .seed = 11, .step = 2, .use = purpose::dropout, .salt = 7};

/// What every augmentation has; the run's `option` has its own meaning for each.
struct augment_options : run_options {
  float probability{1.0f};
  bool in_place{};
};

/// Calls f(x, y) and reads y.
template <hwc Shape, Backend B, class F>
std::vector<float> augmented(B& b, const augment_options& o, F&& f) {
  const auto x = poisoned_batch<Shape>(b, o, 1);
  const device_batch<B, Shape> apart(b, o.n);
  f(x.view(), o.in_place ? x.view() : apart.view());
  return o.in_place ? x.read() : apart.read();
}

/// option: only the linear part.
template <hwc Shape>
struct augment_color : augment_options {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    return augmented<Shape>(b, *this, [&](auto x, auto y) {
      launch(b, ops::augment_color<Shape>{}, {x, y, probability, augment_stream, !option});
    });
  }
};

/// option: transposed.
template <hwc Shape>
struct augment_translation : augment_options {
  float ratio{0.125f};
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    return augmented<Shape>(b, *this, [&](auto x, auto y) {
      launch(b, ops::augment_translation<Shape>{},
             {x, y, probability, ratio, augment_stream, option});
    });
  }
};

template <hwc Shape>
struct augment_cutout : augment_options {
  float ratio{0.5f};
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    return augmented<Shape>(b, *this, [&](auto x, auto y) {
      launch(b, ops::augment_cutout<Shape>{}, {x, y, probability, ratio, augment_stream});
    });
  }
};

template <hwc Shape>
struct augment_flip : augment_options {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    return augmented<Shape>(b, *this, [&](auto x, auto y) {
      launch(b, ops::augment_flip<Shape>{}, {x, y, probability, augment_stream});
    });
  }
};

}  // namespace gantry::test::runs
