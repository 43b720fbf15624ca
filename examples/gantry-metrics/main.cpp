// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// gantry-metrics: scores a generator or images against a data set. The exit codes are those of
// gantry/base/error.hpp.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <string_view>
#include <utility>

#include "gantry/base/error.hpp"
#include "gantry/io/file.hpp"
#include "gantry/train/data_hash.hpp"

#include "figures.hpp"
#include "gantry-train/scores.hpp"
#include "guarded.hpp"
#include "images.hpp"
#include "networks.hpp"
#include "options.hpp"

namespace {

using namespace gantry;

/// What is scored, and what against.
struct comparison {
  program_options program;  ///< as gantry-train would have it, for a published set
  bool published{false};
  image_stream scored, real;
  std::string real_hash;
  data_sets sets;  ///< both parts of a published set, if a classifier of it is needed
};

bool is_published(const std::string& data) {
  constexpr std::array<std::string_view, 4> names{"fashion-mnist", "mnist", "cifar10", "cifar100"};
  return std::ranges::find(names, data) != names.end();
}

void require_published(const metrics_options& o, const comparison& c, const char* what) {
  if (!c.published)
    throw usage_error(std::string(what) +
                      " was expected with a published set with labels as --data (fashion-mnist, "
                      "mnist, cifar10, cifar100) and came with " +
                      o.data + "; name such a set or other --features and --metrics");
}

std::shared_ptr<const data::image_set> real_images(const metrics_options& o, comparison& c) {
  if (!c.published) return std::make_shared<const data::image_set>(read_image_path(o.data));
  const bool train = o.split == "train";
  if (o.features != "lenet" && !o.wants("tstr"))
    return std::make_shared<const data::image_set>(
        chosen_data(c.program).read(o.data_dir, train ? data::split::train : data::split::test));
  // As gantry-train scores: real images go the same way as generated ones.
  const hwc shape = o.checkpoint.empty() ? chosen_data(c.program).image : c.scored.shape;
  require_fitting_images(c.program, shape);
  c.sets = load_data(c.program, shape);
  return train ? c.sets.train : c.sets.test;
}

comparison read_images(const metrics_options& o) {
  comparison c;
  c.program.data = o.data;
  c.program.data_dir = o.data_dir;
  c.program.threads = o.threads;
  c.program.outdir.clear();
  c.published = is_published(o.data);
  if (o.features == "lenet") require_published(o, c, "--features lenet");
  if (o.wants("tstr")) require_published(o, c, "--metrics tstr");
  c.scored = o.checkpoint.empty()
                 ? stream_of(std::make_shared<const data::image_set>(read_image_path(o.images)),
                             o.samples, "--samples")
                 : generated_stream(o);
  if (o.wants("tstr") && c.scored.classes == 0)
    throw usage_error(
        "--metrics tstr was expected with a generator that is asked for labels and "
        "came with " +
        c.scored.description + "; leave it out");
  const auto set = real_images(o, c);
  c.real_hash = train::data_sha256(*set);
  c.real = stream_of(set, o.reference, "--reference");
  return c;
}

double train_on_synthetic(const comparison& c, const std::vector<float>& images) {
  std::vector<std::uint8_t> labels;
  for (std::size_t i = 0; i < c.scored.count; ++i) labels.push_back(label_of(i, c.scored.classes));
  return accuracy_after_synthetic_training(c.program, c.sets, images, c.scored.shape, labels);
}

io::json::object record(const metrics_options& o, const comparison& c,
                        const feature_extractor& network, const figures& f, double seconds) {
  return {
      {"scored", c.scored.description},
      {"samples", static_cast<std::int64_t>(c.scored.count)},
      {"seed", std::to_string(o.seed)},
      {"data", c.real.description},
      {"data_sha256", c.real_hash},
      {"reference", static_cast<std::int64_t>(c.real.count)},
      {"feature_network", network.name()},
      {"feature_sha256", network.hash()},
      {"resize", network.resize()},
      {"is_splits", o.is_splits},
      {"kid_subsets", o.kid_subsets},
      {"kid_size", static_cast<std::int64_t>(std::min({o.kid_size, c.scored.count, c.real.count}))},
      {"metrics", to_json(f)},
      {"seconds", seconds}};
}

int run(const metrics_options& o) {
  const auto begin = std::chrono::steady_clock::now();
  const note_sink note = [&](const std::string& sentence) {
    if (!o.quiet) std::fprintf(stderr, "%s\n", sentence.c_str());
  };
  for (const setting& s : o.given)
    if (s.from != "the command line") note("setting: " + described(s));
  if (!o.json.empty() && o.json.has_parent_path())
    io::require_writable_directory(o.json.parent_path());
  const comparison c = read_images(o);
  const auto network = o.features == "lenet"
                           ? make_classifier_extractor(c.program, c.sets, note)
                           : load_published_network(o.features, c.scored.shape, o.threads);
  const bool compares = o.wants("fid") || o.wants("kid") || o.wants("prdc");
  const seen_images scored =
      look_at(c.scored, *network, {.probabilities = o.wants("is"), .images = o.wants("tstr")});
  const std::vector<float> real =
      compares ? reference_features(o, c.real, c.real_hash, *network, note) : std::vector<float>();
  figures f = compute_figures(o, scored, real, *network);
  if (o.wants("tstr")) f.tstr = train_on_synthetic(c, scored.images);
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
  if (!o.json.empty())
    io::write_file_atomic(o.json, io::json::dump(record(o, c, *network, f, taken.count())) + "\n");
  if (!o.quiet)
    std::printf("%zu images: %s\n%zu real:   %s\nfeatures:  %s, SHA-256 %s\n\n%s", c.scored.count,
                c.scored.description.c_str(), c.real.count, c.real.description.c_str(),
                network->name().c_str(), network->hash().substr(0, 16).c_str(),
                table_of(f).c_str());
  return static_cast<int>(exit_code::done);
}

}  // namespace

int main(int argc, char** argv) {
  return guarded({"gantry-metrics", "lower --samples and --reference"}, [&] {
    const auto options = parse_options(argc, argv);
    return options ? run(*options) : static_cast<int>(exit_code::done);
  });
}
