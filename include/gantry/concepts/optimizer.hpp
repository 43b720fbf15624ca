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

namespace gantry::inline v0 {

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

/// An update of parameters first .. first + count - 1 alone; the spans are those of the whole
/// arena.
template <Backend B>
struct step_args {
  std::span<typename B::scalar> weights;
  std::span<const typename B::scalar> gradient;
  std::span<typename B::scalar> state;
  std::int64_t t{};  ///< number of the step, from 1
  std::size_t first{0}, count{weights.size()};
};

/// An optimizer that can update an arena part by part: parts that cover it, all with the same t,
/// give bitwise what one step on the whole gives.
template <class O, class B>
concept PartwiseOptimizer = Optimizer<O, B> && requires(const O& o, B& b, const step_args<B>& a) {
  { o.step(b, a) } -> std::same_as<void>;
};

}  // namespace gantry
