// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// What each rank did when, as the phases-<rank>.jsonl of a run folder say.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "gantry/concepts/communicator.hpp"
#include "gantry/concepts/strategy.hpp"
#include "gantry/io/json.hpp"
#include "gantry/io/report_timeline.hpp"

gantry::io::json::object phases_json(const gantry::phase_times& times);
gantry::phase_times phases_of(const gantry::io::json::value& object);

/// The three kinds of phases.
enum class time_use : int { compute, wait, exchange };
inline constexpr std::array<std::string_view, 3> time_uses{"compute", "wait", "exchange"};

struct phase_event {
  std::size_t phase{};
  double begin{}, end{};  ///< seconds since 1970
};

/// One round, or several that are summed up.
struct phase_block {
  std::int64_t iteration{}, rounds{};  ///< the last one, and how many
  double begin{}, end{};               ///< seconds since 1970
  gantry::phase_times seconds;
  gantry::tally_by_kind sent;
  std::vector<phase_event> events;

  /// Seconds by use.
  [[nodiscard]] std::array<double, time_uses.size()> uses() const;
};

struct rank_phases {
  int rank{};
  std::vector<phase_block> blocks;
};

/// All ranks whose files are here, in order. @throws data_error that names a damaged file
std::vector<rank_phases> read_phases(const std::filesystem::path& folder);

/// The rounds at the beginning, phase by phase.
gantry::io::timeline first_rounds(const std::vector<rank_phases>& ranks, bool has_server);

/// Shares of compute, wait and exchange over the whole run.
gantry::io::timeline time_shares(const std::vector<rank_phases>& ranks, bool has_server);
