// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Any transport behind one type, for programs that choose theirs at run time: strategies and
// networks are then compiled once. A call more per message; what it carries costs far more.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/base/thread_pool.hpp"
#include "gantry/concepts/communicator.hpp"
#include "gantry/concepts/device_queue.hpp"

namespace gantry::inline v0::comm {

/// One rank's end of any transport that has all capabilities of the contract.
class any_communicator {
 public:
  template <class C>
  requires HasBroadcast<C> && HasReduce<C> && HasGather<C>
  explicit any_communicator(C& inner) : held_(std::make_unique<holder<C>>(inner)) {}

  [[nodiscard]] rank_t rank() const noexcept { return held_->rank(); }
  [[nodiscard]] rank_t size() const noexcept { return held_->size(); }
  [[nodiscard]] const traffic& statistics() const { return held_->statistics(); }
  void send(message kind, std::span<const float> data, rank_t to) { held_->send(kind, data, to); }
  [[nodiscard]] bool receive(message kind, std::span<float> out, rank_t from) {
    return held_->receive(kind, out, from);
  }
  void send_own(message kind, const std::shared_ptr<std::vector<float>>& data, rank_t to) {
    held_->send_own(kind, data, to);
  }
  template <class F>
  [[nodiscard]] bool receive_with(message kind, std::span<float> room, rank_t from, F&& f) {
    using function = std::remove_reference_t<F>;
    return held_->receive_with(
        kind, room, from, const_cast<void*>(static_cast<const void*>(std::addressof(f))),
        [](void* context, const message_view& m) { (*static_cast<function*>(context))(m); });
  }
  bool exchange(message kind, std::span<const float> out, rank_t to, std::span<float> in,
                rank_t from) {
    return held_->exchange(kind, out, to, in, from);
  }
  void barrier() { held_->barrier(); }
  [[nodiscard]] bool alive(rank_t rank) const { return held_->alive(rank); }
  /// As the transport's (comm/requests.hpp); one that cannot tell says yes, and its receive waits.
  [[nodiscard]] bool ready(rank_t from) { return held_->ready(from); }
  void leave() noexcept { held_->leave(); }
  bool broadcast(message kind, std::span<float> values, rank_t root) {
    return held_->broadcast(kind, values, root);
  }
  void reduce_sum(message kind, std::span<float> values, rank_t root) {
    held_->reduce_sum(kind, values, root);
  }
  void all_reduce_sum(message kind, std::span<float> values) {
    held_->all_reduce_sum(kind, values);
  }
  void gather(message kind, std::span<const float> part, std::span<float> all, rank_t root) {
    held_->gather(kind, part, all, root);
  }
  /// See HasDeviceMessages; whether the transport takes them. @throws usage_error if it does not
  [[nodiscard]] bool takes_device_memory() const { return held_->takes_device_memory(); }
  void send_device(message kind, device_parts values, rank_t to, device_queue after = {}) {
    held_->send_device(kind, values, to, after);
  }
  void expect_device(std::span<const std::size_t> counts, rank_t from) {
    held_->expect_device(counts, from);
  }
  [[nodiscard]] bool receive_device(message kind, device_parts values, rank_t from) {
    return held_->receive_device(kind, values, from);
  }
  bool exchange_device(message kind, device_parts out, rank_t to, device_parts in, rank_t from) {
    return held_->exchange_device(kind, out, to, in, from);
  }
  /// Goes to transports that model time; nothing on others.
  void charge(double flops) { held_->charge(flops); }
  /// Goes to transports that say where a late rank is; nothing on others.
  void enter_iteration(std::uint32_t iteration) { held_->enter_iteration(iteration); }
  void expect_part(const network_part& part) { held_->expect_part(part); }
  /// What the transport remembers between rounds (filters with error feedback do).
  void visit_values(const std::function<void(const std::string&, std::vector<float>&)>& f) {
    held_->visit_values(f);
  }

 private:
  using visitor = std::function<void(const std::string&, std::vector<float>&)>;

  using shown = void (*)(void* context, const message_view&);

  struct interface {
    virtual ~interface() = default;
    [[nodiscard]] virtual rank_t rank() const noexcept = 0;
    [[nodiscard]] virtual rank_t size() const noexcept = 0;
    [[nodiscard]] virtual const traffic& statistics() const = 0;
    virtual void send(message, std::span<const float>, rank_t) = 0;
    virtual bool receive(message, std::span<float>, rank_t) = 0;
    virtual void send_own(message, const std::shared_ptr<std::vector<float>>&, rank_t) = 0;
    virtual bool receive_with(message, std::span<float>, rank_t, void*, shown) = 0;
    virtual bool exchange(message, std::span<const float>, rank_t, std::span<float>, rank_t) = 0;
    virtual void barrier() = 0;
    [[nodiscard]] virtual bool alive(rank_t) const = 0;
    virtual bool ready(rank_t) = 0;
    virtual void leave() noexcept = 0;
    virtual bool broadcast(message, std::span<float>, rank_t) = 0;
    virtual void reduce_sum(message, std::span<float>, rank_t) = 0;
    virtual void all_reduce_sum(message, std::span<float>) = 0;
    virtual void gather(message, std::span<const float>, std::span<float>, rank_t) = 0;
    [[nodiscard]] virtual bool takes_device_memory() const = 0;
    virtual void send_device(message, device_parts, rank_t, device_queue) = 0;
    virtual void expect_device(std::span<const std::size_t>, rank_t) = 0;
    virtual bool receive_device(message, device_parts, rank_t) = 0;
    virtual bool exchange_device(message, device_parts, rank_t, device_parts, rank_t) = 0;
    virtual void charge(double) = 0;
    virtual void enter_iteration(std::uint32_t) = 0;
    virtual void expect_part(const network_part&) = 0;
    virtual void visit_values(const visitor&) = 0;
  };

  template <class C>
  struct holder final : interface {
    explicit holder(C& c) : inner(&c) {}
    [[nodiscard]] rank_t rank() const noexcept override { return inner->rank(); }
    [[nodiscard]] rank_t size() const noexcept override { return inner->size(); }
    [[nodiscard]] const traffic& statistics() const override { return inner->statistics(); }
    void send(message kind, std::span<const float> data, rank_t to) override {
      inner->send(kind, data, to);
    }
    bool receive(message kind, std::span<float> out, rank_t from) override {
      return inner->receive(kind, out, from);
    }
    void send_own(message kind, const std::shared_ptr<std::vector<float>>& data,
                  rank_t to) override {
      gantry::send_own(*inner, kind, data, to);
    }
    bool receive_with(message kind, std::span<float> room, rank_t from, void* context,
                      shown f) override {
      return gantry::receive_with(*inner, kind, room, from,
                                  [&](const message_view& m) { f(context, m); });
    }
    bool exchange(message kind, std::span<const float> out, rank_t to, std::span<float> in,
                  rank_t from) override {
      return inner->exchange(kind, out, to, in, from);
    }
    void barrier() override { inner->barrier(); }
    [[nodiscard]] bool alive(rank_t r) const override { return inner->alive(r); }
    bool ready(rank_t from) override {
      if constexpr (requires { inner->ready(from); }) return inner->ready(from);
      return true;
    }
    void leave() noexcept override { inner->leave(); }
    bool broadcast(message kind, std::span<float> values, rank_t root) override {
      return inner->broadcast(kind, values, root);
    }
    void reduce_sum(message kind, std::span<float> values, rank_t root) override {
      inner->reduce_sum(kind, values, root);
    }
    void all_reduce_sum(message kind, std::span<float> values) override {
      inner->all_reduce_sum(kind, values);
    }
    void gather(message kind, std::span<const float> part, std::span<float> all,
                rank_t root) override {
      inner->gather(kind, part, all, root);
    }
    [[nodiscard]] bool takes_device_memory() const override {
      if constexpr (HasDeviceMessages<C>) return inner->takes_device_memory();
      return false;
    }
    void send_device(message kind, device_parts values, rank_t to, device_queue after) override {
      if constexpr (HasDeviceMessages<C>) return inner->send_device(kind, values, to, after);
      refuse_device_memory();
    }
    void expect_device(std::span<const std::size_t> counts, rank_t from) override {
      gantry::expect_device(*inner, counts, from);
    }
    bool receive_device(message kind, device_parts values, rank_t from) override {
      if constexpr (HasDeviceMessages<C>) return inner->receive_device(kind, values, from);
      refuse_device_memory();
    }
    bool exchange_device(message kind, device_parts out, rank_t to, device_parts in,
                         rank_t from) override {
      if constexpr (HasDeviceMessages<C>) return inner->exchange_device(kind, out, to, in, from);
      refuse_device_memory();
    }
    [[noreturn]] static void refuse_device_memory() {
      throw usage_error(
          "a transport that takes a device's memory was expected, found one that does not; ask "
          "takes_device_memory first");
    }
    void charge(double flops) override { gantry::charge(*inner, flops); }
    void enter_iteration(std::uint32_t iteration) override {
      gantry::enter_iteration(*inner, iteration);
    }
    void expect_part(const network_part& part) override { gantry::expect_part(*inner, part); }
    void visit_values(const visitor& f) override {
      if constexpr (requires { inner->visit_values(f); }) inner->visit_values(f);
    }

    C* inner;
  };

  std::unique_ptr<interface> held_;
};

static_assert(HasBroadcast<any_communicator> && HasReduce<any_communicator> &&
                  HasGather<any_communicator> && HasDeviceMessages<any_communicator>,
              "the erased communicator must have every capability of the contract");

/// Any World with a thread pool behind one type. It owns the world that it is made of.
class any_world {
 public:
  using communicator_type = any_communicator;

  template <World W>
  requires(!std::same_as<std::remove_cvref_t<W>, any_world>)
      // NOLINTNEXTLINE(google-explicit-constructor): a world is a world
      any_world(W&& world)
      : held_(std::make_unique<holder<std::remove_cvref_t<W>>>(std::forward<W>(world))) {}

  [[nodiscard]] rank_t size() const noexcept { return held_->size(); }
  [[nodiscard]] const std::shared_ptr<thread_pool>& pool() const noexcept { return held_->pool(); }
  /// As World::run. @throws what the first failing rank threw
  template <class F>
  void run(F&& f) {
    held_->run([&f](any_communicator& comm) { f(comm); });
  }

 private:
  struct interface {
    virtual ~interface() = default;
    [[nodiscard]] virtual rank_t size() const noexcept = 0;
    [[nodiscard]] virtual const std::shared_ptr<thread_pool>& pool() const noexcept = 0;
    virtual void run(const std::function<void(any_communicator&)>& f) = 0;
  };
  template <class W>
  struct holder final : interface {
    explicit holder(W w) : inner(std::move(w)) {}
    [[nodiscard]] rank_t size() const noexcept override { return inner.size(); }
    [[nodiscard]] const std::shared_ptr<thread_pool>& pool() const noexcept override {
      return inner.pool();
    }
    void run(const std::function<void(any_communicator&)>& f) override {
      inner.run([&f](auto& comm) {
        any_communicator erased(comm);
        f(erased);
      });
    }
    W inner;
  };

  std::unique_ptr<interface> held_;
};

static_assert(World<any_world>, "the erased world must be a World");

}  // namespace gantry::comm
