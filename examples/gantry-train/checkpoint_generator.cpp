// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <vector>

#include "gantry/train/checkpoint.hpp"

#include "checkpoint_generator.hpp"
#include "run_folder.hpp"

namespace {

using namespace gantry;

const preset& preset_of(const std::filesystem::path& checkpoint, const io::json::value& settings,
                        const program_options& o) {
  const std::string name = settings.at("model").as_string();
  if (o.model_given && o.model != name)
    throw data_error("the checkpoint " + checkpoint.string() +
                     " was expected to have been made with model = \"" + o.model +
                     "\" and was made with \"" + name + "\"; leave out --model");
  const preset* found = find_preset(o, name);
  if (!found)
    throw data_error(
        "the checkpoint " + checkpoint.string() +
        " was expected to be of a model that this build has for --device " + o.device +
        " and is of " + name + "; " +
        (o.device == "cuda" ? "use --device cpu" : "add it to GANTRY_PRESETS and build again"));
  return *found;
}

}  // namespace

checkpoint_generator::checkpoint_generator(const std::string& from, const program_options& o)
    : options_(o) {
  if (from.empty()) {
    networks_ = &chosen_preset(o);
    plan_ = networks_->plan(o);
    folder_ = o.init_generator;
    return;
  }
  folder_ = require_checkpoint(from);
  train::verify_checkpoint(folder_);
  const io::json::value settings = train::detail::read_json(folder_ / "config.json");
  networks_ = &preset_of(folder_, settings, o);
  plan_ = networks_->plan(o);
  if (settings.at("strategy").as_string() == dist::label_parallel::name)
    pairs_ = static_cast<int>(settings.at("workers").as_int());
}

void checkpoint_generator::generate(std::span<const float> latents,
                                    std::span<const std::uint8_t> labels,
                                    std::span<float> images) const {
  if (folder_ == options_.init_generator) {
    networks_->generate(options_, folder_, latents, labels, images);
    return;
  }
  if (pairs_ == 0) {
    networks_->generate(options_, folder_ / ("generator" + suffix_), latents, labels, images);
    return;
  }
  const auto from = static_cast<std::size_t>(plan_.latent.size()),
             to = static_cast<std::size_t>(plan_.image.size());
  for (int pair = 0; pair < pairs_; ++pair) {
    std::vector<std::size_t> own;
    std::vector<float> z;
    for (std::size_t i = 0; i < labels.size(); ++i) {
      if (labels[i] != pair) continue;
      own.push_back(i);
      const auto latent = latents.subspan(i * from, from);
      z.insert(z.end(), latent.begin(), latent.end());
    }
    if (own.empty()) continue;
    std::vector<float> x(own.size() * to);
    networks_->generate(options_, folder_ / ("generator-" + std::to_string(pair + 1) + suffix_), z,
                        {}, x);
    for (std::size_t k = 0; k < own.size(); ++k)
      std::copy_n(x.begin() + static_cast<std::ptrdiff_t>(k * to), to,
                  images.begin() + static_cast<std::ptrdiff_t>(own[k] * to));
  }
}
