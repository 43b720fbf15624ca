// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "gantry/nn/layers.hpp"

#include "support/penalty_check.hpp"
#include "support/tangent_check.hpp"

using namespace gantry;
using test::check_gradients;
using test::check_penalty;

namespace {

using reference = backend::reference<double>;
constexpr stream_id stream{.seed = 5, .step = 1, .use = purpose::dropout, .salt = 9};

/// Output of a network without parameters, and the gradient of <v, output> by its input.
struct augment_run {
  std::vector<double> y, dx;
};

template <class Net>
augment_run run(const Net& net, const std::vector<double>& x, const std::vector<double>& v,
                mode run_mode, const stream_id& random) {
  reference b;
  const int n = static_cast<int>(x.size()) / Net::input_shape.size();
  std::vector<double> dx(x.size());
  typename Net::template tape<reference> tape(b, n);
  net.forward(b, {}, {x.data(), n}, tape, run_mode, random);
  std::vector<double> y(tape.output().data, tape.output().data + x.size());
  std::ranges::copy(v, tape.output_gradient().data);
  net.backward(b, {}, {x.data(), n}, tape, {}, {dx.data(), n});
  return {y, dx};
}

template <class Layer, hwc Shape>
using only = sequential<image<Shape.h, Shape.w, Shape.c>, Layer>;

template <class Net>
Net with_probability(float probability) {
  Net net;
  nn::set_augment_probability(net, probability);
  return net;
}

/// Share of `count` draws within five standard deviations of the expected one.
void check_share(double found, double expected, int count) {
  CAPTURE(found);
  CAPTURE(expected);
  CHECK(std::abs(found / count - expected) <=
        5 * std::sqrt(expected * (1 - expected) / count) + 1e-12);
}

}  // namespace

TEST_CASE_TEMPLATE("augment: owns nothing, works in place, does nothing in evaluation", layer,
                   augment_color, augment_translation, augment_cutout, augment_flip) {
  constexpr hwc in{5, 6, 3};
  static_assert(layer::output_shape(in) == in, "augmentations keep the extents");
  static_assert(layer::param_count(in) == 0, "augmentations have no parameters");
  static_assert(layer::saved_count(in, 7) == 0, "the numbers are drawn again, not saved");
  static_assert(nn::is_in_place<layer> && nn::is_piecewise_linear<layer>, "affine and in place");
  static_assert(!nn::is_coupling<layer>, "every sample is changed by itself");
  static_assert(Layer<layer, reference, in>, "fulfils the contract");
  const auto x = test::normal_doubles(90 * 4, 1, 1), v = test::normal_doubles(90 * 4, 1, 2);
  const auto off = run(only<layer, in>{}, x, v, mode::evaluate, stream);
  CHECK(off.y == x);
  CHECK(off.dx == v);
  const auto never = run(with_probability<only<layer, in>>(0), x, v, mode::train, stream);
  CHECK(never.y == x);
  CHECK(never.dx == v);
  CHECK(run(only<layer, in>{}, x, v, mode::train, stream).y != x);
}

TEST_CASE_TEMPLATE("augment: changes differ between steps, workers, passes and samples", layer,
                   augment_color, augment_translation, augment_cutout, augment_flip) {
  const only<layer, hwc{16, 16, 3}> net;
  const std::vector<double> one = test::normal_doubles(768, 1, 1);
  std::vector<double> x;
  for (int i = 0; i < 8; ++i) x.insert(x.end(), one.begin(), one.end());
  const auto changed = [&](const stream_id& id) { return run(net, x, x, mode::train, id).y; };
  const auto own = changed(stream);
  CHECK(changed(stream) == own);
  for (std::uint32_t stream_id::*field : {&stream_id::step, &stream_id::worker, &stream_id::salt}) {
    stream_id other = stream;
    ++(other.*field);
    CHECK(changed(other) != own);
  }
  int different = 0;
  for (int i = 1; i < 8; ++i)
    different += !std::equal(own.begin(), own.begin() + 768, own.begin() + i * 768);
  CHECK(different >= 2);
}

TEST_CASE_TEMPLATE("augment: gradients and penalties", layer, augment_color, augment_translation,
                   augment_cutout, augment_flip) {
  using front = sequential<image<5, 4, 3>, layer, conv2d<3, 3, 2, 1>, leaky_relu, linear<1>>;
  using inside = sequential<image<4, 5, 1>, conv2d<3, 3, 1, 1>, layer, tanh_, layer, linear<1>>;
  for (const float probability : {1.0f, 0.5f}) {
    const auto net = with_probability<front>(probability);
    const auto mixed = with_probability<inside>(probability);
    layer alone;
    alone.probability = probability;
    for (const int n : {1, 2, 5}) {
      CHECK(test::check_tangents<hwc{5, 4, 3}>(alone, {.n = n}));
      CHECK(check_gradients(net, {.n = n}));
      CHECK(check_gradients(mixed, {.n = n}));
    }
    CHECK(check_penalty(net, {.n = 4}));
    CHECK(check_penalty(mixed, {.n = 4}));
    CHECK(check_penalty(net, {.n = 3}, gradient_norm::distance_from_one{}));
  }
  CHECK(check_gradients(front{}, {.n = 3, .run_mode = mode::evaluate}));
}

TEST_CASE("augment: all of them in a row") {
  using net = sequential<image<6, 7, 3>, augment_color, augment_translation, augment_cutout,
                         augment_flip, conv2d<4, 3, 2, 1>, leaky_relu, linear<1>>;
  CHECK(check_gradients(net{}, {.n = 5}));
  CHECK(check_penalty(net{}, {.n = 5}));
  CHECK(check_penalty(with_probability<net>(0.7f), {.n = 5}));
  net set;
  set.layer<1>().ratio = 0.4f;
  set.layer<2>().ratio = 0.2f;
  CHECK(check_gradients(set, {.n = 5}));
}

TEST_CASE("augment: drawn numbers are uniform, and independent of whether they count") {
  constexpr int count = 40000;
  double brightness = 0, saturation = 0, contrast = 0, changed = 0;
  for (int i = 0; i < count; ++i) {
    const auto all = augmentation::draw_color(stream, i, 1);
    const auto some = augmentation::draw_color(stream, i, 0.3f);
    REQUIRE(all.changes);
    REQUIRE((all.brightness > -0.5f && all.brightness <= 0.5f));
    REQUIRE((all.saturation > 0 && all.saturation <= 2));
    REQUIRE((all.contrast > 0.5f && all.contrast <= 1.5f));
    if (some.changes) REQUIRE(some.brightness == all.brightness);
    changed += some.changes;
    brightness += all.brightness;
    saturation += all.saturation;
    contrast += all.contrast;
  }
  // The deviation of a uniform number of width 1 is 1 / sqrt(12).
  const double five = 5 / std::sqrt(12.0 * count);
  CHECK(std::abs(brightness / count) <= five);
  CHECK(std::abs(saturation / count - 1) <= 2 * five);
  CHECK(std::abs(contrast / count - 1) <= five);
  check_share(changed, 0.3, count);
}

TEST_CASE("augment: every translation is as likely as the others") {
  constexpr int count = 30000;
  int seen[7][3] = {};
  for (int i = 0; i < count; ++i) {
    // An eighth of 20 and of 9 pixels, rounded.
    const auto d = augmentation::draw_offset({20, 9, 1}, stream, i, 1, 0.125f);
    REQUIRE((std::abs(d.down) <= 3 && std::abs(d.right) <= 1));
    ++seen[d.down + 3][d.right + 1];
  }
  for (const auto& row : seen)
    for (const int times : row) check_share(times, 1.0 / 21, count);
  int moved = 0;
  for (int i = 0; i < count; ++i) {
    const auto d = augmentation::draw_offset({20, 9, 1}, stream, i, 0.5f, 0.125f);
    moved += d.down != 0 || d.right != 0;
  }
  check_share(moved, 0.5 * 20 / 21, count);
}

TEST_CASE("augment: rectangles lie around every pixel alike") {
  constexpr int count = 30000;
  int tops[9] = {}, lefts[7] = {};
  for (int i = 0; i < count; ++i) {
    // Half of 8 rows is even: 9 places. Half of 6 columns is odd: 6 places.
    const auto r = augmentation::draw_rectangle({8, 6, 1}, stream, i, 1, 0.5f);
    REQUIRE((r.top >= 0 && r.bottom <= 8 && r.left >= 0 && r.right <= 6));
    ++tops[r.top == 0 ? r.bottom - 2 : r.top + 2];
    ++lefts[r.left == 0 ? r.right - 2 : r.left + 1];
  }
  for (const int times : tops) check_share(times, 1.0 / 9, count);
  for (int k = 0; k < 6; ++k) check_share(lefts[k], 1.0 / 6, count);
  int cut = 0;
  for (int i = 0; i < count; ++i) {
    const auto r = augmentation::draw_rectangle({8, 6, 1}, stream, i, 0.25f, 0.5f);
    cut += r.bottom != 0;
  }
  check_share(cut, 0.25, count);
}

TEST_CASE("augment: half of the samples that are changed are mirrored") {
  constexpr int count = 30000;
  for (const float probability : {1.0f, 0.4f, 0.0f}) {
    int flipped = 0;
    for (int i = 0; i < count; ++i) flipped += augmentation::draw_flip(stream, i, probability);
    check_share(flipped, static_cast<double>(probability) / 2, count);
  }
  const std::vector<double> x{1, 2, 3, 4, 5, 6};
  const auto y = run(only<augment_flip, hwc{1, 3, 2}>{}, x, x, mode::train, stream).y;
  CHECK((y == x || y == std::vector<double>{5, 6, 3, 4, 1, 2}));
}

TEST_CASE("augment_images: any choice of changes, forth and back") {
  using plain = sequential<image<5, 4, 3>, conv2d<3, 3, 2, 1>, leaky_relu, dropout, linear<1>>;
  using net = augmented_network<plain>;
  static_assert(Layer<augment_images, reference, hwc{5, 4, 3}>, "fulfils the contract");
  net all;
  all.layer<0>().flip = true;
  CHECK(check_gradients(all, {.n = 5}));
  CHECK(check_penalty(all, {.n = 5}));
  nn::set_augment_probability(all, 0.6f);
  CHECK(all.layer<0>().probability == 0.6f);
  CHECK(check_penalty(all, {.n = 4}, gradient_norm::distance_from_one{}));
  CHECK(test::check_tangents<hwc{5, 4, 3}>(augment_images::of("translation,flip"), {.n = 3}));
  const auto x = test::normal_doubles(60 * 4, 1, 1);
  const only<augment_images, hwc{5, 4, 3}> alone;
  CHECK(run(alone, x, x, mode::train, stream).y != x);
  CHECK(run(alone, x, x, mode::evaluate, stream).y == x);
  auto never = alone;
  nn::set_augment_probability(never, 0);
  CHECK(run(never, x, x, mode::train, stream).y == x);
  CHECK(run(never, x, x, mode::train, stream).dx == x);
}

TEST_CASE("augment_images: leaves names, initial weights and random numbers as they are") {
  using plain = sequential<image<5, 4, 3>, dropout, conv2d<3, 3, 2, 1>, batch_norm, linear<1>>;
  using net = augmented_network<plain>;
  const auto names = plain::tensors(), same = net::tensors();
  REQUIRE(names.size() == same.size());
  for (std::size_t i = 0; i < names.size(); ++i) {
    CHECK(names[i].name == same[i].name);
    CHECK(names[i].offset == same[i].offset);
  }
  plain before;
  before.layer<0>().rate = 0.25f;
  net after = with_augmentation(before);
  CHECK(after.layer<1>().rate == 0.25f);
  nn::set_augment_probability(after, 0);
  const auto y = [](const auto& network) {
    using type = std::remove_cvref_t<decltype(network)>;
    reference b;
    std::vector<float> p(type::param_count), s(type::buffer_count);
    network.initialise(p, s, stream);
    std::vector<double> params(p.begin(), p.end()), buffers(s.begin(), s.end());
    const auto x = test::normal_doubles(60 * 3, 1, 1);
    typename type::template tape<reference> tape(b, 3);
    network.forward(b, {params, buffers}, {x.data(), 3}, tape, mode::train, stream);
    return std::vector<double>(tape.output().data, tape.output().data + 3);
  };
  CHECK(y(before) == y(after));
}

TEST_CASE("augment_images: changes by name") {
  const augment_images some = augment_images::of("flip,color");
  CHECK((some.color && some.flip && !some.translation && !some.cutout));
  CHECK(some.probability == 1.0f);
  for (const char* wrong : {"", "colour", "color,", "color cutout"})
    CHECK_THROWS_AS(augment_images::of(wrong), usage_error);
}
