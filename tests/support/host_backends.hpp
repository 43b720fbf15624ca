// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// A run (op_runs.hpp) on all backends of the host, judged by the reference in double.
#pragma once

#include <string>

#include <doctest/doctest.h>

#include "gantry/backend/cpu/cpu.hpp"
#include "gantry/backend/reference/reference.hpp"

#include "support/compare.hpp"
#include "support/op_runs.hpp"

namespace gantry::test {

template <class Cpu = backend::cpu>
Cpu& cpu_with(int threads) {
  static Cpu one(1), two(2);
  return threads == 1 ? one : two;
}

/// A CPU backend agrees with the expected numbers, and its bits do not depend on the number of
/// threads.
template <class Cpu, class Run>
outcome agrees_on(const Run& run, const std::vector<float>& expected, tolerance t) {
  const auto found = run(cpu_with<Cpu>(1));
  return compare(found, expected, t).named(std::string(Cpu::name)) &&
         same_bits(run(cpu_with<Cpu>(2)), found)
             .named(std::string(Cpu::name) + " with two threads");
}

/// The CPU backend agrees with the reference in double. The other backends of the host share its
/// code or the reference's; golden/layers_test.cpp holds them against PyTorch.
template <class Run>
outcome agrees_on_host(const Run& run, tolerance t) {
  backend::reference<double> oracle;
  return agrees_on<backend::cpu>(run, run(oracle), t);
}

/// The same for an op of which the backend with Eigen's products has a kernel of its own.
template <class Run>
outcome products_agree(const Run& run, tolerance t) {
  backend::reference<double> oracle;
  const auto expected = run(oracle);
  return agrees_on<backend::cpu>(run, expected, t) &&
         agrees_on<backend::cpu_eigen>(run, expected, t);
}

/// Wherever the oracle gives NaN, so does the CPU backend; at least `least` numbers are NaN.
template <class Run>
outcome spreads_nan(const Run& run, std::size_t least) {
  backend::reference<double> oracle;
  const auto expected = run(oracle), found = run(cpu_with(1));
  std::size_t count = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    if (!std::isnan(expected[i])) continue;
    ++count;
    if (!std::isnan(found[i]))
      return outcome::fail("[" + std::to_string(i) + "] of " + std::to_string(found.size()) +
                           " is " + std::to_string(found[i]) + ", expected NaN");
  }
  if (count < least)
    return outcome::fail("only " + std::to_string(count) + " numbers are NaN, expected at least " +
                         std::to_string(least));
  return outcome::pass();
}

/// Calls f with n = 1, 2, 3, 5, 17.
template <class F>
void for_each_batch_size(F&& f) {
  for (const int n : {1, 2, 3, 5, 17}) f(n);
}

/// Calls f<Shape>(options) for every shape, batch size and value of the option.
template <hwc... Shapes, class F>
void sweep_shapes(F&& f) {
  const auto one = [&]<hwc Shape>() {
    CAPTURE(Shape.h);
    CAPTURE(Shape.w);
    CAPTURE(Shape.c);
    for_each_batch_size([&](int n) {
      CAPTURE(n);
      for (const bool option : {false, true})
        f.template operator()<Shape>(run_options{.n = n, .option = option});
    });
  };
  (one.template operator()<Shapes>(), ...);
}

}  // namespace gantry::test
