// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Filters around any transport: strategies and `train::run` take a filtered world as they take a
// plain one.
//
//   auto world = comm::filtered(comm::in_process(9), {.kinds = {message::feedback}},
//                               dist::error_feedback{dist::int8_blocks{}});
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/comm/collectives.hpp"
#include "gantry/concepts/communicator.hpp"
#include "gantry/concepts/filter.hpp"

namespace gantry::inline v0::comm {

/// One rank's end: encodes chosen messages before they leave and decodes them where they arrive.
/// The counters are the transport's, so they count what is on the wire. What a rank exchanges with
/// itself never leaves it and is not filtered. Collectives are made of messages, each of which is
/// filtered: the root of a broadcast keeps its values, the others get what the filter leaves.
template <Communicator Inner, Filter F>
class filtered_communicator : public ordered_collectives<filtered_communicator<Inner, F>> {
 public:
  filtered_communicator(Inner& inner, const message_selection& selection, F& filter)
      : inner_(&inner), selection_(&selection), filter_(&filter) {}
  filtered_communicator(const filtered_communicator&) = delete;
  filtered_communicator& operator=(const filtered_communicator&) = delete;

  [[nodiscard]] rank_t rank() const noexcept { return inner_->rank(); }
  [[nodiscard]] rank_t size() const noexcept { return inner_->size(); }
  [[nodiscard]] const traffic& statistics() const { return inner_->statistics(); }
  [[nodiscard]] bool alive(rank_t peer) const { return inner_->alive(peer); }
  /// As the transport's (comm/requests.hpp).
  [[nodiscard]] bool ready(rank_t from) requires requires(Inner& inner) { inner.ready(from); }
  { return inner_->ready(from); }
  void barrier() { inner_->barrier(); }
  void leave() noexcept { inner_->leave(); }
  void charge(double flops) { gantry::charge(*inner_, flops); }
  void enter_iteration(std::uint32_t iteration) { gantry::enter_iteration(*inner_, iteration); }
  void expect_part(const network_part& part) { gantry::expect_part(*inner_, part); }
  /// What the filter remembers, and what lies below it. A checkpoint of this rank holds it.
  template <class Visit>
  void visit_values(Visit&& visit) {
    filter_->visit_values(visit);
    if constexpr (requires { inner_->visit_values(visit); })
      inner_->visit_values([&](const std::string& name, std::vector<float>& values) {
        visit("below/" + name, values);
      });
  }

  void send(message kind, std::span<const float> data, rank_t to) {
    inner_->send(kind, on_wire({kind, rank(), to}, data), to);
  }

  [[nodiscard]] bool receive(message kind, std::span<float> out, rank_t from) {
    const message_route route{kind, from, rank()};
    const std::span<float> wire = room(route, out);
    if (!inner_->receive(kind, wire, from)) return false;
    arrived(route, wire, out);
    return true;
  }

  bool exchange(message kind, std::span<const float> out, rank_t to, std::span<float> in,
                rank_t from) {
    if (to == rank() && from == rank()) return inner_->exchange(kind, out, to, in, from);
    const message_route route{kind, from, rank()};
    const std::span<const float> leaving = on_wire({kind, rank(), to}, out);
    const std::span<float> wire = room(route, in);
    if (!inner_->exchange(kind, leaving, to, wire, from)) return false;
    arrived(route, wire, in);
    return true;
  }

 private:
  std::span<const float> on_wire(const message_route& route, std::span<const float> values) {
    if (!selection_->has(route)) return values;
    outgoing_.resize(filter_->wire_size(values.size()));
    filter_->encode(route, values, outgoing_);
    return outgoing_;
  }
  /// Where a message of this route is received: at its place if it is not filtered.
  std::span<float> room(const message_route& route, std::span<float> out) {
    if (!selection_->has(route)) return out;
    incoming_.resize(filter_->wire_size(out.size()));
    return incoming_;
  }
  void arrived(const message_route& route, std::span<const float> wire, std::span<float> out) {
    if (selection_->has(route)) filter_->decode(route, wire, out);
  }

  Inner* inner_;
  const message_selection* selection_;
  F* filter_;
  std::vector<float> outgoing_, incoming_;  // kept, so that a steady exchange allocates nothing
};

/// A world whose ranks filter the chosen messages.
template <World Inner, Filter F>
class filtered_world {
 public:
  using communicator_type = filtered_communicator<typename Inner::communicator_type, F>;

  /// One filter for each rank of the world, in their order; each run begins with copies of them.
  /// @throws usage_error for another number
  filtered_world(Inner inner, message_selection selection, std::vector<F> filters)
      : inner_(std::move(inner)), selection_(std::move(selection)), filters_(std::move(filters)) {
    expects(filters_.size() == static_cast<std::size_t>(inner_.size()),
            "a filtered world needs a filter for each of its ranks; give as many as there are");
  }

  [[nodiscard]] rank_t size() const noexcept { return inner_.size(); }
  [[nodiscard]] decltype(auto) pool() const noexcept { return inner_.pool(); }
  [[nodiscard]] const traffic& of(rank_t rank) const { return inner_.of(rank); }
  [[nodiscard]] traffic total() const { return inner_.total(); }
  [[nodiscard]] Inner& inner() noexcept { return inner_; }

  /// See the World concept.
  template <class Node>
  void run(Node&& node) {
    inner_.run([&](auto& comm) {
      F filter = filters_[static_cast<std::size_t>(comm.rank())];
      communicator_type own(comm, selection_, filter);
      node(own);
    });
  }

 private:
  Inner inner_;
  message_selection selection_;
  std::vector<F> filters_;
};

/// Every rank gets a copy of `filter`.
template <World Inner, Filter F>
filtered_world<Inner, F> filtered(Inner inner, message_selection selection, const F& filter) {
  std::vector<F> filters(static_cast<std::size_t>(inner.size()), filter);
  return {std::move(inner), std::move(selection), std::move(filters)};
}

}  // namespace gantry::comm
