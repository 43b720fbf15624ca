// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// States of metrics as messages: communicators carry floats, so the bits of all other numbers
// travel as those of floats, which nothing on the way computes with.
#pragma once

#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/concepts/communicator.hpp"

namespace gantry::inline v0::metrics {

/// What one worker has seen of the samples of all; merged, states are exactly what one worker would
/// have of the whole, in whatever order and parts.
template <class S>
concept MergeableState = requires(S& s, const S& cs, std::span<const float> packet) {
  { s.merge(cs) } -> std::same_as<void>;
  { cs.pack() } -> std::same_as<std::vector<float>>;
  { S::unpack(packet) } -> std::same_as<S>;
};

/// Writes numbers into a packet.
class packet_writer {
 public:
  void put(std::int64_t number) { put_bits(number); }
  void put(double number) { put_bits(number); }
  void put(std::span<const float> numbers) {
    values_.insert(values_.end(), numbers.begin(), numbers.end());
  }
  [[nodiscard]] std::vector<float> take() && { return std::move(values_); }

 private:
  template <class T>
  void put_bits(T number) {
    put(std::span<const float>(std::bit_cast<std::array<float, 2>>(number)));
  }

  std::vector<float> values_;
};

/// Takes them out again. @throws data_error where the packet is too short
class packet_reader {
 public:
  explicit packet_reader(std::span<const float> packet) : rest_(packet) {}

  std::int64_t integer() { return bits<std::int64_t>(); }
  double number() { return bits<double>(); }
  std::span<const float> floats(std::size_t count) {
    require_left(static_cast<std::int64_t>(count));
    const auto found = rest_.first(count);
    rest_ = rest_.subspan(count);
    return found;
  }
  /// An integer that lies in least .. most.
  std::int64_t integer(std::int64_t least, std::int64_t most) {
    const std::int64_t found = integer();
    if (found < least || found > most)
      refuse("a number from " + std::to_string(least) + " to " + std::to_string(most),
             std::to_string(found));
    return found;
  }
  [[nodiscard]] std::size_t left() const { return rest_.size(); }
  /// To be asked before room is made for so many.
  void require_left(std::int64_t count) const {
    if (count > static_cast<std::int64_t>(rest_.size()))
      refuse("another " + std::to_string(count) + " floats", std::to_string(rest_.size()));
  }
  void require_end() const {
    if (!rest_.empty()) refuse("the end", "another " + std::to_string(rest_.size()) + " floats");
  }

 private:
  [[noreturn]] static void refuse(const std::string& expected, const std::string& found) {
    throw data_error("the packet of a metric's state was expected to hold " + expected +
                     " and holds " + found + "; run the same build on all workers");
  }
  template <class T>
  T bits() {
    const auto found = floats(2);
    return std::bit_cast<T>(std::array<float, 2>{found[0], found[1]});
  }

  std::span<const float> rest_;
};

/// All live ranks call it; afterwards root's state holds what all have seen. The states of ranks
/// that have stopped are missing: what is computed from the whole then says which samples are.
/// @throws data_error for a packet of another kind of state, usage_error for samples that two ranks
/// have seen
template <MergeableState S, Communicator C>
void gather_states(C& comm, S& state, rank_t root) {
  const auto size_of = [](std::int64_t count) {
    return std::bit_cast<std::array<float, 2>>(count);
  };
  if (comm.rank() != root) {
    const std::vector<float> packet = state.pack();
    comm.send(message::control, size_of(static_cast<std::int64_t>(packet.size())), root);
    comm.send(message::control, packet, root);
    return;
  }
  for (rank_t from = 0; from < comm.size(); ++from) {
    std::array<float, 2> size{};
    if (from == root || !comm.receive(message::control, size, from)) continue;
    std::vector<float> packet(static_cast<std::size_t>(std::bit_cast<std::int64_t>(size)));
    if (comm.receive(message::control, packet, from)) state.merge(S::unpack(packet));
  }
}

}  // namespace gantry::metrics
