// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <iterator>
#include <limits>
#include <map>
#include <utility>

#include "gantry/base/error.hpp"

#include "recorder_phases.hpp"
#include "run_folder.hpp"

namespace {

using namespace gantry;

constexpr std::array<std::size_t, phase_names.size()> phase_colours{0, 5, 2, 9, 6, 1, 7, 3};

time_use use_of(std::size_t p) {
  switch (static_cast<phase>(p)) {
    case phase::wait:
      return time_use::wait;
    case phase::exchange:
    case phase::swap:
      return time_use::exchange;
    default:
      return time_use::compute;
  }
}

std::size_t phase_number(const std::string& name) {
  const auto found = std::ranges::find(phase_names, name);
  if (found == phase_names.end())
    throw data_error("a phase was expected to be one of this program's and is \"" + name + "\"");
  return static_cast<std::size_t>(found - phase_names.begin());
}

phase_block block_of(const io::json::value& line) {
  phase_block block{.iteration = line.at("iteration").as_int(),
                    .rounds = line.at("rounds").as_int(),
                    .begin = line.at("begin").as_double(),
                    .end = line.at("end").as_double(),
                    .seconds = phases_of(line.at("seconds")),
                    .sent = {},
                    .events = {}};
  for (std::size_t k = 0; k < message_kinds; ++k)
    if (const auto* bytes = line.at("sent").as_object().find(message_name(static_cast<message>(k))))
      block.sent.kinds[k].bytes = static_cast<std::uint64_t>(bytes->as_int());
  if (const auto* events = line.as_object().find("events"))
    for (const io::json::value& e : events->as_array()) {
      const io::json::array& parts = e.as_array();
      if (parts.size() != 3)
        throw data_error("an event was expected to be a phase, its begin and its end");
      block.events.push_back({phase_number(parts[0].as_string()),
                              block.begin + 1e-6 * parts[1].as_double(),
                              block.begin + 1e-6 * parts[2].as_double()});
    }
  return block;
}

std::string lane_name(int rank, bool has_server) {
  return rank > 0 ? "worker " + std::to_string(rank) : has_server ? "server" : "node";
}

/// The blocks of single rounds with which a run began.
std::vector<const phase_block*> opening(const rank_phases& r) {
  std::vector<const phase_block*> rounds;
  for (const phase_block& b : r.blocks) {
    if (b.events.empty() || b.rounds != 1) break;
    if (!rounds.empty() && b.iteration <= rounds.back()->iteration) break;
    rounds.push_back(&b);
  }
  return rounds;
}

/// The last iteration that is drawn: so many events and rounds are readable, and keep a page small.
std::int64_t last_opening_iteration(const std::vector<rank_phases>& ranks) {
  constexpr std::size_t most_events = 3000, most_rounds = 8;
  std::map<std::int64_t, std::size_t> events;
  for (const rank_phases& r : ranks)
    for (const phase_block* b : opening(r)) events[b->iteration] += b->events.size();
  std::int64_t last = 0;
  std::size_t sum = 0, rounds = 0;
  for (const auto& [iteration, count] : events) {
    sum += count;
    if (++rounds > most_rounds || (rounds > 1 && sum > most_events)) break;
    last = iteration;
  }
  return last;
}

/// Neighbouring blocks until they cover so many iterations.
std::vector<phase_block> merged(const std::vector<phase_block>& blocks, std::int64_t least) {
  std::vector<phase_block> result;
  for (const phase_block& b : blocks) {
    if (!result.empty() && result.back().rounds < least) {
      phase_block& into = result.back();
      into.iteration = b.iteration;
      into.rounds += b.rounds;
      into.end += b.end - b.begin;  // the time between two blocks is nobody's
      into.seconds += b.seconds;
      continue;
    }
    result.push_back({b.iteration, b.rounds, b.begin, b.end, b.seconds, {}, {}});
  }
  return result;
}

}  // namespace

io::json::object phases_json(const phase_times& times) {
  io::json::object o;
  for (std::size_t p = 0; p < phase_names.size(); ++p)
    if (times.seconds[p] > 0) o.set(phase_names[p], times.seconds[p]);
  return o;
}

phase_times phases_of(const io::json::value& object) {
  phase_times times;
  for (std::size_t p = 0; p < phase_names.size(); ++p)
    if (const io::json::value* found = object.as_object().find(phase_names[p]))
      times.seconds[p] = found->as_double();
  return times;
}

std::array<double, time_uses.size()> phase_block::uses() const {
  std::array<double, time_uses.size()> sums{};
  for (std::size_t p = 0; p < phase_names.size(); ++p)
    sums[static_cast<std::size_t>(use_of(p))] += seconds.seconds[p];
  return sums;
}

std::vector<rank_phases> read_phases(const std::filesystem::path& folder) {
  std::vector<rank_phases> ranks;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    if (const auto rank = phases_rank(entry.path().filename().string())) {
      ranks.push_back({*rank, {}});
      for_each_line(entry.path(), [&](const io::json::value& line) {
        ranks.back().blocks.push_back(block_of(line));
      });
    }
  std::ranges::sort(ranks, {}, &rank_phases::rank);
  return ranks;
}

io::timeline first_rounds(const std::vector<rank_phases>& ranks, bool has_server) {
  const std::int64_t last = last_opening_iteration(ranks);
  double begin = std::numeric_limits<double>::infinity(), end = -begin;
  std::array<bool, phase_names.size()> is_used{};
  for (const rank_phases& r : ranks)
    for (const phase_block* b : opening(r)) {
      if (b->iteration > last) continue;
      begin = std::min(begin, b->begin);
      end = std::max(end, b->end);
      for (const phase_event& e : b->events) is_used[e.phase] = true;
    }
  // Workers wait for the server's first pictures and scores, which says nothing about rounds.
  if (!ranks.empty() && ranks.front().rank == 0 && !ranks.front().blocks.empty())
    begin = ranks.front().blocks.front().begin;
  const bool is_short = end - begin < 10;
  io::timeline page{
      .title = "First rounds",
      .x_label = is_short ? "milliseconds" : "seconds",
      .x_unit = is_short ? "ms" : "s",
      .remark = has_server ? "Blank: between rounds (pictures, scores, checkpoints)." : "",
      .parts = {},
      .lanes = {}};
  std::array<std::size_t, phase_names.size()> part{};
  for (std::size_t p = 0; p < phase_names.size(); ++p) {
    part[p] = page.parts.size();
    if (is_used[p])
      page.parts.push_back(
          {std::string(phase_names[p]), phase_colours[p], use_of(p) == time_use::wait});
  }
  const double scale = is_short ? 1e3 : 1;
  for (const rank_phases& r : ranks) {
    io::timeline_lane lane{lane_name(r.rank, has_server), {}};
    for (const phase_block* b : opening(r))
      for (const phase_event& e : b->events)
        if (b->iteration <= last)
          lane.pieces.push_back(
              {scale * std::max(0.0, e.begin - begin), scale * (e.end - begin), part[e.phase]});
    page.lanes.push_back(std::move(lane));
  }
  return page;
}

io::timeline time_shares(const std::vector<rank_phases>& ranks, bool has_server) {
  constexpr std::int64_t columns = 60;
  io::timeline page{.title = "Shares of each rank's time",
                    .x_label = "iteration",
                    .x_unit = "",
                    .remark = "Blank: none of them.",
                    .parts = {{"compute", 2}, {"wait", 7, true}, {"exchange", 1}},
                    .lanes = {}};
  std::int64_t last = 0;
  for (const rank_phases& r : ranks)
    for (const phase_block& b : r.blocks) last = std::max(last, b.iteration);
  for (const rank_phases& r : ranks) {
    io::timeline_lane lane{lane_name(r.rank, has_server), {}};
    for (const phase_block& b : merged(r.blocks, last / columns)) {
      const double all = b.end - b.begin, to = static_cast<double>(b.iteration);
      const auto seconds = b.uses();
      double low = 0;
      for (std::size_t use = 0; use < seconds.size(); ++use) {
        const double high = std::min(1.0, low + (all > 0 ? seconds[use] / all : 0));
        if (high > low)
          lane.pieces.push_back({to - static_cast<double>(b.rounds), to, use, low, high});
        low = high;
      }
    }
    page.lanes.push_back(std::move(lane));
  }
  return page;
}
