// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// A world whose ranks tell a test of every message, and stop for a while where the test likes.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <utility>

#include "gantry/comm/collectives.hpp"
#include "gantry/concepts/communicator.hpp"
#include "gantry/concepts/filter.hpp"

namespace gantry::observed {

/// Called on the thread of the rank that does it. Empty functions are not called.
struct observer {
  std::function<void(const message_route&, std::span<const float>)> sent{};
  std::function<void(rank_t, std::uint32_t)> pause{};  ///< before and after its n-th operation
};

template <Communicator Inner>
class communicator : public comm::ordered_collectives<communicator<Inner>> {
 public:
  communicator(Inner& inner, const observer& seen) : inner_(&inner), seen_(&seen) {}
  communicator(const communicator&) = delete;
  communicator& operator=(const communicator&) = delete;

  [[nodiscard]] rank_t rank() const noexcept { return inner_->rank(); }
  [[nodiscard]] rank_t size() const noexcept { return inner_->size(); }
  [[nodiscard]] const traffic& statistics() const { return inner_->statistics(); }
  [[nodiscard]] bool alive(rank_t peer) const { return inner_->alive(peer); }
  void leave() noexcept { inner_->leave(); }

  void send(message kind, std::span<const float> data, rank_t to) {
    pause();
    note(kind, data, to);
    inner_->send(kind, data, to);
    pause();
  }
  [[nodiscard]] bool receive(message kind, std::span<float> out, rank_t from) {
    pause();
    const bool arrived = inner_->receive(kind, out, from);
    pause();
    return arrived;
  }
  bool exchange(message kind, std::span<const float> out, rank_t to, std::span<float> in,
                rank_t from) {
    pause();
    if (to != rank()) note(kind, out, to);
    const bool arrived = inner_->exchange(kind, out, to, in, from);
    pause();
    return arrived;
  }
  void barrier() {
    pause();
    inner_->barrier();
    pause();
  }

 private:
  void note(message kind, std::span<const float> data, rank_t to) {
    if (seen_->sent) seen_->sent({kind, rank(), to}, data);
  }
  void pause() {
    if (seen_->pause) seen_->pause(rank(), operation_++);
  }

  Inner* inner_;
  const observer* seen_;
  std::uint32_t operation_{};
};

template <World Inner>
class world {
 public:
  using communicator_type = communicator<typename Inner::communicator_type>;

  world(Inner inner, observer seen) : inner_(std::move(inner)), seen_(std::move(seen)) {}
  [[nodiscard]] rank_t size() const noexcept { return inner_.size(); }
  template <class Node>
  void run(Node&& node) {
    inner_.run([&](auto& comm) {
      communicator_type own(comm, seen_);
      node(own);
    });
  }

 private:
  Inner inner_;
  observer seen_;
};

}  // namespace gantry::observed
