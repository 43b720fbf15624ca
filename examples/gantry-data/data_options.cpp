// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include <CLI/CLI.hpp>

#include "gantry/base/error.hpp"
#include "gantry/data/partition_spec.hpp"

#include "data_options.hpp"
#include "gantry-train/checks.hpp"
#include "published_sets.hpp"

namespace {

using gantry::usage_error;

/// What all commands take.
void add_common(CLI::App& app, data_options& o) {
  app.add_option("path,--data", o.path,
                 "folder of images, .zip, .tar, .npz, packed file, folder of the published files "
                 "of MNIST or CIFAR, or for their training images one of " +
                     published_names(", "))
      ->required();
  app.add_option("--data-dir", o.data_dir,
                 "folder of the files of " + published_names(", ") +
                     "; fashion-mnist defaults to the Debian package's");
  app.add_option("--attribute", o.settings.attribute, "of CelebA, which becomes the label");
  app.add_flag("--quiet", o.settings.quiet, "no progress, and no more than the results");
  add_config_flag(app);
}

void add_outdir(CLI::App& app, data_options& o, const std::string& file) {
  app.add_option("--outdir", o.outdir, "folder for " + file);
}

void add_threads(CLI::App& app, data_options& o) {
  app.add_option("--threads", o.settings.threads, "that decode; 0: one for each core")
      ->check(from_to(0, 4096));
}

void add_pack(CLI::App& app, data_options& o, std::string& size) {
  add_common(app, o);
  add_threads(app, o);
  app.add_option("--size", size, "extents of the packed images: 64, or 48x64 for height x width");
  app.add_option("--out", o.out, "the packed file, FILE.gpack")->required();
  app.add_option("--channels", o.settings.image.c, "1: grey, 3: colour")->check(one_of({"1", "3"}));
  app.add_option("--crop", o.settings.crop,
                 "centre: cut to the proportions of --size; none: change the proportions")
      ->check(one_of({"centre", "none"}));
  app.add_option("--filter", o.settings.filter, "of the resize, with antialiasing as in Pillow")
      ->check(one_of({"lanczos", "bicubic", "bilinear", "box"}));
}

void add_partition(CLI::App& app, data_options& o) {
  add_common(app, o);
  add_outdir(app, o, "partition.html");
  app.add_option("--partition", o.partition,
                 "which worker gets which samples: " + std::string(gantry::data::partition_forms));
  app.add_option("--workers", o.workers, "how many")->check(from_to(1, 4096));
  app.add_option("--seed", o.seed, "of gantry-train, which then makes the same split")
      ->check(from_to(std::uint64_t{0}, std::uint64_t{1} << 62));
}

/// @throws usage_error
void resolve_size(const std::string& text, gantry::hwc& image) {
  const std::size_t cross = std::min(text.find('x'), text.size());
  const auto height = number_in<int>(text.substr(0, cross));
  const auto width = cross == text.size() ? height : number_in<int>(text.substr(cross + 1));
  constexpr int most = 4096;
  if (!height || !width || *height < 1 || *width < 1 || *height > most || *width > most)
    throw usage_error(
        "--size was expected to be a number from 1 to 4096 or HEIGHTxWIDTH and is \"" + text +
        "\"; give for example --size 64");
  image.h = *height;
  image.w = *width;
}

/// A published set is the folder that its files are in. @throws usage_error if nobody says which
void resolve_path(data_options& o) {
  const published_set* set = find_published(o.path.string());
  if (!set && !o.data_dir.empty())
    throw usage_error("--data-dir was expected with one of " + published_names(", ") +
                      " and came with " + o.path.string() + "; leave it out");
  if (!set) return;
  if (o.data_dir.empty()) o.data_dir = set->default_folder;
  if (o.data_dir.empty())
    throw usage_error(set->name + " was expected with --data-dir and came without; name the " +
                      "folder of its files");
  o.path = o.data_dir;
}

}  // namespace

std::optional<data_options> parse_data_options(int argc, const char* const* argv) {
  data_options o;
  std::string size{"64"};
  CLI::App app{"Looks at data sets of images, packs them for training and previews their split.",
               "gantry-data"};
  app.get_formatter()->column_width(30);
  app.set_version_flag("--version", "gantry-data 0.1.0");
  app.require_subcommand(1);
  app.option_defaults()->always_capture_default();
  CLI::App* inspect =
      app.add_subcommand("inspect", "what a data set holds, each image decoded once");
  add_common(*inspect, o);
  add_threads(*inspect, o);
  add_outdir(*inspect, o, "contact-sheet.png");
  CLI::App* pack = app.add_subcommand("pack", "one file that gantry-train maps into memory");
  add_pack(*pack, o, size);
  CLI::App* partition = app.add_subcommand("partition", "which worker would get what");
  add_partition(*partition, o);
  auto given = parse_or_print_help(app, argc, argv, "gantry-data");
  if (!given) return std::nullopt;
  o.given = std::move(*given);
  o.what = inspect->parsed() ? data_options::command::inspect
           : pack->parsed()  ? data_options::command::pack
                             : data_options::command::partition;
  resolve_size(size, o.settings.image);
  resolve_path(o);
  return o;
}
