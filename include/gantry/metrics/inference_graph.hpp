// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// A trained network of branches as a list of blocks, run on one image.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/metrics/inference.hpp"
#include "gantry/tensor/shape.hpp"

namespace gantry::inline v0::metrics::inference {

using step = std::variant<conv2d, pool2d>;

/// Steps one after the other; what they give is the input of each of the tails, whose channels are
/// the branch's.
struct branch {
  std::vector<step> trunk;
  std::vector<step> tails;
};

/// Branches of one input; their channels side by side are the output. A residual block then adds
/// its input, of which it takes every second pixel and to which it adds channels of zeros on both
/// sides where the extents differ (He et al., arXiv 1512.03385, option A), and takes max(y, 0).
struct block {
  std::vector<branch> branches;
  bool residual{false};
};

/// Memory of a graph's run, kept between runs; one for each thread.
struct graph_scratch {
  std::vector<float> input;                    ///< where a caller may prepare the image
  std::array<std::vector<float>, 2> outputs;   ///< of the block that runs and the one before
  std::array<std::vector<float>, 2> interior;  ///< of the steps in a branch
  std::vector<float> patches;
};

namespace detail {

inline hwc output_shape(const step& s, hwc in) {
  return std::visit([in](const auto& layer) { return layer.output_shape(in); }, s);
}

inline void run_step(const step& s, const image_view& x, const channels_view& y,
                     graph_scratch& scratch) {
  std::visit(
      [&](const auto& layer) {
        if constexpr (std::is_same_v<std::remove_cvref_t<decltype(layer)>, conv2d>)
          layer(x, y, scratch.patches);
        else
          layer(x, y);
      },
      s);
}

inline float* room(std::vector<float>& memory, hwc shape) {
  const auto size = static_cast<std::size_t>(shape.size());
  if (memory.size() < size) memory.resize(size);
  return memory.data();
}

inline hwc trunk_shape(const branch& b, hwc in) {
  for (const step& s : b.trunk) in = output_shape(s, in);
  return in;
}

inline hwc block_shape(const block& all, hwc in) {
  hwc out{0, 0, 0};
  for (const branch& b : all.branches)
    for (const step& tail : b.tails) {
      const hwc one = output_shape(tail, trunk_shape(b, in));
      expects(out.c == 0 || (out.h == one.h && out.w == one.w),
              "the branches of a block were expected to give equal heights and widths; correct the "
              "windows");
      out = {one.h, one.w, out.c + one.c};
    }
  return out;
}

/// y = max(y + x, 0) with x brought to the extents of y.
inline void add_shortcut(const image_view& x, hwc shape, float* y) {
  const int stride = x.shape.h / shape.h, c = x.shape.c, before = (shape.c - c) / 2;
  expects(stride >= 1 && before >= 0,
          "a residual block was expected to keep or shrink its image and to keep or add channels; "
          "correct its windows");
  for (int row = 0; row < shape.h; ++row)
    for (int column = 0; column < shape.w; ++column, y += shape.c) {
      const float* from =
          x.data + (static_cast<std::ptrdiff_t>(row) * stride * x.shape.w + column * stride) * c;
      for (int i = 0; i < c; ++i) y[before + i] += from[i];
      for (int i = 0; i < shape.c; ++i) y[i] = std::max(y[i], 0.0f);
    }
}

}  // namespace detail

class graph {
 public:
  /// Appends a block.
  void add(block b) { blocks_.push_back(std::move(b)); }

  /// Appends one step.
  void add(step s) {
    block b;
    b.branches.resize(1);
    b.branches[0].tails.push_back(std::move(s));
    add(std::move(b));
  }

  [[nodiscard]] hwc output_shape(hwc in) const {
    for (const block& b : blocks_) in = detail::block_shape(b, in);
    return in;
  }

  /// The result for image x, in `scratch` until its next run. @throws usage_error if x does not fit
  image_view run(image_view x, graph_scratch& scratch) const {
    for (std::size_t i = 0; i < blocks_.size(); ++i) {
      const block& b = blocks_[i];
      const hwc shape = detail::block_shape(b, x.shape);
      float* y = detail::room(scratch.outputs[i % 2], shape);
      int channel = 0;
      for (const branch& each : b.branches)
        run_branch(each, x, {y, shape, shape.c}, channel, scratch);
      if (b.residual) detail::add_shortcut(x, shape, y);
      x = {y, shape};
    }
    return x;
  }

 private:
  /// Writes channels from `channel` on, and moves it on.
  static void run_branch(const branch& b, image_view x, const channels_view& y, int& channel,
                         graph_scratch& scratch) {
    for (std::size_t i = 0; i < b.trunk.size(); ++i) {
      const hwc shape = detail::output_shape(b.trunk[i], x.shape);
      float* to = detail::room(scratch.interior[i % 2], shape);
      detail::run_step(b.trunk[i], x, {to, shape, shape.c}, scratch);
      x = {to, shape};
    }
    for (const step& tail : b.tails) {
      const hwc shape = detail::output_shape(tail, x.shape);
      detail::run_step(tail, x, {y.data + channel, shape, y.pitch}, scratch);
      channel += shape.c;
    }
  }

  std::vector<block> blocks_;
};

}  // namespace gantry::metrics::inference
