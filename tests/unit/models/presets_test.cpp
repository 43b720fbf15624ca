// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <numeric>
#include <tuple>

#include <doctest/doctest.h>

#include "gantry/backend/reference/reference.hpp"
#include "gantry/models/presets.hpp"

using namespace gantry;
using namespace gantry::models;

namespace {

using all_presets = std::tuple<mlp28, cnn28, dcgan28, dcgan32, dcgan64>;

/// Parameters, running statistics and multiply-adds per sample.
struct counts {
  std::size_t params, buffers;
  double products;
};

template <class Net>
void check_counts(const counts& expected) {
  CHECK(Net::param_count == expected.params);
  CHECK(Net::buffer_count == expected.buffers);
  CHECK(Net::flops.forward == 2 * expected.products);
  std::size_t params = 0, buffers = 0;
  for (const tensor_info& t : Net::tensors()) (t.is_buffer ? buffers : params) += t.size();
  CHECK(params == expected.params);
  CHECK(buffers == expected.buffers);
}

template <class Preset>
void check_players(hwc image, const counts& generator, const counts& discriminator) {
  CAPTURE(Preset::name);
  CHECK(Preset::generator::input_shape == hwc{1, 1, 100});
  CHECK(Preset::generator::output_shape == image);
  CHECK(Preset::discriminator::input_shape == image);
  CHECK(Preset::discriminator::output_shape == hwc{1, 1, 1});
  check_counts<typename Preset::generator>(generator);
  check_counts<typename Preset::discriminator>(discriminator);
}

template <class Net>
std::vector<std::string> names() {
  std::vector<std::string> all;
  for (const tensor_info& t : Net::tensors()) all.push_back(t.name);
  return all;
}

}  // namespace

TEST_CASE("presets: as many parameters as the same networks in PyTorch 1.13") {
  check_players<mlp28>({28, 28, 1}, {716'560, 0, 714'752}, {665'089, 0, 664'064});
  check_players<cnn28>({28, 28, 1}, {730'721, 320, 5'801'600}, {3'628'723, 0, 31'096'434});
  check_players<dcgan28>({28, 28, 1}, {759'680, 384, 7'250'432}, {138'625, 256, 6'629'504});
  check_players<dcgan32>({32, 32, 3}, {1'068'928, 896, 17'973'248}, {663'296, 768, 17'567'744});
  check_players<dcgan64>({64, 64, 3}, {3'576'704, 1'920, 104'628'224},
                         {2'765'568, 1'792, 103'817'216});
}

TEST_CASE("presets: names") {
  CHECK(mlp28::name == "mlp28");
  CHECK(cnn28::name == "cnn28");
  CHECK(dcgan28::name == "dcgan28");
  CHECK(dcgan32::name == "dcgan32");
  CHECK(dcgan64::name == "dcgan64");
}

TEST_CASE("presets: tensors of a generator") {
  CHECK(names<dcgan28::generator>() ==
        std::vector<std::string>{"0.weight", "2.weight", "2.bias", "2.running_mean",
                                 "2.running_var", "4.weight", "5.weight", "5.bias",
                                 "5.running_mean", "5.running_var", "7.weight"});
  const auto all = dcgan28::generator::tensors();
  CHECK(all[0].shape == std::vector<std::int64_t>{6272, 100});
  CHECK(all[5].shape == std::vector<std::int64_t>{128, 64, 4, 4});
  CHECK(all[10].shape == std::vector<std::int64_t>{64, 1, 4, 4});
}

TEST_CASE_TEMPLATE_DEFINE("presets: initial values follow DCGAN", preset, preset_initial_values) {
  using net = typename preset::generator;
  std::vector<float> params(net::param_count), buffers(net::buffer_count);
  net{}.initialise(params, buffers, {.seed = 1, .use = purpose::initialise});
  for (const tensor_info& t : net::tensors()) {
    CAPTURE(t.name);
    const auto values = std::span(t.is_buffer ? buffers : params).subspan(t.offset, t.size());
    const double n = static_cast<double>(t.size());
    const double mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
    double square = 0;
    for (const float v : values) square += (v - mean) * (v - mean) / n;
    const bool around_one = t.name.ends_with("var") || (t.shape.size() == 1 && mean > 0.5);
    const bool drawn = t.name.ends_with("weight");
    // Five standard deviations of the two estimates.
    CHECK(std::abs(mean - around_one) <= (drawn ? 5 * 0.02 / std::sqrt(n) : 0));
    CHECK(std::abs(std::sqrt(square) - (drawn ? 0.02 : 0)) <=
          (drawn ? 5 * 0.02 / std::sqrt(2 * n) : 0));
  }
}
TEST_CASE_TEMPLATE_APPLY(preset_initial_values, all_presets);
