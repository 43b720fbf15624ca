// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "gantry/base/thread_pool.hpp"
#include "gantry/concepts/strategy.hpp"
#include "gantry/dist/node_memory.hpp"
#include "gantry/train/checkpoint.hpp"
#include "gantry/train/checkpoint_folder.hpp"
#include "gantry/train/phase_recorder.hpp"
#include "gantry/train/resume_seats.hpp"
#include "gantry/train/weights.hpp"

namespace gantry::inline v0::train {

/// What callbacks see after a round, on rank 0 between rounds.
struct round_view {
  std::uint32_t iteration{};  ///< rounds done so far
  const round_report& report;
  /// Images ([n][h][w][c] in [-1, 1]) of latents ([n][latent]) by the averaged generator.
  const std::function<void(std::span<const float>, std::span<float>)>& sample;
  /// Calls back with each parameter tensor of the networks that rank 0 has.
  const std::function<void(const tensor_visitor&)>& weights;
};

/// Makes a worker stop for good before it starts a round: for tests and demonstrations of
/// fail-stop.
struct planned_stop {
  int worker{};  ///< 1 .. N
  std::uint32_t iteration{};
};

/// Makes a worker do nothing for so long before it starts a round: for tests of what happens when
/// one is late.
struct planned_pause {
  int worker{};  ///< 1 .. N
  std::uint32_t iteration{};
  double seconds{};
};

struct run_options {
  std::uint32_t iterations{1000};
  std::function<void(const round_view&)>
      on_start{};  ///< before the first round, with an empty report
  std::function<void(const round_view&)> on_round{};  ///< after each round
  std::function<bool()> stop_requested{};  ///< asked before each round; true saves and ends
  std::filesystem::path checkpoints{};     ///< folder for checkpoints; empty: none are written
  std::uint32_t save_every{0};             ///< rounds between checkpoints; 0: only at the end
  std::filesystem::path resume_from{};     ///< a network-snapshot folder; empty: start anew
  /// Goes into config.json; on resume it must match, unless it is empty. "workers" may differ.
  io::json::object configuration{};
  bool revive_workers{false};  ///< on resume, those that had been lost take part again
  std::vector<planned_stop> stops{};
  std::vector<planned_pause> pauses{};
  std::uint32_t keep_checkpoints{0};  ///< so many of the last ones stay; 0: all
  /// The score of the iteration that is about to be saved, if it has one; lower is better. The best
  /// checkpoint always stays, and state.json names it.
  std::function<std::optional<double>(std::uint32_t)> score{};
  /// State dictionaries of PyTorch (train/torch_state.hpp) that all networks of a kind start from;
  /// empty: random weights. A resume has no use for them.
  std::filesystem::path initial_generator{}, initial_discriminator{};
  std::filesystem::path phases{};  ///< folder for what each rank did when (phase_recorder.hpp);
                                   ///< empty: is not kept
};

struct run_result {
  std::uint32_t iterations{};  ///< rounds done, those before a resume included
  bool stopped_early{};
  int live_workers{};
  std::string
      checkpoint_hash;  ///< SHA-256 of the last checkpoint's manifest; empty if none was written
  std::optional<scored_checkpoint> best;  ///< of the checkpoints with a score
  /// Peaks of the nodes of this process by their backends' meters, so without messages; worker: of
  /// the one with most.
  arena_bytes lead_memory{}, worker_memory{};
};

/// Makes the backend of a rank on the thread that will use it; empty: on the world's thread pool,
/// or by default.
template <Backend B>
using backend_maker = std::function<B(int rank)>;

/// Runs a strategy on every node of a world: rank 0 leads, ranks 1 .. N work on one source each.
template <Strategy S, Backend B, Topology T, class World, BatchSource Source>
class session {
 public:
  /// @throws usage_error if batch, world and sources do not fit together
  session(World& world, const common_config<T>& common, const typename S::config& settings,
          std::vector<Source> sources, const run_options& options, backend_maker<B> make = {})
      : world_(&world),
        make_(std::move(make)),
        common_(common),
        settings_(settings),
        sources_(std::move(sources)),
        options_(&options),
        workers_(S::has_server ? static_cast<int>(sources_.size()) : 0) {
    expects(common.batch >= 1, "the batch size must be at least 1; give a positive --batch");
    expects(!sources_.empty(),
            "a run needs the real samples of at least one worker; give at least one source");
    expects(S::has_server || sources_.size() == 1,
            "a strategy without a server runs on one node with one source; give exactly one");
    expects(world.size() == static_cast<int>(workers_) + 1,
            "the world must have one rank for the server and one for each source; make it of that "
            "size");
    if (!options.resume_from.empty()) read_progress();
  }

  run_result run() {
    world_->run([&](auto& comm) {
      if (comm.rank() == 0)
        lead(comm);
      else if constexpr (S::has_server)
        work(comm);
    });
    return result_;
  }

 private:
  [[nodiscard]] B make_backend(int rank) {
    if (make_) return make_(rank);
    if constexpr (std::constructible_from<B, std::shared_ptr<thread_pool>>)
      return B(world_->pool());
    else
      return B();
  }

  /// Reads the meter of a node's backend when the node ends, however it does.
  class memory_record {
   public:
    memory_record(session& all, arena_bytes& most, const B& b)
        : all_(&all), most_(&most), backend_(&b) {}
    memory_record(const memory_record&) = delete;
    memory_record& operator=(const memory_record&) = delete;
    ~memory_record() {
      const arena_bytes found = dist::measured_memory(backend_->meter());
      const std::lock_guard lock(all_->memory_guard_);
      if (found.total() > most_->total()) *most_ = found;
    }

   private:
    session* all_;
    arena_bytes* most_;
    const B* backend_;
  };

  auto make_lead(B& b) {
    if constexpr (S::has_server)
      return typename S::template server<T, B>(b, common_, settings_, workers_);
    else
      return typename S::template node<T, B, Source>(b, common_, settings_, sources_.front());
  }

  template <class C>
  void lead(C& comm) {
    B b = make_backend(0);
    const memory_record memory(*this, result_.lead_memory, b);
    auto role = make_lead(b);
    set_up(b, comm, role, "");
    if constexpr (S::has_server)
      for (int n = 1; n <= workers_; ++n)
        if (!seats_.empty() && seats_[static_cast<std::size_t>(n - 1)] == 0) role.set_lost(n);
    const std::function<void(std::span<const float>, std::span<float>)> sample =
        [&](std::span<const float> z, std::span<float> x) {
          if constexpr (requires { role.prepare_sampling(comm); }) role.prepare_sampling(comm);
          role.sample(z, x);
        };
    const std::function<void(const tensor_visitor&)> weights = [&](const tensor_visitor& visit) {
      role.visit_networks(
          [&](const std::string& name, auto& state) { visit_weights(b, name, state, visit); });
    };
    comm.barrier();  // no rank starts before all have what they resume from
    role.begin(comm);
    if (options_->on_start) options_->on_start({first_, round_report{}, sample, weights});
    phase_recorder phases(options_->phases, comm.rank());
    std::uint32_t done = first_, saved = first_;
    bool early = false;
    while (done < options_->iterations && !early) {
      if (options_->stop_requested && options_->stop_requested()) {
        early = true;
        break;
      }
      enter_iteration(comm, done);
      round_report report;
      take(b, [&] { report = role.round(comm, done); });
      ++done;
      images_ += static_cast<std::int64_t>(report.images);
      phases.end_round(done, comm.statistics());
      check_finite(report, done);
      if (options_->on_round) options_->on_round({done, report, sample, weights});
      if (options_->save_every > 0 && done % options_->save_every == 0) {
        phases.flush();
        save(comm, b, role, done);
        saved = done;
      }
    }
    if (!options_->checkpoints.empty() && (saved != done || result_.checkpoint_hash.empty()))
      save(comm, b, role, done);
    role.command(comm, order::stop);
    phases.flush();
    result_.iterations = done;
    result_.stopped_early = early;
    result_.live_workers = live_workers(role);
  }

  template <class C>
  void work(C& comm) {
    const int worker = comm.rank();
    const auto index = static_cast<std::size_t>(worker - 1);
    using worker_type = typename S::template worker<T, B, Source>;
    worker_type::begin(comm, sources_[index]);
    if (!seats_.empty() && seats_[index] == 0) return comm.leave();
    B b = make_backend(worker);
    const memory_record memory(*this, result_.worker_memory, b);
    worker_type role(b, common_, settings_, sources_[index], static_cast<std::uint32_t>(index));
    const std::string suffix = "-" + std::to_string(worker);
    set_up(b, comm, role, seats_.empty() ? suffix : "-" + std::to_string(seats_[index]));
    comm.barrier();
    phase_recorder phases(options_->phases, worker);
    for (std::uint32_t done = first_;;) {
      if (stops_now(worker, done)) {
        phases.flush();
        return comm.leave();
      }
      pause_now(worker, done);
      enter_iteration(comm, done);
      order next{};
      take(b, [&] { next = role.round(comm, done); });
      switch (next) {
        case order::stop:
          return phases.flush();
        case order::train:
          phases.end_round(++done, comm.statistics());
          break;
        case order::save:
          phases.flush();
          write_role(b, comm, role, unfinished_checkpoint(options_->checkpoints, done), suffix);
          comm.send(message::control, std::array{1.0f}, 0);
          break;
        case order::publish:
          throw error("a worker's round must answer order::publish itself and returned it");
      }
    }
  }

  [[nodiscard]] bool stops_now(int worker, std::uint32_t done) const {
    return std::ranges::any_of(options_->stops, [&](const planned_stop& s) {
      return s.worker == worker && s.iteration == done;
    });
  }

  void pause_now(int worker, std::uint32_t done) const {
    for (const planned_pause& p : options_->pauses)
      if (p.worker == worker && p.iteration == done)
        std::this_thread::sleep_for(std::chrono::duration<double>(p.seconds));
  }

  static void check_finite(const round_report& report, std::uint32_t iteration) {
    if (std::isfinite(report.discriminator_loss) && std::isfinite(report.generator_loss)) return;
    throw numeric_error("the losses of iteration " + std::to_string(iteration) +
                        " were expected to be finite and are " +
                        std::to_string(report.discriminator_loss) + " (D) and " +
                        std::to_string(report.generator_loss) +
                        " (G); lower the learning rates and start anew");
  }

  template <class Role>
  [[nodiscard]] int live_workers(Role& role) const {
    if constexpr (!S::has_server)
      return 1;
    else {
      int live = 0;
      for (int n = 1; n <= workers_; ++n) live += role.is_live(n);
      return live;
    }
  }

  /// Every live worker writes what it owns into the unfinished folder; the lead completes it.
  template <class C, class Role>
  void save(C& comm, B& b, Role& role, std::uint32_t done) {
    if (options_->checkpoints.empty()) return;
    checkpoint_writer& writer = unfinished_.emplace(options_->checkpoints, done);
    role.command(comm, order::save);
    write_role(b, comm, role, writer.folder(), "");
    io::json::array live;
    if constexpr (S::has_server) {
      for (int n = 1; n <= workers_; ++n) {
        std::array<float, 1> done_writing{};
        if (role.is_live(n) && !comm.receive(message::control, done_writing, n)) {
          role.set_lost(n);
          remove_files_of(n, writer.folder());
        }
        live.push_back(role.is_live(n));
      }
    } else {
      live.push_back(true);
    }
    io::write_file_atomic(writer.folder() / "state.json",
                          io::json::dump(state_of(done, std::move(live)), 2) + "\n");
    io::write_file_atomic(writer.folder() / "config.json",
                          io::json::dump(options_->configuration, 2) + "\n");
    result_.checkpoint_hash = writer.commit();
    unfinished_.reset();
    if (options_->keep_checkpoints > 0)
      rotate_checkpoints(options_->checkpoints, done, options_->keep_checkpoints, result_.best);
  }

  /// Where a run is. Random numbers need no state: they are a function of the seed, the iteration
  /// and their purpose.
  io::json::object state_of(std::uint32_t done, io::json::array live) {
    io::json::object state{{"iteration", done},
                           {"images", images_},
                           {"world_size", world_->size()},
                           {"live_workers", std::move(live)}};
    const std::optional<double> score = options_->score ? options_->score(done) : std::nullopt;
    if (score && std::isfinite(*score)) {
      state.set("score", *score);
      if (!result_.best || *score < result_.best->score) result_.best = {done, *score};
    }
    // Without scores too: the best one of before a resume must outlive the next rotation.
    if (const auto& best = result_.best)
      state.set("best", io::json::object{{"iteration", best->iteration}, {"score", best->score}});
    return state;
  }

  /// The networks of a role and the other values that it, or the way its messages take, remembers.
  template <class C, class Role>
  static void write_role(B& b, C& comm, Role& role, const std::filesystem::path& folder,
                         const std::string& suffix) {
    role.visit_networks([&](const std::string& name, auto& state) {
      write_state(b, folder, name + suffix, state);
    });
    write_values(folder / ("values" + suffix + ".safetensors"), role);
    write_values(folder / ("exchange" + suffix + ".safetensors"), comm);
  }
  /// What a role starts with: what a checkpoint says, or files, or what it drew itself.
  template <class C, class Role>
  void set_up(B& b, C& comm, Role& role, const std::string& suffix) {
    if (!options_->resume_from.empty()) return restore(b, comm, role, suffix);
    role.visit_networks([&](const std::string& name, auto& state) {
      const bool is_generator = name.starts_with("generator");
      const auto& file =
          is_generator ? options_->initial_generator : options_->initial_discriminator;
      if (!file.empty()) read_initial(b, file, state);
    });
  }
  template <class C, class Role>
  void restore(B& b, C& comm, Role& role, const std::string& suffix) {
    const std::filesystem::path& folder = options_->resume_from;
    role.visit_networks(
        [&](const std::string& name, auto& state) { read_state(b, folder, name + suffix, state); });
    // What a server remembers of each of its workers is nothing to another number of them.
    const bool fitting_only = resized_ && suffix.empty();
    read_values(folder / ("values" + suffix + ".safetensors"), role, fitting_only);
    read_values(folder / ("exchange" + suffix + ".safetensors"), comm);
  }

  /// Settings are floats, so numbers are the same if they are the same float: 2e-04 and
  /// 0.00019999999494757503.
  [[nodiscard]] static bool same_setting(const io::json::value& a, const io::json::value& b) {
    return a == b || (a.is_double() && b.is_double() &&
                      static_cast<float>(a.as_double()) == static_cast<float>(b.as_double()));
  }

  /// Whether the best checkpoint of the run that wrote `resume_from` lies where this run saves. It
  /// does not if the run goes on in another folder: then the best of its own is yet to come.
  [[nodiscard]] bool holds_best() const {
    const std::filesystem::path name = checkpoint_name(result_.best->iteration);
    std::error_code missing;
    const std::filesystem::path from = std::filesystem::canonical(options_->resume_from, missing);
    return is_complete_checkpoint(options_->checkpoints / name) &&
           std::filesystem::equivalent(options_->checkpoints / name, from.parent_path() / name,
                                       missing);
  }

  /// Reads and checks what every node needs before it starts. @throws data_error, usage_error
  void read_progress() {
    const auto& folder = options_->resume_from;
    verify_checkpoint(folder);
    const io::json::value saved = detail::read_json(folder / "config.json");
    for (const auto& [key, value] : options_->configuration.members()) {
      if (key == "workers") continue;  // that is for take_seats to say
      const io::json::value* found = saved.as_object().find(key);
      if (!found || !same_setting(*found, value))
        throw data_error("the checkpoint " + folder.string() +
                         " was expected to have been made with " + key + " = " +
                         io::json::dump(value) + " and was made with " +
                         (found ? io::json::dump(*found) : "none") +
                         "; resume with the settings of the run that wrote it");
    }
    const bool says_all = !options_->configuration.members().empty();
    for (const auto& [key, value] : saved.as_object().members())
      if (says_all && !options_->configuration.find(key))
        throw data_error("the checkpoint " + folder.string() + " was made with " + key + " = " +
                         io::json::dump(value) +
                         " and a resume with the same was expected, but this run has none; resume "
                         "with the settings of the run that wrote it");
    const io::json::value state = detail::read_json(folder / "state.json");
    first_ = static_cast<std::uint32_t>(state.at("iteration").as_int());
    if (const auto* images = state.as_object().find("images")) images_ = images->as_int();
    if (const auto* best = state.as_object().find("best"))
      result_.best = {static_cast<std::uint32_t>(best->at("iteration").as_int()),
                      best->at("score").as_double()};
    if (result_.best && !holds_best()) result_.best.reset();
    take_seats(live_workers_of(state));
  }

  /// Whether a checkpoint of the strategy is for one number of workers only.
  [[nodiscard]] bool fixes_workers() const {
    if constexpr (requires { S::fixes_workers(settings_); })
      return S::fixes_workers(settings_);
    else
      return !S::has_server;
  }
  void take_seats(const std::vector<bool>& live) {
    resized_ = live.size() != sources_.size();
    if (resized_ && fixes_workers())
      throw data_error("the checkpoint " + options_->resume_from.string() +
                       " was expected to have " + std::to_string(sources_.size()) +
                       " workers and has " + std::to_string(live.size()) +
                       ", which its strategy ties to them; resume with as many --workers");
    seats_ = resume_seats(live, static_cast<int>(sources_.size()), options_->revive_workers);
  }

  /// A round, on a device as CUDA graphs if the backend makes such.
  template <class Round>
  static void take(B& b, const Round& round) {
    if constexpr (requires { b.step(round); })
      b.step(round);
    else
      round();
  }

  World* world_;
  backend_maker<B> make_;
  common_config<T> common_;
  typename S::config settings_;
  std::vector<Source> sources_;
  const run_options* options_;
  int workers_;
  std::uint32_t first_{};
  std::int64_t images_{};   ///< real samples that workers have seen so far
  std::vector<int> seats_;  ///< of a resume: see resume_seats
  bool resized_{false};     ///< a resume with another number of workers
  run_result result_;
  std::mutex memory_guard_;  ///< of the measured memory in it
  /// Outlives the ranks: if one fails, its folder goes only when no other writes into it any more.
  std::optional<checkpoint_writer> unfinished_;
};

/// Trains a GAN: strategy S on backend B, on all nodes of `world`. Source i is the shard of worker
/// i + 1, and stays there. `make` chooses each rank's device.
/// @throws usage_error, data_error, numeric_error, workers_lost
template <Strategy S, Backend B, Topology T, class World, BatchSource Source>
run_result run(World& world, const common_config<T>& common, const typename S::config& settings,
               std::vector<Source> sources, const run_options& options,
               backend_maker<B> make = {}) {
  return session<S, B, T, World, Source>(world, common, settings, std::move(sources), options,
                                         std::move(make))
      .run();
}

}  // namespace gantry::train
