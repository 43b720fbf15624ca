// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// gantry-metrics: scores a generator or images against a data set. The exit codes are those of
// gantry/base/error.hpp.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/base/thread_pool.hpp"
#include "gantry/comm/any.hpp"
#include "gantry/io/file.hpp"

#include "comparison.hpp"
#include "features/published_extractor.hpp"
#include "figures.hpp"
#include "gantry-train/job.hpp"
#include "gantry-train/scores.hpp"
#include "gantry-train/transport.hpp"
#include "guarded.hpp"
#include "images.hpp"
#include "options.hpp"

namespace {

using namespace gantry;

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

/// What one node of the job has for itself.
struct scoring_node {
  image_stream scored;
  std::unique_ptr<feature_extractor> network;
};

/// The cores of a machine are shared by those of its nodes that are in this process.
int threads_of(const metrics_options& o, int nodes_here) {
  const int cores = o.threads > 0 ? o.threads : thread_pool(0).threads();
  return std::max(1, cores / nodes_here);
}

std::vector<scoring_node> make_nodes(const metrics_options& o, comparison& c, int count,
                                     const note_sink& note) {
  metrics_options own = o;
  own.threads = c.program.threads;
  std::vector<scoring_node> nodes(static_cast<std::size_t>(count));
  for (scoring_node& node : nodes) {
    const bool first = &node == &nodes.front();
    node.scored = first || o.checkpoint.empty() ? c.scored : generated_stream(own);
    const note_sink quiet = [](const std::string&) {};
    node.network = o.uses_classifier()
                       ? make_classifier_extractor(c.program, c.sets, first ? note : quiet)
                       : load_published_network(o.features, c.scored.shape, own.threads);
  }
  return nodes;
}

/// All figures, on rank 0; the others do their share and have none.
figures score_share(const metrics_options& o, const comparison& c, const scoring_node& node,
                    comm::any_communicator& comm, const note_sink& note) {
  require_agreement(comm, node.scored.description + '\n' + std::to_string(node.scored.count) +
                              '\n' + std::to_string(o.seed) + '\n' + c.real_hash + '\n' +
                              std::to_string(c.real.count) + '\n' + node.network->hash());
  const bool compares = o.wants("fid") || o.wants("kid") || o.wants("prdc");
  const seen_images scored = look_at(
      node.scored, *node.network,
      {.probabilities = o.wants("is") && node.network->classes() > 0, .images = o.wants("tstr")},
      comm);
  const std::vector<float> real =
      compares ? reference_features(o, c.real, c.real_hash, *node.network, comm, note)
               : std::vector<float>();
  if (comm.rank() != 0) return {};
  figures f = compute_figures(o, scored, real, *node.network);
  if (o.wants("tstr")) f.tstr = train_on_synthetic(c, scored.images);
  return f;
}

/// Before the work and not after it. A cache that is there may be one to read only.
void require_places(const metrics_options& o) {
  if (o.json.has_parent_path()) io::require_writable_directory(o.json.parent_path(), "--json");
  std::error_code unreadable;
  if (o.cache != "none" && o.cache != "default" &&
      !std::filesystem::is_directory(o.cache, unreadable))
    io::require_writable_directory(o.cache, "--cache");
}

int run(const metrics_options& o, transport& job) {
  const auto begin = std::chrono::steady_clock::now();
  const bool speaks = job.leads() && !o.quiet;
  const note_sink note = [&](const std::string& sentence) {
    if (speaks) std::fprintf(stderr, "%s\n", sentence.c_str());
  };
  for (const setting& s : o.given)
    if (s.from != "the command line") note("setting: " + described(s));
  if (job.leads()) require_places(o);
  const int nodes_here = o.transport == "threads" ? o.workers : 1;
  comm::any_world world = job.world_of(nodes_here, o.threads);
  const int threads =
      o.transport == "threads" ? threads_of(o, nodes_here) : world.pool()->threads();
  comparison c = read_comparison(o, threads);
  std::vector<scoring_node> nodes;
  job.in_turns([&] { nodes = make_nodes(o, c, nodes_here, note); });  // who comes first trains
  figures f;
  world.run([&](comm::any_communicator& comm) {
    const auto here = static_cast<std::size_t>(comm.rank()) % nodes.size();
    figures own = score_share(o, c, nodes[here], comm, note);
    if (comm.rank() == 0) f = own;
  });
  if (!job.leads()) return static_cast<int>(exit_code::done);
  const feature_extractor& network = *nodes.front().network;
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
  if (!o.json.empty())
    io::write_file_atomic(o.json, io::json::dump(record(o, c, network, f, taken.count())) + "\n");
  if (speaks)
    std::printf("%zu images: %s\n%zu real:   %s\nfeatures:  %s, SHA-256 %s\n\n%s", c.scored.count,
                c.scored.description.c_str(), c.real.count, c.real.description.c_str(),
                network.name().c_str(), network.hash().substr(0, 16).c_str(),
                table_of(f, o.is_splits).c_str());
  return static_cast<int>(exit_code::done);
}

constexpr program_name program{"gantry-metrics", "lower --samples and --reference"};

int start(const metrics_options& o) {
  const std::unique_ptr<transport> job = make_transport(o.transport);
  return guarded_job(program, *job, [&] { return run(o, *job); });
}

}  // namespace

int main(int argc, char** argv) {
  return guarded(program, [&] {
    const auto options = parse_options(argc, argv);
    return options ? start(*options) : static_cast<int>(exit_code::done);
  });
}
