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

}  // namespace

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
