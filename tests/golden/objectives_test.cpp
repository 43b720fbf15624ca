// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Ten rounds of dist::standalone with gradient penalties, relativistic pairing and spectral
// normalisation against PyTorch (create_graph=True), from the same weights and inputs:
// make_objectives.py wrote the files.
#include <filesystem>

#include <doctest/doctest.h>

#include "gantry/backend/cpu/cpu.hpp"
#include "gantry/backend/reference/reference.hpp"
#include "gantry/comm/in_process.hpp"
#include "gantry/dist/standalone.hpp"
#include "gantry/io/safetensors.hpp"
#include "gantry/loss/auxiliary_classifier.hpp"
#include "gantry/loss/objectives.hpp"
#include "gantry/loss/penalties.hpp"
#include "gantry/nn/layers.hpp"
#include "gantry/optim/optimizers.hpp"

#include "support/torch_view.hpp"

using namespace gantry;
using test::tolerance;

namespace {

using generator =
    sequential<latent<8>, linear<2 * 2 * 6>, reshape<2, 2, 6>, relu, conv_transpose2d<5, 4, 2, 1>,
               relu, conv_transpose2d<3, 4, 2, 1>, tanh_>;
template <class... Layers>
using discriminator = sequential<image<8, 8, 3>, Layers...>;

struct wgan_gp {
  static constexpr const char* file = "objective_wgan_gp.safetensors";
  using block =
      residual<path<relu, conv2d<6, 3, 1, 1>, relu, conv2d<7, 3, 2, 1>>, path<conv2d<7, 1, 2>>>;
  using topology =
      gan<generator, discriminator<conv2d<6, 3, 2, 1>, leaky_relu, block, leaky_relu, linear<1>>,
          loss::penalised<loss::critic, loss::wgan_gp>, optim::adam>;
  static topology make() { return {}; }
};

struct relativistic_r1_r2 {
  static constexpr const char* file = "objective_relativistic_r1_r2.safetensors";
  using topology = gan<generator,
                       discriminator<conv2d<6, 4, 2, 1>, leaky_relu, conv2d<8, 4, 2, 1>, leaky_relu,
                                     linear<1, bias::no>>,
                       loss::penalised<loss::relativistic, loss::r1, loss::r2>, optim::adam>;
  static topology make() {
    topology t;
    t.loss.penalties = {loss::r1{.gamma = 1.0f}, loss::r2{.gamma = 0.5f}};
    return t;
  }
};

struct spectral_hinge {
  static constexpr const char* file = "objective_spectral_hinge.safetensors";
  using block =
      residual<path<relu, spectral_norm<conv2d<7, 4, 2, 1>>>, path<spectral_norm<conv2d<7, 2, 2>>>>;
  using topology = gan<generator,
                       discriminator<spectral_norm<conv2d<6, 3, 1, 1>>, leaky_relu, block,
                                     leaky_relu, spectral_norm<linear<1>>>,
                       loss::hinge, optim::adam>;
  static topology make() {
    topology t;
    t.discriminator.layer<1>().slope = t.discriminator.layer<3>().slope = 0.1f;
    return t;
  }
};

/// Batch norm and mini-batch discrimination: every penalty reaches the other samples of its batch.
struct coupled {
  static constexpr const char* file = "objective_coupled.safetensors";
  /// Gradients of up to 200, among them small ones.
  static constexpr tolerance gradient_tolerance{2e-5, 5e-5};
  using topology =
      gan<generator,
          discriminator<conv2d<6, 4, 2, 1, bias::no>, batch_norm, leaky_relu, conv2d<8, 4, 2, 1>,
                        tanh_, linear<10>, leaky_relu, minibatch_discrimination<3, 2>, linear<1>>,
          loss::penalised<loss::critic, loss::r1, loss::wgan_gp>, optim::adam>;
  static topology make() {
    topology t;
    t.loss.penalties = {loss::r1{.gamma = 1.0f}, loss::wgan_gp{}};
    return t;
  }
};

struct dragan {
  static constexpr const char* file = "objective_dragan.safetensors";
  using topology = gan<generator, discriminator<linear<12>, tanh_, linear<10>, softplus, linear<1>>,
                       loss::penalised<loss::non_saturating, loss::dragan>, optim::adam>;
  static topology make() { return {}; }
};

struct acgan {
  static constexpr const char* file = "objective_acgan.safetensors";
  using topology =
      gan<sequential<latent<8>, concat_label<5, 4>, linear<2 * 2 * 6>, reshape<2, 2, 6>, relu,
                     conv_transpose2d<5, 4, 2, 1>, relu, conv_transpose2d<3, 4, 2, 1>, tanh_>,
          discriminator<conv2d<6, 4, 2, 1>, leaky_relu, conv2d<8, 4, 2, 1>, leaky_relu, linear<6>>,
          loss::auxiliary_classifier<loss::non_saturating, 5>, optim::adam>;
  static topology make() { return {}; }
};

struct class_projection {
  static constexpr const char* file = "objective_projection.safetensors";
  using topology =
      gan<sequential<latent<8>, linear<2 * 2 * 6, bias::no>, reshape<2, 2, 6>,
                     conditional_batch_norm<5>, relu, conv_transpose2d<5, 4, 2, 1, bias::no>,
                     conditional_batch_norm<5>, relu, conv_transpose2d<3, 4, 2, 1>, tanh_>,
          discriminator<conv2d<6, 4, 2, 1>, leaky_relu, conv2d<8, 4, 2, 1>, leaky_relu,
                        residual<path<linear<1, bias::no>>, path<label_product<5>>>>,
          loss::penalised<loss::hinge, loss::r1>, optim::adam>;
  static topology make() {
    topology t;
    t.loss.penalties = {loss::r1{.gamma = 1.0f}};
    return t;
  }
};

/// Batch k % pool of the file's real images.
class file_source {
 public:
  explicit file_source(const io::safetensors_file& file)
      : images_(file.find<float>("real")),
        pool_(static_cast<std::size_t>(file.find("real")->shape[0])) {
    if (file.find("labels") == nullptr) return;
    for (const float label : file.find<float>("labels"))
      labels_.push_back(static_cast<std::uint8_t>(label));
  }
  void read(std::uint32_t step, std::span<float> out, int) const {
    std::ranges::copy(images_.subspan(step % pool_ * out.size(), out.size()), out.begin());
  }
  [[nodiscard]] std::int64_t size() const { return static_cast<std::int64_t>(pool_); }
  [[nodiscard]] std::span<const std::uint8_t> labels(std::uint32_t step, int batch) const {
    const auto n = static_cast<std::size_t>(batch);
    return std::span(labels_).subspan(step % pool_ * n, n);
  }

 private:
  std::span<const float> images_;
  std::vector<std::uint8_t> labels_;
  std::size_t pool_;
};

template <class Net, class Opt, Backend B>
auto view_of(B& b, dist::network_state<Net, Opt, B>& state, const io::safetensors_file& file,
             const char* letter) {
  return test::torch_view<Net, B>(b, file, letter, state.values(), state.gradients());
}

/// Two implementations in single precision.
constexpr tolerance losses{5e-6, 2e-6}, gradients{2e-5, 5e-6};
/// A step of Adam moves a weight by about 2e-4, where its gradient is nearly 0 less predictably.
constexpr tolerance first_step{1e-6, 1e-6}, last_step{1e-5, 5e-6};

/// A case whose gradients are large sums that cancel says so.
template <class Case>
constexpr tolerance of_discriminator() {
  if constexpr (requires { Case::gradient_tolerance; })
    return Case::gradient_tolerance;
  else
    return gradients;
}

template <class Case, Backend B>
void check_rounds(B b) {
  const std::filesystem::path path =
      std::filesystem::path(GANTRY_SOURCE_DIR) / "tests/golden" / Case::file;
  const io::safetensors_file file = io::safetensors_file::read(path);
  using topology = typename Case::topology;
  const int batch = static_cast<int>(file.find("real")->shape[1]);
  const common_config<topology> common{.topology = Case::make(), .seed = 5, .batch = batch};
  dist::standalone::node<topology, B, file_source> node(b, common, {}, file_source(file));
  auto g = view_of(b, node.generator().state(), file, "G");
  auto d = view_of(b, node.discriminator().state(), file, "D");
  g.load("initial");
  d.load("initial");
  auto world = comm::in_process(1, 1);
  const auto expected = file.find<float>("losses");
  REQUIRE(expected.size() == 20);
  world.run([&](auto& comm) {
    for (std::uint32_t k = 0; k < 10; ++k) {
      CAPTURE(k);
      const round_report r = node.round(comm, k);
      CHECK(test::compare(std::vector<double>{r.discriminator_loss, r.generator_loss},
                          std::vector<double>{expected[2 * k], expected[2 * k + 1]}, losses));
      if (k == 0) {
        CHECK(d.compare_gradients(of_discriminator<Case>()));
        CHECK(g.compare_gradients(gradients));
        CHECK(d.compare_values("step1", first_step));
        CHECK(g.compare_values("step1", first_step));
      }
    }
  });
  CHECK(d.compare_values("step10", last_step));
  CHECK(g.compare_values("step10", last_step));
}

template <class Case>
void check_case() {
  check_rounds<Case>(backend::cpu(2));
  check_rounds<Case>(backend::cpu_eigen(1));
  check_rounds<Case>(backend::reference<float>());
}

}  // namespace

TEST_CASE("golden: WGAN-GP with a residual critic") { check_case<wgan_gp>(); }
TEST_CASE("golden: relativistic pairing with R1 and R2") { check_case<relativistic_r1_r2>(); }
TEST_CASE("golden: hinge with spectral normalisation") { check_case<spectral_hinge>(); }
TEST_CASE("golden: R1 and WGAN-GP through batch norm and mini-batch discrimination") {
  check_rounds<coupled>(backend::cpu(2));
  check_rounds<coupled>(backend::reference<float>());
}
TEST_CASE("golden: DRAGAN with activations that bend") { check_case<dragan>(); }
TEST_CASE("golden: an auxiliary classifier") { check_case<acgan>(); }
TEST_CASE("golden: projection, conditional batch norm, hinge and R1") {
  check_case<class_projection>();
}
