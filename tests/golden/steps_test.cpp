// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Ten training steps of two small GANs against PyTorch, from the same weights and inputs:
// make_steps.py wrote the files.
#include <filesystem>

#include <doctest/doctest.h>

#include "gantry/backend/cpu/cpu.hpp"
#include "gantry/backend/reference/reference.hpp"
#include "gantry/io/safetensors.hpp"
#include "gantry/loss/objectives.hpp"
#include "gantry/nn/layers.hpp"
#include "gantry/optim/optimizers.hpp"

#include "support/torch_view.hpp"

using namespace gantry;
using test::tolerance;

namespace {

struct mlp {
  static constexpr const char* file = "steps_mlp.safetensors";
  using generator = sequential<latent<16>, linear<32>, leaky_relu, linear<64>, tanh_>;
  using discriminator = sequential<latent<64>, linear<32>, leaky_relu, linear<1>>;
};

struct dcgan {
  static constexpr const char* file = "steps_dcgan.safetensors";
  using generator = sequential<latent<8>, linear<6 * 7 * 7, bias::no>, reshape<7, 7, 6>, batch_norm,
                               relu, conv_transpose2d<4, 4, 2, 1, bias::no>, batch_norm, relu,
                               conv_transpose2d<1, 4, 2, 1, bias::no>, tanh_>;
  using discriminator = sequential<image<28, 28, 1>, conv2d<4, 4, 2, 1, bias::no>, leaky_relu,
                                   conv2d<6, 4, 2, 1, bias::no>, batch_norm, leaky_relu, linear<1>>;
};

/// Two implementations in single precision: relative errors of 1e-6 in sums of hundreds of
/// products.
constexpr tolerance losses{2e-6, 1e-6}, gradients{1e-5, 2e-6};
/// A step of Adam moves a weight by about 2e-4, where its gradient is nearly 0 less predictably.
constexpr tolerance first_step{1e-6, 2e-7}, last_step{1e-5, 1e-6};

/// A network in training: values, gradients, optimizer state.
template <class Net, Backend B>
class player {
 public:
  using scalar = typename B::scalar;
  using tape_type = typename Net::template tape<B>;

  player(B& b, const io::safetensors_file& file, const char* letter)
      : backend_(&b),
        params_(b.allocate(Net::param_count)),
        buffers_(b.allocate(Net::buffer_count)),
        gradients_(b.allocate(Net::param_count)),
        state_(b.allocate(optim::adam::state_per_param() * Net::param_count)),
        in_torch_(b, file, letter, {params_.span(), buffers_.span()}, gradients_.span()) {
    in_torch_.load("initial");
  }

  void forward(const_batch_of<typename B::storage> x, tape_type& tape) {
    net_.forward(*backend_, {params_.span(), buffers_.span()}, x, tape, mode::train, {});
  }
  void backward(const_batch_of<typename B::storage> x, tape_type& tape, bool learn, scalar* dx) {
    net_.backward(*backend_, {params_.span(), buffers_.span()}, x, tape,
                  learn ? gradients_.span() : std::span<scalar>{}, {dx, x.n});
  }
  void clear() { launch(*backend_, ops::fill{}, {gradients_.data(), gradients_.size(), 0.0f}); }
  void update(std::int64_t step) {
    optim::adam{}.step(*backend_, params_.span(), std::span<const scalar>(gradients_.span()),
                       state_.span(), step);
  }

  [[nodiscard]] const test::torch_view<Net, B>& in_torch() const { return in_torch_; }

 private:
  B* backend_;
  Net net_;
  typename B::buffer_type params_, buffers_, gradients_, state_;
  test::torch_view<Net, B> in_torch_;
};

template <class Gan, Backend B>
class training {
 public:
  using generator = typename Gan::generator;
  using discriminator = typename Gan::discriminator;

  training(B& b, const io::safetensors_file& file)
      : backend_(&b),
        z_(file.find<float>("z")),
        images_(file.find<float>("real")),
        batch_(static_cast<int>(file.find("z")->shape[1])),
        pool_(static_cast<std::size_t>(file.find("real")->shape[0])),
        g_(b, file, "G"),
        d_(b, file, "D"),
        fake_tape_(b, batch_),
        on_real_(b, batch_),
        on_fake_(b, batch_),
        real_(b.allocate(layout::elements(discriminator::input_shape, batch_))),
        latents_(b.allocate(layout::elements(generator::input_shape, batch_))),
        sum_(b.allocate(1)) {}

  /// Step k, k = 0, 1, ... @returns the losses of D and of G
  std::pair<double, double> step(std::size_t k) {
    B& b = *backend_;
    const auto real = moved<discriminator::input_shape>(images_, k % pool_, real_);
    const auto z = moved<generator::input_shape>(z_, k, latents_);
    const auto adam_step = static_cast<std::int64_t>(k + 1);
    const loss::non_saturating objective;

    d_.clear();
    d_.forward(real, on_real_);
    g_.forward(z, fake_tape_);
    const const_batch_of<typename B::storage> fake = fake_tape_.output();
    d_.forward(fake, on_fake_);
    *sum_.data() = 0;
    objective.discriminator(b, logits_of(on_real_), logits_of(on_fake_), sum_.data());
    const double d_loss = *sum_.data();
    d_.backward(real, on_real_, true, nullptr);
    d_.backward(fake, on_fake_, true, nullptr);
    d_.update(adam_step);

    d_.forward(fake, on_fake_);
    *sum_.data() = 0;
    objective.generator(b, {}, logits_of(on_fake_), sum_.data());
    g_.clear();
    d_.backward(fake, on_fake_, false, fake_tape_.output_gradient().data);
    g_.backward(z, fake_tape_, true, nullptr);
    g_.update(adam_step);
    return {d_loss, *sum_.data()};
  }

  const player<generator, B>& g() const { return g_; }
  const player<discriminator, B>& d() const { return d_; }

 private:
  using layout = typename B::storage::layout;

  /// Batch i of all, in the backend's layout.
  template <hwc Shape>
  const_batch_of<typename B::storage> moved(std::span<const float> all, std::size_t i,
                                            const typename B::buffer_type& to) {
    const std::size_t size = nhwc::elements(Shape, batch_);
    const batch_of<typename B::storage> batch{to.data(), batch_};
    launch(*backend_, ops::import_samples<Shape>{}, {all.subspan(i * size, size).data(), batch});
    return batch;
  }
  logits<B> logits_of(typename discriminator::template tape<B>& tape) const {
    return {tape.output().data, tape.output_gradient().data, static_cast<std::size_t>(batch_)};
  }

  B* backend_;
  std::span<const float> z_, images_;
  int batch_;
  std::size_t pool_;
  player<generator, B> g_;
  player<discriminator, B> d_;
  typename generator::template tape<B> fake_tape_;
  typename discriminator::template tape<B> on_real_, on_fake_;
  typename B::buffer_type real_, latents_, sum_;
};

template <class Gan, Backend B>
void check_steps(B& b) {
  const std::filesystem::path path =
      std::filesystem::path(GANTRY_SOURCE_DIR) / "tests/golden" / Gan::file;
  const io::safetensors_file file = io::safetensors_file::read(path);
  const auto expected = file.find<float>("losses");
  const std::size_t steps = expected.size() / 3;
  CHECK(steps == 10);
  training<Gan, B> run(b, file);
  for (std::size_t k = 0; k < steps; ++k) {
    CAPTURE(k);
    const auto [d, g] = run.step(k);
    const double on_real = expected[3 * k], on_fake = expected[3 * k + 1];
    CHECK(test::compare(std::vector<double>{d, g},
                        std::vector<double>{on_real + on_fake, expected[3 * k + 2]}, losses));
    if (k == 0) {
      CHECK(run.d().in_torch().compare_gradients(gradients));
      CHECK(run.g().in_torch().compare_gradients(gradients));
      CHECK(run.d().in_torch().compare_values("step1", first_step));
      CHECK(run.g().in_torch().compare_values("step1", first_step));
    }
  }
  CHECK(run.d().in_torch().compare_values("step10", last_step));
  CHECK(run.g().in_torch().compare_values("step10", last_step));
}

}  // namespace

TEST_CASE_TEMPLATE("golden: ten steps as PyTorch takes them", gan, mlp, dcgan) {
  CAPTURE(gan::file);
  SUBCASE("cpu") {
    backend::cpu b(2);
    check_steps<gan>(b);
  }
  SUBCASE("reference") {
    backend::reference<float> b;
    check_steps<gan>(b);
  }
}
