// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "support/host_backends.hpp"
#include "support/op_runs_augment.hpp"

using namespace gantry;
using namespace gantry::test;

namespace {

constexpr tolerance single{2e-6, 2e-6}, exact{};

/// Calls f<Shape>(options) for images with odd extents, one and three channels, and more than a
/// vector of channels.
template <class F>
void sweep(F&& f) {
  const auto one = [&]<hwc Shape>() {
    CAPTURE(Shape.h);
    CAPTURE(Shape.w);
    CAPTURE(Shape.c);
    for_each_batch_size([&](int n) {
      CAPTURE(n);
      for (const bool option : {false, true})
        for (const bool in_place : {false, true})
          f.template operator()<Shape>(
              runs::augment_options{{.n = n, .option = option}, in_place ? 0.6f : 1.0f, in_place});
    });
  };
  one.template operator()<hwc{1, 1, 1}>();
  one.template operator()<hwc{5, 3, 1}>();
  one.template operator()<hwc{9, 7, 3}>();
  one.template operator()<hwc{28, 28, 1}>();
  one.template operator()<hwc{4, 3, 16}>();
  one.template operator()<hwc{3, 6, 33}>();
}

/// Two threads have work only if a batch is more than one piece.
template <class Run>
void check_pieces() {
  Run run;
  run.n = 80;
  CHECK(agrees_on_host(run, single));
}

/// Options in which every sample is changed, with NaN in the first number of the first sample.
template <class Run>
outcome check_nan(std::size_t least, bool option = false) {
  Run run;
  run.n = 3;
  run.option = option;
  run.poison = 0;
  return spreads_nan(run, least);
}

}  // namespace

TEST_CASE("augment ops: colour") {
  sweep([]<hwc Shape>(const runs::augment_options& o) {
    CHECK(agrees_on_host(runs::augment_color<Shape>{o}, single));
  });
  check_pieces<runs::augment_color<hwc{32, 32, 3}>>();
  CHECK(check_nan<runs::augment_color<hwc{5, 3, 1}>>(15));
  CHECK(check_nan<runs::augment_color<hwc{9, 7, 3}>>(189));
  CHECK(check_nan<runs::augment_color<hwc{3, 6, 33}>>(594));
}

TEST_CASE("augment ops: translation and its transpose, also further than the image is wide") {
  sweep([]<hwc Shape>(const runs::augment_options& o) {
    for (const float ratio : {0.125f, 0.5f, 2.0f})
      CHECK(agrees_on_host(runs::augment_translation<Shape>{o, ratio}, exact));
  });
  check_pieces<runs::augment_translation<hwc{32, 32, 3}>>();
  // One channel of nine pixels, never moved by more than half a pixel.
  CHECK(check_nan<runs::augment_translation<hwc{3, 3, 1}>>(1));
  CHECK(check_nan<runs::augment_translation<hwc{3, 3, 17}>>(1));
}

TEST_CASE("augment ops: cutout") {
  sweep([]<hwc Shape>(const runs::augment_options& o) {
    for (const float ratio : {0.0f, 0.25f, 0.5f, 1.0f})
      CHECK(agrees_on_host(runs::augment_cutout<Shape>{o, ratio}, exact));
  });
  check_pieces<runs::augment_cutout<hwc{32, 32, 3}>>();
}

TEST_CASE("augment ops: flip") {
  sweep([]<hwc Shape>(const runs::augment_options& o) {
    CHECK(agrees_on_host(runs::augment_flip<Shape>{o}, exact));
  });
  check_pieces<runs::augment_flip<hwc{32, 32, 3}>>();
  CHECK(check_nan<runs::augment_flip<hwc{5, 4, 3}>>(1));
}

TEST_CASE("augment ops: a sample that is not changed keeps its bits, NaN and infinity included") {
  constexpr hwc shape{4, 5, 3};
  constexpr int n = 4;
  backend::cpu b(1);
  backend::reference<float> reference;
  std::vector<float> x = normal_floats(nhwc::elements(shape, n), 1);
  x[7] = std::numeric_limits<float>::infinity();
  x[70] = quiet_nan;
  const auto check = [&](auto& backend, auto op, auto... rest) {
    const device_batch<std::remove_reference_t<decltype(backend)>, shape> from(backend, n, x),
        to(backend, n);
    launch(backend, op, {from.view(), to.view(), 0.0f, rest...});
    const auto y = to.read();
    for (std::size_t k = 0; k < x.size(); ++k)
      CHECK((y[k] == x[k] || (std::isnan(y[k]) && k == 70)));
  };
  const auto check_all = [&](auto& backend) {
    check(backend, ops::augment_color<shape>{}, runs::augment_stream, true);
    check(backend, ops::augment_translation<shape>{}, 0.5f, runs::augment_stream, false);
    check(backend, ops::augment_cutout<shape>{}, 0.5f, runs::augment_stream);
    check(backend, ops::augment_flip<shape>{}, runs::augment_stream);
  };
  check_all(b);
  check_all(reference);
}
