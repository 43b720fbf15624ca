// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// What each rank did when: one file per rank, phases-<rank>.jsonl. The first rounds of a session
// are kept stretch by stretch; later ones are summed up over blocks that grow with the run, so that
// a file holds some 200 lines after a million rounds.
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "gantry/concepts/communicator.hpp"
#include "gantry/concepts/strategy.hpp"
#include "gantry/dist/phase_listener.hpp"
#include "gantry/io/file.hpp"
#include "gantry/io/json.hpp"

namespace gantry::inline v0::train {

/// The name of a rank's file.
inline std::string phases_name(rank_t rank) { return "phases-" + std::to_string(rank) + ".jsonl"; }

/// Keeps what the stopwatches of the calling thread, which is a rank's, book. A line is
///   {"iteration": last of its rounds, "rounds": n, "begin": s, "end": s, "seconds": {phase: s},
///    "sent": {kind of message: bytes}, "events": [[phase, begin, end], ...]}
/// with begin and end in seconds since 1970, and those of events in microseconds since the line's
/// begin. Lines of several rounds have no events.
class phase_recorder final : public dist::phase_listener {
 public:
  /// Keeps nothing if the folder is empty.
  phase_recorder(std::filesystem::path folder, rank_t rank) {
    if (folder.empty()) return;
    path_ = std::move(folder) / phases_name(rank);
    listen(true);
  }
  /// A block that is not written then is one that an exception ends.
  ~phase_recorder() override { listen(false); }

  void on_phase(phase p, clock::time_point begin, clock::time_point end) override {
    const double to = seconds_since_start(end);
    double from = seconds_since_start(begin);
    if (!has_events_) {
      round_begin_ = covered_ = from;
      has_events_ = true;
    }
    // A watch inside another one has the time first; the outer one has what follows.
    from = std::max(from, covered_);
    if (to <= from) return;
    book(p, from, to);
  }

  /// A round is over. What follows its last phase hands over messages.
  void end_round(std::uint32_t iterations_done, const traffic& messages) {
    if (path_.empty() || !has_events_) return;
    const double now = seconds_since_start(clock::now());
    if (now > covered_) book(phase::exchange, covered_, now);
    if (rounds_ == 0) block_begin_ = round_begin_;
    last_ = iterations_done;
    block_end_ = now;
    messages_ = messages.sent;
    ++rounds_;
    ++session_rounds_;
    has_events_ = false;
    if (rounds_ >= std::max<std::uint64_t>(1, session_rounds_ / detailed)) flush();
  }

  /// Writes what is not written yet: before a checkpoint, so that a resume has all up to it, and at
  /// the end. @throws error if it cannot be written
  void flush() {
    if (rounds_ == 0) return;
    // Open for this line only, one rank at a time: a process may have more ranks than descriptors.
    static std::mutex one_rank;
    const std::lock_guard lock(one_rank);
    io::line_log(path_).append(io::json::dump(line()));
    rounds_ = 0;
    times_ = {};
    sent_ = messages_;
    events_.clear();
  }

 private:
  static constexpr std::uint64_t detailed = 16;   // rounds that are kept one by one
  static constexpr std::size_t most_events = 96;  // of a round; more are only summed up

  struct event {
    phase what{};
    double begin{}, end{};
  };

  [[nodiscard]] double seconds_since_start(clock::time_point t) const {
    return std::chrono::duration<double>(t - start_).count();
  }

  void book(phase p, double from, double to) {
    times_[p] += to - from;
    covered_ = to;
    if (!events_.empty() && events_.back().what == p && from - events_.back().end < 1e-6)
      events_.back().end = to;
    else if (session_rounds_ < detailed && events_.size() <= most_events)
      events_.push_back({p, from, to});
  }

  [[nodiscard]] io::json::object line() const {
    io::json::object seconds, sent;
    for (std::size_t p = 0; p < phase_names.size(); ++p)
      if (times_.seconds[p] > 0) seconds.set(phase_names[p], times_.seconds[p]);
    for (std::size_t k = 0; k < message_kinds; ++k) {
      const std::uint64_t bytes = messages_.kinds[k].bytes - sent_.kinds[k].bytes;
      if (bytes > 0) sent.set(message_name(static_cast<message>(k)), bytes);
    }
    io::json::object all{{"iteration", last_},
                         {"rounds", rounds_},
                         {"begin", origin_ + block_begin_},
                         {"end", origin_ + block_end_},
                         {"seconds", std::move(seconds)},
                         {"sent", std::move(sent)}};
    if (rounds_ > 1 || events_.empty() || events_.size() > most_events) return all;
    io::json::array list;
    const auto microseconds = [&](double t) { return std::llround(1e6 * (t - block_begin_)); };
    for (const event& e : events_)
      list.push_back(io::json::array{phase_names[static_cast<std::size_t>(e.what)],
                                     microseconds(e.begin), microseconds(e.end)});
    all.set("events", std::move(list));
    return all;
  }

  std::filesystem::path path_;
  clock::time_point start_ = clock::now();
  double origin_ =
      std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch())
          .count();  ///< of start_; clocks of several machines differ by their error
  bool has_events_{};
  double round_begin_{}, covered_{}, block_begin_{}, block_end_{};
  std::uint32_t last_{};
  std::uint64_t rounds_{}, session_rounds_{};
  phase_times times_;
  tally_by_kind messages_, sent_;
  std::vector<event> events_;
};

}  // namespace gantry::train
