// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// An arena that is updated part by part is the arena that is updated at once, bit for bit.
#include <array>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/backend/cpu/cpu.hpp"
#include "gantry/backend/reference/reference.hpp"
#include "gantry/optim/optimizers.hpp"

#include "support/grad_check.hpp"

using namespace gantry;

namespace {

constexpr std::size_t count = 1237;
/// Neither multiples of a vector register nor in order; one part is empty.
constexpr std::array<std::array<std::size_t, 2>, 6> parts{
    {{1100, 137}, {0, 7}, {7, 0}, {7, 1}, {8, 501}, {509, 591}}};

template <class B>
class arena {
 public:
  explicit arena(std::size_t state)
      : w_(b_.allocate(count)), g_(b_.allocate(count)), s_(b_.allocate(state * count)) {
    b_.upload(numbers(1), w_.data());
  }
  template <class Optimizer>
  void step(const Optimizer& o, std::int64_t t, bool by_parts) {
    b_.upload(numbers(static_cast<std::uint32_t>(t) + 1), g_.data());
    const std::span<const typename B::scalar> gradient(g_.span());
    if (!by_parts) return o.step(b_, w_.span(), gradient, s_.span(), t);
    if constexpr (PartwiseOptimizer<Optimizer, B>)
      for (const auto& [first, size] : parts)
        o.step(b_, step_args<B>{w_.span(), gradient, s_.span(), t, first, size});
  }
  [[nodiscard]] std::vector<typename B::scalar> values() const {
    std::vector<typename B::scalar> all(w_.span().begin(), w_.span().end());
    all.insert(all.end(), s_.span().begin(), s_.span().end());
    return all;
  }

 private:
  static std::vector<float> numbers(std::uint32_t salt) {
    std::vector<float> x(count);
    fill_normal(std::span<float>(x), {.seed = 4, .salt = salt});
    return x;
  }
  B b_;
  typename B::buffer_type w_, g_, s_;
};

template <class B, class Optimizer>
void check_parts(const Optimizer& o) {
  static_assert(PartwiseOptimizer<Optimizer, B>, "every shipped optimizer can update parts");
  arena<B> whole(Optimizer::state_per_param()), by_parts(Optimizer::state_per_param());
  for (std::int64_t t = 1; t <= 9; ++t) {
    whole.step(o, t, false);
    by_parts.step(o, t, true);
    REQUIRE(whole.values() == by_parts.values());
  }
}

using any = optim::one_of<optim::adam, optim::rmsprop, optim::sgd>;

template <class B>
void check_all() {
  const schedule falling = ramp(1e-2f, 1e-3f, 6);
  check_parts<B>(optim::adam{.rate = falling, .beta2 = falling});
  check_parts<B>(optim::sgd{.rate = falling});
  check_parts<B>(optim::sgd{.rate = falling, .momentum = 0.9f});
  check_parts<B>(optim::rmsprop{.rate = falling});
  check_parts<B>(any{optim::rmsprop{}});
  check_parts<B>(optim::ema<optim::adam>{{}, 0.9f});
  check_parts<B>(optim::ema<optim::adam>{.half_life = 3.0f});
  check_parts<B>(optim::ema<optim::sgd>{{.momentum = 0.5f}, falling});
  check_parts<B>(optim::ema<any>{any{optim::adam{.rate = falling}}, 0.9f});
}

/// Knows whole arenas only.
struct sign_descent {
  static constexpr std::string_view name = "sign_descent";
  [[nodiscard]] static constexpr std::size_t state_per_param() { return 0; }
  template <Backend B>
  void step(B&, std::span<typename B::scalar> w, std::span<const typename B::scalar> g,
            std::span<typename B::scalar>, std::int64_t) const {
    for (std::size_t i = 0; i < w.size(); ++i) w[i] -= g[i] > 0 ? 0.1f : -0.1f;
  }
};

}  // namespace

TEST_CASE("updates of parts with one step number are the update of the whole, bit for bit") {
  check_all<backend::cpu>();
  check_all<backend::reference<double>>();
}

TEST_CASE("an optimizer that knows whole arenas only can be averaged, and offers no parts") {
  using averaged = optim::ema<sign_descent>;
  using B = backend::reference<double>;
  static_assert(Optimizer<averaged, B> && !PartwiseOptimizer<averaged, B>);
  static_assert(!PartwiseOptimizer<optim::one_of<optim::adam, sign_descent>, B>);
  arena<B> a(averaged::state_per_param());
  a.step(averaged{{}, 0.5f}, 1, false);
  const auto v = a.values();
  CHECK(std::vector(v.begin(), v.begin() + count) == std::vector(v.begin() + count, v.end()));
}
