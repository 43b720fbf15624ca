// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/backend/cpu/pointwise.hpp"
#include "gantry/backend/cpu/products.hpp"

using namespace gantry;

namespace {

constexpr conv_geometry direct{{3, 3, 16}, 16, 3, 1, 1}, minimal{{8, 8, 64}, 64, 4, 2, 1};
static_assert(backend::detail::fits_winograd(minimal) && !backend::detail::fits_winograd(direct));
constexpr int n = 2;

std::vector<float> numbers(std::size_t count, std::uint32_t salt) {
  std::vector<float> v(count);
  fill_normal(std::span(v), {.seed = 7, .salt = salt});
  return v;
}

/// Both products of a geometry with the same weights, one after the other.
template <conv_geometry G>
std::vector<float> products(backend::cpu& b, const float* weight) {
  const std::vector<float> x = numbers(blocked::elements(G.in, n), 1),
                           dy = numbers(blocked::elements(G.out(), n), 2);
  std::vector<float> all(blocked::elements(G.out(), n) + blocked::elements(G.in, n));
  float* dx = all.data() + blocked::elements(G.out(), n);
  launch(b, ops::conv2d_forward<G>{}, {{x.data(), n}, weight, nullptr, {all.data(), n}});
  launch(b, ops::conv2d_backward_data<G>{}, {{dy.data(), n}, weight, nullptr, {dx, n}});
  return all;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

/// A weight arena and what an optimizer has beside it.
struct arena {
  explicit arena(std::size_t count)
      : weight(numbers(count, 3)), gradient(numbers(count, 4)), first(count), second(count, 1.0f) {}
  std::vector<float> weight, gradient, first, second;
};
struct change {
  std::string how;
  std::function<void(backend::cpu&, arena&)> apply;
};

/// Whatever writes parameters: optimizers, clipping, averages, copies, uploads, the host itself.
std::vector<change> changes() {
  return {
      {"Adam",
       [](backend::cpu& b, arena& a) {
         ops::adam_step::params<backend::cpu::storage> p{};
         p.weight = a.weight.data();
         p.gradient = a.gradient.data();
         p.first_moment = a.first.data();
         p.second_moment = a.second.data();
         p.count = a.weight.size();
         p.rate = 0.01f;
         p.beta1 = 0.5f;
         p.beta2 = 0.9f;
         p.epsilon = 1e-8f;
         p.correction1 = p.correction2 = 1.0;
         launch(b, ops::adam_step{}, p);
       }},
      {"gradient descent",
       [](backend::cpu& b, arena& a) {
         launch(b, ops::sgd_step{},
                {a.weight.data(), a.gradient.data(), nullptr, a.weight.size(), 0.01f, 0.0f});
       }},
      {"weight clipping",
       [](backend::cpu& b, arena& a) {
         launch(b, ops::clamp{}, {a.weight.data(), a.weight.size(), 0.5f});
       }},
      {"an average of weights",
       [](backend::cpu& b, arena& a) {
         launch(b, ops::ema_step{}, {a.gradient.data(), a.weight.data(), a.weight.size(), 0.75f});
       }},
      {"a sum of weights",
       [](backend::cpu& b, arena& a) {
         launch(b, ops::accumulate{}, {a.gradient.data(), a.weight.data(), a.weight.size()});
       }},
      {"a copy of another network",
       [](backend::cpu& b, arena& a) {
         launch(b, ops::copy{}, {a.gradient.data(), a.weight.data(), a.weight.size()});
       }},
      {"a message or checkpoint",
       [](backend::cpu& b, arena& a) { b.upload(numbers(a.weight.size(), 5), a.weight.data()); }},
      {"another backend object on the same memory",
       [](backend::cpu&, arena& a) {
         backend::cpu other(1);
         launch(other, ops::fill{}, {a.weight.data(), 16, 0.25f});
       }},
      {"a swap of two networks", [](backend::cpu&, arena& a) { std::swap(a.weight, a.gradient); }},
      {"a swap of what two networks hold",
       [](backend::cpu&, arena& a) {
         std::swap_ranges(a.weight.begin(), a.weight.end(), a.gradient.begin());
       }},
      {"a write of the last weight", [](backend::cpu&, arena& a) { a.weight.back() += 1.0f; }},
      {"a write of the first weight", [](backend::cpu&, arena& a) { a.weight.front() = 0.0f; }},
      {"a change of sign of nothing", [](backend::cpu&, arena& a) { a.weight.front() = -0.0f; }},
      {"memory that is given to another network",
       [](backend::cpu&, arena& a) {
         const std::size_t count = a.weight.size();
         a.weight = {};
         a.weight = numbers(count, 6);
       }},
  };
}

template <conv_geometry G>
void follows_every_change(int threads) {
  backend::cpu kept(threads);
  kept.packed.kept_from = 0;
  arena a(static_cast<std::size_t>(G.weights()));
  std::vector<float> before = products<G>(kept, a.weight.data());
  for (const change& c : changes()) {
    CAPTURE(c.how);
    c.apply(kept, a);
    const std::vector<float> weights = a.weight;
    backend::cpu fresh(1);
    fresh.packed.kept_from = backend::packed_weights::keep_none;
    const std::vector<float> expected = products<G>(fresh, a.weight.data());
    CHECK(same_bits(products<G>(kept, a.weight.data()), expected));
    CHECK(same_bits(products<G>(kept, a.weight.data()), expected));
    CHECK(same_bits(a.weight, weights));
  }
}

}  // namespace

TEST_CASE("packed weights: no way of changing parameters leaves an old packed form in use") {
  for (const int threads : {1, 2}) {
    CAPTURE(threads);
    follows_every_change<direct>(threads);
    follows_every_change<minimal>(threads);
  }
}

TEST_CASE("packed weights: packed once per form and change, and told apart by memory and length") {
  backend::cpu b(1);
  std::vector<float> w = numbers(100'000, 8);
  const char forms[2]{};
  int packs = 0;
  const auto get = [&](const char* form, std::size_t count) {
    return b.packed.get(b, {w.data(), count}, form, count, [&](float* to) {
      ++packs;
      std::copy_n(w.data(), count, to);
    });
  };
  const float* first = get(&forms[0], w.size());
  CHECK(get(&forms[0], w.size()) == first);
  CHECK(packs == 1);
  CHECK(get(&forms[1], w.size()) != first);
  CHECK(get(&forms[0], w.size()) == first);
  CHECK(packs == 2);
  w[99'999] = 3.0f;
  CHECK(get(&forms[0], w.size())[99'999] == 3.0f);
  CHECK(get(&forms[1], w.size())[99'999] == 3.0f);
  CHECK(packs == 4);
  static_cast<void>(get(&forms[0], 50));
  CHECK(packs == 5);
  CHECK(b.packed.bytes() == (3 * w.size() + 2 * 50) * sizeof(float));

  backend::cpu copy = b;
  CHECK(copy.packed.bytes() == 0);
  b.packed.clear();
  CHECK(b.packed.bytes() == 0);
}

TEST_CASE("packed weights: a node that makes and drops networks keeps a bounded number of them") {
  backend::cpu b(1);
  const char form{};
  const std::vector<float> w = numbers(1000, 9);
  for (std::size_t i = 0; i < 600; ++i)
    static_cast<void>(b.packed.get(b, {w.data() + i, 16}, &form, 16,
                                   [&](float* to) { std::copy_n(w.data() + i, 16, to); }));
  CHECK(b.packed.bytes() <= 256 * 2 * 16 * sizeof(float));
}
