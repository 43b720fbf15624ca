// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// What strategies ask of a transport, so that the same strategy runs over threads, MPI or NCCL and
// gives bitwise the same result.
//
// Peers and messages
//   - Ranks are 0 .. size() - 1. A communicator belongs to one rank, and only that rank's thread
//   uses
//     it.
//   - Messages of one rank to another arrive in the order they were sent. Sender and receiver agree
//     beforehand on kind and length; the receiver checks both.
//   - send is buffered: it copies, never waits for the receiver, and the data may be reused at
//   once.
//   - exchange sends and receives in one call and cannot deadlock, whatever permutation of the
//   ranks
//     is exchanged. A rank that is its own partner copies; `out` and `in` may be the same span.
//   - To name a rank outside the world, or oneself in send or receive, is a usage_error.
//
// Ranks that stop (fail-stop)
//   - A rank stops when it calls leave(), or when its main function returns. What it sent before is
//     still received; then receive from it returns false. What is sent to it is dropped.
//   - barrier waits for the ranks that are still alive; collectives skip those that are not.
//   - A rank whose main function throws takes the world down: every other rank throws a
//     gantry::error that names it from its next operation that communicates, or from the one it is
//     waiting in.
//
// Collectives add up in ascending order of ranks, in float, starting with the values of the lowest
// rank that takes part, so that every transport gives bitwise the same sums. All live ranks call
// them in the same order. They are built of messages of the given kind and counted as such.
//
// Counting: a message counts as sent when it is handed over, even if its receiver has left, and as
// received when it has arrived. Bytes are payload: 4 for each float.
#pragma once

#include <array>
#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "gantry/concepts/device_queue.hpp"

namespace gantry::inline v0 {

using rank_t = std::int32_t;

/// What a message carries; traffic is counted by it.
enum class message : int {
  batch,          ///< generated samples
  feedback,       ///< derivatives of the loss by generated samples
  discriminator,  ///< one discriminator, passed between workers
  model,          ///< networks that are averaged or distributed
  control,        ///< plans, sizes, statistics
};
inline constexpr std::size_t message_kinds = 5;

constexpr std::string_view message_name(message kind) {
  constexpr std::array<std::string_view, message_kinds> names{"batch", "feedback", "discriminator",
                                                              "model", "control"};
  return names[static_cast<std::size_t>(kind)];
}

/// Messages and their payload.
struct tally {
  std::uint64_t messages{};
  std::uint64_t bytes{};
  constexpr tally& operator+=(const tally& other) {
    messages += other.messages;
    bytes += other.bytes;
    return *this;
  }
  friend constexpr bool operator==(const tally&, const tally&) = default;
};

/// A tally for each kind of message.
struct tally_by_kind {
  std::array<tally, message_kinds> kinds{};

  constexpr tally& operator[](message kind) { return kinds[static_cast<std::size_t>(kind)]; }
  constexpr const tally& operator[](message kind) const {
    return kinds[static_cast<std::size_t>(kind)];
  }
  [[nodiscard]] constexpr tally total() const {
    tally sum;
    for (const tally& t : kinds) sum += t;
    return sum;
  }
  constexpr tally_by_kind& operator+=(const tally_by_kind& other) {
    for (std::size_t i = 0; i < message_kinds; ++i) kinds[i] += other.kinds[i];
    return *this;
  }
  friend constexpr bool operator==(const tally_by_kind&, const tally_by_kind&) = default;
};

/// What a rank has sent and received: `statistics().sent[message::batch].bytes`.
struct traffic {
  tally_by_kind sent, received;

  constexpr traffic& operator+=(const traffic& other) {
    sent += other.sent;
    received += other.received;
    return *this;
  }
  friend constexpr bool operator==(const traffic&, const traffic&) = default;
};

/// Point-to-point messages; the head of this file is the contract.
///   receive   false if `from` has stopped and no message from it is left; then `out` is unchanged.
///             @throws error that names kind, ranks and lengths if the next message from that rank
///             is not of the kind and length asked for
///   exchange  sends `out` to `to`, receives `in` from `from`; returns as receive does
///   barrier   returns when every live rank has come to it
///   alive     whether that rank still takes part
///   leave     this rank stops; afterwards it may only ask for rank, size, alive and statistics
template <class C>
concept Communicator = requires(C& c, const C& cc, message kind, std::span<const float> data,
                                std::span<float> out, rank_t peer) {
  { cc.rank() }
  noexcept->std::same_as<rank_t>;
  { cc.size() }
  noexcept->std::same_as<rank_t>;
  { c.send(kind, data, peer) } -> std::same_as<void>;
  { c.receive(kind, out, peer) } -> std::same_as<bool>;
  { c.exchange(kind, data, peer, out, peer) } -> std::same_as<bool>;
  { c.barrier() } -> std::same_as<void>;
  { cc.alive(peer) } -> std::same_as<bool>;
  { cc.statistics() } -> std::same_as<const traffic&>;
  { c.leave() }
  noexcept->std::same_as<void>;
};

/// broadcast(kind, values, root): root's values go to all. Returns false, with `values` unchanged,
/// if root has stopped.
template <class C>
concept HasBroadcast = Communicator<C> &&
    requires(C& c, message kind, std::span<float> values, rank_t root) {
  { c.broadcast(kind, values, root) } -> std::same_as<bool>;
};

/// reduce_sum(kind, values, root): the sum goes to root, whose values it replaces; elsewhere
/// `values` is unchanged. all_reduce_sum(kind, values): the sum replaces the values of all.
template <class C>
concept HasReduce = Communicator<C> &&
    requires(C& c, message kind, std::span<float> values, rank_t root) {
  { c.reduce_sum(kind, values, root) } -> std::same_as<void>;
  { c.all_reduce_sum(kind, values) } -> std::same_as<void>;
};

/// gather(kind, part, all, root): on root block r of `all`, as long as `part`, is the part of rank
/// r; blocks of ranks that have stopped are unchanged. Elsewhere `all` is not used.
template <class C>
concept HasGather = Communicator<C> &&
    requires(C& c, message kind, std::span<const float> part, std::span<float> all, rank_t root) {
  { c.gather(kind, part, all, root) } -> std::same_as<void>;
};

/// Spans of a device's memory that together are the values of one message, in this order.
using device_parts = std::span<const std::span<float>>;

/// Messages whose values lie in a device's memory. To peers they are messages like others, which
/// may receive them on the host, and are counted alike. What was launched on the values has ended
/// before the call; afterwards they may be used at once.
///   takes_device_memory  whether this one does, which may be known at run time only
///   send_device          of work that has not ended if that work is in the queue; then what is put
///                        into that queue later may change the values
///   exchange_device      `out` and `in` may be the same parts
template <class C>
concept HasDeviceMessages = Communicator<C> &&
    requires(C& c, const C& cc, message kind, device_parts parts, rank_t peer, device_queue work) {
  { cc.takes_device_memory() } -> std::same_as<bool>;
  { c.send_device(kind, parts, peer) } -> std::same_as<void>;
  { c.send_device(kind, parts, peer, work) } -> std::same_as<void>;
  { c.receive_device(kind, parts, peer) } -> std::same_as<bool>;
  { c.exchange_device(kind, parts, peer, parts, peer) } -> std::same_as<bool>;
};

/// Tells a communicator that the next messages of that rank have so many values each and will be
/// received on the device, in this order, so that it may take them in while its rank computes.
template <Communicator C>
void expect_device(C& comm, std::span<const std::size_t> counts, rank_t from) {
  if constexpr (requires { comm.expect_device(counts, from); }) comm.expect_device(counts, from);
}

/// Tells a communicator that models time how many floating-point operations its rank has just done;
/// the others have no use for it.
template <Communicator C>
void charge(C& comm, double flops) {
  if constexpr (requires { comm.charge(flops); }) comm.charge(flops);
}

/// Tells a communicator which iteration its rank begins, for what it says of ranks that are late.
template <Communicator C>
void enter_iteration(C& comm, std::uint32_t iteration) {
  if constexpr (requires { comm.enter_iteration(iteration); }) comm.enter_iteration(iteration);
}

/// Part of a network, from that layer on, where networks travel in parts; of none without a name.
struct network_part {
  std::string_view network{};
  std::size_t layer{};
};

/// Tells a communicator what the messages carry that its rank receives from now on, for what it
/// says of ranks that are late.
template <Communicator C>
void expect_part(C& comm, const network_part& part) {
  if constexpr (requires { comm.expect_part(part); }) comm.expect_part(part);
}

/// A message as receive_with() shows it.
struct message_view {
  std::span<const float> values;
  /// It is the memory that send_own() was given, so nothing on the way has changed it.
  bool is_senders_own{};
};

/// As send, for memory that the sender shares: transports inside one process pass it on without a
/// copy. It must not be written while others hold it; `writable` says how to write it again.
template <Communicator C>
void send_own(C& comm, message kind, const std::shared_ptr<std::vector<float>>& data, rank_t to) {
  if constexpr (requires { comm.send_own(kind, data, to); })
    comm.send_own(kind, data, to);
  else
    comm.send(kind, *data, to);
}

/// The values to write the next message into: new memory if a receiver still holds the last one,
/// which only one that came too late does.
inline std::vector<float>& writable(std::shared_ptr<std::vector<float>>& data) {
  if (data.use_count() > 1) data = std::make_shared<std::vector<float>>(data->size());
  std::atomic_thread_fence(std::memory_order_acquire);  // their reads end before our writes
  return *data;
}

/// As receive, but f sees the message where it lies, and only during the call; `room` is where it
/// goes on transports that cannot show it. f may communicate. @throws as receive
template <Communicator C, class F>
[[nodiscard]] bool receive_with(C& comm, message kind, std::span<float> room, rank_t from, F&& f) {
  if constexpr (requires { comm.receive_with(kind, room, from, f); }) {
    return comm.receive_with(kind, room, from, f);
  } else {
    if (!comm.receive(kind, room, from)) return false;
    f(message_view{room});
    return true;
  }
}

/// A function that any node can run; stands for the user's in the World concept.
struct node_main_archetype {
  template <Communicator C>
  void operator()(C&) const {}
};

/// The ranks together: run(f) runs f(communicator) on every rank of this process and returns when
/// all have ended. @throws what the first failing rank threw
template <class W>
concept World = requires(W& w, const W& cw, node_main_archetype node_main) {
  typename W::communicator_type;
  requires Communicator<typename W::communicator_type>;
  { cw.size() }
  noexcept->std::same_as<rank_t>;
  { w.run(node_main) } -> std::same_as<void>;
};

}  // namespace gantry
