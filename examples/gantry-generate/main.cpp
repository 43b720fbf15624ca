// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// gantry-generate: images of a generator that gantry-train has trained. The exit codes are those of
// gantry/base/error.hpp.
#include <algorithm>
#include <cstdio>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include "gantry/base/error.hpp"
#include "gantry/io/file.hpp"

#include "drawing.hpp"
#include "gantry-train/checkpoint_generator.hpp"
#include "gantry-train/checks.hpp"
#include "gantry-train/settings.hpp"
#include "guarded.hpp"

namespace {

using namespace gantry;

struct generate_options {
  std::string from, write{"png,grid,npz"};
  drawing_options drawing;
  int threads{0};
  bool averaged{false}, raw{false}, quiet{false};
  std::vector<setting> given;
};

void add_flags(CLI::App& app, generate_options& o) {
  drawing_options& d = o.drawing;
  app.add_option("--from", o.from, "a checkpoint of gantry-train, or the folder of a run")
      ->required();
  auto* count = app.add_option("--count", d.count, "images")
                    ->check(from_to(std::size_t{1}, std::size_t{100000}));
  auto* seed = app.add_option("--seed", d.seed, "of the images, those of gantry-train --sample")
                   ->check(from_to(std::uint64_t{0}, std::uint64_t{1} << 62));
  auto* seeds = app.add_option("--seeds", d.seeds,
                               "instead: SEED or SEED:INDEX or FIRST-LAST, with commas between, "
                               "images of the grids of these seeds")
                    ->excludes(count)
                    ->excludes(seed);
  app.add_option("--class", d.label,
                 "of all images, for conditional networks; from 0; without it, all in turn")
      ->check(from_to(0, 255));
  app.add_option("--truncation", d.truncation,
                 "numbers of latents beyond this threshold are drawn again, as BigGAN does")
      ->check(from_to(0.05f, 100.0f));
  app.add_option("--psi", d.psi, "latents are scaled by this factor, towards their mean")
      ->check(from_to(0.0f, 10.0f));
  auto* averaged = app.add_flag("--ema", o.averaged, "the averaged generator; so it is anyway")
                       ->envname("GANTRY_GENERATE_EMA");  // gantry-train's is a number
  app.add_flag("--raw", o.raw, "the generator of the last update instead of the averaged one")
      ->excludes(averaged);
  auto* path = app.add_option("--interpolate", d.interpolate,
                              "A B: instead frames on the way between two images, each SEED or "
                              "SEED:INDEX, by spherical interpolation")
                   ->expected(2)
                   ->excludes(count)
                   ->excludes(seed)
                   ->excludes(seeds);
  app.add_option("--frames", d.frames, "of --interpolate, both ends among them")
      ->check(from_to(std::size_t{2}, std::size_t{100000}))
      ->needs(path);
  app.add_option("--write", o.write,
                 "png (a file per image), grid (grid.png) and npz (images.npz: images as [n, h, w, "
                 "c] of uint8, and labels), with commas between");
  app.add_option("--out,--outdir", d.outdir, "folder for what is written");
  app.add_option("--threads", o.threads, "cores to use; 0: all")->check(from_to(0, 4096));
  app.add_flag("--quiet", o.quiet, "no output");
  add_config_flag(app);
}

/// @throws usage_error
void resolve_write(generate_options& o) {
  drawing_options& d = o.drawing;
  d.images = d.grid = d.archive = false;
  for (std::size_t at = 0; at <= o.write.size();) {
    const std::size_t end = std::min(o.write.find(',', at), o.write.size());
    const std::string word = o.write.substr(at, end - at);
    at = end + 1;
    if (word != "png" && word != "grid" && word != "npz")
      throw usage_error(
          "--write was expected to be some of png, grid and npz with commas between "
          "and is \"" +
          o.write + "\"; give for example --write grid,npz");
    (word == "png" ? d.images : word == "grid" ? d.grid : d.archive) = true;
  }
}

/// @returns nothing if help or the version was printed. @throws usage_error
std::optional<generate_options> parse(int argc, const char* const* argv) {
  generate_options o;
  CLI::App app{"Draws images by a generator that gantry-train has trained.", "gantry-generate"};
  app.get_formatter()->column_width(30);
  app.option_defaults()->always_capture_default();
  app.set_version_flag("--version", "gantry-generate 0.1.0");
  add_flags(app, o);
  auto given = parse_or_print_help(app, argc, argv, "gantry-generate");
  if (!given) return std::nullopt;
  o.given = std::move(*given);
  resolve_write(o);
  return o;
}

void require_label(const drawing_options& o, const checkpoint_generator& generator) {
  if (!o.label || *o.label < generator.classes()) return;
  if (generator.classes() == 0)
    throw usage_error("--class was expected with networks that know labels and came with " +
                      generator.model() + "; leave it out");
  throw usage_error("--class was expected to be below the " + std::to_string(generator.classes()) +
                    " of " + generator.model() + " and is " + std::to_string(*o.label) +
                    "; lower it or leave it out");
}

int run(const generate_options& o) {
  program_options program;
  program.threads = o.threads;
  checkpoint_generator generator(o.from, program);
  if (o.raw) generator.use_raw_weights();
  require_label(o.drawing, generator);
  const inputs in = inputs_of(o.drawing, generator);
  io::require_writable_directory(o.drawing.outdir, "--out");
  if (!o.quiet)
    for (const setting& s : o.given) std::printf("setting: %s\n", described(s).c_str());
  const std::string written = draw(o.drawing, generator, in);
  if (!o.quiet)
    std::printf("%zu images of %s from %s: %s in %s\n", in.labels.size(), generator.model().c_str(),
                generator.folder().c_str(), written.c_str(), o.drawing.outdir.c_str());
  return static_cast<int>(exit_code::done);
}

}  // namespace

int main(int argc, char** argv) {
  return guarded({"gantry-generate", "lower --count or --threads"}, [&] {
    const auto options = parse(argc, argv);
    return options ? run(*options) : static_cast<int>(exit_code::done);
  });
}
