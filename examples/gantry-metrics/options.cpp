// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include <CLI/CLI.hpp>

#include "gantry/base/error.hpp"

#include "features/feature_networks.hpp"
#include "gantry-data/published_sets.hpp"
#include "gantry-train/checks.hpp"
#include "gantry-train/settings.hpp"
#include "gantry-train/transport.hpp"
#include "options.hpp"

namespace {

using gantry::usage_error;

/// Images that are scored, and those that they are compared with.
void add_source_flags(CLI::App& app, metrics_options& o) {
  app.add_option("--run,--checkpoint", o.checkpoint,
                 "score the generator of a run of gantry-train, or of one of its checkpoints");
  app.add_option("--images", o.images,
                 "score images: a folder, .zip, .tar, .npz, .npy, or .bin as CIFAR-10 has them");
  app.add_option("--data", o.data,
                 "real images: " + published_names(", ") + ", or a path as for --images")
      ->required();
  app.add_option("--data-dir", o.data_dir, "folder of the published files of --data");
  app.add_option("--split", o.split, "part of a published set")
      ->envname("GANTRY_METRICS_SPLIT")  // gantry-train's is about workers
      ->check(one_of({"train", "test"}));
}

void add_figure_flags(CLI::App& app, metrics_options& o) {
  app.add_option("--features", o.features,
                 std::string("network, as gantry-train scores with: auto, untrained, ") +
                     feature_network_texts);
  app.add_option("--metrics", o.metrics, "figures, with commas between them")
      ->envname("GANTRY_METRICS_FIGURES")  // gantry-train's is what it computes on the way
      ->delimiter(',')
      ->check(one_of({"fid", "kid", "is", "prdc", "tstr"}));
  const std::size_t most = std::size_t{1} << 30;
  app.add_option("--samples", o.samples,
                 "images to score; 0: all that are there, of a generator 10000")
      ->check(from_to(std::size_t{0}, most));
  app.add_option("--reference", o.reference, "real images, from the first on; 0: all")
      ->check(from_to(std::size_t{0}, most));
  app.add_option("--is-splits", o.is_splits,
                 "parts of the Inception score; 0: 10 of images, 1 of a generator as gantry-train "
                 "logs it")
      ->check(from_to(0, 1 << 20));
  app.add_option("--kid-subsets", o.kid_subsets, "subsets of KID")->check(from_to(1, 1 << 20));
  app.add_option("--kid-size", o.kid_size, "samples in a subset of KID")
      ->check(from_to(std::size_t{2}, most));
  app.add_option("--seed", o.seed, "of latents")
      ->check(from_to(std::uint64_t{0}, std::uint64_t{1} << 62));
}

void add_machine_flags(CLI::App& app, metrics_options& o) {
  app.add_option("--json", o.json, "file for all figures and what they depend on");
  app.add_option("--cache", o.cache,
                 "folder for features of real images; default: the user's cache, none: keep none");
  app.add_option("--transport", o.transport,
                 "what carries the shares of the workers: threads of this process, or mpi between "
                 "those that mpirun has started")
      ->envname("GANTRY_METRICS_TRANSPORT")  // a run may need another one than its scores
      ->check(one_of(transport::names()));
  app.add_option("--workers", o.workers, "nodes of --transport threads, each with a share")
      ->envname("GANTRY_METRICS_WORKERS")
      ->check(from_to(1, 1024));
  app.add_option("--threads", o.threads, "cores to use; 0: all")->check(from_to(0, 4096));
  app.add_flag("--quiet", o.quiet, "no table and no notes");
}

void require_one_source(const CLI::App& app) {
  const std::size_t sources = app.count("--run") + app.count("--images");
  if (sources != 1)
    throw usage_error("one of --run, --checkpoint and --images was expected and " +
                      std::to_string(sources) + " found; name what is to be scored");
}

}  // namespace

bool metrics_options::wants(const char* metric) const {
  return std::ranges::find(metrics, metric) != metrics.end();
}

std::optional<metrics_options> parse_options(int argc, const char* const* argv) {
  metrics_options o;
  CLI::App app{"Scores generated images against a data set in the features of a network.",
               "gantry-metrics"};
  app.get_formatter()->column_width(30);
  app.option_defaults()->always_capture_default();
  app.set_version_flag("--version", "gantry-metrics 0.1.0");
  add_source_flags(app, o);
  add_figure_flags(app, o);
  add_machine_flags(app, o);
  add_config_flag(app);
  auto given = parse_or_print_help(app, argc, argv, "gantry-metrics");
  if (!given) return std::nullopt;
  o.given = std::move(*given);
  require_one_source(app);
  if (o.transport != "threads" && app.count("--workers") > 0)
    throw usage_error("--workers was expected with --transport threads and came with " +
                      o.transport + "; leave it out, there are as many as mpirun starts with -n");
  if (o.is_splits == 0) o.is_splits = o.images.empty() ? 1 : 10;
  if (o.features != "auto" && o.features != "untrained") check_feature_network(o.features);
  if (o.wants("tstr") && o.checkpoint.empty())
    throw usage_error(
        "tstr was expected with --run or --checkpoint, whose generator is asked for labels, and "
        "came with --images; leave it out");
  return o;
}
