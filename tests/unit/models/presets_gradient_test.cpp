// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Whole presets, in double, along random directions in which each tensor has the same share. Among
// 1e5 kinks a step of 1e-5 would cross some, each worth up to 1e-3 of the slope; 1e-8 crosses next
// to none and leaves rounding errors of about 1e-13 / 1e-8.
#include <doctest/doctest.h>

#include "gantry/models/presets.hpp"

#include "support/grad_check.hpp"

using namespace gantry;

namespace {

template <class Preset>
void check_players(int directions) {
  CAPTURE(Preset::name);
  const test::gradient_options o{.n = 2, .seed = 11, .step = 1e-8, .tolerance = 1e-4};
  CHECK(test::check_directions(typename Preset::generator{}, directions, o).named("generator"));
  CHECK(test::check_directions(typename Preset::discriminator{}, directions, o)
            .named("discriminator"));
}

}  // namespace

TEST_CASE("presets: gradients of mlp28") { check_players<models::mlp28>(3); }
TEST_CASE("presets: gradients of cnn28") { check_players<models::cnn28>(2); }
TEST_CASE("presets: gradients of dcgan28") { check_players<models::dcgan28>(3); }
TEST_CASE("presets: gradients of dcgan32") { check_players<models::dcgan32>(2); }
TEST_CASE("presets: gradients of dcgan64") { check_players<models::dcgan64>(1); }
