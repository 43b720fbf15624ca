// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "gantry/base/rng.hpp"
#include "gantry/ops/operation.hpp"

namespace gantry::inline v0::ops {

/// y = N(0, 1), the numbers of fill_normal in canonical order, up to the last digits of a backend's
/// logarithm, sine and cosine. Latents are drawn by it where a backend has it.
template <hwc Shape>
struct draw_normal {
  static constexpr std::string_view name = "draw_normal";
  template <class S>
  struct params {
    batch_of<S> y;
    stream_id stream;
  };
};

}  // namespace gantry::ops
