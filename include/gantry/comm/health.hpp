// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Ranks that are late: what is known of them, what is said, and what becomes of them. Transports
// look at the clock while they wait; rank 0 alone decides that another rank is lost, so that all
// agree (docs/12_transports.md).
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "gantry/concepts/communicator.hpp"

namespace gantry::inline v0::comm {

/// What becomes of a rank that is late and gives no sign of work.
enum class when_late {
  wait,  ///< it is named and waited for
  drop   ///< it is named and taken as lost: the others go on as if it had left
};

/// When a wait is late, and what happens then. To name a rank costs nothing, so it comes before
/// anything is done about it.
struct patience {
  /// Seconds of waiting in one iteration until those that are waited for are named; 0: never.
  double warn_after{2};
  double act_after{5};      ///< seconds without a sign of work until `then`
  double silence_after{2};  ///< over MPI: seconds until others name a rank 0 without a sign of life
  double give_up_after{0};  ///< seconds until a wait ends in an error; 0: never
  double signs_every{0.25};         ///< seconds between signs of life where ranks are processes
  when_late then{when_late::wait};  ///< on rank 0, of the others
  /// Over MPI, whose end waits for all processes: at last kill those of ranks that are lost and
  /// have stayed silent, if they are on the machine of rank 0.
  bool end_silent{false};
  /// Gets the sentence of a warning.
  std::function<void(const std::string&)> warn = [](const std::string& sentence) {
    std::fprintf(stderr, "gantry: %s\n", sentence.c_str());
  };
  /// On rank 0: this rank has just been taken as lost.
  std::function<void(rank_t)> on_lost{};
};

/// Seconds of a clock that only goes forward.
inline double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Where a rank says it is.
struct rank_position {
  static constexpr rank_t nobody = -1, everybody = -2;

  std::uint32_t iteration{};  ///< 1, 2, ...; 0: before the first
  rank_t waits_for{nobody};   ///< `everybody`: at a barrier
  message kind{};             ///< of the message that it waits for
  double cpu_seconds{};       ///< that it has used so far
  bool sends{false};          ///< that message, which the other one does not take in
};

/// The signs of life of one rank.
class rank_signs {
 public:
  explicit rank_signs(double now = seconds_now()) : heard_(now), moved_(now) {}

  /// It says where it is. Work is to use a fiftieth of the time, or to wait for somebody.
  void note(const rank_position& at, double now) {
    const double used = at.cpu_seconds - at_.cpu_seconds;
    if (at.waits_for != rank_position::nobody || used >= 0.02 * (now - heard_)) moved_ = now;
    heard_ = now;
    at_ = at;
  }
  /// A part of a message has come from it, behind which its signs queue.
  void note_values(double now) { heard_ = moved_ = now; }
  [[nodiscard]] const rank_position& at() const { return at_; }
  /// Seconds without a sign, and without a sign of work.
  [[nodiscard]] double silent_for(double now) const { return now - heard_; }
  [[nodiscard]] double still_for(double now) const { return now - moved_; }

  /// For a sentence, of a rank that has been waited for since `seconds` ago.
  [[nodiscard]] std::string describe(rank_t rank, double seconds, double now) const {
    const auto text = [](double s) { return std::to_string(static_cast<int>(s)) + " s"; };
    std::string who = "rank " + std::to_string(rank) + " (";
    if (silent_for(now) >= 0.5 * seconds)
      return who + "silent for " + text(silent_for(now)) + ": stopped, killed or cut off)";
    if (at_.waits_for == rank_position::everybody) return who + "waits at a barrier)";
    if (at_.waits_for >= 0)
      return who + (at_.sends ? "sends a " : "waits for a ") + std::string(message_name(at_.kind)) +
             (at_.sends ? " message to rank " : " message from rank ") +
             std::to_string(at_.waits_for) + ")";
    const std::string where = at_.iteration == 0 ? "before the first iteration"
                                                 : "in iteration " + std::to_string(at_.iteration);
    if (still_for(now) >= 0.5 * seconds)
      return who + "does nothing for " + text(still_for(now)) + ", " + where + ")";
    return who + "computes, " + where + ")";
  }

 private:
  double heard_, moved_;
  rank_position at_;
};

/// How long a rank has waited in this iteration, in all of its waits: a slow rank may make the one
/// that waits for it late in many short ones. Outside of iterations each wait stands for itself.
class late_waits {
 public:
  void enter_iteration() {
    if (is_inside_) recent_[iterations_++ % recent_.size()] = spent_;
    is_inside_ = true;
    spent_ = 0;
    named_.clear();
  }
  /// A wait has ended.
  void note(double seconds) {
    if (is_inside_) spent_ += seconds;
    if (!is_inside_) named_.clear();
  }
  /// With the wait that is under way.
  [[nodiscard]] double in_all(double seconds) const { return spent_ + seconds; }

  /// Whether the missing ranks must be named: one of them that has not been named in this iteration
  /// shows no sign of work, or the iteration has waited for half as long again as the shortest of
  /// the last three. So rounds that always are long are soon taken as they are. signs_of(rank) is
  /// null where nothing is known.
  template <class SignsOf>
  [[nodiscard]] bool must_name(const std::vector<rank_t>& missing, double seconds,
                               double warn_after, SignsOf signs_of) {
    if (in_all(seconds) < warn_after) return false;
    const bool is_late = in_all(seconds) >= std::max(warn_after, 1.5 * usual());
    const double now = seconds_now();
    bool is_news = false;
    for (const rank_t r : missing) {
      const rank_signs* signs = signs_of(r);
      const bool is_still = signs != nullptr && (signs->silent_for(now) >= warn_after ||
                                                 signs->still_for(now) >= warn_after);
      if ((!is_late && !is_still) || std::ranges::find(named_, r) != named_.end()) continue;
      named_.push_back(r);
      is_news = true;
    }
    return is_news;
  }

 private:
  [[nodiscard]] double usual() const {
    const std::size_t known = std::min(iterations_, recent_.size());
    return known == 0 ? 0 : *std::min_element(recent_.begin(), recent_.begin() + known);
  }

  bool is_inside_{false};
  double spent_{};
  std::array<double, 3> recent_{};  // seconds of the iterations before
  std::size_t iterations_{};
  std::vector<rank_t> named_;  // in this iteration
};

/// A wait that is late.
struct late_wait {
  rank_t rank{};                 ///< that waits
  std::string_view operation{};  ///< receive, exchange, barrier
  std::string what{};            ///< "a feedback message of 7 values from rank 2"
  std::uint32_t iteration{};     ///< 1, 2, ...; 0: before the first
  double seconds{};
  std::string missing{};  ///< what is known of each rank that has not arrived
  double in_all{};        ///< seconds of all waits in this iteration

  [[nodiscard]] std::string sentence() const {
    return "rank " + std::to_string(rank) + " has waited " +
           std::to_string(static_cast<int>(seconds)) + " s for " + what + " (" +
           std::string(operation) +
           (iteration == 0 ? " before the first iteration" : " in iteration ") +
           (iteration == 0 ? "" : std::to_string(iteration)) +
           (in_all < seconds + 1 ? ""
                                 : ", after " + std::to_string(static_cast<int>(in_all - seconds)) +
                                       " s for others") +
           "); not arrived: " + missing;
  }
};

/// What rank 0 says when it gives a rank up.
inline std::string lost_sentence(rank_t rank, std::uint32_t iteration) {
  return "rank " + std::to_string(rank) + " is taken as lost in iteration " +
         std::to_string(iteration) + ", and the others go on without it";
}

}  // namespace gantry::comm
