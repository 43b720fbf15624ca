// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Trains a preset on images of noise on a GPU and prints one JSON line with the time of a step:
//   gan_step [batch] [seconds] [own|vendor]
// Real batches take turns among three in the GPU's memory, and losses are read back when a round of
// steps has ended, or 32 of them. Without seconds it takes three steps only.
// The compiler is told the preset and the arithmetic of products, as tests/kernels/
// check_cuda_program.py does: -DGANTRY_STEP_PRESET=dcgan32 -DGANTRY_STEP_MATH=fp32. With
// -DGANTRY_STEP_VENDOR, cuBLASLt and cuDNN, the last argument says who multiplies.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <numeric>
#include <span>
#include <string_view>
#include <vector>

#if defined(GANTRY_STEP_VENDOR)
#include "gantry/backend/cuda/vendor.cuh"
#endif
#include "gantry/backend/cuda/cuda.cuh"
#include "gantry/comm/in_process.hpp"
#include "gantry/dist/standalone.hpp"
#include "gantry/loss/objectives.hpp"
#include "gantry/models/modern.hpp"
#include "gantry/models/presets.hpp"
#include "gantry/optim/optimizers.hpp"

namespace {

using namespace gantry;

using preset = models::GANTRY_STEP_PRESET;
#if defined(GANTRY_STEP_VENDOR)
using device = backend::vendor_cuda<kernels::gemm_math::GANTRY_STEP_MATH>;
#else
using device = backend::basic_cuda<kernels::gemm_math::GANTRY_STEP_MATH>;
#endif
/// The preset's own objective, or that of DCGAN.
template <class Preset>
struct objective_of {
  using type = loss::non_saturating;
};
template <class Preset>
requires requires { typename Preset::objective; }
struct objective_of<Preset> {
  using type = typename Preset::objective;
};
using topology =
    gan<preset::generator, preset::discriminator, objective_of<preset>::type, optim::adam>;
using timer = std::chrono::steady_clock;

double seconds_since(timer::time_point begin) {
  return std::chrono::duration<double>(timer::now() - begin).count();
}

/// Three batches by turns, classes in turn: drawing new ones would be timed instead of the step.
class batches {
 public:
  explicit batches(int batch) : batch_(static_cast<std::size_t>(batch)) {
    random_sequence draw({.seed = 7});
    pixels_.resize(3 * batch_ * image_size);
    for (std::uint8_t& p : pixels_) p = static_cast<std::uint8_t>(draw.next());
    positions_.resize(3 * batch_);
    std::iota(positions_.begin(), positions_.end(), 0u);
    for (int i = 0; i < batch; ++i)
      classes_.push_back(static_cast<std::uint8_t>(i % std::max(1, topology::classes)));
  }
  /// Where the device keeps no images.
  void read(std::uint32_t step, std::span<float> out, int n) {
    for (std::size_t i = 0; const std::uint32_t at : positions(step, n))
      for (const std::uint8_t p : image(at)) out[i++] = static_cast<float>(p) / 127.5f - 1.0f;
  }
  [[nodiscard]] std::span<const std::uint32_t> positions(std::uint32_t step, int n) const {
    return std::span(positions_).subspan(step % 3 * batch_, static_cast<std::size_t>(n));
  }
  [[nodiscard]] std::span<const std::uint8_t> image(std::size_t i) const {
    return std::span(pixels_).subspan(i * image_size, image_size);
  }
  [[nodiscard]] std::span<const std::uint8_t> labels(std::uint32_t, int) const { return classes_; }
  [[nodiscard]] std::int64_t size() const { return static_cast<std::int64_t>(3 * batch_); }

 private:
  static constexpr std::size_t image_size = static_cast<std::size_t>(topology::sample_shape.size());
  std::size_t batch_;
  std::vector<std::uint8_t> pixels_, classes_;
  std::vector<std::uint32_t> positions_;
};
static_assert(StoredImageSource<batches>);

struct measurement {
  round_report last;
  std::size_t launches{}, graphs{};
  std::vector<double> rounds;  ///< milliseconds of a step, in the order of time
};

template <class Preset, class Topology>
void configure(Topology& t) {
  if constexpr (requires { Preset::configure(t.generator, t.discriminator); })
    Preset::configure(t.generator, t.discriminator);
}

measurement measure(device& b, int batch, double seconds) {
  common_config<topology> common{.seed = 1, .batch = batch};
  configure<preset>(common.topology);
  dist::standalone::node<topology, device, batches> node(b, common, {}, batches(batch));
  measurement found;
  comm::in_process_world world(1, std::make_shared<thread_pool>(1));
  world.run([&](auto& comm) {
    std::uint32_t step = 0;
    std::vector<round_report> reports;
    const auto take = [&](int steps) {
      const auto begin = timer::now();
      for (int i = 1; i <= steps; ++i) {
        const std::size_t before = b.launches();
        b.step([&] { reports.push_back(node.start_round(comm, step)); });
        ++step;
        found.launches = b.launches() - before;
        if (i < steps && reports.size() < node.rounds_kept) continue;
        node.complete(step - static_cast<std::uint32_t>(reports.size()), reports);
        found.last = reports.back();
        reports.clear();
      }
      return seconds_since(begin) / steps;
    };
    take(3);
    if (seconds <= 0) return;
    double one = 0;
    for (const auto begin = timer::now(); seconds_since(begin) < 0.5;) one = take(10);
    const int per_round = std::max(1, static_cast<int>(0.05 / one));
    for (const auto begin = timer::now();
         found.rounds.size() < 15 || seconds_since(begin) < seconds;)
      found.rounds.push_back(1e3 * take(per_round));
  });
  found.graphs = b.graphs();
  return found;
}

void print(const measurement& m, std::string_view set, int batch) {
  using own = backend::basic_cuda<kernels::gemm_math::GANTRY_STEP_MATH>;
  std::printf("{\"impl\": \"gantry\", \"set_up\": \"%s%s\", \"model\": \"%s\", \"batch\": %d, ",
              own::name.data(), set == "own" ? "" : "_vendor", preset::name.data(), batch);
  if (!m.rounds.empty()) {
    std::printf("\"rounds_ms\": [");
    for (std::size_t i = 0; i < m.rounds.size(); ++i)
      std::printf("%s%.5f", i ? ", " : "", m.rounds[i]);
    std::printf("], ");
  }
  std::printf(
      "\"kernels_per_step\": %zu, \"graphs_per_step\": %zu, \"loss_d\": %.6f, \"loss_g\": %.6f}\n",
      m.launches, m.graphs, m.last.discriminator_loss, m.last.generator_loss);
}

}  // namespace

int main(int argc, char** argv) try {
  const int batch = argc > 1 ? std::atoi(argv[1]) : 64;
  const std::string_view kernels = argc > 3 ? argv[3] : "own";
#if defined(GANTRY_STEP_VENDOR)
  expects(kernels == "own" || kernels == "vendor",
          "The last argument was expected to be own or vendor and is another; give one of these.");
  device b(kernels == "own" ? backend::device_kernels::own : backend::device_kernels::vendor);
#else
  expects(kernels == "own",
          "Kernels of the libraries were asked for, but this program was built without; build it "
          "with -DGANTRY_STEP_VENDOR.");
  device b;
#endif
  const measurement found = measure(b, batch, argc > 2 ? std::atof(argv[2]) : 0.0);
  print(found, kernels, batch);
#if defined(GANTRY_STEP_VENDOR)
  if (const std::size_t own = backend::launches_without_plan; own > 0)
    std::fprintf(stderr, "gan_step: the libraries had no plan for %zu launches\n", own);
#endif
  return 0;
} catch (const std::exception& e) {
  std::fprintf(stderr, "gan_step: %s\n", e.what());
  return 1;
}
