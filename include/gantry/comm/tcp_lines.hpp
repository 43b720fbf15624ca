// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The lines between processes, and the signs of life on them: a thread of each process tells rank 0
// where its rank is, whatever the rank itself is busy with.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "gantry/comm/health.hpp"
#include "gantry/comm/launcher.hpp"
#include "gantry/comm/mailboxes.hpp"
#include "gantry/comm/rendezvous.hpp"
#include "gantry/comm/tcp_socket.hpp"
#include "gantry/concepts/communicator.hpp"

namespace gantry::inline v0::comm {

namespace detail {

/// What precedes each message. Behind a farewell are the letters of the reason, none for a rank
/// that has ended well. Of a sign of life, `number` says what its rank waits for or sends and
/// `count` its processor time in microseconds; that a rank is lost is news of rank 0.
struct frame {
  enum : std::uint32_t { barrier = message_kinds, iteration, farewell, sign, lost };
  std::uint32_t what{}, number{};
  std::uint64_t count{};
};

/// What a sign of life says, and back; a process has used so much processor time.
inline frame sign_of(const rank_position& at) {
  const auto kind = static_cast<std::size_t>(at.waits_for + 2) * message_kinds +
                    static_cast<std::size_t>(at.kind);
  return {.what = frame::sign,
          .number = static_cast<std::uint32_t>(2 * kind + (at.sends ? 1 : 0)),
          .count = static_cast<std::uint64_t>(at.cpu_seconds * 1e6)};
}
inline rank_position position_in(const frame& sign) {
  return {.waits_for = static_cast<rank_t>(sign.number / 2 / message_kinds) - 2,
          .kind = static_cast<message>(sign.number / 2 % message_kinds),
          .cpu_seconds = 1e-6 * static_cast<double>(sign.count),
          .sends = sign.number % 2 == 1};
}

}  // namespace detail

/// This process's lines to all others, over which worlds run one after the other.
struct tcp_lines {
  /// All processes of the job make it together. @throws as meet()
  tcp_lines(const launch& self, const meeting_place& place)
      : rank(self.rank),
        sockets(meet(self, place)),
        writing(sockets.size()),
        at_barrier(sockets.size()) {}

  /// Who listens to a line says what becomes of a rank whose line has ended.
  void write(rank_t to, const detail::frame& head, const void* values, std::size_t bytes) noexcept {
    const auto i = static_cast<std::size_t>(to);
    const std::lock_guard lock(writing[i]);
    if (head.what < message_kinds) sending = delivery{to, static_cast<message>(head.what)};
    static_cast<void>(sockets[i].write(&head, sizeof head) && sockets[i].write(values, bytes));
    if (head.what < message_kinds) sending = delivery{};
  }
  /// As write, of a sign of life: nothing where that would wait.
  void write_sign(rank_t to, const detail::frame& head) noexcept {
    const auto i = static_cast<std::size_t>(to);
    const std::unique_lock lock(writing[i], std::try_to_lock);
    if (lock && sockets[i].has_room()) static_cast<void>(sockets[i].write(&head, sizeof head));
  }

  rank_t rank;
  std::vector<tcp_socket> sockets;  // by rank
  std::deque<std::mutex> writing;   // to each of them
  struct delivery {
    rank_t to{rank_position::nobody};
    message kind{};
  };
  std::atomic<delivery> sending;  // by the rank itself, which sends one message after the other
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<std::uint64_t> at_barrier;  // how often each rank has come to one
};

/// Ranks that rank 0 has given up and that the others have not been told of.
class tcp_losses {
 public:
  void add(rank_t lost) {
    const std::lock_guard lock(mutex_);
    lost_.push_back(lost);
  }
  [[nodiscard]] std::vector<rank_t> take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(lost_, {});
  }

 private:
  std::mutex mutex_;
  std::vector<rank_t> lost_;
};

/// One rank's signs of life while it lives; on rank 0 it tells of losses in their place.
class tcp_pulse {
 public:
  /// `is_at_barrier` is asked by its thread. Without a period nothing is said.
  /// @throws std::system_error if there is no room for a thread
  tcp_pulse(tcp_lines& lines, mailboxes& boxes, tcp_losses& losses, double period,
            std::function<bool()> is_at_barrier)
      : lines_(&lines), boxes_(&boxes), losses_(&losses), is_at_barrier_(std::move(is_at_barrier)) {
    if (period > 0 && lines.sockets.size() > 1)
      thread_ = std::thread([this, period] { beat(std::chrono::duration<double>(period)); });
  }
  tcp_pulse(const tcp_pulse&) = delete;
  tcp_pulse& operator=(const tcp_pulse&) = delete;
  ~tcp_pulse() {
    if (!thread_.joinable()) return;
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    over_.notify_one();
    thread_.join();
  }

 private:
  void beat(std::chrono::duration<double> period) {
    std::unique_lock lock(mutex_);
    bool is_over = false;
    while (!is_over) {
      is_over = over_.wait_for(lock, period, [&] { return stopping_; });
      if (lines_->rank == 0)
        tell_of_losses();
      else
        lines_->write_sign(0, detail::sign_of(position()));
    }
  }
  [[nodiscard]] rank_position position() const {
    rank_position here = boxes_->position(lines_->rank);
    if (const tcp_lines::delivery now = lines_->sending; now.to != rank_position::nobody)
      here.waits_for = now.to, here.kind = now.kind, here.sends = true;
    if (is_at_barrier_()) here.waits_for = rank_position::everybody;
    if (timespec t{}; clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) == 0)
      here.cpu_seconds = static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
    return here;
  }
  /// The rank itself is told too, should it come back, and its line is cut.
  void tell_of_losses() {
    for (const rank_t lost : losses_->take()) {
      const detail::frame news{.what = detail::frame::lost,
                               .number = static_cast<std::uint32_t>(lost)};
      const auto size = static_cast<rank_t>(lines_->sockets.size());
      for (rank_t r = 1; r < size; ++r)
        if (!boxes_->is_lost(r)) lines_->write(r, news, nullptr, 0);  // who has left listens on
      lines_->write_sign(lost, news);
      lines_->sockets[static_cast<std::size_t>(lost)].shut_down();
    }
  }

  tcp_lines* lines_;
  mailboxes* boxes_;
  tcp_losses* losses_;
  std::function<bool()> is_at_barrier_;
  std::mutex mutex_;
  std::condition_variable over_;
  bool stopping_{false};
  std::thread thread_;
};

}  // namespace gantry::comm
