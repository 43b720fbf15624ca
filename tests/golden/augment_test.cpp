// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Augmentations against DiffAugment's formulas in PyTorch: make_augment.py wrote the file.
#include <filesystem>

#include <doctest/doctest.h>

#include "gantry/backend/cpu/cpu.hpp"
#include "gantry/backend/reference/reference.hpp"
#include "gantry/io/safetensors.hpp"
#include "gantry/nn/layers.hpp"

#include "support/compare.hpp"

using namespace gantry;

namespace {

constexpr test::tolerance single{2e-6, 2e-6};

template <hwc Shape, class... Layers>
using network = sequential<image<Shape.h, Shape.w, Shape.c>, Layers...>;

/// Output of a network without parameters and gradient of <weight, output>, canonical.
struct result {
  std::vector<float> y, dx;
};

template <class Net, Backend B>
result run(B& b, std::span<const float> x, std::span<const float> weight) {
  constexpr hwc shape = Net::input_shape;
  using layout = typename B::storage::layout;
  const Net net;
  const int n = static_cast<int>(x.size()) / shape.size();
  auto input = b.allocate(layout::elements(shape, n)), dx = b.allocate(layout::elements(shape, n));
  typename Net::template tape<B> tape(b, n);
  launch(b, ops::import_samples<shape>{}, {x.data(), {input.data(), n}});
  net.forward(b, {}, {input.data(), n}, tape, mode::train,
              {.seed = 5, .step = 3, .worker = 2, .use = purpose::dropout, .salt = 4});
  result r{std::vector<float>(x.size()), std::vector<float>(x.size())};
  launch(b, ops::export_samples<shape>{}, {tape.output(), r.y.data(), 1.0f});
  launch(b, ops::import_samples<shape>{}, {weight.data(), tape.output_gradient()});
  net.backward(b, {}, {input.data(), n}, tape, {}, {dx.data(), n});
  launch(b, ops::export_samples<shape>{}, {{dx.data(), n}, r.dx.data(), 1.0f});
  return r;
}

template <hwc Shape, Backend B>
void check_case(B b, const std::string& name) {
  const std::filesystem::path path =
      std::filesystem::path(GANTRY_SOURCE_DIR) / "tests/golden/augment.safetensors";
  const io::safetensors_file file = io::safetensors_file::read(path);
  const auto of = [&](const std::string& key) { return file.find<float>(name + "." + key); };
  const auto x = of("x"), weight = of("weight");
  const auto check = [&](const std::vector<float>& found, const std::string& key) {
    CHECK(test::compare(std::span<const float>(found), of(key), single)
              .named(std::string(B::name) + " " + name + " " + key));
  };
  using all = network<Shape, augment_color, augment_translation, augment_cutout, augment_flip>;
  const result r = run<all>(b, x, weight);
  check(r.y, "y");
  check(r.dx, "dx");
  check(run<network<Shape, augment_color>>(b, x, weight).y, "color.y");
  check(run<network<Shape, augment_translation>>(b, x, weight).y, "translation.y");
  check(run<network<Shape, augment_cutout>>(b, x, weight).y, "cutout.y");
  check(run<network<Shape, augment_flip>>(b, x, weight).y, "flip.y");
}

template <Backend B>
void check_backend() {
  check_case<hwc{12, 9, 3}>(B(), "colour");
  check_case<hwc{14, 14, 1}>(B(), "grey");
}

}  // namespace

TEST_CASE("golden: DiffAugment") {
  check_backend<backend::cpu>();
  check_backend<backend::cpu_eigen>();
  check_backend<backend::reference<float>>();
}
