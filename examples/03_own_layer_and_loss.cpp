// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// A layer and an objective of your own, without touching the library: a learned gain per channel,
// with its op and its kernel, and the logistic loss with one-sided label smoothing. usage:
// 03_own_layer_and_loss [iterations]
#include <cstdio>
#include <cstdlib>

#include <gantry/gantry.hpp>

namespace mine {

using namespace gantry;

// 1. The op: an empty tag, what it is given, and a kernel for each backend that should have it. The
// kernel stands beside the tag.
template <hwc Shape>
struct gain {
  static constexpr std::string_view name = "gain";
  template <class S>
  struct params {
    const_batch_of<S> x;
    const typename S::scalar* factor;
    batch_of<S> y;
  };
};
template <hwc Shape>
struct gain_gradient {
  static constexpr std::string_view name = "gain_gradient";
  template <class S>
  struct params {
    const_batch_of<S> x, dy;
    typename S::scalar* dfactor;
  };
};

/// Calls f(place, channel) for every number of a batch: a backend's layout says where it lies.
template <class Layout, hwc Shape, class F>
void for_each_number(int n, F&& f) {
  for (int i = 0; i < n; ++i)
    for (int k = 0; k < Shape.size(); ++k) f(Layout::offset(Shape, n, i, k), k % Shape.c);
}

template <hwc Shape>
void launch(backend::cpu&, gain<Shape>,
            const typename gain<Shape>::template params<backend::cpu::storage>& p) {
  for_each_number<backend::cpu::storage::layout, Shape>(
      p.x.n, [&](std::size_t i, int c) { p.y.data[i] = p.x.data[i] * p.factor[c]; });
}
template <hwc Shape>
void launch(backend::cpu&, gain_gradient<Shape>,
            const typename gain_gradient<Shape>::template params<backend::cpu::storage>& p) {
  for_each_number<backend::cpu::storage::layout, Shape>(
      p.x.n, [&](std::size_t i, int c) { p.dfactor[c] += p.x.data[i] * p.dy.data[i]; });
}

// 2. The layer: extents as constexpr functions, the four duties of concepts/layer.hpp, no storage.
struct channel_gain {
  static constexpr std::string_view name = "channel_gain";
  static constexpr hwc output_shape(hwc in) { return in; }
  static constexpr std::size_t param_count(hwc in) { return static_cast<std::size_t>(in.c); }
  static constexpr std::size_t buffer_count(hwc) { return 0; }
  static constexpr std::size_t saved_count(hwc, int) { return 0; }
  static constexpr flop_count flops(hwc) { return {}; }
  template <hwc>
  static constexpr bool validate() {
    return true;
  }
  static std::vector<tensor_info> tensors(hwc in, hwc) {
    return {nn::plain_tensor("weight", 0, in.c)};
  }
  template <hwc In>
  using required_ops = op_list<gain<In>, gain_gradient<In>>;

  void initialise(std::span<float> params, std::span<float>, hwc, const stream_id&) const {
    std::ranges::fill(params, 1.0f);
  }
  template <hwc In, Backend B>
  void forward(B& b, const forward_args<B>& a) const {
    launch(b, gain<In>{}, {a.x, a.params.data(), a.y});
  }
  template <hwc In, Backend B>
  void backward(B& b, const backward_args<B>& a) const {
    if (!a.dparams.empty()) launch(b, gain_gradient<In>{}, {a.x, a.dy, a.dparams.data()});
    if (a.dx.data) launch(b, gain<In>{}, {a.dy, a.params.data(), a.dx});
  }
};
static_assert(Layer<channel_gain, backend::cpu, hwc{2, 2, 3}>,
              "channel_gain must satisfy the layer contract");

// 3. The objective: a function of each output with its derivative, for either player.
struct smoothed_real {
  float smooth;
  template <class T>
  [[nodiscard]] T value(T x) const {
    return (1 - static_cast<T>(smooth)) * real.value(x) + static_cast<T>(smooth) * fake.value(x);
  }
  template <class T>
  [[nodiscard]] T derivative(T x) const {
    return (1 - static_cast<T>(smooth)) * real.derivative(x) +
           static_cast<T>(smooth) * fake.derivative(x);
  }
  static constexpr loss::cross_entropy_real real{};
  static constexpr loss::cross_entropy_fake fake{};
};
struct smoothed_logistic : loss::separable<smoothed_logistic> {
  static constexpr std::string_view name = "smoothed_logistic";
  float smooth{0.1f};  ///< Salimans et al., arXiv 1606.03498, section 3.4
  [[nodiscard]] smoothed_real on_real() const { return {smooth}; }
  static constexpr loss::cross_entropy_fake on_fake() { return {}; }
  static constexpr loss::cross_entropy_real for_generator() { return {}; }
};

}  // namespace mine

int main(int argc, char** argv) {
  using namespace gantry;
  using generator =
      sequential<latent<8>, linear<64>, relu, linear<64>, mine::channel_gain, relu, linear<2>>;
  using discriminator =
      sequential<latent<2>, linear<64>, leaky_relu, mine::channel_gain, linear<1>>;
  using topology = gan<generator, discriminator, mine::smoothed_logistic, optim::adam>;

  common_config<topology> gan{.seed = 1, .batch = 64};
  nn::use_he_initialisation(gan.topology.generator);
  nn::use_he_initialisation(gan.topology.discriminator);
  gan.topology.loss.smooth = 0.2f;
  auto world = comm::in_process(1);
  const auto iterations = static_cast<std::uint32_t>(argc > 1 ? std::atoi(argv[1]) : 500);
  const auto report = [&](const train::round_view& view) {
    if (view.iteration % std::max(1u, iterations / 5) == 0)
      std::printf("iteration %4u: D %.3f, G %.3f\n", view.iteration, view.report.discriminator_loss,
                  view.report.generator_loss);
  };
  train::run<dist::standalone, backend::cpu>(world, gan, {},
                                             std::vector{data::gaussian_mixture(1, 0)},
                                             {.iterations = iterations, .on_round = report});
}
