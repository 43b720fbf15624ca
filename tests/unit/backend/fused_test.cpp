// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <span>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/backend/cpu/norm.hpp"
#include "gantry/backend/cpu/pointwise.hpp"
#include "gantry/backend/cpu/products.hpp"
#include "gantry/backend/cpu/transfer.hpp"
#include "gantry/nn/activation.hpp"
#include "gantry/nn/batch_norm.hpp"
#include "gantry/nn/conv_transpose2d.hpp"
#include "gantry/nn/linear.hpp"
#include "gantry/nn/sequential.hpp"

using namespace gantry;

namespace {

/// The same activation, of which a chain cannot see the function: it is a launch of its own.
template <class Activation>
struct alone : Activation {
 private:
  using Activation::function;
};

constexpr conv_geometry thin{{12, 8, 3}, 32, 4, 2, 1}, block{{6, 5, 16}, 20, 3, 1, 1};
using lrelu = function::leaky_relu;
static_assert(Implements<backend::cpu, ops::activated<ops::conv2d_forward<thin>, lrelu>> &&
              Implements<backend::cpu, ops::gated<ops::conv2d_backward_data<block>, lrelu>>);
static_assert(!Implements<backend::cpu, ops::activated<ops::copy, lrelu>>);
// A logit has no activation behind it, but one before it; 20 inputs are no whole blocks.
constexpr linear_geometry wide{{1, 1, 20}, 33}, logit{{3, 2, 32}, 1};
constexpr conv_geometry conv_logit{{4, 4, 32}, 1, 4, 1, 0};
static_assert(Implements<backend::cpu, ops::activated<ops::linear_forward<wide>, lrelu>> &&
              Implements<backend::cpu, ops::gated<ops::linear_backward_data<logit>, lrelu>> &&
              Implements<backend::cpu, ops::gated<ops::conv2d_backward_data<conv_logit>, lrelu>>);
static_assert(!Implements<backend::cpu, ops::activated<ops::linear_forward<logit>, lrelu>> &&
              !Implements<backend::cpu, ops::gated<ops::linear_backward_data<wide>, lrelu>>);

/// Thin, minimal and direct convolutions both ways, with and without bias and norm; dense layers
/// with whole blocks of inputs and without, and a logit.
template <template <class> class A>
using network =
    sequential<image<20, 20, 3>, conv2d<64, 4, 2, 1>, typename A<leaky_relu>::type,
               conv2d<64, 4, 2, 1>, typename A<leaky_relu>::type, conv2d<64, 3, 1, 1>,
               typename A<relu>::type, conv2d<20, 3, 1, 1, bias::no>, batch_norm,
               typename A<relu>::type, conv_transpose2d<48, 4, 2, 1>, typename A<leaky_relu>::type,
               conv_transpose2d<2, 4, 2, 1>, typename A<tanh_>::type, linear<48>,
               typename A<leaky_relu>::type, linear<20>, typename A<relu>::type, linear<32>,
               typename A<leaky_relu>::type, linear<1>>;
template <class L>
struct as_it_is {
  using type = L;
};
template <class L>
struct on_its_own {
  using type = alone<L>;
};
using fused = network<as_it_is>;
using plain = network<on_its_own>;
static_assert(nn::is_activation<leaky_relu> && !nn::is_activation<alone<leaky_relu>>);

/// What a forward, a backward and a gradient by the input leave behind.
struct outcome {
  std::vector<float> output, gradients, dx, by_input;
};

template <class Net>
outcome run(int threads, int n, mode run_mode, bool minimal) {
  using B = backend::cpu;
  B b(threads);
  b.minimal_filtering = minimal;
  Net net;
  std::vector<float> params(Net::param_count), buffers(Net::buffer_count),
      x(blocked::elements(Net::input_shape, n));
  net.initialise(params, buffers, {.seed = 3});
  fill_normal(std::span(params).first(5000), {.seed = 4});
  fill_normal(std::span(x), {.seed = 5});
  const network_view<B> values{params, buffers};
  const const_batch_of<B::storage> batch{x.data(), n};
  typename Net::template tape<B> tape(b, n);
  typename Net::template tangent_tape<B> tangents(b, n);
  net.forward(b, values, network_input<B>(batch), tape, run_mode, {.seed = 6});
  const std::size_t outputs = blocked::elements(Net::output_shape, n);
  outcome o{{tape.output().data, tape.output().data + outputs - 16},
            std::vector<float>(Net::param_count),
            std::vector<float>(x.size()),
            std::vector<float>(x.size())};
  fill_normal(std::span(tape.output_gradient().data, outputs), {.seed = 7});
  net.backward(b, values, batch, tape, o.gradients, {o.dx.data(), n});
  net.input_gradient(b, values, batch, tape, tangents, {o.by_input.data(), n});
  return o;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}
bool same_bits(const outcome& a, const outcome& b) {
  return same_bits(a.gradients, b.gradients) && same_bits(a.dx, b.dx) &&
         same_bits(a.by_input, b.by_input);
}

}  // namespace

TEST_CASE("fused ops: a network's passes have the bits of one launch per layer") {
  for (const int n : {1, 3, 20})
    for (const bool minimal : {false, true})
      for (const mode run_mode : {mode::train, mode::evaluate}) {
        CAPTURE(n);
        CAPTURE(minimal);
        const outcome one = run<fused>(1, n, run_mode, minimal),
                      two = run<fused>(2, n, run_mode, minimal),
                      expected = run<plain>(1, n, run_mode, minimal);
        CHECK(same_bits(one, two));
        CHECK(same_bits(one.output, two.output));
        for (std::size_t i = 0; i < one.output.size(); ++i)
          REQUIRE(one.output[i] == doctest::Approx(expected.output[i]).epsilon(1e-5));
        for (std::size_t i = 0; i < one.dx.size(); ++i)
          REQUIRE(one.dx[i] == doctest::Approx(expected.dx[i]).epsilon(1e-4));
      }
}

TEST_CASE("fused ops: gated gradients have the bits of two launches") {
  constexpr int n = 5;
  backend::cpu b(1);
  const auto numbers = [](std::size_t count, std::uint32_t salt) {
    std::vector<float> v(count);
    fill_normal(std::span(v), {.seed = 8, .salt = salt});
    return v;
  };
  const std::size_t count = blocked::elements(block.in, n);
  const std::vector<float> dy = numbers(blocked::elements(block.out(), n), 1),
                           w = numbers(static_cast<std::size_t>(block.weights()), 2),
                           y = numbers(count, 3);
  std::vector<float> one(count), two(count);
  const lrelu f{0.2f};
  launch(b, ops::gated<ops::conv2d_backward_data<block>, lrelu>{},
         {{{dy.data(), n}, w.data(), nullptr, {one.data(), n}}, y.data(), f});
  launch(b, ops::conv2d_backward_data<block>{},
         {{dy.data(), n}, w.data(), nullptr, {two.data(), n}});
  launch(b, ops::activation_backward<lrelu>{}, {y.data(), two.data(), two.data(), count, f});
  CHECK(same_bits(one, two));
}
