// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "gantry/comm/any.hpp"
#include "gantry/comm/collectives.hpp"
#include "gantry/concepts/rank_view.hpp"

/// A Communicator of the first ranks. Barriers are the world's, so that the others come to them
/// too.
class first_ranks_view
    : public gantry::ranks_within<gantry::comm::any_communicator, first_ranks_view>,
      public gantry::comm::ordered_collectives<first_ranks_view> {
 public:
  first_ranks_view(gantry::comm::any_communicator& whole, gantry::rank_t count)
      : ranks_within(whole), count_(count) {}

  [[nodiscard]] gantry::rank_t rank() const noexcept { return world().rank(); }
  [[nodiscard]] gantry::rank_t size() const noexcept { return count_; }
  /// A rank outside of the view is one outside of the world.
  [[nodiscard]] gantry::rank_t in_world(gantry::rank_t rank) const {
    return rank < count_ ? rank : world().size();
  }
  void barrier() { meet(1); }
  /// The last thing on each rank of the view.
  void end() { meet(0); }
  /// What the other ranks do in the meantime.
  static void sit_out(gantry::comm::any_communicator& whole) {
    std::array<float, 1> goes_on{1};
    while (goes_on[0] > 0 && whole.receive(gantry::message::control, goes_on, 0)) whole.barrier();
  }

 private:
  void meet(float goes_on) {
    for (gantry::rank_t r = count_; r < world().size() && rank() == 0; ++r)
      world().send(gantry::message::control, std::array{goes_on}, r);
    world().barrier();
  }

  gantry::rank_t count_;
};

/// The first ranks of a world. Counts what they send, on rank 0.
class first_ranks {
 public:
  using communicator_type = gantry::comm::any_communicator;

  /// `sent` gets the bytes that all ranks have sent in a run, without control messages.
  first_ranks(gantry::comm::any_world whole, gantry::rank_t count, std::uint64_t& sent)
      : whole_(std::move(whole)), count_(count), sent_(&sent) {}

  [[nodiscard]] gantry::rank_t size() const noexcept { return count_; }
  [[nodiscard]] const auto& pool() const noexcept { return whole_.pool(); }
  void run(auto&& f) {
    using gantry::comm::any_communicator;
    whole_.run([&](any_communicator& c) {
      if (c.size() == count_) {
        f(c);
      } else if (c.rank() < count_) {
        first_ranks_view view(c, count_);
        any_communicator erased(view);
        f(erased);
        view.end();
      } else {
        first_ranks_view::sit_out(c);
      }
      add_up(c);
    });
  }

 private:
  /// In digits that stay exact as floats when those of all ranks are added.
  void add_up(gantry::comm::any_communicator& c) {
    using namespace gantry;
    constexpr std::uint64_t digit = 1 << 16;
    const tally_by_kind& sent = c.statistics().sent;
    std::uint64_t bytes = sent.total().bytes - sent[message::control].bytes;
    std::array<float, 4> digits{};
    for (float& d : digits) d = static_cast<float>(bytes % digit), bytes /= digit;
    c.reduce_sum(message::control, digits, 0);
    if (c.rank() != 0) return;
    *sent_ = 0;
    for (std::size_t i = digits.size(); i-- > 0;)
      *sent_ = *sent_ * digit + static_cast<std::uint64_t>(digits[i]);
  }

  gantry::comm::any_world whole_;
  gantry::rank_t count_;
  std::uint64_t* sent_;
};
