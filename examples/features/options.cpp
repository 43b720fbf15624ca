// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <utility>

#include <CLI/CLI.hpp>

#include "feature_networks.hpp"
#include "gantry-train/checks.hpp"
#include "options.hpp"

std::optional<features_options> parse_options(int argc, const char* const* argv) {
  features_options o;
  CLI::App app{
      "Writes the tensors features and probabilities of images to a safetensors file, for a "
      "comparison with another implementation of a network.",
      "gantry-features"};
  app.get_formatter()->column_width(30);
  app.option_defaults()->always_capture_default();
  app.set_version_flag("--version", "gantry-features 0.1.0");
  app.add_option("network,--network", o.network,
                 "resnet20:FILE, inception:FILE or inception-tf1:FILE")
      ->required();
  app.add_option("images,--images", o.images,
                 "a safetensors file with the tensor images, U8 of [n, height, width, channels]")
      ->required();
  app.add_option("result,--out", o.result, "the file to write, RESULT.safetensors")->required();
  app.add_option("--threads", o.threads, "cores to use; 0: all")->check(from_to(0, 4096));
  app.add_flag("--quiet", o.quiet, "no output");
  add_config_flag(app);
  // GANTRY_IMAGES is a setting of gantry-metrics.
  use_variables(app, "GANTRY_FEATURES_");
  auto given = parse_or_print_help(app, argc, argv, "gantry-features");
  if (!given) return std::nullopt;
  o.given = std::move(*given);
  check_feature_network(o.network);
  return o;
}
