// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "gantry/concepts/backend.hpp"

namespace gantry {

/// One update of a flat arena. `state` holds `state_per_param()` arrays of the arena's length, one
/// after the other, zero before the first step; `step` counts from 1.
template <class O, class B>
concept Optimizer = Backend<B> && std::copyable<O> &&
    requires(const O& o, B& b, std::span<typename B::scalar> weights,
             std::span<const typename B::scalar> gradient, std::span<typename B::scalar> state,
             std::int64_t step) {
  { O::name } -> std::convertible_to<std::string_view>;
  { o.state_per_param() } -> std::same_as<std::size_t>;
  { o.step(b, weights, gradient, state, step) } -> std::same_as<void>;
};

}  // namespace gantry
