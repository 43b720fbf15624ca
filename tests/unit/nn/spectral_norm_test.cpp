// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "gantry/nn/layers.hpp"

#include "support/host_backends.hpp"
#include "support/penalty_check.hpp"

using namespace gantry;

namespace {

using dense =
    sequential<latent<7>, spectral_norm<linear<5>>, leaky_relu, spectral_norm<linear<3, bias::no>>>;
using images = sequential<image<5, 4, 3>, spectral_norm<conv2d<4, 3, 2, 1>>, leaky_relu,
                          spectral_norm<linear<1>>>;

/// A weight of 6 x 5 with known singular values: U diag(s) V^T from two rotations.
template <class B>
std::vector<float> scaled_weight(B& b, bool iterate, int times) {
  std::vector<float> weight(6 * 5), u(6, 0.3f), v(5, 0.3f);
  const auto rotate = [](std::vector<float>& m, int columns, int i, int j, float angle) {
    const float c = std::cos(angle), s = std::sin(angle);
    for (int k = 0; k < columns; ++k) {
      const float x = m[static_cast<std::size_t>(i * columns + k)],
                  y = m[static_cast<std::size_t>(j * columns + k)];
      m[static_cast<std::size_t>(i * columns + k)] = c * x - s * y;
      m[static_cast<std::size_t>(j * columns + k)] = s * x + c * y;
    }
  };
  const float singular[] = {4, 2, 1, 0.5f, 0.25f};
  for (int i = 0; i < 5; ++i) weight[static_cast<std::size_t>(i * 5 + i)] = singular[i];
  for (int i = 0; i + 1 < 6; ++i) rotate(weight, 5, i, i + 1, 0.4f + 0.1f * i);
  test::device_array<B> w(b, weight), du(b, u), dv(b, v), out(b, std::size_t{30}),
      su(b, std::size_t{6}), sv(b, std::size_t{5}), sigma(b, std::size_t{1});
  for (int i = 0; i < times; ++i)
    launch(b, ops::spectral_normalise<6, 5>{},
           {w.data(), du.data(), dv.data(), out.data(), su.data(), sv.data(), sigma.data(), 1e-12f,
            iterate});
  return test::joined({sigma.read(), du.read(), dv.read(), out.read(), su.read(), sv.read()});
}

}  // namespace

TEST_CASE("spectral_norm: power iteration finds the largest singular value") {
  backend::reference<double> oracle;
  backend::cpu cpu(2);
  const auto expected = scaled_weight(oracle, true, 40), found = scaled_weight(cpu, true, 40);
  CHECK(expected.front() == doctest::Approx(4.0).epsilon(1e-6));
  CHECK(test::compare(found, expected, {1e-5f, 1e-5f}));
  CHECK(test::compare(scaled_weight(cpu, true, 1), scaled_weight(oracle, true, 1), {1e-5f, 1e-5f}));
  // Without iteration u and v stay.
  const auto still = scaled_weight(cpu, false, 3);
  for (std::size_t i = 1; i < 12; ++i) CHECK(still[i] == 0.3f);
}

TEST_CASE("spectral_norm: a network's weights have norm 1 when it starts") {
  using net = sequential<image<6, 6, 4>, spectral_norm<conv2d<8, 3, 1, 1>>>;
  std::vector<float> params(net::param_count), buffers(net::buffer_count);
  net{}.initialise(params, buffers, {.seed = 2, .use = purpose::initialise});
  backend::reference<double> b;
  const std::vector<double> p(params.begin(), params.end());
  std::vector<double> q(buffers.begin(), buffers.end()), scaled(p.size()), u(8), v(36), sigma(1);
  const auto u0 = q;
  launch(b, ops::spectral_normalise<8, 36>{},
         {p.data(), q.data(), q.data() + 8, scaled.data(), u.data(), v.data(), sigma.data(), 1e-12f,
          true});
  for (std::size_t i = 0; i < q.size(); ++i) CHECK(q[i] == doctest::Approx(u0[i]).epsilon(0.05));
  CHECK(sigma[0] > 0);
}

/// In evaluation nothing is iterated, so sigma is a function of the weights alone, as the gradient
/// takes it.
TEST_CASE("spectral_norm: the gradient goes through sigma") {
  const test::gradient_options o{.n = 3, .run_mode = mode::evaluate};
  CHECK(test::check_gradients(dense{}, o));
  CHECK(test::check_gradients(images{}, o));
  using head = sequential<latent<7>, spectral_norm<linear<5>>, tanh_, spectral_norm<linear<1>>>;
  CHECK(test::check_penalty(images{}, o));
  CHECK(test::check_penalty(head{}, o));
  CHECK(test::check_penalty(images{}, o, gradient_norm::distance_from_one{}));
}

TEST_CASE("spectral_norm: tensors are those of torch.nn.utils.spectral_norm") {
  using net = sequential<image<5, 4, 3>, spectral_norm<conv2d<4, 3, 2, 1>>, flatten,
                         spectral_norm<linear<2, bias::no>>>;
  const auto all = net::tensors();
  REQUIRE(all.size() == 7);
  CHECK(all[0].name == "0.weight_orig");
  CHECK(all[1].name == "0.bias");
  CHECK(all[2].name == "0.weight_u");
  CHECK(all[3].name == "0.weight_v");
  CHECK(all[3].order == std::vector<int>{2, 0, 1});
  CHECK(all[3].shape == std::vector<std::int64_t>{27});
  CHECK(all[3].offset == 4);
  CHECK(all[4].name == "2.weight_orig");
  CHECK(all[5].storage_extents == std::vector<int>{1, 1, 2});
  CHECK(all[6].storage_extents == std::vector<int>{3, 2, 4});
  CHECK(all[6].offset == 4 + 27 + 2);
}

namespace {

struct gradient_run {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    using op = ops::spectral_gradient<19, 37>;
    const auto g = test::runs::numbers(b, 19 * 37, 1), scaled = test::runs::numbers(b, 19 * 37, 2),
               u = test::runs::numbers(b, 19, 3), v = test::runs::numbers(b, 37, 4),
               d = test::runs::numbers(b, 19 * 37, 5);
    const test::device_array<B> sigma(b, std::vector<float>{1.7f});
    launch(b, op{}, {g.data(), scaled.data(), u.data(), v.data(), sigma.data(), d.data()});
    return d.read();
  }
};
struct normalise_run {
  bool iterate;
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const auto w = test::runs::numbers(b, 19 * 370, 1), u = test::runs::numbers(b, 19, 3),
               v = test::runs::numbers(b, 370, 4);
    test::device_array<B> out(b, std::size_t{19 * 370}), su(b, std::size_t{19}),
        sv(b, std::size_t{370}), sigma(b, std::size_t{1});
    launch(b, ops::spectral_normalise<19, 370>{},
           {w.data(), u.data(), v.data(), out.data(), su.data(), sv.data(), sigma.data(), 1e-12f,
            iterate});
    return test::joined({u.read(), v.read(), out.read(), su.read(), sv.read(), sigma.read()});
  }
};

}  // namespace

TEST_CASE("spectral_norm: all backends agree") {
  CHECK(test::agrees_on_host(gradient_run{}, {1e-4f, 1e-4f}));
  CHECK(test::agrees_on_host(normalise_run{true}, {2e-5f, 2e-5f}));
  CHECK(test::agrees_on_host(normalise_run{false}, {2e-5f, 1e-4f}));
}
