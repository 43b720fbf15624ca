// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Layers against PyTorch up to second derivatives, on the same weights and inputs: make_layers.py
// wrote the file and says what its tensors are.
#include <array>
#include <filesystem>

#include <doctest/doctest.h>

#include "gantry/backend/cpu/cpu.hpp"
#include "gantry/backend/reference/reference.hpp"
#include "gantry/io/safetensors.hpp"
#include "gantry/nn/layers.hpp"
#include "gantry/nn/torch_layout.hpp"

#include "support/compare.hpp"
#include "support/op_runs.hpp"

using namespace gantry;
using test::tolerance;

namespace {

/// Single precision against double: sums of up to a few hundred products; second derivatives of
/// norms have three factors 1 / deviation.
constexpr tolerance values{1e-5, 5e-6}, second_derivatives{5e-5, 5e-5};

template <class L, hwc In, Backend B>
class layer_run {
 public:
  static constexpr hwc out = L::output_shape(In);
  using storage = typename B::storage;
  using scalar = typename B::scalar;
  template <hwc Shape>
  using batch = test::device_batch<B, Shape>;

  layer_run(B& b, const io::safetensors_file& file, std::string name)
      : backend_(b), file_(file), name_(std::move(name)), params_(b, parameters()) {}

  void check() {
    const batch<In> x = read<In>("x"), tx = read<In>("tx");
    const batch<out> gy = read<out>("gy"), ey = read<out>("ey");
    const batch<out> y(backend_, n_), ty(backend_, n_);
    const batch<In> dx(backend_, n_), ex(backend_, n_);
    const std::vector<float> zeros(L::param_count(In));
    const test::device_array<B> first(backend_, zeros), second(backend_, zeros),
        saved(backend_, L::saved_count(In, n_));
    const std::span<const scalar> params{params_.data(), zeros.size()};
    const std::span<scalar> kept{saved.data(), L::saved_count(In, n_)},
        dparams{first.data(), zeros.size()}, eparams{second.data(), zeros.size()};

    layer_.template forward<In>(backend_, forward_args<B>{x.view(), y.view(), params, {}, kept});
    backward_args<B> back{x.view(), y.view(), gy.view(), params, kept, dx.view(), dparams};
    layer_.template backward<In>(backend_, back);
    layer_.template tangent<In>(
        backend_, tangent_args<B>{x.view(), y.view(), tx.view(), ty.view(), params, kept});
    if constexpr (nn::is_piecewise_linear<L>) {
      if constexpr (L::param_count(In) > 0) {
        merged_args<B> merged{x.view(), tx.view(), gy.view()};
        merged.dparams = eparams;
        layer_.template merged_gradient<In>(backend_, merged);
      }
      back.dy = ey.view();
      back.dx = ex.view();
      back.dparams = eparams;
      layer_.template backward<In>(backend_, back);
    } else {
      layer_.template second_order<In>(
          backend_, second_order_args<B>{x.view(), y.view(), tx.view(), gy.view(), ey.view(),
                                         ex.view(), params, kept, eparams});
    }
    CHECK(compare("y", y, values));
    CHECK(compare("dx", dx, values));
    CHECK(compare("ty", ty, values));
    CHECK(compare("ex", ex, second_derivatives));
    CHECK(compare_parameters("d.", first.read(), values));
    CHECK(compare_parameters("e.", second.read(), second_derivatives));
  }

 private:
  [[nodiscard]] std::string key(const std::string& what) const { return name_ + "." + what; }
  template <hwc Shape>
  [[nodiscard]] std::array<std::int64_t, 4> torch_shape() const {
    return {n_, Shape.c, Shape.h, Shape.w};
  }
  /// Calls f(place in [n][c][h][w], place in [n][h][w][c]).
  template <hwc Shape, class F>
  void for_each_place(F&& f) const {
    for (std::size_t i = 0; i < nhwc::elements(Shape, n_); ++i) {
      const std::size_t pixel = i / Shape.c % Shape.pixels(), c = i % Shape.c;
      f((i / Shape.size() * Shape.c + c) * Shape.pixels() + pixel, i);
    }
  }
  template <hwc Shape>
  batch<Shape> read(const std::string& what) {
    n_ = static_cast<int>(file_.find(key(what))->shape[0]);
    const auto torch = file_.find<float>(key(what), torch_shape<Shape>());
    std::vector<float> canonical(torch.size());
    for_each_place<Shape>([&](std::size_t t, std::size_t s) { canonical[s] = torch[t]; });
    return {backend_, n_, canonical};
  }
  template <hwc Shape>
  test::outcome compare(const std::string& what, const batch<Shape>& found, tolerance t) const {
    const auto canonical = found.read();
    std::vector<float> torch(canonical.size());
    for_each_place<Shape>([&](std::size_t at, std::size_t s) { torch[at] = canonical[s]; });
    const auto expected = file_.find<float>(key(what), torch_shape<Shape>());
    return test::compare(std::span<const float>(torch), expected, t).named(key(what));
  }
  std::vector<float> parameters() const {
    std::vector<float> all(L::param_count(In));
    for (const tensor_info& info : L::tensors(In, out))
      nn::from_torch(info, file_.find<float>(key(info.name), info.shape),
                     std::span(all).subspan(info.offset, info.size()));
    return all;
  }
  test::outcome compare_parameters(const std::string& prefix, const std::vector<float>& found,
                                   tolerance t) const {
    test::outcome o = test::outcome::pass();
    for (const tensor_info& info : L::tensors(In, out)) {
      std::vector<float> torch(info.size());
      nn::to_torch(info, std::span(found).subspan(info.offset, info.size()),
                   std::span<float>(torch));
      const std::string name = key(prefix + info.name);
      o = o && test::compare(std::span<const float>(torch), file_.find<float>(name, info.shape), t)
                   .named(name);
    }
    return o;
  }

  B& backend_;
  const io::safetensors_file& file_;
  std::string name_;
  test::device_array<B> params_;
  L layer_{};
  int n_{};
};

template <Backend B>
void check_layers(B& b) {
  const auto folder = std::filesystem::path(GANTRY_SOURCE_DIR) / "tests/golden";
  const auto file = io::safetensors_file::read(folder / "layers.safetensors");
  const auto more = io::safetensors_file::read(folder / "layers_more.safetensors");
  constexpr hwc image{3, 4, 16}, odd{5, 3, 16};
  layer_run<group_norm<4>, image, B>(b, file, "group_norm").check();
  layer_run<layer_norm, image, B>(b, file, "layer_norm").check();
  layer_run<instance_norm, image, B>(b, file, "instance_norm").check();
  layer_run<group_norm<2>, hwc{3, 4, 6}, B>(b, file, "thin_group_norm").check();
  layer_run<pixel_norm, image, B>(b, file, "pixel_norm").check();
  layer_run<upsample_nearest<2>, odd, B>(b, file, "upsample_nearest").check();
  layer_run<upsample_bilinear<2>, odd, B>(b, file, "upsample_bilinear").check();
  layer_run<upsample_filtered, odd, B>(b, more, "upsample_filtered").check();
  layer_run<downsample_filtered, hwc{4, 6, 16}, B>(b, more, "downsample_filtered").check();
  layer_run<average_pool<2>, odd, B>(b, file, "average_pool").check();
  layer_run<global_average_pool, odd, B>(b, file, "global_average_pool").check();
  layer_run<grouped_conv2d<32, 3, 2, 1, 2>, hwc{5, 4, 32}, B>(b, more, "grouped_conv2d").check();
  layer_run<grouped_conv2d<6, 3, 1, 1, 2>, hwc{5, 4, 4}, B>(b, more, "thin_grouped_conv2d").check();
}

}  // namespace

TEST_CASE("golden: layers as PyTorch computes them, up to second derivatives") {
  SUBCASE("cpu") {
    backend::cpu b(2);
    check_layers(b);
  }
  SUBCASE("cpu_eigen") {
    backend::cpu_eigen b;
    check_layers(b);
  }
  SUBCASE("reference") {
    backend::reference<float> b;
    check_layers(b);
  }
}
