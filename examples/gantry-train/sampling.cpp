// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdio>
#include <span>
#include <vector>

#include "gantry/base/rng.hpp"
#include "gantry/io/file.hpp"
#include "gantry/io/png.hpp"
#include "gantry/train/checkpoint.hpp"

#include "preset.hpp"
#include "run_folder.hpp"
#include "sampling.hpp"

namespace {

using namespace gantry;

/// The preset that wrote a checkpoint. @throws data_error if this program does not have it, or
/// --model names another
const preset& preset_of(const std::filesystem::path& checkpoint, const program_options& o) {
  const io::json::value settings = train::detail::read_json(checkpoint / "config.json");
  const std::string name = settings.at("model").as_string();
  if (o.model_given && o.model != name)
    throw data_error("the checkpoint " + checkpoint.string() +
                     " was expected to have been made with model = \"" + o.model +
                     "\" and was made with \"" + name + "\"; leave out --model");
  const auto found =
      std::ranges::find_if(presets(), [&](const preset& p) { return name == p.about.name; });
  if (found == presets().end())
    throw data_error("the checkpoint " + checkpoint.string() +
                     " was expected to be of a model that this build has and is of " + name +
                     "; add it to GANTRY_PRESETS and build again");
  return *found;
}

}  // namespace

void draw_samples(const program_options& o) {
  const std::filesystem::path checkpoint = require_checkpoint(o.from);
  train::verify_checkpoint(checkpoint);
  const preset& networks = preset_of(checkpoint, o);
  const run_plan plan = networks.plan(o);
  io::require_writable_directory(o.outdir);
  const auto count = static_cast<std::size_t>(o.sample);
  std::vector<float> latents(count * static_cast<std::size_t>(plan.latent.size())),
      images(count * static_cast<std::size_t>(plan.image.size()));
  fill_normal(std::span<float>(latents), {.seed = o.seed, .use = purpose::fixed_latent});
  networks.generate(o, checkpoint / "generator_ema.safetensors", latents, images);
  const auto grid = io::image_grid(
      images,
      {.count = o.sample, .height = plan.image.h, .width = plan.image.w, .channels = plan.image.c});
  const std::filesystem::path path = o.outdir / "samples.png";
  io::write_file_atomic(path, io::encode_png(grid));
  if (!o.quiet)
    std::printf("%d samples of %s from %s: %s\n", o.sample, networks.about.name.c_str(),
                checkpoint.c_str(), path.c_str());
}
