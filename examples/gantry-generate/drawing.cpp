// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <numbers>
#include <span>
#include <string>
#include <utility>

#include "gantry/base/error.hpp"
#include "gantry/base/rng.hpp"
#include "gantry/io/file.hpp"
#include "gantry/io/npy.hpp"
#include "gantry/io/png.hpp"

#include "drawing.hpp"
#include "gantry-train/checks.hpp"
#include "npz_writer.hpp"

namespace {

using namespace gantry;

constexpr std::size_t most_in_grid = 1024;

/// Number `index` of the stream, as fill_normal() would write it.
float normal_at(const stream_id& id, std::size_t index) {
  float four[4];
  const philox::block words = philox::at(id, static_cast<std::uint32_t>(index / 4));
  for (std::size_t pair = 0; pair < 2; ++pair) {
    const double radius = std::sqrt(-2.0 * std::log(philox::to_unit(words[2 * pair])));
    const double angle = 2.0 * std::numbers::pi * philox::to_unit(words[2 * pair + 1]);
    four[2 * pair] = static_cast<float>(radius * std::cos(angle));
    four[2 * pair + 1] = static_cast<float>(radius * std::sin(angle));
  }
  return four[index % 4];
}

/// Numbers beyond the threshold are drawn again (Brock, Donahue, Simonyan, arXiv 1809.11096,
/// section 3.1): better images, less variety. `first` is the place of z in the stream.
void truncate(std::span<float> z, float threshold, std::uint64_t seed, std::size_t first) {
  for (std::size_t i = 0; i < z.size(); ++i)
    for (std::uint32_t attempt = 1; !(std::abs(z[i]) <= threshold); ++attempt)
      z[i] = normal_at({.seed = seed, .use = purpose::fixed_latent, .salt = attempt}, first + i);
}

std::vector<float> latents_of(const drawing_options& o,
                              const std::vector<train::latent_choice>& chosen, std::size_t size) {
  std::vector<float> all;
  for (const train::latent_choice& c : chosen) {
    train::latent_vector z = train::latent_of(c, size);
    if (o.truncation) truncate(z, *o.truncation, c.seed, c.index * size);
    all.insert(all.end(), z.begin(), z.end());
  }
  return all;
}

std::vector<float> path_of(const drawing_options& o, std::size_t size) {
  std::vector<train::latent_choice> ends;
  for (const std::string& text : o.interpolate) {
    const auto chosen = parse_seeds(text);
    expects(chosen.size() == 1,
            "--interpolate was expected to have two images, each SEED or SEED:INDEX, and has more; "
            "leave some out");
    ends.push_back(chosen.front());
  }
  const std::vector<float> z = latents_of(o, ends, size);
  const auto a = std::span(z).first(size), b = std::span(z).last(size);
  std::vector<float> all;
  for (std::size_t i = 0; i < o.frames; ++i) {
    const double t = static_cast<double>(i) / static_cast<double>(o.frames - 1);
    const train::latent_vector at = train::interpolate_spherical(a, b, t);
    all.insert(all.end(), at.begin(), at.end());
  }
  return all;
}

/// Pixels of all images, generated in parts so that floats of few images are held at a time.
std::vector<std::uint8_t> pixels_of(const checkpoint_generator& generator, const inputs& in) {
  constexpr std::size_t part = 1024;
  const auto latent = static_cast<std::size_t>(generator.latent().size()),
             image = static_cast<std::size_t>(generator.image().size());
  std::vector<std::uint8_t> pixels;
  pixels.reserve(in.labels.size() * image);
  std::vector<float> images;
  for (std::size_t first = 0; first < in.labels.size(); first += part) {
    const std::size_t count = std::min(part, in.labels.size() - first);
    images.resize(count * image);
    generator.generate(std::span(in.latents).subspan(first * latent, count * latent),
                       std::span(in.labels).subspan(first, count), images);
    for (const float x : images) pixels.push_back(io::to_uint8(x));
  }
  return pixels;
}

/// A file per image in a folder of their own, which then holds these and no others, so that it can
/// be read as a data set. @returns what was written, for people
std::string write_images(const drawing_options& o, std::span<const std::uint8_t> pixels,
                         hwc image) {
  const std::string kind = o.interpolate.empty() ? "image" : "frame";
  const std::filesystem::path folder = o.outdir / (kind + "s");
  io::require_writable_directory(folder, "--out");
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    if (entry.path().extension() == ".png" && entry.path().stem().string().starts_with(kind))
      std::filesystem::remove(entry.path());
  const auto size = static_cast<std::size_t>(image.size());
  for (std::size_t i = 0; i * size < pixels.size(); ++i) {
    char number[16];
    std::snprintf(number, sizeof number, "%06zu.png", i);
    const auto own = pixels.subspan(i * size, size);
    io::write_png(folder / (kind + number), {image.w, image.h, image.c, {own.begin(), own.end()}});
  }
  return kind + "s/" + kind + "000000.png ...";
}

/// The grid of gantry-train --sample, of the first images if there are too many to look at.
void write_grid(const drawing_options& o, std::span<const std::uint8_t> pixels, hwc image) {
  const auto size = static_cast<std::size_t>(image.size());
  const std::size_t count = std::min(pixels.size() / size, most_in_grid);
  std::vector<float> shown(count * size);
  std::ranges::transform(pixels.first(shown.size()), shown.begin(),
                         [](std::uint8_t p) { return static_cast<float>(p) / 127.5F - 1.0F; });
  io::write_png(o.outdir / "grid.png", io::image_grid(shown, {.count = static_cast<int>(count),
                                                              .height = image.h,
                                                              .width = image.w,
                                                              .channels = image.c}));
}

void write_archive(const drawing_options& o, std::span<const std::uint8_t> pixels, hwc image,
                   std::span<const std::uint8_t> labels, bool has_labels) {
  const auto extent = [](int n) { return static_cast<std::size_t>(n); };
  npz_members members;
  members.emplace_back(
      "images.npy", io::encode_npy_bytes(pixels, {labels.size(), extent(image.h), extent(image.w),
                                                  extent(image.c)}));
  if (has_labels) members.emplace_back("labels.npy", io::encode_npy_bytes(labels, {labels.size()}));
  write_npz(o.outdir / "images.npz", members);
}

}  // namespace

inputs inputs_of(const drawing_options& o, const checkpoint_generator& generator) {
  const auto size = static_cast<std::size_t>(generator.latent().size());
  inputs in;
  if (!o.interpolate.empty()) {
    in.latents = path_of(o, size);
  } else if (!o.seeds.empty()) {
    in.latents = latents_of(o, parse_seeds(o.seeds), size);
  } else {
    in.latents.resize(o.count * size);
    fill_normal(std::span<float>(in.latents), {.seed = o.seed, .use = purpose::fixed_latent});
    if (o.truncation) truncate(in.latents, *o.truncation, o.seed, 0);
  }
  // The mean of N(0, 1) is 0, so that StyleGAN's way towards the mean is a factor.
  if (o.psi) std::ranges::for_each(in.latents, [&](float& x) { x *= *o.psi; });
  in.labels.resize(in.latents.size() / size);
  const auto classes = static_cast<std::size_t>(std::max(1, generator.classes()));
  for (std::size_t i = 0; i < in.labels.size(); ++i)
    in.labels[i] = static_cast<std::uint8_t>(o.label ? static_cast<std::size_t>(*o.label)
                                             : o.interpolate.empty() ? i % classes
                                                                     : 0);
  return in;
}

std::string draw(const drawing_options& o, const checkpoint_generator& generator,
                 const inputs& in) {
  const std::vector<std::uint8_t> pixels = pixels_of(generator, in);
  const hwc image = generator.image();
  std::vector<std::string> written;
  if (o.archive) {
    write_archive(o, pixels, image, in.labels, generator.classes() > 0);
    written.emplace_back("images.npz");
  }
  if (o.images) written.push_back(write_images(o, pixels, image));
  if (o.grid) {
    write_grid(o, pixels, image);
    written.emplace_back("grid.png");
  }
  return joined(written, ", ");
}
