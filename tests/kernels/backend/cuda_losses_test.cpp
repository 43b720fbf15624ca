// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Every objective on the device: values and seeds of both players, one kernel each.
#include <cstddef>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/backend/cuda/cuda.cuh"
#include "gantry/backend/reference/reference.hpp"
#include "gantry/loss/auxiliary_classifier.hpp"
#include "gantry/loss/objectives.hpp"
#include "gantry/loss/penalties.hpp"

#include "simt/sanitizers.hpp"
#include "support/compare.hpp"
#include "support/op_runs.hpp"
#include "support/op_runs_labels.hpp"

using namespace gantry;
using namespace gantry::test;

namespace {

/// Outputs far enough from 0 that each objective's pieces are met.
std::vector<float> outputs(std::size_t n, std::uint32_t salt) {
  auto values = normal_floats(n, salt);
  for (float& v : values) v *= 3;
  return values;
}

/// Gradients and losses of the discriminator and of the generator.
template <class L, Backend B>
std::vector<float> run(B& b, const L& loss, std::size_t n) {
  const device_array<B> real(b, outputs(n, 1)), fake(b, outputs(n, 2));
  const device_array<B> of_real(b, n), of_fake(b, n), of_generator(b, n);
  const device_array<B> sums(b, std::vector<float>{0, 0});
  loss.discriminator(b, logits<B>{real.data(), of_real.data(), n},
                     logits<B>{fake.data(), of_fake.data(), n}, sums.data());
  loss.generator(b, logits<B>{real.data(), nullptr, n},
                 logits<B>{fake.data(), of_generator.data(), n}, sums.data() + 1);
  return joined({of_real.read(), of_fake.read(), of_generator.read(), sums.read()});
}

/// Copies of what a loss has read and of its sum, as records of a step ask for them.
template <class L>
void check_copies() {
  CAPTURE(L::name);
  constexpr std::size_t n = 300;
  const auto run_copying = [&](backend::cuda& b, bool late) {
    const device_array<backend::cuda> real(b, outputs(n, 1)), fake(b, outputs(n, 2));
    const device_array<backend::cuda> of_real(b, n), of_fake(b, n), sum(b, std::vector<float>{7});
    const device_array<backend::cuda> copies(b, 2 * n + 1);
    L{}.discriminator(b, logits<backend::cuda>{real.data(), of_real.data(), n},
                      logits<backend::cuda>{fake.data(), of_fake.data(), n}, sum.data());
    if (late) b.flush();
    const auto before = b.launches();
    launch(b, ops::copy{}, {real.data(), copies.data(), n});
    launch(b, ops::copy{}, {fake.data(), copies.data() + n, n});
    launch(b, ops::copy{}, {sum.data(), copies.data() + 2 * n, 1});
    b.synchronize();
    CHECK(b.launches() - before == (late ? 3 : 1));
    const auto copied = copies.read();
    CHECK(same_bits(copied, joined({real.read(), fake.read(), sum.read()})));
    CHECK(sum.read()[0] != 7);
    return joined({copied, of_real.read(), of_fake.read()});
  };
  backend::cuda b;
  CHECK(same_bits(run_copying(b, false), run_copying(b, true)));
}

/// Outputs: of several blocks, and of two where each access costs much more.
constexpr std::size_t most = simt::under_asan || simt::under_tsan ? 300 : 3000;

/// Of an objective: the reference's numbers, the same bits again, a kernel for each player.
template <class L>
void check() {
  static_assert(Loss<L, backend::cuda>);
  CAPTURE(L::name);
  backend::reference<double> oracle;
  for (const std::size_t n : {std::size_t{1}, std::size_t{65}, most}) {
    backend::cuda device;
    const auto found = run(device, L{}, n);
    CHECK(device.launches() == 2);
    CHECK(compare(found, run(oracle, L{}, n), {1e-5, 1e-5}));
    CHECK(same_bits(run(device, L{}, n), found));
  }
}

/// Of both players of a classifier: all outputs' gradients, their first ones, losses.
template <class L, Backend B>
std::vector<float> run_labelled(B& b, const L& loss, int n, std::vector<std::size_t>& launches) {
  constexpr hwc row{1, 1, L::outputs};
  const auto labels = runs::labels_below(L::classes, n);
  const device_array<B> firsts(b, 6 * static_cast<std::size_t>(n));
  const device_array<B> sums(b, std::vector<float>{3, 5});
  const device_batch<B, row> real(b, n, outputs(nhwc::elements(row, n), 1)),
      fake(b, n, outputs(nhwc::elements(row, n), 2)), of_real(b, n), of_fake(b, n), of_g(b, n);
  const auto on = [&](const auto& x, const auto& gradient, int slot) {
    auto* const first = firsts.data() + 2 * slot * n;
    return labelled_logits<B>{{first, first + n, static_cast<std::size_t>(n)},
                              x.view(),
                              gradient.view(),
                              labels.data(),
                              first};
  };
  const auto count = [&] {
    if constexpr (requires { b.launches(); }) launches.push_back(b.launches());
  };
  count();
  loss.discriminator(b, on(real, of_real, 0), on(fake, of_fake, 1), sums.data());
  b.synchronize();
  count();
  loss.generator(b, on(real, of_real, 0), on(fake, of_g, 2), sums.data() + 1);
  b.synchronize();
  count();
  std::vector<float> first = firsts.read(), kept;
  for (int slot = 0; slot < 3; ++slot)
    kept.insert(kept.end(), first.begin() + 2 * slot * n, first.begin() + (2 * slot + 1) * n);
  return joined({kept, of_real.read(), of_fake.read(), of_g.read(), sums.read()});
}

/// As check(), with class labels. kernels: of the discriminator and of the generator.
template <class L>
void check_labelled(const L& loss, std::size_t of_discriminator, std::size_t of_generator) {
  CAPTURE(of_discriminator);
  backend::reference<double> oracle;
  for (const int n : {1, 65, 1100}) {
    const std::size_t lists = n > kernels::label_list::most ? 2 : 1;
    backend::cuda device;
    std::vector<std::size_t> launches, of_oracle;
    const auto found = run_labelled(device, loss, n, launches);
    CHECK(compare(found, run_labelled(oracle, loss, n, of_oracle), {1e-5, 1e-5}));
    if (lists == 1) {
      CHECK(launches[1] - launches[0] == of_discriminator);
      CHECK(launches[2] - launches[1] == of_generator);
    }
    CHECK(same_bits(run_labelled(device, loss, n, launches), found));
  }
}

}  // namespace

TEST_CASE("cuda: an auxiliary classifier's losses, in a kernel for each player") {
  using two = loss::auxiliary_classifier<loss::hinge, 10>;
  check_labelled(two{.discriminator_weight = 0.5f, .generator_weight = 2.0f}, 1, 1);
  check_labelled(loss::auxiliary_classifier<loss::relativistic, 10>{}, 5, 4);
}

TEST_CASE("cuda: objectives are computed on the device, in a kernel for each player") {
  check<loss::saturating>();
  check<loss::non_saturating>();
  check<loss::least_squares>();
  check<loss::hinge>();
  check<loss::critic>();
  check<loss::wasserstein>();
  check<loss::relativistic>();
  check<loss::relativistic_average>();
  check<loss::penalised<loss::critic, loss::wgan_gp>>();
  check<loss::auxiliary_classifier<loss::hinge, 10>>();
  check<loss::one_of<loss::least_squares, loss::relativistic>>();
}

TEST_CASE("cuda: a loss leaves copies of outputs and sum in the same kernel") {
  check_copies<loss::non_saturating>();
  check_copies<loss::relativistic>();
  check_copies<loss::relativistic_average>();
}

TEST_CASE("cuda: a copy onto what a loss reads is a kernel of its own") {
  backend::cuda b;
  const device_array<backend::cuda> real(b, outputs(4, 1)), fake(b, outputs(4, 2));
  const device_array<backend::cuda> of_real(b, 4), of_fake(b, 4), sum(b, std::vector<float>{0});
  const auto expected = real.read();
  loss::hinge{}.discriminator(b, logits<backend::cuda>{real.data(), of_real.data(), 4},
                              logits<backend::cuda>{fake.data(), of_fake.data(), 4}, sum.data());
  launch(b, ops::copy{}, {real.data(), fake.data(), 4});
  b.synchronize();
  CHECK(b.launches() == 2);
  CHECK(same_bits(fake.read(), expected));
}
