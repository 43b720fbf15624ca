// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include <CLI/CLI.hpp>

#include "options.hpp"

std::optional<onnx_options> parse_options(int argc, const char* const* argv) {
  onnx_options o;
  CLI::App app{
      "Writes the averaged generator of a checkpoint of gantry-train as an ONNX model from latents "
      "[n, latent] to images [n, channels, height, width] in [-1, 1].",
      "gantry-onnx"};
  app.get_formatter()->column_width(30);
  app.set_version_flag("--version", "gantry-onnx 0.1.0");
  app.add_option("checkpoint,--from", o.from,
                 "a checkpoint of gantry-train, or the folder of a run")
      ->required();
  app.add_option("model,--out", o.model, "the file to write, MODEL.onnx")->required();
  app.add_flag("--quiet", o.quiet, "no output");
  add_config_flag(app);
  auto given = parse_or_print_help(app, argc, argv, "gantry-onnx");
  if (!given) return std::nullopt;
  o.given = std::move(*given);
  return o;
}
