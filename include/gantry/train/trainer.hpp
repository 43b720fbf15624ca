// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "gantry/base/thread_pool.hpp"
#include "gantry/concepts/strategy.hpp"
#include "gantry/dist/node_memory.hpp"
#include "gantry/train/checkpoint.hpp"
#include "gantry/train/checkpoint_folder.hpp"
#include "gantry/train/phase_recorder.hpp"
#include "gantry/train/run_options.hpp"
#include "gantry/train/run_progress.hpp"
#include "gantry/train/weights.hpp"

namespace gantry::inline v0::train {

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
        workers_(S::has_server ? static_cast<int>(sources_.size()) : 0),
        progress_(options, workers_ + 1) {
    expects(common.batch >= 1, "the batch size must be at least 1; give a positive --batch");
    expects(!sources_.empty(),
            "a run needs the real samples of at least one worker; give at least one source");
    expects(S::has_server || sources_.size() == 1,
            "a strategy without a server runs on one node with one source; give exactly one");
    expects(world.size() == static_cast<int>(workers_) + 1,
            "the world must have one rank for the server and one for each source; make it of that "
            "size");
    if (!options.resume_from.empty())
      progress_.read(static_cast<int>(sources_.size()), fixes_workers());
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
        if (progress_.seat(n) == 0) role.set_lost(n);
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
    if (options_->on_start) options_->on_start({progress_.first, round_report{}, sample, weights});
    phase_recorder phases(options_->phases, comm.rank());
    std::uint32_t done = progress_.first, saved = progress_.first;
    std::vector<round_report> waiting;  // to be completed and shown
    const auto show = [&] {
      std::uint32_t shown = done - static_cast<std::uint32_t>(waiting.size());
      for (const round_report& report : waiting) {
        run_progress::check_finite(report, ++shown);
        if (options_->on_round) options_->on_round({shown, report, sample, weights});
      }
      waiting.clear();
    };
    bool early = false;
    while (done < options_->iterations) {
      early = options_->stop_requested && options_->stop_requested();
      if (early) break;
      enter_iteration(comm, done);
      take(b, [&] { waiting.push_back(start_round(role, comm, done)); });
      ++done;
      progress_.images += static_cast<std::int64_t>(waiting.back().images);
      const bool saves = options_->save_every > 0 && done % options_->save_every == 0;
      const bool now = saves || !may_wait<std::remove_cvref_t<decltype(role)>>(done, waiting);
      if (now) complete(role, done, waiting);
      phases.end_round(done, comm.statistics());
      if (now) show();
      if (!saves) continue;
      phases.flush();
      save(comm, b, role, done);
      saved = done;
    }
    complete(role, done, waiting);
    show();
    if (!options_->checkpoints.empty() && (saved != done || result_.checkpoint_hash.empty()))
      save(comm, b, role, done);
    role.command(comm, order::stop);
    phases.flush();
    result_.iterations = done;
    result_.best = progress_.best();
    result_.stopped_early = early;
    result_.live_workers = live_workers(role);
  }

  template <class C>
  void work(C& comm) {
    const int worker = comm.rank();
    const auto index = static_cast<std::size_t>(worker - 1);
    using worker_type = typename S::template worker<T, B, Source>;
    worker_type::begin(comm, sources_[index]);
    if (progress_.seat(worker) == 0) return comm.leave();
    B b = make_backend(worker);
    const memory_record memory(*this, result_.worker_memory, b);
    worker_type role(b, common_, settings_, sources_[index], static_cast<std::uint32_t>(index));
    const std::string suffix = "-" + std::to_string(worker);
    set_up(b, comm, role, "-" + std::to_string(progress_.seat(worker)));
    comm.barrier();
    phase_recorder phases(options_->phases, worker);
    for (std::uint32_t done = progress_.first;;) {
      if (progress_.stops_now(worker, done)) {
        phases.flush();
        return comm.leave();
      }
      progress_.pause_now(worker, done);
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
    result_.checkpoint_hash = progress_.complete(writer, done, std::move(live));
    unfinished_.reset();
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
    const bool fitting_only = progress_.resized && suffix.empty();
    read_values(folder / ("values" + suffix + ".safetensors"), role, fitting_only);
    read_values(folder / ("exchange" + suffix + ".safetensors"), comm);
  }

  /// Whether a checkpoint of the strategy is for one number of workers only.
  [[nodiscard]] bool fixes_workers() const {
    if constexpr (requires { S::fixes_workers(settings_); })
      return S::fixes_workers(settings_);
    else
      return !S::has_server;
  }
  /// The lead's part of a round; where its strategy can, what has to be read from the backend is
  /// left for complete().
  template <class Role, class C>
  static round_report start_round(Role& role, C& comm, std::uint32_t done) {
    if constexpr (requires { role.start_round(comm, done); })
      return role.start_round(comm, done);
    else
      return role.round(comm, done);
  }
  template <class Role>
  static void complete([[maybe_unused]] Role& role, [[maybe_unused]] std::uint32_t done,
                       [[maybe_unused]] std::span<round_report> reports) {
    if constexpr (requires { role.complete(done, reports); })
      role.complete(done - static_cast<std::uint32_t>(reports.size()), reports);
  }
  /// Whether the reports can be completed after later rounds.
  template <class Role>
  [[nodiscard]] bool may_wait([[maybe_unused]] std::uint32_t done,
                              [[maybe_unused]] std::span<const round_report> waiting) const {
    if constexpr (requires { Role::rounds_kept; }) {
      if (options_->on_round && (!options_->looks || options_->looks(done, waiting))) return false;
      return waiting.size() < Role::rounds_kept;
    } else {
      return false;
    }
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
  run_progress progress_;
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
