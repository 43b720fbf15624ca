// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// What carries the values of messages between devices. For each pair of ranks and each direction
// there is a group of two with a stream of its own, so that a send waits for its own receiver
// alone, as the contract has it, and a rank that is lost takes down what goes to it and comes from
// it and nothing else. One more group of all ranks does the sums whose order is free.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <cuda_runtime.h>
#include <nccl.h>

#include "gantry/base/error.hpp"
#include "gantry/comm/health.hpp"
#include "gantry/comm/message_values.hpp"
#include "gantry/comm/nccl_library.hpp"
#include "gantry/concepts/communicator.hpp"
#include "gantry/concepts/device_queue.hpp"

namespace gantry::inline v0::comm {

struct nccl_options {
  /// The device of a rank; NCCL wants another one for each rank of a machine.
  std::function<int(rank_t)> device_of = [](rank_t) { return 0; };
  /// Messages of fewer values go over the transport that also carries the heads of messages.
  std::size_t least_values{1024};
  /// Multiprocessors that a message takes at most. 2 (n - 1) of them at once must fit beside what
  /// networks compute.
  int blocks_per_message{1};
  /// Of messages that a rank expects, so many values from each other rank may come before it asks
  /// for them; at least one message.
  std::size_t values_ahead{std::size_t{4} << 20};
  double start_within{120};  ///< seconds until all groups must stand
};

/// One rank's end. Only the rank's thread uses it; it may outlive the run and end on another.
class nccl_lane {
 public:
  /// Begins to join all groups; `ids` are those of the pairs, of sender and receiver, and the last
  /// one that of all. Returns before the others have come. @throws error, device_error
  nccl_lane(rank_t rank, rank_t size, const nccl_options& options, std::span<const nccl_id> ids)
      : rank_(rank), size_(size), device_(options.device_of(rank)), options_(options) {
    check_cuda(cudaSetDevice(device_), "cudaSetDevice");
    copies_ = std::make_unique<nccl_stream>();
    arrivals_ = std::make_unique<nccl_stream>();
    for (rank_t peer = 0; peer < size; ++peer) {
      to_.push_back(std::make_unique<path>());
      from_.push_back(std::make_unique<path>());
    }
    in_one_group([&] {
      for (rank_t a = 0; a < size; ++a)
        for (rank_t b = 0; b < size; ++b) {
          if (a == b || (a != rank && b != rank)) continue;
          path& p = a == rank ? *to_[index(b)] : *from_[index(a)];
          p.group = nccl_group(2, ids[index(a) * index(size) + index(b)], a == rank ? 0 : 1,
                               options.blocks_per_message);
        }
      if (size > 1) all_.emplace_back(size, ids.back(), rank, 0);
    });
    for (rank_t r = 0; r < size; ++r) members_.push_back(r);
  }
  nccl_lane(const nccl_lane&) = delete;
  nccl_lane& operator=(const nccl_lane&) = delete;

  ~nccl_lane() {
    static_cast<void>(cudaSetDevice(device_));
    std::vector<nccl_group*> unfinished;
    for (auto* side : {&to_, &from_})
      for (const auto& p : *side) {
        const bool is_done = p->group && !p->is_posting && is_idle(*p);
        for (auto* slots : {&p->busy, &p->spare})
          for (nccl_slot& s : *slots) s.forget_group(is_done);
        if (is_done)
          p->group.end();
        else if (p->group)
          unfinished.push_back(&p->group);
      }
    // Children before their parents.
    for (auto g = all_.rbegin(); g != all_.rend(); ++g) unfinished.push_back(&*g);
    abort_all(unfinished, device_);
  }

  /// Waits until all groups stand; all ranks have begun to join before.
  /// @throws error that names the ranks with which none does, NCCL's error
  void wait_until_joined() {
    wait_for_paths("ncclCommInitRankConfig", [&](const path& p) { return is_ready(p); });
    // To connect two devices takes both, so it is done now: later sends do not wait for anybody.
    in_one_group([&] {
      for (rank_t peer = 0; peer < size_; ++peer) {
        if (peer == rank_) continue;
        path &out = *to_[index(peer)], &in = *from_[index(peer)];
        post_send(out, take(out, 1), 1);
        post_receive(in, take(in, 1), 1);
      }
    });
  }
  /// After all ranks have begun the first exchange. @throws as wait_until_joined
  void wait_until_connected() {
    wait_for_paths("the first ncclSend and ncclRecv", [&](path& p) { return is_ready(p); });
    for (auto* side : {&to_, &from_})
      for (const auto& p : *side)
        for (nccl_slot& s : p->busy) mark(*p, s);
    wait_for_paths("the first ncclSend and ncclRecv", [&](path& p) { return is_idle(p); });
  }

  /// Never waits for the receiver; the values may change as soon as this returns, and on a device
  /// where they come out of a queue, by what is put there later: the host waits for neither.
  void send(const message_values& values, rank_t to, device_queue after = {}) {
    path& p = *to_[index(to)];
    if (!p.group) return;
    const std::size_t count = values.size();
    nccl_slot& slot = take(p, count);
    if (values.parts.empty()) {
      std::ranges::copy(values.host, slot.pinned());
      copy(slot.device(), slot.pinned(), count, cudaMemcpyHostToDevice, *copies_);
    } else {
      if (after) put_behind(after, slot.ready);
      float* at = slot.device();
      for (const std::span<float>& part : values.parts) {
        copy(at, part.data(), part.size(), cudaMemcpyDeviceToDevice, *copies_);
        at += part.size();
      }
    }
    slot.filled.record(*copies_);
    if (after)
      slot.filled.hold_back(static_cast<cudaStream_t>(after.handle));
    else if (!values.parts.empty())
      slot.filled.wait();
    slot.filled.hold_back(p.stream);
    post_send(p, slot, count);
    finish_call(p, "ncclSend");
    mark(p, slot);
  }

  /// Of a message that its sender has handed over. `is_given_up(seconds)` is asked while it is
  /// under way; if it says so, the pair is given up, too. @returns whether it has arrived
  bool receive(const message_values& values, rank_t from,
               const std::function<bool(double)>& is_given_up) {
    path& p = *from_[index(from)];
    if (!p.group) return false;
    const std::size_t count = values.size();
    if (!p.ahead.empty() && p.ahead.front().count != count) give_up_expected(p, count);
    const bool is_expected = !p.ahead.empty();
    nccl_slot& slot = is_expected ? *p.ahead.front().slot : take_for_arrival(p, count);
    if (is_expected)
      p.ahead.pop_front();
    else
      post_arrival(p, slot, count);
    const auto has_come = [&] {
      static_cast<void>(is_ready(p));
      return slot.done.is_done();
    };
    if (!poll(has_come, is_given_up)) {
      give_up(p);
      return false;
    }
    // Not before it is there: the values of a network stay if none come in their place.
    if (values.parts.empty()) {
      copy(slot.pinned(), slot.device(), count, cudaMemcpyDeviceToHost, *arrivals_);
      wait_for(*arrivals_);
      std::copy_n(slot.pinned(), count, values.host.begin());
    }
    const float* at = slot.device();
    for (const std::span<float>& part : values.parts) {
      copy(part.data(), at, part.size(), cudaMemcpyDeviceToDevice, *arrivals_);
      at += part.size();
    }
    if (!values.parts.empty()) wait_for(*arrivals_);
    slot.waits_for_reader = false;
    take_in(p);
    return true;
  }

  /// The next messages of that rank have so many values: they are taken in as soon as they are
  /// sent, whatever this rank computes, as many at once as there is room for.
  void expect(std::span<const std::size_t> counts, rank_t from) {
    path& p = *from_[index(from)];
    p.expected.insert(p.expected.end(), counts.begin(), counts.end());
    take_in(p);
  }
  [[nodiscard]] bool expects_from(rank_t from) const { return !from_[index(from)]->ahead.empty(); }
  void stop_receiving(rank_t from) { give_up(*from_[index(from)]); }

  /// Takes a message and throws it away.
  bool drop(std::size_t count, rank_t from, const std::function<bool(double)>& is_given_up) {
    std::vector<float> unread(count);
    return receive({.host = unread}, from, is_given_up);
  }

  /// The sum of all ranks of `members`, who all call it, in the order that NCCL likes; the first
  /// one without a rank leaves that one's group behind. @throws error
  void sum(std::span<float> values, const std::vector<rank_t>& members,
           const std::function<bool(double)>& is_given_up) {
    if (members.size() < 2) return;
    if (members != members_) shrink_to(members, is_given_up);
    const nccl_group& group = all_.back();
    check_nccl(ncclAllReduce(values.data(), values.data(), values.size(), ncclFloat, ncclSum,
                             group.get(), copies_->get()),
               "ncclAllReduce", group.get());
    const auto call_ended = [&] { return group.is_ready("ncclAllReduce"); };
    bool has_come = poll(call_ended, is_given_up);
    if (has_come) {
      nccl_event done;
      done.record(*copies_);
      has_come = poll([&] { return call_ended() && done.is_done(); }, is_given_up);
    }
    if (has_come) return;
    group.revoke();
    throw error("rank " + std::to_string(rank_) + " expected the sum of " +
                std::to_string(members.size()) +
                " ranks and waited in vain; look at the ranks that are named above");
  }

  /// Copies between the host and a device's parts, and waits; also for the work in that queue.
  void copy_to_host(device_parts parts, std::span<float> host, device_queue after = {}) {
    nccl_event ready;
    if (after) put_behind(after, ready);
    for (const std::span<float>& part : parts) {
      copy(host.data(), part.data(), part.size(), cudaMemcpyDeviceToHost, *copies_);
      host = host.subspan(part.size());
    }
    wait_for(*copies_);
  }
  void copy_to_device(std::span<const float> host, device_parts parts) {
    for (const std::span<float>& part : parts) {
      copy(part.data(), host.data(), part.size(), cudaMemcpyHostToDevice, *copies_);
      host = host.subspan(part.size());
    }
    wait_for(*copies_);
  }

  /// What is on its way to that rank will never be received.
  void stop_sending(rank_t to) { give_up(*to_[index(to)]); }
  /// Whether all that was sent to that rank has been received.
  [[nodiscard]] bool is_idle_to(rank_t peer) { return is_idle(*to_[index(peer)]); }
  [[nodiscard]] const nccl_options& options() const { return options_; }

 private:
  struct arrival {
    nccl_slot* slot;
    std::size_t count;
  };
  /// Destroyed from the last member to the first: nothing is freed that the stream may still use.
  struct path {
    nccl_group group;
    std::list<nccl_slot> busy, spare;
    std::deque<arrival> ahead;         ///< receives that are posted, and not asked for yet
    std::deque<std::size_t> expected;  ///< values of the messages behind them
    nccl_stream stream;
    bool is_posting{true};  ///< what was posted last has no event behind it yet
  };
  static std::size_t index(rank_t r) { return static_cast<std::size_t>(r); }

  void give_up(path& p) const {
    if (!p.group) return;
    p.ahead.clear();
    p.expected.clear();
    for (auto* slots : {&p.busy, &p.spare})
      for (nccl_slot& s : *slots) s.forget_group(false);
    nccl_group* const group = &p.group;
    abort_all({&group, 1}, device_);
  }

  template <class F>
  static void in_one_group(const F& f) {
    check_nccl(ncclGroupStart(), "ncclGroupStart");
    f();
    check_nccl(ncclGroupEnd(), "ncclGroupEnd");
  }
  static bool is_ready(const path& p) { return !p.group || p.group.is_ready("a call of NCCL"); }
  static bool is_idle(path& p) {
    reclaim(p);
    return p.busy.empty();
  }
  /// Slots come back in the order in which they were taken.
  static void reclaim(path& p) {
    while (!p.busy.empty() && !p.busy.front().waits_for_reader && p.busy.front().done.is_done())
      p.spare.splice(p.spare.end(), p.busy, p.busy.begin());
  }
  static nccl_slot& take(path& p, std::size_t count) {
    reclaim(p);
    if (p.spare.empty()) p.spare.emplace_back();
    p.spare.front().reserve(std::max<std::size_t>(count, 1), p.group);
    p.busy.splice(p.busy.end(), p.spare, p.spare.begin());
    return p.busy.back();
  }
  static void post_send(path& p, const nccl_slot& slot, std::size_t count) {
    p.is_posting = true;
    check_nccl(ncclSend(slot.device(), count, ncclFloat, 1, p.group.get(), p.stream.get()),
               "ncclSend", p.group.get());
  }
  static void post_receive(path& p, const nccl_slot& slot, std::size_t count) {
    p.is_posting = true;
    check_nccl(ncclRecv(slot.device(), count, ncclFloat, 0, p.group.get(), p.stream.get()),
               "ncclRecv", p.group.get());
  }
  /// Room for a message that comes; it is not given to another before this one has been read.
  static nccl_slot& take_for_arrival(path& p, std::size_t count) {
    nccl_slot& slot = take(p, count);
    slot.waits_for_reader = true;
    return slot;
  }
  /// A receive, with an event behind it.
  void post_arrival(path& p, nccl_slot& slot, std::size_t count) const {
    post_receive(p, slot, count);
    finish_call(p, "ncclRecv");
    mark(p, slot);
  }
  /// Posts receives of what is expected while there is room for it.
  void take_in(path& p) {
    std::size_t room = options_.values_ahead;
    for (const arrival& a : p.ahead) room -= std::min(room, a.count);
    const std::size_t posted = p.ahead.size();
    while (p.group && !p.expected.empty() && (p.ahead.empty() || p.expected.front() <= room)) {
      const std::size_t count = p.expected.front();
      p.expected.pop_front();
      p.ahead.push_back({&take_for_arrival(p, count), count});
      room -= std::min(room, count);
    }
    // After all memory is there, for to allocate may wait for what is posted.
    for (std::size_t i = posted; i < p.ahead.size(); ++i)
      post_arrival(p, *p.ahead[i].slot, p.ahead[i].count);
  }
  [[noreturn]] void give_up_expected(path& p, std::size_t count) const {
    const std::size_t announced = p.ahead.front().count;
    give_up(p);
    throw usage_error("rank " + std::to_string(rank_) + " expected a message of " +
                      std::to_string(announced) + " values, as it has said, and asks for one of " +
                      std::to_string(count) + "; receive what was expected, in its order");
  }
  /// Copies that come next wait for what is in a queue of others.
  void put_behind(device_queue work, nccl_event& ready) const {
    ready.record(static_cast<cudaStream_t>(work.handle));
    ready.hold_back(*copies_);
  }
  static void mark(path& p, nccl_slot& slot) {
    slot.done.record(p.stream);
    p.is_posting = false;
  }
  static void copy(float* to, const float* from, std::size_t count, cudaMemcpyKind kind,
                   const nccl_stream& stream) {
    if (count > 0)
      check_cuda(cudaMemcpyAsync(to, from, count * sizeof(float), kind, stream.get()),
                 "cudaMemcpyAsync");
  }
  static void wait_for(const nccl_stream& stream) {
    nccl_event done;
    done.record(stream);
    done.wait();
  }
  /// A call of a group that does not block may still be at work when it returns; nothing may follow
  /// it in the stream before that.
  void finish_call(const path& p, const char* call) const {
    const bool has_ended = poll([&] { return p.group.is_ready(call); },
                                [&](double seconds) { return seconds > options_.start_within; });
    if (!has_ended)
      throw error(std::string("expected ") + call + " to begin within " +
                  std::to_string(static_cast<int>(options_.start_within)) +
                  " s, found it still under way; start with NCCL_DEBUG=INFO to see what it does");
  }

  /// @returns false if it was given up
  template <class Done>
  static bool poll(const Done& done, const std::function<bool(double)>& is_given_up) {
    const double started = seconds_now();
    for (int turn = 0; !done(); ++turn) {
      if (turn < 64) {
        std::this_thread::yield();
        continue;
      }
      std::this_thread::sleep_for(std::chrono::microseconds(std::min(turn - 60, 100)));
      if (is_given_up(seconds_now() - started)) return false;
    }
    return true;
  }

  /// @throws error that names the ranks with which it does not hold in time
  template <class Done>
  void wait_for_paths(const char* what, const Done& done) {
    const auto too_late = [&](double seconds) { return seconds > options_.start_within; };
    std::vector<rank_t> missing;
    const auto all_done = [&] {
      missing.clear();
      for (rank_t peer = 0; peer < size_; ++peer)
        if (!done(*to_[index(peer)]) || !done(*from_[index(peer)])) missing.push_back(peer);
      return missing.empty() && (all_.empty() || all_.back().is_ready(what));
    };
    if (poll(all_done, too_late)) return;
    std::string ranks;
    for (const rank_t r : missing) ranks += (ranks.empty() ? "" : ", ") + std::to_string(r);
    throw error("rank " + std::to_string(rank_) + " expected " + what + " to end within " +
                std::to_string(static_cast<int>(options_.start_within)) +
                " s, found it under way with " +
                (ranks.empty() ? "all ranks together" : "rank " + ranks) +
                "; look at these ranks, and at the network with NCCL_DEBUG=INFO");
  }

  void shrink_to(const std::vector<rank_t>& members,
                 const std::function<bool(double)>& is_given_up) {
    std::vector<int> gone;
    for (std::size_t i = 0; i < members_.size(); ++i)
      if (std::ranges::find(members, members_[i]) == members.end())
        gone.push_back(static_cast<int>(i));
    const nccl_group& whole = all_.back();
    nccl_group& rest = all_.emplace_back();
    whole.shrink(gone, rest);
    const auto stands = [&] {
      return whole.is_ready("ncclCommShrink") && rest && rest.is_ready("ncclCommShrink");
    };
    if (!poll(stands, is_given_up))
      throw error("rank " + std::to_string(rank_) +
                  " expected the ranks that are left to form a group of their own and waited in "
                  "vain; look at the ranks that are named above");
    members_ = members;
  }

  rank_t rank_, size_;
  int device_;
  nccl_options options_;
  std::unique_ptr<nccl_stream> copies_, arrivals_;  // of what is sent, and of what has come
  std::vector<std::unique_ptr<path>> to_, from_;    // by peer
  std::list<nccl_group> all_;                       // of all ranks; each next one of fewer
  std::vector<rank_t> members_;                     // of the last of them
};

}  // namespace gantry::comm
