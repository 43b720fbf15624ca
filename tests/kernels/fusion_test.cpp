// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Products that do the work of the ops around them: each run is one launch on the device and the
// ops one after the other on the reference.
#include <doctest/doctest.h>

#include "gantry/kernels/batch_norm/launch.cuh"
#include "gantry/kernels/conv2d/launch.cuh"
#include "gantry/kernels/optimizer/launch.cuh"

#include "kernels/device.cuh"
#include "kernels/math_tolerance.hpp"
#include "kernels/norm_arrays.hpp"

using namespace gantry;
using namespace gantry::test;
using kernels::chosen, kernels::sums_kind;
using runs::clean_batch, runs::numbers;

namespace {

constexpr function::leaky_relu leaky{0.2f};

template <class B>
concept Fuses = requires(B& b) {
  b.context();
};

/// Products as functions of a batch, with the extents that the norm behind them sees.
template <conv_geometry G>
struct conv {
  using op = ops::conv2d_forward<G>;
  static constexpr hwc in = G.in, out = G.out(), norm = out;
  static constexpr int weights = G.weights(), depth = G.taps();
  template <class S>
  static auto params(auto x, auto* w, auto* bias, auto y) {
    return typename op::template params<S>{x, w, bias, y};
  }
};
template <conv_geometry G>
struct transposed : conv<G> {
  using op = ops::conv2d_backward_data<G>;
  static constexpr hwc in = G.out(), out = G.in, norm = out;
  template <class S>
  static auto params(auto x, auto* w, auto* bias, auto y) {
    return typename op::template params<S>{x, w, bias, y};
  }
};
template <linear_geometry G, hwc Norm>
struct dense {
  using op = ops::linear_forward<G>;
  static constexpr hwc in = G.in, out{1, 1, G.out}, norm = Norm;
  static constexpr int weights = G.weights(), depth = G.in.size();
  template <class S>
  static auto params(auto x, auto* w, auto* bias, auto y) {
    return typename op::template params<S>{x, w, bias, y};
  }
};
template <linear_geometry G>
struct dense_gradient : dense<G, G.in> {
  using op = ops::linear_backward_data<G>;
  static constexpr hwc in{1, 1, G.out}, out = G.in, norm = G.in;
  template <class S>
  static auto params(auto x, auto* w, auto*, auto y) {
    return typename op::template params<S>{x, w, y, false};
  }
};

/// A product, leaky relu, batch norm, tanh. option: a mean far from 0.
template <class P>
struct forward_run : run_options {
  bool paired{};
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    constexpr hwc norm = P::norm;
    const auto x = runs::poisoned_batch<P::in>(b, *this, 1);
    const auto weight = numbers(b, P::weights, 2);
    auto offsets = normal_floats(static_cast<std::size_t>(P::out.c), 3);
    for (float& v : offsets) v += option ? 100.0f : 0.0f;
    const device_array<B> bias(b, offsets);
    const device_batch<B, P::out> y(b, n), z(b, n);
    const norm_arrays<B, norm> of(b, paired);
    const auto product =
        P::template params<typename B::storage>(x.view(), weight.data(), bias.data(), y.view());
    const auto norm_of = [&](int first, int count, int batch, bool pair) {
      return of.params(y, z, {first, count, batch, pair});
    };
    const std::size_t count = nhwc::elements(P::out, n);
    if constexpr (Fuses<B>) {
      const auto p = norm_of(0, n, 0, paired);
      kernels::product_fusion fusion{.f = chosen(leaky)};
      fusion.sums = {sums_kind::statistics, norm.c, paired ? 2 : 1,
                     kernels::statistics_of<norm>(p)};
      launch(b.context(), typename P::op{}, product, fusion);
      kernels::normalise<norm>(b.context(), p, chosen(function::tanh{}));
    } else {
      launch(b, typename P::op{}, product);
      launch(b, ops::activation_forward<function::leaky_relu>{},
             {y.view().data, y.view().data, count, leaky});
      runs::on_batches<B>(n, paired, [&](int first, int samples, int batch, bool pair) {
        launch(b, ops::batch_norm_forward<norm>{}, norm_of(first, samples, batch, pair));
      });
      launch(b, ops::activation_forward<function::tanh>{},
             {z.view().data, z.view().data, count, {}});
    }
    return joined({y.read(), z.read(), of.mean.read(), of.variance.read(), of.saved.read(),
                   of.inverse.read()});
  }
};

/// Batch norm, leaky relu, a product whose load does both and leaves their results.
template <class P>
struct normed_run : run_options {
  bool paired{};
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    constexpr hwc norm = P::in;
    const auto x = runs::poisoned_batch<norm>(b, *this, 1);
    const auto weight = numbers(b, P::weights, 2), bias = numbers(b, P::out.c, 3);
    const device_batch<B, norm> z(b, n);
    const device_batch<B, P::out> y(b, n);
    const norm_arrays<B, norm> of(b, paired);
    const auto product =
        P::template params<typename B::storage>(z.view(), weight.data(), bias.data(), y.view());
    const auto norm_of = [&](int first, int count, int batch, bool pair) {
      return of.params(x, z, {first, count, batch, pair});
    };
    if constexpr (Fuses<B>) {
      const auto p = norm_of(0, n, 0, paired);
      kernels::find_statistics<norm>(b.context(), p);
      kernels::product_fusion fusion{.norm = kernels::norm_pass_of<norm>(p, chosen(leaky))};
      const bool aligned = kernels::allow_packs(z.view().data);
      CHECK(fusion.norm.fits_load() == aligned);
      if (!aligned) {
        CHECK_THROWS_AS(launch(b.context(), typename P::op{}, product, fusion), usage_error);
        kernels::normalise<norm>(b.context(), p, fusion.norm.f);
        fusion.norm = {};
      }
      launch(b.context(), typename P::op{}, product, fusion);
    } else {
      runs::on_batches<B>(n, paired, [&](int first, int samples, int batch, bool pair) {
        launch(b, ops::batch_norm_forward<norm>{}, norm_of(first, samples, batch, pair));
      });
      launch(b, ops::activation_forward<function::leaky_relu>{},
             {z.view().data, z.view().data, nhwc::elements(norm, n), leaky});
      launch(b, typename P::op{}, product);
    }
    return joined({z.read(), y.read()});
  }
};

/// A product whose results go through the derivative of the activation below and then through the
/// batch norm below that.
template <class P>
struct backward_run : run_options {
  bool paired{};
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    constexpr hwc norm = P::norm;
    const auto dy = runs::poisoned_batch<P::in>(b, *this, 1);
    const auto weight = numbers(b, P::weights, 2);
    const auto y = clean_batch<P::out>(b, *this, 3), x = clean_batch<P::out>(b, *this, 4);
    const device_batch<B, P::out> gradient(b, n), dx(b, n);
    const norm_gradient_arrays<B, norm> of(b, paired);
    typename B::scalar* none = nullptr;
    const auto product =
        P::template params<typename B::storage>(dy.view(), weight.data(), none, gradient.view());
    const auto norm_of = [&](int first, int count, int batch, bool pair) {
      return of.params(x, gradient, dx, {first, count, batch, pair});
    };
    if constexpr (Fuses<B>) {
      const auto c = b.context();
      const auto p = norm_of(0, n, 0, paired);
      kernels::product_fusion fusion{.f = chosen(leaky), .gate = y.view().data};
      fusion.sums = {sums_kind::gradients,
                     norm.c,
                     paired ? 2 : 1,
                     {},
                     kernels::gradient_sums_of<norm>(p, c.partials)};
      fusion.sums.reserved = round_up(kernels::means_count(p, norm.c), std::size_t{4});
      launch(c, typename P::op{}, product, fusion);
      kernels::normalise_backward<norm>(c, p);
    } else {
      launch(b, typename P::op{}, product);
      launch(b, ops::activation_backward<function::leaky_relu>{},
             {y.view().data, gradient.view().data, gradient.view().data, nhwc::elements(P::out, n),
              leaky});
      runs::on_batches<B>(n, paired, [&](int first, int samples, int batch, bool pair) {
        launch(b, ops::batch_norm_backward<norm>{}, norm_of(first, samples, batch, pair));
      });
    }
    return joined({gradient.read(), dx.read(), of.dgamma.read(), of.dbeta.read()});
  }
};

/// Gradients of weights and bias.
template <class Op, hwc In, hwc Out>
struct weights_run : run_options {
  int weights;
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const auto x = clean_batch<In>(b, *this, 1);
    const auto dy = runs::poisoned_batch<Out>(b, *this, 2);
    const auto dweight = numbers(b, weights, 3), dbias = numbers(b, Out.c, 4);
    const typename Op::template params<typename B::storage> p{x.view(), dy.view(), dweight.data()};
    if constexpr (Fuses<B>) {
      launch(b.context(), Op{}, p, kernels::weights_fusion{dbias.data()});
    } else {
      launch(b, Op{}, p);
      launch(b, ops::channel_sum<Out>{}, {dy.view(), dbias.data()});
    }
    return joined({dweight.read(), dbias.read()});
  }
};

/// The gradient of a batch norm, which is dy of a weight gradient, or its x, and done in its load.
template <class Op, hwc In, hwc Out, bool IsDy>
struct normed_weights_run : run_options {
  int weights;
  bool paired{};
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    constexpr hwc norm = IsDy ? Out : In;
    const auto x = clean_batch<norm>(b, *this, 1), dy = runs::poisoned_batch<norm>(b, *this, 2);
    const auto other = clean_batch < IsDy ? In : Out > (b, *this, 3);
    const device_batch<B, norm> dx(b, n);
    const norm_gradient_arrays<B, norm> of(b, paired);
    const auto dweight = numbers(b, weights, 9), dbias = numbers(b, Out.c, 10);
    const auto norm_of = [&](int first, int count, int batch, bool pair) {
      return of.params(x, dy, dx, {first, count, batch, pair});
    };
    const auto product = [&] {
      if constexpr (IsDy)
        return typename Op::template params<typename B::storage>{other.view(), dx.view(),
                                                                 dweight.data()};
      else
        return typename Op::template params<typename B::storage>{dx.view(), other.view(),
                                                                 dweight.data()};
    }();
    if constexpr (Fuses<B>) {
      const auto c = b.context();
      const auto p = norm_of(0, n, 0, paired);
      kernels::find_gradient_sums<norm>(c, p);
      kernels::weights_fusion fusion{dbias.data(), kernels::norm_gradient_pass_of<norm>(c, p)};
      const bool aligned = kernels::allow_packs(dx.view().data);
      CHECK(fusion.norm_gradient.fits_load() == aligned);
      if (!aligned) {
        CHECK_THROWS_AS(launch(c, Op{}, product, fusion), usage_error);
        kernels::normalise_backward<norm>(c, p);
        fusion.norm_gradient = {};
      }
      launch(c, Op{}, product, fusion);
    } else {
      runs::on_batches<B>(n, paired, [&](int first, int samples, int batch, bool pair) {
        launch(b, ops::batch_norm_backward<norm>{}, norm_of(first, samples, batch, pair));
      });
      launch(b, Op{}, product);
      launch(b, ops::channel_sum<Out>{}, {product.dy, dbias.data()});
    }
    return joined({dx.read(), dweight.read(), dbias.read(), of.dgamma.read(), of.dbeta.read()});
  }
};

constexpr conv_geometry down{{8, 6, 8}, 12, 4, 2, 1}, wide{{4, 4, 4}, 70, 3, 1, 1};
constexpr linear_geometry narrow{{1, 1, 300}, 40}, flat{{2, 2, 20}, 70}, even{{2, 2, 20}, 72};
constexpr tolerance sums{5e-5, 5e-5}, of_norm{2e-4, 2e-4};

/// In the form of each kind of product, of one block and of several.
template <template <class> class Run>
void check_all() {
  for (const int n : {1, 12}) CHECK(agrees_on_device(Run<conv<down>>{{.n = n}}, sums));
  CHECK(agrees_on_device(Run<transposed<down>>{{.n = 7}}, sums));  // two tiles in four phases
  CHECK(agrees_on_device(Run<conv<wide>>{{.n = 9}}, sums));        // two columns of tiles
  CHECK(agrees_on_device(Run<conv<wide>>{{.n = 25}}, sums));       // large tiles
}

}  // namespace

TEST_CASE("fused kernels: activation and statistics of a product, then norm and activation") {
  check_all<forward_run>();
  // A pixel's channels are some of a row's columns, and the depth is shared by blocks.
  CHECK(agrees_on_device(forward_run<dense<narrow, hwc{2, 2, 10}>>{{.n = 5}}, sums));
  constexpr linear_geometry broad{{1, 1, 30}, 140};
  CHECK(agrees_on_device(forward_run<dense<broad, hwc{1, 2, 70}>>{{.n = 67}}, sums));
  CHECK(agrees_on_device(forward_run<conv<down>>{{.n = 12, .option = true}}, {5e-4, 5e-4}));
  CHECK(spreads_nan_on_device(forward_run<conv<down>>{{.n = 12, .poison = 200}}));
}

TEST_CASE("fused kernels: the batch norm before a product in its load") {
  check_all<normed_run>();
  constexpr conv_geometry to_one_pixel{{4, 4, 8}, 1, 4};
  CHECK(agrees_on_device(normed_run<conv<to_one_pixel>>{{.n = 3}}, sums));
  CHECK(agrees_on_device(normed_run<dense<flat, hwc{1, 1, 70}>>{{.n = 5}}, sums));
  CHECK(agrees_on_device(normed_run<conv<down>>{{.n = 12}, true}, sums));
  CHECK(agrees_on_device(normed_run<transposed<down>>{{.n = 6}, true}, sums));
  CHECK(agrees_on_device(normed_run<dense<flat, hwc{1, 1, 70}>>{{.n = 66}, true}, sums));
  CHECK(spreads_nan_on_device(normed_run<conv<down>>{{.n = 12, .poison = 200}}));
  const auto in = [](kernels::gemm_math math) {
    return math_tolerance(math, 4 * kernels::conv_backward_data_shape(down, 1).depth);
  };
  using enum kernels::gemm_math;
  CHECK(agrees_on_device<tf32>(normed_run<conv<down>>{{.n = 12}}, in(tf32)));
  CHECK(agrees_on_device<bf16>(normed_run<conv<down>>{{.n = 12}}, in(bf16)));
  CHECK(agrees_on_device<bf16>(normed_run<transposed<down>>{{.n = 7}}, in(bf16)));
}

// Which windows, or pixels of the first phase, a load can leave the norm's results from.
static_assert(kernels::loads_norm(ops::conv2d_forward<conv_geometry{{7, 7, 4}, 4, 3, 2, 1}>{}, 4));
static_assert(!kernels::loads_norm(ops::conv2d_forward<conv_geometry{{8, 8, 4}, 4, 3, 2}>{}, 4),
              "the last row is in no window");
static_assert(!kernels::loads_norm(ops::conv2d_forward<conv_geometry{{8, 8, 4}, 4, 1, 2}>{}, 4));
static_assert(!kernels::loads_norm(ops::conv2d_forward<conv_geometry{{8, 8, 3}, 4, 3, 1, 1}>{}, 3));
static_assert(!kernels::loads_norm(ops::conv2d_forward<down>{}, 4), "channels of other pixels");

TEST_CASE("fused kernels: an input gradient, the activation below it and the norm's sums") {
  check_all<backward_run>();
  for (const int n : {3, 70})
    CHECK(agrees_on_device(backward_run<dense_gradient<flat>>{{.n = n}}, sums));
  CHECK(spreads_nan_on_device(backward_run<transposed<down>>{{.n = 7, .poison = 200}}));
}

TEST_CASE("fused kernels: sums of the two batches of a pair, whose boundary is inside a tile") {
  constexpr linear_geometry broad{{1, 1, 30}, 140};
  CHECK(agrees_on_device(forward_run<conv<down>>{{.n = 12}, true}, sums));
  CHECK(agrees_on_device(forward_run<transposed<down>>{{.n = 6}, true}, sums));
  CHECK(agrees_on_device(forward_run<dense<broad, hwc{1, 2, 70}>>{{.n = 66}, true}, sums));
  CHECK(agrees_on_device(forward_run<conv<down>>{{.n = 12, .option = true}, true}, {5e-4, 5e-4}));
  CHECK(agrees_on_device(backward_run<conv<wide>>{{.n = 10}, true}, sums));
  CHECK(agrees_on_device(backward_run<transposed<down>>{{.n = 6}, true}, sums));
  CHECK(agrees_on_device(backward_run<dense_gradient<flat>>{{.n = 70}, true}, sums));
}

TEST_CASE("fused kernels: gradients of weights and bias") {
  using of_conv = weights_run<ops::conv2d_backward_weights<down>, down.in, down.out()>;
  using of_dense = weights_run<ops::linear_backward_weights<flat>, flat.in, hwc{1, 1, flat.out}>;
  for (const int n : {1, 40})  // of 40 the depth is shared
    CHECK(agrees_on_device(of_conv{{.n = n}, down.weights()}, sums));
  for (const int n : {1, 67}) CHECK(agrees_on_device(of_dense{{.n = n}, flat.weights()}, sums));
}

TEST_CASE("fused kernels: the gradient of a batch norm in the load of a weight gradient") {
  using conv_op = ops::conv2d_backward_weights<down>;
  using of_conv = normed_weights_run<conv_op, down.in, down.out(), true>;
  using of_transposed = normed_weights_run<conv_op, down.in, down.out(), false>;
  using of_dense =
      normed_weights_run<ops::linear_backward_weights<even>, even.in, hwc{1, 1, even.out}, true>;
  for (const bool paired : {false, true})
    for (const int n : {2, 40}) {  // of 40 the depth is shared
      CHECK(agrees_on_device(of_conv{{.n = n}, down.weights(), paired}, of_norm));
      CHECK(agrees_on_device(of_transposed{{.n = n}, down.weights(), paired}, of_norm));
      CHECK(agrees_on_device(of_dense{{.n = n}, even.weights(), paired}, of_norm));
    }
  CHECK(spreads_nan_on_device(of_transposed{{.n = 3, .poison = 200}, down.weights()}));
}

TEST_CASE("fused kernels: Adam moves the average of running statistics on its way") {
  for (device_backend* b : {&aligned_device(), &shifted_device()}) {
    const auto weight = numbers(*b, 1003, 1), gradient = numbers(*b, 1003, 2);
    const auto first = numbers(*b, 1003, 3);
    const device_array<device_backend> second(*b, runs::positive_floats(1003, 4));
    const auto value = numbers(*b, 37, 5), average = numbers(*b, 37, 6);
    const auto before = average.read(), values = value.read();
    launch(b->context(),
           kernels::adam_and_copies{{weight.data(), gradient.data(), first.data(), second.data(),
                                     1003, 1e-3f, 0.5f, 0.999f, 1e-8f, 0.5, 0.5, nullptr, 0},
                                    nullptr,
                                    {value.data(), average.data(), 37, 0.9f}});
    const auto found = average.read();
    for (std::size_t i = 0; i < found.size(); ++i)
      CHECK(found[i] == doctest::Approx(0.9f * before[i] + (1.0f - 0.9f) * values[i]));
  }
}
