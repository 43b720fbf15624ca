// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// gantry-latent: arithmetic with the latents of a generator that gantry-train has trained. The exit
// codes are those of gantry/base/error.hpp.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include "gantry/io/captions.hpp"
#include "gantry/io/file.hpp"
#include "gantry/io/npy.hpp"
#include "gantry/io/png.hpp"

#include "gantry-train/checkpoint_generator.hpp"
#include "gantry-train/checks.hpp"
#include "gantry-train/settings.hpp"
#include "guarded.hpp"
#include "latent_grid.hpp"

namespace {

using namespace gantry;

struct latent_options {
  std::string from, a, b, c;
  std::filesystem::path outdir{"runs/gantry-latent"};
  int steps{8}, label{0}, threads{0};
  bool has_label{false}, rescale{false}, quiet{false};
  std::vector<setting> given;
};

/// @returns nothing if help or the version was printed. @throws usage_error
std::optional<latent_options> parse(int argc, const char* const* argv) {
  latent_options o;
  CLI::App app{"Draws a - b + c, or the way from a to b, where a, b and c are means of latents.",
               "gantry-latent"};
  app.get_formatter()->column_width(30);
  app.option_defaults()->always_capture_default();
  app.set_version_flag("--version", "gantry-latent 0.1.0");
  app.add_option("--from", o.from, "a checkpoint of gantry-train, or the folder of a run")
      ->required();
  const std::string what = ": SEED:INDEX,..., images of the grids that gantry-train --sample draws";
  app.add_option("-a,--a", o.a, "first operand" + what)->required();
  app.add_option("-b,--b", o.b, "second operand")->required();
  app.add_option("-c,--c", o.c, "third operand; without it, the way from a to b is drawn");
  app.add_option("--steps", o.steps, "images on the way from a to b")->check(from_to(2, 64));
  auto* label =
      app.add_option("--class", o.label, "of all images, for conditional networks; from 0")
          ->check(from_to(0, 255));
  app.add_flag("--rescale", o.rescale,
               "give means and results the usual length of a latent, which means are short of");
  app.add_option("--outdir", o.outdir, "folder for latents.png, latents.npy and latents.txt");
  app.add_option("--threads", o.threads, "cores to use; 0: all")->check(from_to(0, 4096));
  app.add_flag("--quiet", o.quiet, "no output");
  add_config_flag(app);
  auto given = parse_or_print_help(app, argc, argv, "gantry-latent");
  if (!given) return std::nullopt;
  o.given = std::move(*given);
  o.has_label = label->count() > 0;
  if (!o.c.empty() && app.count("--steps") > 0)
    throw usage_error(
        "--steps was expected without --c, for the way from a to b, and came with it; leave one "
        "of them out");
  return o;
}

operand read_operand(const char* name, const std::string& text) {
  try {
    return {name, train::parse_latent_choices(text)};
  } catch (const usage_error& e) {
    throw usage_error(std::string("--") + name + ": " + e.what());
  }
}

void require_label(const latent_options& o, const checkpoint_generator& generator) {
  if (!o.has_label || o.label < generator.classes()) return;
  if (generator.classes() == 0)
    throw usage_error("--class was expected with networks that know labels and came with " +
                      generator.model() + "; leave it out");
  throw usage_error("--class was expected to be below the " + std::to_string(generator.classes()) +
                    " of " + generator.model() + " and is " + std::to_string(o.label) +
                    "; lower it or leave it out");
}

io::raster picture_of(const latent_grid& grid, std::span<const float> drawn, hwc image) {
  const auto size = static_cast<std::size_t>(image.size());
  std::vector<float> images(grid.cells.size() * size, 1.0f);
  std::vector<std::string> captions;
  for (std::size_t i = 0, k = 0; i < grid.cells.size(); ++i) {
    captions.push_back(grid.cells[i].caption);
    if (!grid.cells[i].latent) continue;
    std::copy_n(drawn.begin() + static_cast<std::ptrdiff_t>(k++ * size), size,
                images.begin() + static_cast<std::ptrdiff_t>(i * size));
  }
  constexpr int readable = 84;  // pixels for ten letters
  return io::captioned_grid(images, captions,
                            {.count = static_cast<int>(grid.cells.size()),
                             .height = image.h,
                             .width = image.w,
                             .channels = image.c,
                             .columns = static_cast<int>(grid.columns),
                             .zoom = std::max(1, (readable + image.w - 1) / image.w),
                             .border = 4,
                             .background = 255});
}

int run(const latent_options& o) {
  std::vector<operand> operands{read_operand("a", o.a), read_operand("b", o.b)};
  if (!o.c.empty()) operands.push_back(read_operand("c", o.c));
  program_options program;
  program.threads = o.threads;
  const checkpoint_generator generator(o.from, program);
  require_label(o, generator);
  io::require_writable_directory(o.outdir, "--outdir");
  const auto size = static_cast<std::size_t>(generator.latent().size());
  const latent_grid grid =
      o.c.empty() ? path_grid(operands, size, o.rescale, static_cast<std::size_t>(o.steps))
                  : arithmetic_grid(operands, size, o.rescale);
  std::vector<float> latents;
  std::string names;
  for (const latent_cell& cell : grid.cells) {
    if (!cell.latent) continue;
    latents.insert(latents.end(), cell.latent->begin(), cell.latent->end());
    names += cell.caption + "\n";
  }
  const std::size_t count = latents.size() / size;
  std::vector<float> images(count * static_cast<std::size_t>(generator.image().size()));
  const std::vector<std::uint8_t> labels(count, static_cast<std::uint8_t>(o.label));
  generator.generate(latents, labels, images);
  const io::raster picture = picture_of(grid, images, generator.image());
  io::write_png(o.outdir / "latents.png", picture);
  io::write_npy(o.outdir / "latents.npy", latents, {count, size});
  io::write_file_atomic(o.outdir / "latents.txt", names);
  for (const setting& s : o.given)
    if (!o.quiet) std::printf("setting: %s\n", described(s).c_str());
  if (!o.quiet)
    std::printf("%zu images of %s from %s: %s\n", count, generator.model().c_str(),
                generator.folder().c_str(), (o.outdir / "latents.png").c_str());
  return static_cast<int>(exit_code::done);
}

}  // namespace

int main(int argc, char** argv) {
  return guarded({"gantry-latent", "lower --steps or --threads"}, [&] {
    const auto options = parse(argc, argv);
    return options ? run(*options) : static_cast<int>(exit_code::done);
  });
}
