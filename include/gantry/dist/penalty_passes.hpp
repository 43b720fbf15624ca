// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The part of a discriminator's step that penalties on its input gradient add.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <tuple>

#include "gantry/concepts/loss.hpp"
#include "gantry/concepts/network.hpp"
#include "gantry/ops/penalty.hpp"
#include "gantry/ops/pointwise.hpp"

namespace gantry::inline v0::dist {

template <class L>
concept HasPenalties = requires(const L& l) {
  l.penalties;
};

/// Whether a penalty is at the real or at the generated batch.
template <class Objective>
inline constexpr bool penalises_batches = [] {
  if constexpr (requires(Objective o) { o.penalties; })
    return []<class... P>(const std::tuple<P...>*) {
      return ((P::point == penalty_point::real || P::point == penalty_point::fake) || ...);
    }(static_cast<const decltype(Objective::penalties)*>(nullptr));
  else
    return false;
}();

/// FLOPs of products per sample that penalties add to a step of the discriminator: forward, input
/// gradient, tangent and weight gradient at points of their own; the tangent, and the first layer's
/// input gradient, at a batch that is there anyway.
template <class D, class Objective>
constexpr double penalty_flops() {
  if constexpr (requires(Objective o) { o.penalties; }) {
    return []<class... P>(const std::tuple<P...>*) {
      const auto one = [](penalty_point at) {
        constexpr flop_count d = D::flops;
        if (at == penalty_point::real || at == penalty_point::fake)
          return d.forward + D::first_input_gradient_flops;
        return 2 * d.forward + d.input_gradient + d.weight_gradient;
      };
      return (0.0 + ... + one(P::point));
    }(static_cast<const decltype(Objective::penalties)*>(nullptr));
  } else {
    return 0;
  }
}

/// Memory and passes of the penalties of one discriminator; nothing is allocated while all are
/// switched off.
template <class Net, class Objective, Backend B>
class penalty_passes {
  using scalar = typename B::scalar;
  using batch = batch_of<typename B::storage>;
  using const_batch = const_batch_of<typename B::storage>;
  using tape_type = typename Net::template tape<B>;
  using tangent_tape = typename Net::template tangent_tape<B>;
  static constexpr hwc shape = Net::input_shape;

 public:
  static bool active(const Objective& o) {
    return std::apply([](const auto&... p) { return (p.is_on() || ...); }, o.penalties);
  }
  static std::size_t bytes(int n, const Objective& o) {
    if (!active(o)) return 0;
    return 2 * allocation_bytes<scalar>(elements(n)) +
           allocation_bytes<scalar>(tangent_tape::elements(n));
  }

  penalty_passes(B& b, int capacity, const Objective& objective) {
    if (!active(objective)) return;
    points_ = b.allocate(elements(capacity));
    gradient_ = b.allocate(elements(capacity));
    tangents_.emplace(b, capacity);
  }

  /// What the passes work on; `gradients` is added to, *sum gets the penalties' values.
  struct step {
    const Net& network;
    network_view<B> values;
    std::span<scalar> gradients;
    scalar* sum;
    std::int64_t number;  ///< of the discriminator's step, for lazy and scheduled penalties
    stream_id random;
  };

  /// The backward of a real or fake batch x whose forward is on t and whose loss gradient is in
  /// t.output_gradient(), with the penalties at that batch. The first one shares its weight
  /// gradients with the loss.
  void backward(B& b, const Objective& o, const step& s, penalty_point at, const_batch x,
                tape_type& t) {
    const scalar* seeds = t.output_gradient().data;
    for_each_due(o, s, [&](const auto& p, float weight, std::uint32_t) {
      if (p.point != at) return;
      penalise(b, p, weight, s, {x, t, seeds});
      seeds = nullptr;
    });
    if (seeds) s.network.backward(b, s.values, x, t, s.gradients, {});
  }

  /// Penalties at points that are neither batch, with the real samples' labels; t is free for their
  /// forward.
  void elsewhere(B& b, const Objective& o, const step& s, const network_input<B>& real,
                 const_batch fake, tape_type& t) {
    for_each_due(o, s, [&](const auto& p, float weight, std::uint32_t index) {
      if (p.point == penalty_point::real || p.point == penalty_point::fake) return;
      const batch x{points_.data(), fake.n};
      stream_id id = s.random;
      id.use = purpose::penalty;
      id.salt = id.salt * 16 + index;
      if (p.point == penalty_point::interpolates)
        launch(b, ops::interpolate<shape>{}, {real.samples, fake, x, id});
      else if constexpr (requires { p.radius; })
        launch(b, ops::perturb<shape>{}, {real.samples, x, p.radius, id});
      s.network.forward(b, s.values, {x, real.labels}, t, mode::train, s.random);
      penalise(b, p, weight, s, {x, t, nullptr});
    });
  }

 private:
  static std::size_t elements(int n) { return B::storage::layout::elements(shape, n); }

  /// Calls f(penalty, weight, index) for those that are part of this step.
  template <class F>
  static void for_each_due(const Objective& o, const step& s, F&& f) {
    const auto visit = [&](const auto& p, std::uint32_t index) {
      if (!p.is_on() || s.number % p.every != 0) return;
      const float coefficient = p.coefficient(s.number);
      if (coefficient != 0.0f) f(p, coefficient * static_cast<float>(p.every), index);
    };
    std::uint32_t index = 0;
    std::apply([&](const auto&... p) { (visit(p, index++), ...); }, o.penalties);
  }

  struct forwarded {
    const_batch x;
    tape_type& tape;
    const scalar* seeds;
  };
  template <class P>
  void penalise(B& b, const P& p, float weight, const step& s, const forwarded& at) {
    const batch g{gradient_.data(), at.x.n};
    s.network.input_gradient(b, s.values, at.x, at.tape, *tangents_, g);
    launch(b, ops::gradient_penalty<shape, decltype(p.function())>{},
           {g, g, weight, s.sum, p.function()});
    s.network.penalty_backward(b, at.tape, *tangents_, {s.values, at.x, g, at.seeds, s.gradients});
  }

  typename B::buffer_type points_, gradient_;
  std::optional<tangent_tape> tangents_;
};

/// Objectives without penalties.
template <class Net, class Objective, Backend B>
requires(!HasPenalties<Objective>) class penalty_passes<Net, Objective, B> {
 public:
  static constexpr std::size_t bytes(int, const Objective&) { return 0; }
  penalty_passes(B&, int, const Objective&) {}
};

}  // namespace gantry::dist
