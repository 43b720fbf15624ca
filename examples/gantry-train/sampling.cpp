// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdio>
#include <span>
#include <vector>

#include "gantry/base/rng.hpp"
#include "gantry/io/file.hpp"
#include "gantry/io/npy.hpp"
#include "gantry/io/png.hpp"

#include "checkpoint_generator.hpp"
#include "sampling.hpp"

void draw_samples(const program_options& o) {
  using namespace gantry;
  const checkpoint_generator generator(o.from, o);
  const hwc latent = generator.latent(), image = generator.image();
  io::require_writable_directory(o.outdir, "--outdir");
  const auto count = static_cast<std::size_t>(o.sample);
  std::vector<float> latents(count * static_cast<std::size_t>(latent.size())),
      images(count * static_cast<std::size_t>(image.size()));
  std::vector<std::uint8_t> labels(count);
  for (std::size_t i = 0; i < count; ++i)  // all classes in turn, as in the grids of a run
    labels[i] =
        static_cast<std::uint8_t>(i % static_cast<std::size_t>(std::max(1, generator.classes())));
  fill_normal(std::span<float>(latents), {.seed = o.seed, .use = purpose::fixed_latent});
  generator.generate(latents, labels, images);
  const auto grid = io::image_grid(
      images, {.count = o.sample, .height = image.h, .width = image.w, .channels = image.c});
  const std::filesystem::path path = o.outdir / "samples.png";
  io::write_file_atomic(path, io::encode_png(grid));
  if (o.arrays) {
    const auto extent = [](int n) { return static_cast<std::size_t>(n); };
    io::write_npy(o.outdir / "latents.npy", latents, {count, extent(latent.size())});
    io::write_npy(o.outdir / "samples.npy", images,
                  {count, extent(image.h), extent(image.w), extent(image.c)});
  }
  if (!o.quiet)
    std::printf("%d samples of %s from %s: %s\n", o.sample, generator.model().c_str(),
                generator.folder().c_str(), path.c_str());
}
