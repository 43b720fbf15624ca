// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// To compile is to pass: a conforming communicator and world, and near misses.
#include "gantry/comm/in_process.hpp"
#include "gantry/concepts/communicator.hpp"

namespace {

using namespace gantry;

/// Point-to-point only.
struct minimal {
  rank_t rank() const noexcept;
  rank_t size() const noexcept;
  void send(message, std::span<const float>, rank_t);
  bool receive(message, std::span<float>, rank_t);
  bool exchange(message, std::span<const float>, rank_t, std::span<float>, rank_t);
  void barrier();
  bool alive(rank_t) const;
  const traffic& statistics() const;
  void leave() noexcept;
};
static_assert(Communicator<minimal>, "a point-to-point communicator must satisfy the base concept");
static_assert(!HasBroadcast<minimal> && !HasReduce<minimal> && !HasGather<minimal>,
              "a point-to-point communicator must not count as capable of collectives");

struct complete : minimal {
  bool broadcast(message, std::span<float>, rank_t);
  void reduce_sum(message, std::span<float>, rank_t);
  void all_reduce_sum(message, std::span<float>);
  void gather(message, std::span<const float>, std::span<float>, rank_t);
};
static_assert(HasBroadcast<complete> && HasReduce<complete> && HasGather<complete>,
              "a communicator with all members must have every capability");
static_assert(HasBroadcast<comm::in_process_communicator> &&
                  HasReduce<comm::in_process_communicator> &&
                  HasGather<comm::in_process_communicator>,
              "the in-process communicator must have every capability");

// Near misses: each hides one member of `minimal` with one that breaks the contract.
struct rank_may_throw : minimal {
  rank_t rank() const;
};
struct rank_is_unsigned : minimal {
  std::uint32_t rank() const noexcept;
};
struct size_is_not_const : minimal {
  rank_t size() noexcept;
};
struct send_wants_mutable_data : minimal {
  void send(message, std::span<float>, rank_t);
};
struct send_without_kind : minimal {
  void send(std::span<const float>, rank_t);
};
struct receive_says_nothing : minimal {
  void receive(message, std::span<float>, rank_t);
};
struct receive_returns_a_length : minimal {
  int receive(message, std::span<float>, rank_t);
};
struct exchange_says_nothing : minimal {
  void exchange(message, std::span<const float>, rank_t, std::span<float>, rank_t);
};
struct leave_may_throw : minimal {
  void leave();
};
struct statistics_by_value : minimal {
  traffic statistics() const;
};
struct private_barrier : minimal {
 private:
  void barrier();
};
static_assert(!Communicator<rank_may_throw>, "rank() must be noexcept");
static_assert(!Communicator<rank_is_unsigned>, "rank() must return rank_t");
static_assert(!Communicator<size_is_not_const>, "size() must be const");
static_assert(!Communicator<send_wants_mutable_data>, "send must take constant data");
static_assert(!Communicator<send_without_kind>, "send must take the kind of the message");
static_assert(!Communicator<receive_says_nothing>, "receive must say whether the peer stopped");
static_assert(!Communicator<receive_returns_a_length>, "receive must return exactly bool");
static_assert(!Communicator<exchange_says_nothing>, "exchange must say whether the peer stopped");
static_assert(!Communicator<leave_may_throw>, "leave() must be noexcept");
static_assert(!Communicator<statistics_by_value>, "statistics() must not copy");
static_assert(!Communicator<private_barrier>, "barrier() must be accessible");
static_assert(!Communicator<int>, "an int must not be a communicator");

struct reduce_to_root_only : minimal {
  void reduce_sum(message, std::span<float>, rank_t);
};
struct reduce_of_doubles : complete {
  void reduce_sum(message, std::span<double>, rank_t);
};
struct broadcast_says_nothing : complete {
  void broadcast(message, std::span<float>, rank_t);
};
struct broadcast_alone {
  bool broadcast(message, std::span<float>, rank_t);
};
struct gather_changes_its_input : complete {
  void gather(message, std::span<float>, std::span<float>, rank_t);
};
static_assert(!HasReduce<reduce_to_root_only>, "HasReduce must ask for all_reduce_sum as well");
static_assert(!HasReduce<reduce_of_doubles>, "HasReduce must ask for float sums");
static_assert(!HasBroadcast<broadcast_says_nothing>, "broadcast must say whether the root stopped");
static_assert(!HasBroadcast<broadcast_alone>, "a capability must include the base concept");
static_assert(!HasGather<gather_changes_its_input>, "gather must take a constant part");

struct small_world {
  using communicator_type = minimal;
  rank_t size() const noexcept;
  template <class F>
  void run(F&& f);
};
struct world_of_nothing : small_world {
  using communicator_type = broadcast_alone;
};
struct world_with_result : small_world {
  template <class F>
  int run(F&& f);
};
struct world_without_type {
  rank_t size() const noexcept;
  template <class F>
  void run(F&& f);
};
static_assert(World<small_world>, "size and run with a communicator must make a world");
static_assert(World<comm::in_process_world>, "the in-process world must be one");
static_assert(!World<world_of_nothing>, "a world must name a communicator");
static_assert(!World<world_with_result>, "run must return nothing");
static_assert(!World<world_without_type>, "a world must name the type of its communicator");

static_assert(message_name(message::batch) == "batch" &&
                  message_name(message::control) == "control",
              "each kind of message must have its name");
static_assert(static_cast<std::size_t>(message::control) + 1 == message_kinds,
              "message_kinds must count the kinds of message");

constexpr traffic twice_two_batches() {
  traffic t;
  t.sent[message::batch] += {2, 80};
  t.received[message::model] += {1, 4};
  t += t;
  return t;
}
static_assert(twice_two_batches().sent[message::batch] == tally{4, 160} &&
                  twice_two_batches().received.total() == tally{2, 8} &&
                  twice_two_batches().sent[message::feedback] == tally{},
              "traffic must add up by kind");

}  // namespace
