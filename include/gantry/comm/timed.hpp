// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// A world whose messages take time by a link model, on a clock that is either computed
// (comm/modelled.hpp) or real (comm/throttled.hpp). Arrival times travel beside the transport, so
// all ranks must live in this process; what is on the wire and the counters are the transport's.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/comm/collectives.hpp"
#include "gantry/concepts/communicator.hpp"
#include "gantry/concepts/link_model.hpp"

namespace gantry::inline v0::comm {

/// Seconds of one rank, and what it has computed.
struct node_time {
  double seconds{};  ///< on its clock, since the start of the run
  double waiting{};  ///< of these, for messages and at barriers
  double flops{};    ///< charged
  [[nodiscard]] double busy() const { return seconds - waiting; }
  friend bool operator==(const node_time&, const node_time&) = default;
};

/// What the ranks of one run know of each other's clocks.
class timeline {
 public:
  explicit timeline(rank_t size)
      : size_(static_cast<std::size_t>(size)), arrivals_(size_ * size_), left_(size_, -1.0) {}

  /// A message leaves whose arrival is known; before the transport takes it.
  void push(rank_t from, rank_t to, double arrival) {
    const std::lock_guard lock(mutex_);
    between(from, to).push_back(arrival);
  }
  /// The arrival of the message that the transport delivers next; 0 if there is none.
  double next(rank_t from, rank_t to) {
    const std::lock_guard lock(mutex_);
    const std::deque<double>& queue = between(from, to);
    return queue.empty() ? 0 : queue.front();
  }
  /// Of the one that it has just delivered.
  double pop(rank_t from, rank_t to) {
    const std::lock_guard lock(mutex_);
    std::deque<double>& queue = between(from, to);
    if (queue.empty()) return 0;
    const double arrival = queue.front();
    queue.pop_front();
    return arrival;
  }

  /// A rank comes to its barrier number 0, 1, ...; before the transport's barrier.
  void enter_barrier(std::uint64_t number, double now) {
    const std::lock_guard lock(mutex_);
    // Nobody comes to a barrier before all have left the last but one.
    auto& [of, latest] = barriers_[number % 2];
    latest = of == number + 1 ? std::max(latest, now) : now;
    of = number + 1;
  }
  /// When the last rank had come to it; after the transport's barrier.
  double barrier_time(std::uint64_t number) {
    const std::lock_guard lock(mutex_);
    return barriers_[number % 2].second;
  }

  void leave(rank_t rank, double now) {
    const std::lock_guard lock(mutex_);
    double& left = left_[static_cast<std::size_t>(rank)];
    if (left < 0) left = now;
  }
  double left_at(rank_t rank) {
    const std::lock_guard lock(mutex_);
    return left_[static_cast<std::size_t>(rank)];
  }

 private:
  std::deque<double>& between(rank_t from, rank_t to) {
    return arrivals_[static_cast<std::size_t>(from) * size_ + static_cast<std::size_t>(to)];
  }

  std::size_t size_;
  std::mutex mutex_;
  std::vector<std::deque<double>> arrivals_;  // [from][to]
  std::array<std::pair<std::uint64_t, double>, 2> barriers_{};
  std::vector<double> left_;
};

/// One rank's end. Clock has now(), wait_until(seconds) and compute(seconds).
///   send     never waits: the message arrives at max(now, link free) + transfer + latency, and the
///            link is free again when the transfer has ended
///   receive  returns at the later of now and the arrival; false when the news that the sender has
///            left could have come
///   barrier  returns when the last rank has come to it
///   charge   computes
template <Communicator Inner, LinkModel Model, class Clock>
class timed_communicator : public ordered_collectives<timed_communicator<Inner, Model, Clock>> {
 public:
  timed_communicator(Inner& inner, const Model& model, timeline& times, Clock clock,
                     node_time& spent)
      : inner_(&inner),
        model_(&model),
        times_(&times),
        clock_(std::move(clock)),
        spent_(&spent),
        link_free_(static_cast<std::size_t>(inner.size())) {}
  timed_communicator(const timed_communicator&) = delete;
  timed_communicator& operator=(const timed_communicator&) = delete;

  [[nodiscard]] rank_t rank() const noexcept { return inner_->rank(); }
  [[nodiscard]] rank_t size() const noexcept { return inner_->size(); }
  [[nodiscard]] const traffic& statistics() const { return inner_->statistics(); }
  [[nodiscard]] bool alive(rank_t peer) const { return inner_->alive(peer); }
  /// Whether a message from that rank is here by now (comm/requests.hpp).
  [[nodiscard]] bool ready(rank_t from) requires requires(Inner& inner) { inner.ready(from); }
  { return inner_->ready(from) && times_->next(from, rank()) <= clock_.now(); }
  /// Seconds of this rank so far.
  [[nodiscard]] const node_time& time() {
    spent_->seconds = clock_.now();
    return *spent_;
  }

  void send(message kind, std::span<const float> data, rank_t to) {
    stamp(data.size_bytes(), to);
    inner_->send(kind, data, to);
  }

  [[nodiscard]] bool receive(message kind, std::span<float> out, rank_t from) {
    return wait_for(from, [&] { return inner_->receive(kind, out, from); });
  }

  bool exchange(message kind, std::span<const float> out, rank_t to, std::span<float> in,
                rank_t from) {
    if (to == rank() && from == rank()) return inner_->exchange(kind, out, to, in, from);
    stamp(out.size_bytes(), to);
    return wait_for(from, [&] { return inner_->exchange(kind, out, to, in, from); });
  }

  void barrier() {
    const double before = clock_.now();
    const std::uint64_t number = barriers_++;
    times_->enter_barrier(number, before);
    inner_->barrier();
    clock_.wait_until(times_->barrier_time(number));
    book_wait(before);
  }

  void charge(double flops) {
    clock_.compute(model_->compute_seconds(rank(), flops, charges_++));
    spent_->flops += flops;
    spent_->seconds = clock_.now();
  }

  void enter_iteration(std::uint32_t iteration) { gantry::enter_iteration(*inner_, iteration); }
  void expect_part(const network_part& part) { gantry::expect_part(*inner_, part); }

  /// What a filter below remembers; clocks start anew with each run.
  template <class Visit>
  void visit_values(Visit&& visit) requires requires(Inner& inner) {
    inner.visit_values(visit);
  }
  { inner_->visit_values(visit); }

  void leave() noexcept {
    times_->leave(rank(), clock_.now());
    spent_->seconds = clock_.now();
    inner_->leave();
  }

 private:
  [[nodiscard]] bool is_peer(rank_t r) const { return r >= 0 && r < size() && r != rank(); }

  void stamp(std::size_t bytes, rank_t to) {
    if (!is_peer(to)) return;  // the transport says so
    const bool shared = model_->shares_uplink(rank());
    double& free = link_free_[static_cast<std::size_t>(shared ? rank() : to)];
    free = std::max(clock_.now(), free) +
           model_->transfer_seconds(rank(), to, static_cast<double>(bytes));
    times_->push(rank(), to, free + model_->latency(rank(), to));
  }

  template <class Deliver>
  bool wait_for(rank_t from, Deliver deliver) {
    const double before = clock_.now();
    bool arrived = false;
    try {
      arrived = deliver();
    } catch (const usage_error&) {
      throw;
    } catch (const error&) {
      // A message of another kind or length is gone, and so is its arrival.
      static_cast<void>(times_->pop(from, rank()));
      throw;
    }
    clock_.wait_until(arrived ? times_->pop(from, rank())
                              : times_->left_at(from) + model_->latency(from, rank()));
    book_wait(before);
    return arrived;
  }

  void book_wait(double before) {
    spent_->seconds = clock_.now();
    spent_->waiting += spent_->seconds - before;
  }

  Inner* inner_;
  const Model* model_;
  timeline* times_;
  Clock clock_;
  node_time* spent_;
  std::vector<double> link_free_;  // by receiver; a shared uplink uses the sender's own place
  std::uint64_t barriers_{};
  std::uint32_t charges_{};
};

/// A world whose ranks communicate on the clock of a link model. Clock(world) makes the clock that
/// all ranks of a run copy.
template <World Inner, LinkModel Model, class Clock>
class timed_world {
 public:
  using communicator_type = timed_communicator<typename Inner::communicator_type, Model, Clock>;

  timed_world(Inner inner, Model model)
      : inner_(std::move(inner)),
        model_(std::move(model)),
        spent_(static_cast<std::size_t>(inner_.size())) {}

  [[nodiscard]] rank_t size() const noexcept { return inner_.size(); }
  [[nodiscard]] decltype(auto) pool() const noexcept { return inner_.pool(); }
  [[nodiscard]] const traffic& of(rank_t rank) const { return inner_.of(rank); }
  [[nodiscard]] traffic total() const { return inner_.total(); }
  [[nodiscard]] const Model& model() const noexcept { return model_; }

  /// Seconds of a rank in this run or the last one. While run() is under way, only on that rank.
  [[nodiscard]] const node_time& time_of(rank_t rank) const {
    expects(rank >= 0 && rank < size(), "the time asked for must be that of a rank of the world");
    return spent_[static_cast<std::size_t>(rank)];
  }
  /// When the last rank ended. Not while run() is under way.
  [[nodiscard]] double seconds() const {
    return std::ranges::max(spent_, {}, &node_time::seconds).seconds;
  }

  /// See the World concept. Every run starts at second 0.
  /// @throws usage_error at its end if some ranks of the world were in other processes
  template <class Node>
  void run(Node&& node) {
    std::ranges::fill(spent_, node_time{});
    timeline times(size());
    const Clock start(inner_);
    std::atomic<rank_t> here = 0;
    inner_.run([&](auto& comm) {
      ++here;
      communicator_type own(comm, model_, times, start,
                            spent_[static_cast<std::size_t>(comm.rank())]);
      node(own);
      own.leave();
    });
    expects(here == size(),
            "a world on the clock of a link model must have all of its ranks in one process; run "
            "it over comm::in_process");
  }

 private:
  Inner inner_;
  Model model_;
  std::vector<node_time> spent_;
};

}  // namespace gantry::comm
