// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Several GANs of different types trained at once (EntGAN's multi-task goal): one server leads a
// group of workers for each, and averages only within a group. While one group's generator takes
// its steps, the workers of the others compute.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/base/thread_pool.hpp"
#include "gantry/concepts/rank_view.hpp"
#include "gantry/concepts/strategy.hpp"
#include "gantry/dist/layerwise_overlap.hpp"

namespace gantry::inline v0::dist {

/// One GAN with its workers, one for each source. Any strategy will do whose server can `open` and
/// `close` a round.
template <Topology T, BatchSource Source, class Strategy = layerwise_overlap>
struct task {
  using topology = T;
  using source = Source;
  using strategy = Strategy;
  std::string name;  ///< what its networks are called: <name>-generator
  common_config<T> common{};
  typename Strategy::config settings{};
  std::vector<Source> sources{};
  [[nodiscard]] rank_t workers() const { return static_cast<rank_t>(sources.size()); }
};

/// The server of all tasks: a server of its strategy for each. Workers of the first task are ranks
/// 1, 2, ..., those of the next follow.
template <Backend B, class... Tasks>
class task_group_server {
 public:
  static constexpr std::size_t count = sizeof...(Tasks);
  template <std::size_t I>
  using task_type = std::tuple_element_t<I, std::tuple<Tasks...>>;
  template <class Task>
  using server_of = typename Task::strategy::template server<typename Task::topology, B>;
  using reports = std::array<round_report, count>;

  /// @throws usage_error as the servers do
  task_group_server(B& b, const Tasks&... tasks)
      : servers_{std::make_unique<server_of<Tasks>>(b, tasks.common, tasks.settings,
                                                    static_cast<int>(tasks.workers()))...},
        names_{tasks.name...},
        sizes_{tasks.workers()...} {}

  template <Communicator C>
  void begin(C& comm) {
    for_each(comm, [](auto& server, auto& view, std::size_t) { server.begin(view); });
  }
  /// One round of every task. With `more` the workers of each may go on with the next round, which
  /// must then come. @throws workers_lost if a task has no worker left
  template <Communicator C>
  reports round(C& comm, std::uint32_t iteration, bool more = false) {
    reports all;
    if (!open_)
      for_each(comm, [&](auto& server, auto& view, std::size_t) { server.open(view, iteration); });
    for_each(comm, [&](auto& server, auto& view, std::size_t i) {
      all[i] = server.close(view);
      if (more) server.open(view, iteration + 1);
    });
    open_ = more;
    return all;
  }
  /// Not within a round that is open.
  template <Communicator C>
  void command(C& comm, order what) {
    for_each(comm, [&](auto& server, auto& view, std::size_t) { server.command(view, what); });
  }

  template <std::size_t I>
  [[nodiscard]] auto& server() {
    return *std::get<I>(servers_);
  }
  void visit_networks(auto&& f) {
    visit([&](auto& s, auto&& g) { s.visit_networks(g); }, f);
  }
  void visit_values(auto&& f) {
    visit([&](auto& s, auto&& g) { s.visit_values(g); }, f);
  }

 private:
  template <class F, std::size_t... I>
  void each_index(F&& f, std::index_sequence<I...>) {
    (f.template operator()<I>(), ...);
  }
  /// f(server, its view of the world, number of the task)
  template <Communicator C, class F>
  void for_each(C& comm, F&& f) {
    rank_t first = 1;
    each_index(
        [&]<std::size_t I>() {
          rank_view<C> view(comm, first, sizes_[I]);
          f(*std::get<I>(servers_), view, I);
          first += sizes_[I];
        },
        std::make_index_sequence<count>{});
  }
  template <class Visit, class F>
  void visit(Visit&& each, F& f) {
    each_index(
        [&]<std::size_t I>() {
          each(*std::get<I>(servers_),
               [&](const std::string& name, auto& value) { f(names_[I] + "-" + name, value); });
        },
        std::make_index_sequence<count>{});
  }

  std::tuple<std::unique_ptr<server_of<Tasks>>...> servers_;
  std::array<std::string, count> names_;
  std::array<rank_t, count> sizes_;
  bool open_{false};
};

namespace detail {

template <Backend B, class World>
B make_task_backend(World& world) {
  if constexpr (std::constructible_from<B, std::shared_ptr<thread_pool>>)
    return B(world.pool());
  else
    return B();
}

/// Worker `index` of a task, from its beginning to the server's order to stop.
template <Backend B, class World, Communicator C, class Task>
void work_on(World& world, C& comm, const Task& t, std::size_t index) {
  using worker =
      typename Task::strategy::template worker<typename Task::topology, B, typename Task::source>;
  const typename Task::source& source = t.sources[index];
  worker::begin(comm, source);
  B b = make_task_backend<B>(world);
  worker role(b, t.common, t.settings, source, static_cast<std::uint32_t>(index));
  for (std::uint32_t i = 0; role.round(comm, i) != order::stop;) ++i;
}

}  // namespace detail

/// Trains all tasks for so many rounds. on_round(rounds done, task_group_server&, reports) is
/// called on rank 0 after each.
/// @throws usage_error if the world does not have one rank for the server and one for each source
template <Backend B, class World, class OnRound, class... Tasks>
void run_tasks(World& world, std::uint32_t rounds, OnRound&& on_round, const Tasks&... tasks) {
  expects(world.size() == 1 + (tasks.workers() + ...),
          "the world must have one rank for the server and one for each source of each task; make "
          "it of that size");
  world.run([&]<class C>(C& comm) {
    if (comm.rank() == 0) {
      B b = detail::make_task_backend<B>(world);
      task_group_server<B, Tasks...> server(b, tasks...);
      server.begin(comm);
      for (std::uint32_t i = 0; i < rounds; ++i) {
        const auto reports = server.round(comm, i, i + 1 < rounds);
        on_round(i + 1, server, reports);
      }
      return server.command(comm, order::stop);
    }
    rank_t first = 1;
    const auto try_task = [&](const auto& t) {
      const rank_t index = comm.rank() - first;
      if (index >= 0 && index < t.workers()) {
        rank_view<C> view(comm, first, t.workers());
        detail::work_on<B>(world, view, t, static_cast<std::size_t>(index));
      }
      first += t.workers();
    };
    (try_task(tasks), ...);
  });
}

}  // namespace gantry::dist
