// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// gantry-train: trains a GAN by name. The exit codes are those of gantry/base/error.hpp.
#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <functional>
#include <memory>
#include <optional>
#include <unistd.h>
#include <utility>

#include "gantry/data/partition_spec.hpp"
#include "gantry/io/file.hpp"
#include "gantry/io/json.hpp"
#include "gantry/train/checkpoint_folder.hpp"
#include "gantry/train/resume_seats.hpp"

#include "cuda_machine.hpp"
#include "data_sets.hpp"
#include "features/published_extractor.hpp"
#include "folder_lock.hpp"
#include "guarded.hpp"
#include "job.hpp"
#include "preset.hpp"
#include "recorder.hpp"
#include "run_folder.hpp"
#include "sampling.hpp"
#include "task_list.hpp"
#include "transport.hpp"

namespace {

using namespace gantry;

std::atomic<int> caught_signal{0};
extern "C" void on_signal(int signal) { caught_signal.store(signal); }

void print_plan(const program_options& o, const run_plan& p) {
  io::json::object all = configuration(o);
  all.set("iterations", o.iterations);
  all.set("outdir", o.outdir.string());
  io::json::object sources;
  for (const setting& s : o.given) sources.set(s.name, s.from);
  all.set("sources", std::move(sources));
  all.set("threads", o.threads);
  all.set("device", o.device);
  all.set("precision", o.precision);
  all.set("kernels", o.kernels);
  all.set("transport", o.transport);
  all.set("image", io::json::array{p.image.h, p.image.w, p.image.c});
  all.set("latent", p.latent.size());
  all.set("generator_params", p.generator_params);
  all.set("discriminator_params", p.discriminator_params);
  all.set("lead_flops_per_iteration", p.costs.lead_flops);
  all.set("worker_flops_per_iteration", p.costs.worker_flops);
  all.set("bytes_down_per_iteration", p.costs.bytes_down);
  all.set("bytes_up_per_iteration", p.costs.bytes_up);
  all.set("bytes_per_swap", p.costs.bytes_swap);
  all.set("planned_bytes_lead", p.costs.lead_bytes);
  all.set("planned_bytes_per_worker", p.costs.worker_bytes);
  const auto set_parts = [&](const char* key, const arena_bytes& arenas) {
    io::json::object parts;
    arenas.visit([&](const char* name, std::size_t bytes) { parts.set(name, bytes); });
    all.set(key, parts);
  };
  set_parts("planned_arenas_lead", p.costs.lead_arenas);
  set_parts("planned_arenas_per_worker", p.costs.worker_arenas);
  std::printf("%s\n", io::json::dump(all, 2).c_str());
}

/// The checkpoint that --resume names, also one that a killed run had set aside. Says which later
/// ones are left aside because they are not complete. @throws data_error if there is none
std::filesystem::path resolve_resume(const program_options& o) {
  if (o.resume.empty()) return {};
  const std::filesystem::path from = o.resume == "latest" ? o.outdir.string() : o.resume;
  for (const auto& root : {from, std::filesystem::absolute(from).parent_path()})
    train::restore_set_aside(root);
  const auto found = require_checkpoint(from);
  for (const auto& later : incomplete_after(found))
    std::fprintf(stderr,
                 "gantry-train: %s has no MANIFEST.json and is left aside, resuming from %s; a new "
                 "checkpoint of its iteration takes its place\n",
                 later.c_str(), found.c_str());
  return found;
}

/// A new run never takes the place of an earlier one by accident. @throws usage_error if it would
void require_no_checkpoints(const program_options& o) {
  if (!o.resume.empty() || o.overwrite) return;
  train::restore_set_aside(o.outdir);
  if (const auto found = any_checkpoint(o.outdir))
    throw usage_error("expected an --outdir without checkpoints, found " + found->string() +
                      "; give another --outdir, --resume latest or --overwrite");
}

/// @throws usage_error if the nodes of a run need more memory than `present`
void require_room(int workers, std::size_t needed, std::size_t present, const char* where) {
  const auto mebibytes = [](std::size_t bytes) { return std::to_string(bytes >> 20) + " MiB"; };
  if (needed > present)
    throw usage_error("expected a run that fits into the " + mebibytes(present) + " of " + where +
                      ", found " + std::to_string(workers) +
                      " workers and their server in need of " + mebibytes(needed) +
                      "; take fewer workers or a smaller batch");
}

/// Says who goes on as whom where the workers of a checkpoint are not those of this run.
/// @throws usage_error for noise that another worker would draw again, data_error for a checkpoint
/// that is damaged
void take_seats(const program_options& o) {
  // The session looks at all other files.
  const std::vector<bool> live = train::live_workers_of(train::verified_state(o.resume_from));
  const bool resized = live.size() != static_cast<std::size_t>(o.strategy.workers);
  if (!resized && !o.health.revive) return;
  if (o.messages.noise)
    throw usage_error(
        "--noise was expected with the workers of the checkpoint, because a worker's noise must "
        "not come twice, found others; start anew with another --noise-seed");
  if (o.quiet) return;
  const std::vector<int> seats = train::resume_seats(live, o.strategy.workers, o.health.revive);
  std::printf("workers: %d, the checkpoint has %zu of which %td were live:", o.strategy.workers,
              live.size(), std::ranges::count(live, true));
  for (std::size_t n = 0; n < seats.size(); ++n)
    std::printf("%s %zu goes on as %d", n == 0 ? "" : ",", n + 1, seats[n]);
  std::printf("\n");
}

/// @throws usage_error if this machine, or a device that its ranks share, has too little memory
void require_memory(const program_options& o, const run_plan& p, int nodes_here) {
  const int workers = std::min(o.strategy.workers, nodes_here);
  if (o.device == "cuda") {
    const cuda_machine devices = find_cuda_machine();
    // The server's device, which has the first of each round of ranks.
    const int beside = workers / devices.devices;
    return require_room(
        beside, p.costs.lead_bytes + static_cast<std::size_t>(beside) * p.costs.worker_bytes,
        devices.memory, "a device");
  }
  const std::size_t present = static_cast<std::size_t>(sysconf(_SC_PHYS_PAGES)) *
                              static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  require_room(workers,
               p.costs.lead_bytes + static_cast<std::size_t>(workers) * p.costs.worker_bytes,
               present, "this machine");
}

/// @throws workers_lost if --when-late save has ended the run
void require_no_loss(const program_options& o, const train::run_result& result) {
  if (ends_with_loss(o.health))
    throw workers_lost("expected every worker to show a sign of work within --patience, found " +
                       std::to_string(o.strategy.workers - result.live_workers) +
                       " of them lost, and saved iteration " + std::to_string(result.iterations) +
                       "; go on with --resume latest and the --workers that there are");
}

/// What the leading process prints and keeps, and nobody else.
void announce(const program_options& o, const std::string& facts) {
  std::printf("gantry-train: %s of %s on %s, %d worker%s, batch %d, %u iterations, results in %s\n",
              o.strategy.name.c_str(), o.model.c_str(), o.data.c_str(), o.strategy.workers,
              o.strategy.workers == 1 ? "" : "s", o.batch, o.iterations, o.outdir.c_str());
  if (o.device == "cuda")
    std::printf("device: cuda, %d of them, products in %s%s\n", find_cuda_machine().devices,
                o.precision.c_str(),
                o.kernels == "own" ? ""
                                   : "; dense layers and convolutions are computed by cuBLASLt and "
                                     "cuDNN, all other operations by the own kernels");
  if (!facts.empty()) std::printf("%s\n", facts.c_str());
  if (const auto privacy = privacy_of(o.messages, o.iterations, o.batch))
    std::printf("privacy: a worker's feedbacks of the whole run: %s; %s\n", privacy->text().c_str(),
                "losses and swapped discriminators are not covered (docs/06_filters.md)");
  std::fflush(stdout);
}

void print_data(const data_sets& sets) {
  std::printf("data: %s\n", sets.train_facts.c_str());
  if (sets.test) std::printf("data: %s\n", sets.test_facts.c_str());
}

/// What a resume must match: a folder of own images may have changed under the same path.
io::json::object all_settings(const program_options& o, const data_sets& sets) {
  io::json::object all = configuration(o);
  if (!sets.own_sha256.empty()) all.set("data_sha256", sets.own_sha256);
  return all;
}

/// This process's copy of the data; prints what was read.
data_sets load_here(const program_options& o, const preset& networks, transport& nodes) {
  data_sets sets;
  const auto load = [&] { sets = load_data(o, networks.image); };
  if (is_published(o))
    load();
  else
    nodes.in_turns(load);  // who comes first packs the images
  require_labels(o, sets, networks.classes);
  require_features(o, sets);
  if (o.quiet) return sets;
  print_data(sets);
  for (const setting& s : o.given) std::printf("setting: %s\n", described(s).c_str());
  std::fflush(stdout);
  return sets;
}

/// The feature network of a file of weights; null for the classifier of the data.
std::unique_ptr<feature_extractor> features_of(const program_options& o, hwc image) {
  if (o.metrics != "fid" || o.features.find(':') == std::string::npos) return nullptr;
  return load_published_network(o.features, image, o.threads);
}

/// Out of memory, a device says what was planned. @throws what the training throws
train::run_result train_as_planned(const std::function<train::run_result()>& training,
                                   const strategy_plan& costs) {
  try {
    return training();
  } catch (const device_error& e) {
    if (e.name() != "cudaErrorMemoryAllocation") throw;
    throw e.during((e.work().empty() ? "" : e.work() + ", ") + "a run that was planned to take " +
                   std::to_string(costs.lead_bytes >> 20) + " MiB for the server and " +
                   std::to_string(costs.worker_bytes >> 20) + " MiB for each worker");
  }
}

/// What the leading process says and writes after the last iteration.
int finish(const program_options& o, recorder& record, const train::run_result& result) {
  if (const std::size_t own = launches_without_plan(); own > 0 && !o.quiet)
    std::printf(
        "kernels: cuBLASLt and cuDNN had no plan for %zu launches of this process, which the own "
        "kernels did\n",
        own);
  record.finish(result);
  require_no_loss(o, result);
  if (!result.stopped_early) return static_cast<int>(exit_code::done);
  std::fprintf(stderr,
               "gantry-train: stopped by signal %d after saving iteration %u; continue with "
               "--resume latest\n",
               caught_signal.load(), result.iterations);
  return static_cast<int>(caught_signal.load() == SIGTERM ? exit_code::terminated
                                                          : exit_code::interrupted);
}

int run(program_options o, transport& nodes) {
  const preset& networks = chosen_preset(o);
  require_fitting_images(o, networks.image);
  const run_plan plan = networks.plan(o);
  comm::any_world world =
      with_filters(nodes.world(o), o.messages, static_cast<std::size_t>(networks.image.size()));
  const bool leads = nodes.leads();
  if (!leads) o.quiet = true;
  o.local_rank = nodes.local_rank();
  require_memory(o, plan, nodes.nodes_here(o));
  if (leads) require_no_checkpoints(o);
  if (!o.quiet) announce(o, nodes.facts());
  o.resume_from = resolve_resume(o);
  if (!o.resume_from.empty()) take_seats(o);
  data_sets sets = load_here(o, networks, nodes);
  std::vector<data::shard> shards =
      data::partition(sets.train, o.split, o.strategy.workers, o.seed);
  std::unique_ptr<feature_extractor> features = leads ? features_of(o, networks.image) : nullptr;
  // Last, so that a refusal leaves no empty folder.
  io::require_writable_directory(o.outdir, "--outdir");
  std::optional<folder_lock> alone;
  if (leads) alone.emplace(o.outdir);

  io::json::object settings = all_settings(o, sets);
  std::optional<recorder> record;
  if (leads) record.emplace(o, plan, std::move(sets), shards, std::move(features));
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);
  train::run_options options{
      .iterations = o.iterations,
      .on_start = [&](const train::round_view& v) { record->on_start(v); },
      .on_round = [&](const train::round_view& v) { record->on_round(v); },
      .looks = [&](std::uint32_t i, auto waiting) { return record->looks(i, waiting); },
      .stop_requested = [&] { return caught_signal.load() != 0 || ends_with_loss(o.health); },
      .checkpoints = o.outdir,
      .save_every = o.save_every,
      .resume_from = o.resume_from,
      .configuration = std::move(settings),
      .revive_workers = o.health.revive,
      .stops = o.health.stops,
      .pauses = o.health.pauses,
      .keep_checkpoints = o.keep_checkpoints,
      .initial_generator = o.init_generator,
      .initial_discriminator = o.init_discriminator,
      .phases = o.outdir};
  if (o.keep_best)
    options.score = [&](std::uint32_t iteration) { return record->score_of(iteration); };
  const train::run_result result = train_as_planned(
      [&] { return networks.train(o, world, std::move(shards), options); }, plan.costs);
  return leads ? finish(o, *record, result) : static_cast<int>(exit_code::done);
}

constexpr program_name program{"gantry-train",
                               "lower --batch or --workers, --dry-run prints what a run needs"};

/// Everything that needs no other node.
int start(const program_options& o) {
  if (o.sample > 0) {
    draw_samples(o);
    return static_cast<int>(exit_code::done);
  }
  if (o.dry_run) {
    const preset& networks = chosen_preset(o);
    require_fitting_images(o, networks.image);
    print_plan(o, networks.plan(o));
    return static_cast<int>(exit_code::done);
  }
  const std::unique_ptr<transport> nodes = make_transport(o.transport, o.launch);
  return guarded_job(program, *nodes, [&] { return run(o, *nodes); });
}

/// Every task as a run of its own, all on the cores of this process.
int start_tasks(int argc, const char* const* argv, const program_options& all) {
  const std::vector<program_options> tasks = options_of_tasks(argc, argv, all);
  if (all.dry_run) {
    for (const program_options& o : tasks) start(o);
    return static_cast<int>(exit_code::done);
  }
  for (const program_options& o : tasks) require_no_checkpoints(o);  // before one of them writes
  const std::unique_ptr<transport> nodes = make_transport(all.transport, all.launch);
  return train_together(tasks, [&](const program_options& o) {
    return guarded(program, [&] { return run(o, *nodes); });
  });
}

}  // namespace

int main(int argc, char** argv) {
  return guarded(program, [&] {
    const auto options = parse_options(argc, argv, known_models());
    if (!options) return static_cast<int>(exit_code::done);
    return options->tasks.empty() ? start(*options) : start_tasks(argc, argv, *options);
  });
}
