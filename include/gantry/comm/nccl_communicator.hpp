// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// One rank's end where the values of messages go from device to device by NCCL. All that the
// contract says of order, kinds, lengths and ranks that stop is another transport's work: it
// carries the head of each message, and short messages as they are.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/base/thread_pool.hpp"
#include "gantry/comm/collectives.hpp"
#include "gantry/comm/health.hpp"
#include "gantry/comm/message_values.hpp"
#include "gantry/comm/nccl_lane.hpp"
#include "gantry/comm/peer_rules.hpp"
#include "gantry/concepts/communicator.hpp"
#include "gantry/concepts/device_queue.hpp"

namespace gantry::inline v0::comm {

/// See concepts/communicator.hpp for the contract. Values on the host go through pinned memory and
/// the device's; values on the device go as they are. Sums are those of comm/collectives.hpp, in
/// the order of ranks; only sum_device leaves the order to NCCL.
template <HasReduce Control>
class nccl_communicator : public ordered_collectives<nccl_communicator<Control>> {
 public:
  /// For nccl_world, which gives each run groups of its own.
  nccl_communicator(Control& control, nccl_lane& lane, thread_pool& pool, const patience& health)
      : control_(&control),
        lane_(&lane),
        pool_(&pool),
        patience_(&health),
        sent_(static_cast<std::size_t>(control.size())),
        received_(sent_) {}
  nccl_communicator(const nccl_communicator&) = delete;
  nccl_communicator& operator=(const nccl_communicator&) = delete;

  [[nodiscard]] rank_t rank() const noexcept { return control_->rank(); }
  [[nodiscard]] rank_t size() const noexcept { return control_->size(); }
  [[nodiscard]] const traffic& statistics() const { return counters_; }
  [[nodiscard]] bool alive(rank_t peer) const { return control_->alive(peer); }
  /// Whether the next receive from that rank would return soon (comm/requests.hpp).
  [[nodiscard]] bool ready(rank_t from) requires requires(Control& c) { c.ready(from); }
  { return control_->ready(from); }
  void barrier() { control_->barrier(); }
  void leave() noexcept { control_->leave(); }
  void enter_iteration(std::uint32_t iteration) {
    iteration_ = iteration + 1;
    gantry::enter_iteration(*control_, iteration);
  }
  void expect_part(const network_part& part) {
    part_ = part;
    gantry::expect_part(*control_, part);
  }

  void send(message kind, std::span<const float> data, rank_t to) {
    // Of a send, the lane only reads.
    std::span<float> values(const_cast<float*>(data.data()), data.size());
    hand_over(kind, {.host = values}, to);
  }
  [[nodiscard]] bool receive(message kind, std::span<float> out, rank_t from) {
    return take(kind, {.host = out}, from, "receive");
  }
  bool exchange(message kind, std::span<const float> out, rank_t to, std::span<float> in,
                rank_t from) {
    if (to == rank() && from == rank()) {
      detail::exchange_with_itself(rank(), kind, out, in);
      return true;
    }
    send(kind, out, to);
    return take(kind, {.host = in}, from, "exchange");
  }

  /// See HasDeviceMessages.
  [[nodiscard]] static constexpr bool takes_device_memory() { return true; }
  void send_device(message kind, device_parts values, rank_t to, device_queue after = {}) {
    hand_over(kind, {.parts = values}, to, after);
  }
  /// See gantry::expect_device.
  void expect_device(std::span<const std::size_t> counts, rank_t from) {
    std::vector<std::size_t> by_lane;
    std::ranges::copy_if(counts, std::back_inserter(by_lane),
                         [&](std::size_t count) { return goes_by_lane(count); });
    lane_->expect(by_lane, from);
  }
  [[nodiscard]] bool receive_device(message kind, device_parts values, rank_t from) {
    return take(kind, {.parts = values}, from, "receive");
  }
  bool exchange_device(message kind, device_parts out, rank_t to, device_parts in, rank_t from) {
    if (to != rank() || from != rank()) {
      send_device(kind, out, to);
      return take(kind, {.parts = in}, from, "exchange");
    }
    const std::size_t count = message_values{.parts = out}.size();
    detail::require_same_length(rank(), kind, count, message_values{.parts = in}.size());
    if (std::ranges::equal(out, in, [](auto a, auto b) { return a.data() == b.data(); }))
      return true;
    staged_.resize(count);
    lane_->copy_to_host(out, staged_);
    lane_->copy_to_device(staged_, in);
    return true;
  }

  /// The sum over all live ranks, on the device, in the order that NCCL finds fastest: equal on all
  /// ranks, and not always the bits of all_reduce_sum. All live ranks call it. Counted as one
  /// message to each of two neighbours. @throws error
  void sum_device(message kind, std::span<float> values) {
    std::vector<float> here(static_cast<std::size_t>(size()));
    here[static_cast<std::size_t>(rank())] = 1;
    control_->all_reduce_sum(message::control, here);
    std::vector<rank_t> members;
    for (rank_t r = 0; r < size(); ++r)
      if (here[static_cast<std::size_t>(r)] > 0) members.push_back(r);
    rest_of_core rest(*pool_);
    rest.begin();
    lane_->sum(values, members, waiting(kind, values.size(), members, "sum", rest));
    counters_.sent[kind] += {2, 2 * values.size_bytes()};
    counters_.received[kind] += {2, 2 * values.size_bytes()};
  }

 private:
  /// What goes ahead of values that go by NCCL: their number in two digits, and the message's own,
  /// so that nothing is taken for something else after an error.
  static constexpr std::size_t digit = std::size_t{1} << 24;
  using head = std::array<float, 3>;
  static head head_of(std::size_t count, std::uint32_t number) {
    return {static_cast<float>(count % digit), static_cast<float>(count / digit),
            static_cast<float>(number % digit)};
  }

  [[nodiscard]] bool goes_by_lane(std::size_t count) const {
    return count > 0 && count >= lane_->options().least_values;
  }
  void hand_over(message kind, const message_values& values, rank_t to, device_queue after = {}) {
    const std::size_t count = values.size();
    if (goes_by_lane(count)) {
      control_->send(kind, head_of(count, number(sent_, to)), to);
      if (control_->alive(to))
        lane_->send(values, to, after);
      else
        lane_->stop_sending(to);
      ++sent_[static_cast<std::size_t>(to)];
    } else if (values.parts.empty()) {
      control_->send(kind, values.host, to);
    } else {
      staged_.resize(count);
      lane_->copy_to_host(values.parts, staged_, after);
      control_->send(kind, staged_, to);
    }
    counters_.sent[kind] += {1, count * sizeof(float)};
  }

  bool take(message kind, const message_values& values, rank_t from, std::string_view operation) {
    const std::size_t count = values.size();
    if (goes_by_lane(count)) {
      if (!take_by_lane(kind, values, from, operation)) return false;
    } else if (values.parts.empty()) {
      if (!control_->receive(kind, values.host, from)) return false;
    } else {
      staged_.resize(count);
      if (!control_->receive(kind, staged_, from)) return false;
      lane_->copy_to_device(staged_, values.parts);
    }
    counters_.received[kind] += {1, count * sizeof(float)};
    return true;
  }

  bool take_by_lane(message kind, const message_values& values, rank_t from,
                    std::string_view operation) {
    head found{};
    if (!control_->receive(kind, found, from)) return false;
    const std::size_t count = values.size();
    const std::size_t announced =
        static_cast<std::size_t>(found[0]) + digit * static_cast<std::size_t>(found[1]);
    const std::uint32_t due = number(received_, from);
    if (found[2] != head_of(count, due)[2])
      throw error("rank " + std::to_string(rank()) + " expected message " + std::to_string(due) +
                  " of rank " + std::to_string(from) + ", found number " +
                  std::to_string(static_cast<std::uint32_t>(found[2])) +
                  "; end the run after an error, both ranks have lost step");
    ++received_[static_cast<std::size_t>(from)];
    rest_of_core rest(*pool_);
    const auto late = waiting(kind, count, {from}, operation, rest);
    if (announced == count) return lane_->receive(values, from, late);
    if (lane_->expects_from(from))
      lane_->stop_receiving(from);
    else
      static_cast<void>(lane_->drop(announced, from, late));
    detail::throw_other_message(rank(), detail::describe(kind, count), from,
                                detail::describe(kind, announced));
  }
  static std::uint32_t number(const std::vector<std::uint32_t>& of, rank_t peer) {
    return static_cast<std::size_t>(peer) < of.size() ? of[static_cast<std::size_t>(peer)] : 0;
  }

  /// Leaves the core to others until it is destroyed.
  class rest_of_core {
   public:
    explicit rest_of_core(thread_pool& pool) : permit_(pool) {}
    rest_of_core(const rest_of_core&) = delete;
    rest_of_core& operator=(const rest_of_core&) = delete;
    ~rest_of_core() {
      if (has_begun_) permit_.acquire();
    }
    void begin() {
      if (!std::exchange(has_begun_, true)) permit_.release();
    }

   private:
    compute_permit permit_;
    bool has_begun_{false};
  };

  /// Asked while values are under way: says once that they are late, throws if another rank has
  /// failed, and gives up who has stopped. @throws error after `give_up_after` seconds
  std::function<bool(double)> waiting(message kind, std::size_t count, std::vector<rank_t> from,
                                      std::string_view operation, rest_of_core& rest) {
    return [this, kind, count, from = std::move(from), operation = std::string(operation),
            rest = &rest, looked = 0.0, gone_since = -1.0, warned = false](double seconds) mutable {
      if (seconds < looked + 0.01) return false;
      looked = seconds;
      rest->begin();
      const auto text = [&] {
        late_wait now{rank(), operation, {}, iteration_, seconds, {}};
        for (const rank_t r : from) {
          if (r == rank()) continue;
          now.missing += (now.missing.empty() ? "rank " : ", rank ") + std::to_string(r) +
                         (alive(r) ? " (announced, values under way)" : " (has stopped)");
        }
        now.what = "the values of " + detail::describe(kind, count, part_) + " by NCCL";
        return now.sentence();
      };
      if (patience_->give_up_after > 0 && seconds > patience_->give_up_after)
        throw error(text() + "; it gives up, look at that rank and at its device");
      if (patience_->warn_after > 0 && seconds > patience_->warn_after &&
          !std::exchange(warned, true))
        patience_->warn(text());
      return has_stopped(from, seconds, gone_since);
    };
  }
  /// What a rank has sent before it left still comes; of one that was killed nothing does.
  bool has_stopped(const std::vector<rank_t>& peers, double seconds, double& gone_since) {
    bool all_here = true;
    for (const rank_t r : peers) {
      if (r == rank()) continue;
      all_here = all_here && alive(r);
      if constexpr (requires(Control & c) { c.ready(r); }) static_cast<void>(control_->ready(r));
    }
    if (all_here)
      gone_since = -1;
    else if (gone_since < 0)
      gone_since = seconds;
    return gone_since >= 0 && seconds - gone_since > seconds_for_the_rest;
  }
  static constexpr double seconds_for_the_rest = 2;

  Control* control_;
  nccl_lane* lane_;
  thread_pool* pool_;
  const patience* patience_;
  std::uint32_t iteration_{};  // 1, 2, ...; 0: before the first
  network_part part_;          // of what is received
  traffic counters_;
  std::vector<std::uint32_t> sent_, received_;  // by peer, of those that go by NCCL
  std::vector<float> staged_;
};

}  // namespace gantry::comm
