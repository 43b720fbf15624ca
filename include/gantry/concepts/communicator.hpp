// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace gantry {

using rank_t = std::int32_t;

/// What a message carries; bytes are counted per kind.
enum class message : int { batch, feedback, discriminator, model, control };
inline constexpr std::array<std::string_view, 5> message_names{"batch", "feedback", "discriminator", "model", "control"};
constexpr std::string_view message_name(message kind) { return message_names[static_cast<std::size_t>(kind)]; }

/// Messages and payload bytes per kind, as one rank has seen them.
struct traffic {
  struct counter {
    std::uint64_t messages{}, bytes{};
    friend constexpr bool operator==(const counter&, const counter&) = default;
  };
  std::array<counter, message_names.size()> sent{}, received{};

  [[nodiscard]] const counter& sent_of(message kind) const { return sent[static_cast<std::size_t>(kind)]; }
  [[nodiscard]] const counter& received_of(message kind) const { return received[static_cast<std::size_t>(kind)]; }
  traffic& operator+=(const traffic& other) {
    for (std::size_t k = 0; k < sent.size(); ++k) {
      sent[k].messages += other.sent[k].messages;
      sent[k].bytes += other.sent[k].bytes;
      received[k].messages += other.received[k].messages;
      received[k].bytes += other.received[k].bytes;
    }
    return *this;
  }
  friend constexpr bool operator==(const traffic&, const traffic&) = default;
};

/// One rank's end of a transport. Messages are canonical host floats, in order per pair of ranks.
///
/// send      returns when the data may be reused; to a rank that has stopped it is dropped.
/// receive   waits; false if the sender has stopped and nothing of it is left. Throws error if the next message is of another kind or
///           size.
/// exchange  sends and receives at once, for permutations of any shape; `out` and `in` may be the same. False as for receive.
/// barrier   waits for all ranks that have not stopped.
/// leave     this rank stops for good (fail-stop).
template <class C>
concept Communicator = requires(C& c, const C& cc, std::span<const float> out, std::span<float> in, rank_t peer, message kind) {
  { cc.rank() } noexcept -> std::same_as<rank_t>;
  { cc.size() } noexcept -> std::same_as<rank_t>;
  { c.send(kind, out, peer) } -> std::same_as<void>;
  { c.receive(kind, in, peer) } -> std::same_as<bool>;
  { c.exchange(kind, out, peer, in, peer) } -> std::same_as<bool>;
  { c.barrier() } -> std::same_as<void>;
  { c.alive(peer) } -> std::same_as<bool>;
  { cc.statistics() } -> std::same_as<const traffic&>;
  { c.leave() } noexcept -> std::same_as<void>;
};

/// All live ranks end with the root's values.
template <class C>
concept HasBroadcast = Communicator<C> && requires(C& c, std::span<float> x, rank_t root, message kind) {
  { c.broadcast(kind, x, root) } -> std::same_as<void>;
};

/// Sums over live ranks in ascending order of rank, so that every transport gives the same bits.
template <class C>
concept HasReduce = Communicator<C> && requires(C& c, std::span<float> x, rank_t root, message kind) {
  { c.reduce_sum(kind, x, root) } -> std::same_as<void>;
  { c.all_reduce_sum(kind, x) } -> std::same_as<void>;
};

/// The root gets every live rank's values, rank r's at out[r * in.size()].
template <class C>
concept HasGather = Communicator<C> && requires(C& c, std::span<const float> in, std::span<float> out, rank_t root, message kind) {
  { c.gather(kind, in, out, root) } -> std::same_as<void>;
};

}  // namespace gantry
