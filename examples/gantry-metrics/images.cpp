// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <filesystem>
#include <utility>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/base/rng.hpp"
#include "gantry/data/byte_reader.hpp"
#include "gantry/data/cifar.hpp"
#include "gantry/data/packed.hpp"
#include "gantry/io/installed_codecs.hpp"
#include "gantry/io/open_images.hpp"

#include "gantry-train/checkpoint_generator.hpp"
#include "images.hpp"

namespace {

using namespace gantry;

std::string text(hwc s) {
  return std::to_string(s.h) + " x " + std::to_string(s.w) + " x " + std::to_string(s.c);
}

data::image_set read_source(const std::string& path) {
  const auto source = io::open_images(path, {.codecs = io::installed_codecs, .attribute = ""});
  data::image_set set;
  set.name = path;
  image8 image;
  std::vector<std::uint8_t> pixels;
  hwc first{0, 0, 0};
  for (std::size_t i = 0; i < source.size(); ++i) {
    source.decode(i, image);
    const hwc shape{image.height, image.width, image.channels};
    if (i == 0) first = shape;
    if (shape != first)
      throw data_error(source.name(i) + " was expected to be an image of " + text(first) +
                       " as the first one is and is one of " + text(shape) +
                       "; bring all to one size, for example with gantry-data pack " + path +
                       " --size " + std::to_string(std::min(first.h, first.w)) +
                       " --out images.gpack");
    pixels.insert(pixels.end(), image.pixels.begin(), image.pixels.end());
  }
  set.height = first.h;
  set.width = first.w;
  set.channels = first.c;
  set.pixels = std::move(pixels);
  return set;
}

}  // namespace

data::image_set read_image_path(const std::string& path) {
  if (data::is_packed(path)) return *data::open_packed(path).images;
  if (std::filesystem::path(path).extension() != ".bin") return read_source(path);
  data::image_set set{data::detail::cifar_side,
                      data::detail::cifar_side,
                      data::detail::cifar_channels,
                      {},
                      {},
                      path,
                      {}};
  data::byte_reader file(path);
  data::detail::append_cifar(file, data::detail::cifar10_format(), set);
  return set;
}

image_stream stream_of(std::shared_ptr<const data::image_set> set, std::size_t count,
                       const std::string& flag) {
  const std::size_t all = set->size();
  if (count > all || all < 2)
    throw data_error(flag + " was expected to be at most the number of images in " + set->name +
                     ", of which there have to be 2, and is " + std::to_string(count) + " of " +
                     std::to_string(all) + "; lower it or name more images");
  image_stream stream;
  stream.shape = {set->height, set->width, set->channels};
  stream.count = count == 0 ? all : count;
  stream.description = set->name + ", images of " + text(stream.shape);
  stream.read = [set](std::size_t first, std::span<float> images) {
    const std::size_t size = set->sample_size();
    for (std::size_t i = 0; i < images.size() / size; ++i)
      std::ranges::transform(set->image(first + i), images.subspan(i * size, size).begin(),
                             [](std::uint8_t x) { return data::pixel_to_float[x]; });
  };
  return stream;
}

image_stream generated_stream(const metrics_options& o) {
  auto settings = std::make_shared<program_options>();  // the generator keeps a reference
  settings->threads = o.threads;
  const auto generator = std::make_shared<checkpoint_generator>(o.checkpoint, *settings);
  image_stream stream;
  stream.shape = generator->image();
  stream.count = o.samples == 0 ? 10'000 : o.samples;
  stream.classes = generator->classes();
  stream.description = generator->folder().string() + " (" + generator->model() + "), images of " +
                       text(stream.shape);
  // Latents are those of gantry-train's scores with the same seed.
  stream.read = [generator, settings, seed = o.seed](std::size_t first, std::span<float> images) {
    const auto n = images.size() / static_cast<std::size_t>(generator->image().size());
    std::vector<float> latents(n * static_cast<std::size_t>(generator->latent().size()));
    fill_normal(std::span<float>(latents), {.seed = seed,
                                            .step = static_cast<std::uint32_t>(first / 256),
                                            .use = purpose::evaluation});
    std::vector<std::uint8_t> labels(n);
    for (std::size_t i = 0; i < n; ++i) labels[i] = label_of(first + i, generator->classes());
    generator->generate(latents, labels, images);
  };
  return stream;
}
