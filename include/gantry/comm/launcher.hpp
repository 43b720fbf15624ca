// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// What the launcher of a job says about this process: its rank, how many there are, and its place
// on this machine, which picks a device.
#pragma once

#include <array>
#include <charconv>
#include <cstdlib>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/concepts/communicator.hpp"

namespace gantry::inline v0::comm {

/// This process's place in its job.
struct launch {
  rank_t rank{0}, size{1};
  rank_t local_rank{0};        ///< among the processes of this machine
  std::string source{"none"};  ///< who said so
};

/// Reads a variable of the environment, or of a test's.
using environment = std::function<std::optional<std::string>(const char*)>;

inline std::optional<std::string> process_environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? std::optional<std::string>(value) : std::nullopt;
}

namespace detail {

/// The variables by which a launcher is known; the local rank may be missing.
struct launcher_names {
  const char* name;
  const char *rank, *size, *local_rank;
};
/// In the order in which they are believed. Open MPI sets PMIx's names too, and Slurm's are set
/// around all of them.
inline constexpr std::array<launcher_names, 4> launchers{{
    {"torchrun", "RANK", "WORLD_SIZE", "LOCAL_RANK"},
    {"Open MPI", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"},
    {"PMI", "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"},
    {"Slurm", "SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"},
}};

/// @throws usage_error if the variable is there and no whole number from 0 up
inline std::optional<rank_t> number_of(const environment& env, const char* name) {
  const std::optional<std::string> text = env(name);
  if (!text) return std::nullopt;
  rank_t value = 0;
  const auto [end, failure] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (failure != std::errc{} || end != text->data() + text->size() || value < 0)
    throw usage_error(std::string("the variable ") + name +
                      " was expected to be a whole number from 0 up and is \"" + *text +
                      "\"; start the job with its launcher, or unset it");
  return value;
}

inline std::string place(const launch& l) {
  return "rank " + std::to_string(l.rank) + " of " + std::to_string(l.size) + " (" + l.source + ")";
}

}  // namespace detail

/// "2/5" or "2/5/0": rank, number of ranks, local rank. @throws usage_error for anything else
inline launch parse_launch(std::string_view text, std::string source) {
  launch l{.source = std::move(source)};
  const char *at = text.data(), *const end = at + text.size();
  int numbers = 0;
  for (rank_t* number : {&l.rank, &l.size, &l.local_rank}) {
    const auto [next, failure] = std::from_chars(at, end, *number);
    if (failure != std::errc{}) break;
    at = next;
    ++numbers;
    if (at == end || *at != '/') break;
    ++at;
  }
  if (at != end || numbers < 2 || text.ends_with('/') || l.rank < 0 || l.local_rank < 0 ||
      l.rank >= l.size)
    throw usage_error(l.source +
                      " was expected to be RANK/RANKS or RANK/RANKS/LOCAL_RANK and is \"" +
                      std::string(text) + "\"; write 2/5 for the third of five ranks");
  if (numbers == 2) l.local_rank = l.rank;
  return l;
}

/// The place that the first of a flag, torchrun, Open MPI, PMI and Slurm names; alone if none does.
/// Slurm counts only if no other does, and only inside srun, where SLURM_STEP_ID is set: a batch
/// script has its other variables too.
/// @throws usage_error if a launcher's variables are no numbers or do not fit together, or if two
/// of them disagree (both are named)
inline launch discover_launch(const environment& env = process_environment,
                              const std::optional<launch>& flag = {}) {
  std::vector<launch> found;
  if (flag) found.push_back(*flag);
  for (const detail::launcher_names& names : detail::launchers) {
    const auto rank = detail::number_of(env, names.rank), size = detail::number_of(env, names.size);
    if (!rank || !size) continue;
    // What mpirun starts inside a step has the step's variables, which are not about it.
    if (std::string_view(names.name) == "Slurm" && (!found.empty() || !env("SLURM_STEP_ID")))
      continue;
    launch l{*rank, *size, *rank, names.name};
    if (const auto local = detail::number_of(env, names.local_rank)) l.local_rank = *local;
    if (l.rank >= l.size)
      throw usage_error("a rank below the number of ranks was expected and the launcher says " +
                        detail::place(l) + "; start the job anew");
    found.push_back(l);
  }
  if (found.empty()) return {};
  for (const launch& other : found)
    if (other.rank != found.front().rank || other.size != found.front().size)
      throw usage_error("one launcher was expected and two disagree: " +
                        detail::place(found.front()) + " and " + detail::place(other) +
                        "; unset the variables of the one that did not start this process");
  return found.front();
}

/// What a transport knows of its own must be what the launcher says.
/// @throws usage_error that names both
inline void require_agreement(const launch& said, const launch& found) {
  if (said.source == "none" || (said.rank == found.rank && said.size == found.size)) return;
  throw usage_error("the transport was expected to know the launcher's " + detail::place(said) +
                    " and knows " + detail::place(found) +
                    "; start the job with the launcher that the transport belongs to");
}

}  // namespace gantry::comm
