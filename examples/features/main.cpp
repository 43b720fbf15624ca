// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// gantry-features: features of images, for a comparison with another implementation of a network.
// The exit codes are those of gantry/base/error.hpp.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/data/image_set.hpp"
#include "gantry/io/safetensors.hpp"

#include "feature_networks.hpp"
#include "guarded.hpp"
#include "options.hpp"

namespace {

using namespace gantry;

void run(const features_options& o) {
  const std::string from = o.images.string();
  for (const setting& s : o.given)
    if (!o.quiet && s.from != "the command line")
      std::printf("setting: %s\n", described(s).c_str());
  const auto file = io::safetensors_file::read(from);
  const auto pixels = file.find<std::uint8_t>("images");
  const std::vector<std::int64_t>& shape = file.find("images")->shape;
  constexpr std::int64_t most = 1 << 20;
  if (shape.size() != 4 || shape[0] < 1 ||
      std::ranges::any_of(shape, [](std::int64_t extent) { return extent < 1 || extent > most; }))
    throw data_error("tensor \"images\" in " + from +
                     " was expected to have a shape [n, height, width, channels] and has " +
                     io::shape_text(shape) + "; save images");
  const hwc extents{static_cast<int>(shape[1]), static_cast<int>(shape[2]),
                    static_cast<int>(shape[3])};
  const auto source = make_feature_source(o.network, extents, o.threads);
  if (!o.quiet) std::printf("%s, SHA-256 %s\n", source->name().c_str(), source->hash().c_str());

  const auto n = static_cast<std::size_t>(shape[0]), each = pixels.size() / n;
  const auto width = static_cast<std::size_t>(source->feature_count()),
             classes = static_cast<std::size_t>(source->classes());
  std::vector<float> features(n * width), probabilities(n * classes), images;
  constexpr std::size_t chunk = 64;
  for (std::size_t first = 0; first < n; first += chunk) {
    const std::size_t count = std::min(chunk, n - first);
    images.resize(count * each);
    std::ranges::transform(pixels.subspan(first * each, count * each), images.begin(),
                           [](std::uint8_t pixel) { return data::pixel_to_float[pixel]; });
    source->evaluate(images, static_cast<int>(count),
                     std::span(features).subspan(first * width, count * width),
                     std::span(probabilities).subspan(first * classes, count * classes));
  }
  const auto rows = static_cast<std::int64_t>(n);
  const std::vector<io::tensor_entry> results{
      io::tensor_entry::of<float>("features", {rows, source->feature_count()}, features),
      io::tensor_entry::of<float>("probabilities", {rows, source->classes()}, probabilities)};
  io::write_safetensors(o.result, results,
                        {{"network", source->name()}, {"network_sha256", source->hash()}});
}

}  // namespace

int main(int argc, char** argv) {
  return guarded({"gantry-features", "give a file of fewer images"}, [&] {
    if (const auto options = parse_options(argc, argv)) run(*options);
    return static_cast<int>(exit_code::done);
  });
}
