// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// What carries messages, chosen by --transport; strategies see one type.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gantry/comm/any.hpp"
#include "gantry/comm/launcher.hpp"

#include "options.hpp"

/// The ranks that a run of these options takes.
int ranks_of(const program_options& o);

/// The process's part of a job. Over threads it is all of it; over MPI it is one rank.
class transport {
 public:
  virtual ~transport() = default;
  /// Rank 0: prints, draws pictures and keeps the records.
  [[nodiscard]] virtual bool leads() const { return true; }
  /// @throws gantry::usage_error if there are not as many ranks as the strategy needs
  [[nodiscard]] virtual gantry::comm::any_world world(const program_options& o) = 0;
  /// For programs without strategies: all processes of the job, or `nodes` of this one.
  /// @throws gantry::usage_error for less than 1
  [[nodiscard]] virtual gantry::comm::any_world world_of(int nodes, int threads) = 0;
  /// How many nodes of the run share this machine's memory.
  [[nodiscard]] virtual int nodes_here(const program_options& o) const { return ranks_of(o); }
  /// Of a process with one rank, among the ranks of its machine; nothing if all are in this
  /// process.
  [[nodiscard]] virtual std::optional<int> local_rank() const { return {}; }
  /// Does `work` in each process: first in the one that leads, then in one of each machine, then in
  /// the others, which find what those before them have left in a folder.
  virtual void in_turns(const std::function<void()>& work) { work(); }
  /// What there is to say of the world that was made last, for its log; may be empty.
  [[nodiscard]] virtual std::string facts() const { return {}; }
  /// Ends the whole job with that exit code, if there is more of it than this process.
  virtual void end_all(int) {}

  static std::vector<std::string> names();
};

/// A process's place in its job: --launch's, or what a launcher's variables say.
/// @throws gantry::usage_error if they contradict each other
gantry::comm::launch launched(const std::string& flag);

/// `launch` is --launch. @throws gantry::error if the transport cannot be started
std::unique_ptr<transport> make_transport(const std::string& name, const std::string& launch = {});
