// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "gantry/nn/layers.hpp"

#include "support/host_backends.hpp"
#include "support/penalty_check.hpp"

using namespace gantry;

namespace {

template <class... Layers>
using on_image = sequential<image<3, 2, 4>, Layers...>;
using spectral_projection =
    residual<path<spectral_norm<linear<1>>>, path<spectral_norm<label_product<3>>>>;

std::vector<std::uint8_t> labels_of(int n, int classes) {
  std::vector<std::uint8_t> all;
  for (int i = 0; i < n; ++i) all.push_back(static_cast<std::uint8_t>(i * 3 % classes));
  return all;
}

}  // namespace

TEST_CASE("conditional: both gradients of every layer") {
  for (const mode m : {mode::train, mode::evaluate}) {
    const test::gradient_options o{.n = 4, .run_mode = m};
    CHECK(test::check_gradients(sequential<latent<5>, concat_label<3, 4>, linear<6>>{}, o));
    CHECK(test::check_gradients(on_image<concat_label<3, 2>, conv2d<3, 3, 1, 1>>{}, o));
    CHECK(test::check_gradients(on_image<conv2d<5, 1>, label_product<3>>{}, o));
    CHECK(test::check_gradients(on_image<conv2d<5, 1>, leaky_relu, projection<3>>{}, o));
    CHECK(test::check_gradients(on_image<conv2d<5, 1>, conditional_batch_norm<3>, relu>{}, o));
    CHECK(test::check_gradients(
        on_image<residual<path<conditional_batch_norm<2>, relu, conv2d<4, 1>>>>{}, o));
  }
  CHECK(
      test::check_gradients(on_image<spectral_projection>{}, {.n = 4, .run_mode = mode::evaluate}));
}

TEST_CASE("conditional: penalties go through label concatenation and projection") {
  const test::gradient_options o{.n = 4};
  CHECK(test::check_penalty(
      on_image<concat_label<3, 2>, conv2d<3, 3, 1, 1>, leaky_relu, linear<1>>{}, o));
  CHECK(test::check_penalty(on_image<conv2d<5, 1>, leaky_relu, projection<3>>{}, o));
  CHECK(test::check_penalty(on_image<concat_label<3, 2>, conv2d<3, 1>, tanh_, projection<3>>{}, o));
  using normalised =
      on_image<conv2d<3, 1>, conditional_batch_norm<3>, leaky_relu,
               residual<path<conditional_batch_norm<3>, tanh_, conv2d<3, 1>>>, projection<3>>;
  CHECK(test::check_penalty(normalised{}, o));
  CHECK(test::check_penalty(normalised{}, {.n = 4, .run_mode = mode::evaluate}));
  CHECK(test::check_penalty(on_image<conv2d<5, 1>, leaky_relu, spectral_projection>{},
                            {.n = 4, .run_mode = mode::evaluate}));
}

TEST_CASE("conditional: the number of classes is that of the layers") {
  static_assert(on_image<conv2d<5, 1>, linear<1>>::plan::pack::classes == 0);
  static_assert(on_image<conv2d<5, 1>, projection<7>>::plan::pack::classes == 7);
  static_assert(projection<7>::classes == 7);
  CHECK(projection<7>::param_count({2, 2, 3}) == 12 + 1 + 7 * 12);
}

TEST_CASE("conditional: tensors are those of PyTorch's embeddings") {
  const auto all =
      on_image<concat_label<3, 2>, conditional_batch_norm<3>, projection<3>>::tensors();
  REQUIRE(all.size() == 7);
  CHECK(all[0].name == "0.weight");
  CHECK(all[0].shape == std::vector<std::int64_t>{3, 2});
  CHECK(all[1].name == "1.embed.weight");
  CHECK(all[1].shape == std::vector<std::int64_t>{3, 12});
  CHECK(all[6].name == "2.shortcut.0.weight");
}

namespace {

/// One forward and backward of a layer in evaluation; output, dx and dparams.
template <class Layer, hwc In>
struct layer_run : test::run_options {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    constexpr hwc out = Layer::output_shape(In);
    constexpr std::size_t count = Layer::param_count(In);
    const auto x = test::runs::poisoned_batch<In>(b, *this, 1);
    const auto dy = test::runs::clean_batch<out>(b, *this, 2);
    const test::device_batch<B, out> y(b, n);
    const test::device_batch<B, In> dx(b, n);
    const auto params = test::runs::numbers(b, static_cast<int>(count), 3);
    const test::device_array<B> dparams(b, std::vector<float>(count, 0.5f)),
        buffers(b, std::vector<float>(Layer::buffer_count(In), 0.7f)),
        saved(b, Layer::saved_count(In, n));
    const auto labels = labels_of(n, Layer::classes);
    const Layer layer;
    const auto span = [](const auto& a, std::size_t size) { return std::span(a.data(), size); };
    forward_args<B> f{x.view(),
                      y.view(),
                      span(params, count),
                      span(buffers, Layer::buffer_count(In)),
                      span(saved, Layer::saved_count(In, n)),
                      mode::train};
    f.labels = labels.data();
    layer.template forward<In>(b, f);
    backward_args<B> g{
        x.view(),   y.view(), dy.view(), f.params, f.saved, dx.view(), span(dparams, count),
        mode::train};
    g.labels = labels.data();
    layer.template backward<In>(b, g);
    return test::joined({y.read(), dx.read(), dparams.read()});
  }
};

template <class Layer, hwc In>
void check_layer() {
  test::for_each_batch_size([](int n) {
    CAPTURE(n);
    CHECK(test::agrees_on_host(layer_run<Layer, In>{{.n = n}}, {5e-5f, 5e-5f}));
    CHECK(test::spreads_nan(layer_run<Layer, In>{{.n = n, .poison = 0}}, 1));
  });
}

/// option: with the sums of dy.
struct affine_run : test::run_options {
  static constexpr hwc shape{2, 3, 19};
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const auto x = test::runs::clean_batch<shape>(b, *this, 1),
               dy = test::runs::clean_batch<shape>(b, *this, 2);
    const auto mean = test::runs::numbers(b, 19, 3), inverse = test::runs::numbers(b, 19, 4),
               table = test::runs::numbers(b, 3 * 38, 5),
               dtable = test::runs::numbers(b, 3 * 38, 6);
    const test::device_batch<B, shape> dh(b, n);
    const auto labels = labels_of(n, 3);
    launch(b, ops::class_affine_backward<shape, 3>{},
           {x.view(), dy.view(), mean.data(), inverse.data(), table.data(), labels.data(),
            dh.view(), dtable.data(), option});
    return test::joined({dh.read(), dtable.read()});
  }
};

struct head_run : test::run_options {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const auto x = test::runs::poisoned_batch<hwc{1, 1, 11}>(b, *this, 1);
    const auto slope = test::runs::numbers(b, n, 2);
    const test::device_batch<B, hwc{1, 1, 11}> gradient(b, n);
    const test::device_array<B> sum(b, std::vector<float>{2.0f}),
        logit(b, static_cast<std::size_t>(n));
    const auto labels = labels_of(n, 10);
    launch(b, ops::take_logit<10>{}, {x.view(), logit.data()});
    launch(b, ops::auxiliary_cross_entropy<10>{},
           {x.view(), labels.data(), slope.data(), 0.7f, gradient.view(), sum.data()});
    return test::joined({gradient.read(), sum.read(), logit.read()});
  }
};

}  // namespace

TEST_CASE("conditional: all backends agree on every layer") {
  check_layer<concat_label<3, 5>, hwc{1, 1, 100}>();
  check_layer<concat_label<3, 2>, hwc{5, 3, 3}>();
  check_layer<concat_label<3, 16>, hwc{4, 4, 16}>();
  check_layer<label_product<4>, hwc{3, 3, 19}>();
  check_layer<label_product<4>, hwc{1, 1, 7}>();
  check_layer<conditional_batch_norm<3>, hwc{4, 3, 33}>();
  check_layer<conditional_batch_norm<3>, hwc{3, 5, 2}>();
  for (const bool shift : {false, true})
    CHECK(test::agrees_on_host(affine_run{{.n = 5, .option = shift}}, {5e-5f, 5e-5f}));
}

TEST_CASE("conditional: the auxiliary classifier's loss and gradient") {
  test::for_each_batch_size([](int n) {
    CAPTURE(n);
    CHECK(test::agrees_on_host(head_run{{.n = n}}, {2e-6f, 2e-6f}));
    CHECK(test::spreads_nan(head_run{{.n = n, .poison = 3}}, 10));
  });
}
