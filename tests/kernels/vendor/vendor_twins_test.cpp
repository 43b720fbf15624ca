// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The libraries' products and convolutions beside the own kernels, on a GPU (scripts/gpu_check.sh);
// check_vendor.py compiles and links it anywhere.
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/backend/cuda/vendor.cuh"
#include "gantry/backend/reference/reference.hpp"
#include "gantry/base/rng.hpp"

#include "kernels/math_tolerance.hpp"
#include "support/compare.hpp"
#include "support/op_runs_flat.hpp"

using namespace gantry;
using namespace gantry::test;
using backend::device_kernels;
using kernels::gemm_math;

namespace {

template <gemm_math Math>
backend::vendor_cuda<Math>& device(device_kernels set) {
  static auto& own = *new backend::vendor_cuda<Math>(device_kernels::own);
  static auto& vendor = *new backend::vendor_cuda<Math>(device_kernels::vendor);
  return set == device_kernels::own ? own : vendor;
}

/// Both kernel sets agree with the reference in double, the libraries' with the same bits again,
/// in a step that becomes a graph, too.
template <gemm_math Math, class Run>
void check(const Run& run, int terms) {
  backend::reference<double> oracle;
  const tolerance t = math_tolerance(Math, terms);
  const auto expected = run(oracle);
  auto& vendor = device<Math>(device_kernels::vendor);
  const auto found = run(vendor);
  CHECK(compare(run(device<Math>(device_kernels::own)), expected, t).named("own"));
  CHECK(compare(found, expected, t).named("vendor"));
  CHECK(same_bits(run(vendor), found).named("the second run"));
}

template <gemm_math Math, linear_geometry G>
void check_linear(int n) {
  for (const bool option : {false, true}) {
    const run_options o{.n = n, .option = option};
    check<Math>(runs::linear_forward<G>{o}, G.in.size());
    check<Math>(runs::linear_backward_data<G>{o}, G.out);
    check<Math>(runs::linear_backward_weights<G>{o}, n);
  }
}
template <gemm_math Math, conv_geometry G>
void check_conv(int n) {
  for (const bool option : {false, true}) {
    const run_options o{.n = n, .option = option};
    check<Math>(runs::conv2d_forward<G>{o}, G.taps());
    check<Math>(runs::conv2d_backward_data<G>{o}, G.taps());
    check<Math>(runs::conv2d_backward_weights<G>{o}, n * G.out().pixels());
  }
}

/// What a layer and its activation launch; option: a bias.
template <conv_geometry G, class F>
struct conv_and_function : run_options {
  F f{};
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const auto x = runs::clean_batch<G.in>(b, *this, 1);
    const auto weight = runs::numbers(b, G.weights(), 2), bias = runs::numbers(b, G.filters, 3);
    const device_batch<B, G.out()> y(b, n);
    launch(b, ops::conv2d_forward<G>{},
           {x.view(), weight.data(), option ? bias.data() : nullptr, y.view()});
    launch(b, ops::activation_forward<F>{},
           {y.view().data, y.view().data, B::storage::layout::elements(G.out(), n), f});
    return y.read();
  }
};

template <class B, class Buffer>
void fill_on(B& b, Buffer& buffer, std::uint32_t salt) {
  std::vector<float> host(buffer.size());
  fill_normal(std::span<float>(host), {.seed = 5, .salt = salt});
  b.upload(host, buffer.data());
}

template <gemm_math Math>
void check_all() {
  const std::size_t before = backend::launches_without_plan;
  check_linear<Math, linear_geometry{{3, 5, 7}, 33}>(3);
  check_linear<Math, linear_geometry{{1, 1, 128}, 256}>(64);
  check_conv<Math, conv_geometry{{7, 5, 3}, 6, 4, 2, 1}>(3);
  check_conv<Math, conv_geometry{{16, 16, 32}, 64, 4, 2, 1}>(8);
  constexpr conv_geometry conv{{16, 16, 32}, 64, 4, 2, 1};
  for (const bool option : {false, true}) {
    const run_options o{.n = 4, .option = option};
    check<Math>(conv_and_function<conv, function::leaky_relu>{o, {0.2f}}, conv.taps());
    check<Math>(conv_and_function<conv, function::tanh>{o, {}}, conv.taps());
  }
  MESSAGE(std::string(backend::cuda_name(Math))
          << ": launches without a plan: " << backend::launches_without_plan - before);
}

}  // namespace

TEST_CASE("vendor: tf32 twins") { check_all<gemm_math::tf32>(); }
#if !defined(GANTRY_ONE_MATH)  // nothing more to learn where it only has to link
TEST_CASE("vendor: fp32 twins") { check_all<gemm_math::fp32>(); }
TEST_CASE("vendor: bf16 twins") { check_all<gemm_math::bf16>(); }
#endif

TEST_CASE("vendor: a recorded step has the bits of a plain one") {
  constexpr linear_geometry g{{1, 1, 128}, 256};
  constexpr conv_geometry conv{{16, 16, 32}, 64, 4, 2, 1};
  auto& b = device<gemm_math::tf32>(device_kernels::vendor);
  constexpr int n = 8;
  auto x = b.allocate(n * 8192), w = b.allocate(conv.weights()), y = b.allocate(n * 4096),
       z = b.allocate(n * 256);
  fill_on(b, x, 1);
  fill_on(b, w, 2);
  const auto work = [&] {
    launch(b, ops::conv2d_forward<conv>{}, {{x.data(), n}, w.data(), nullptr, {y.data(), n}});
    launch(b, ops::linear_forward<g>{}, {{y.data(), n}, w.data(), x.data(), {z.data(), n}});
  };
  const auto result = [&] {
    std::vector<float> found(n * 256);
    b.download(z.data(), found);
    return found;
  };
  work();
  const auto plain = result();
  for (int i = 0; i < 3; ++i) {
    launch(b, ops::fill{}, {z.data(), n * 256, 0.0f});
    b.step(work);
    CHECK(result() == plain);
  }
  CHECK(b.graphs() == 1);
}
