// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/base/thread_pool.hpp"
#include "gantry/concepts/communicator.hpp"

namespace gantry::comm {

/// Ranks are threads of this process. A node computes under a permit of the shared pool and gives it back while it waits for a message.
/// A node that ends by an exception fails the world: everybody else's waiting ends with an error that names it.
class in_process_world {
 public:
  class communicator;

  /// @throws usage_error for fewer than one rank
  in_process_world(int size, std::shared_ptr<thread_pool> pool) : pool_(std::move(pool)), size_(size) {
    expects(size >= 1, "a world needs at least one rank; make its size 1 or more");
    const auto n = static_cast<std::size_t>(size);
    boxes_.resize(n * n);
    arrived_ = std::make_unique<std::condition_variable[]>(n);
    traffic_.resize(n);
  }

  [[nodiscard]] int size() const { return size_; }
  [[nodiscard]] const std::shared_ptr<thread_pool>& pool() const { return pool_; }
  /// What a rank has sent and received in all runs; call it when no run is going on.
  [[nodiscard]] const traffic& of(rank_t rank) const { return traffic_[static_cast<std::size_t>(rank)]; }
  [[nodiscard]] traffic total() const {
    traffic sum;
    for (const traffic& t : traffic_) sum += t;
    return sum;
  }

  /// Runs f(communicator&) on every rank, rank 0 on the calling thread, and waits for all. Rethrows the first exception of a rank.
  template <class F>
  void run(F&& f) {
    begin();
    std::vector<std::thread> threads;
    for (rank_t r = 1; r < size_; ++r) threads.emplace_back([this, r, &f] { node(r, f); });
    node(0, f);
    for (std::thread& t : threads) t.join();
    if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
  }

 private:
  struct parcel {
    message kind{};
    std::vector<float> data;
  };
  /// Messages of one pair of ranks, and buffers to reuse.
  struct mailbox {
    std::deque<parcel> full;
    std::vector<std::vector<float>> empty;
  };

  mailbox& box(rank_t from, rank_t to) { return boxes_[static_cast<std::size_t>(from * size_ + to)]; }
  std::condition_variable& arrival(rank_t rank) { return arrived_[static_cast<std::size_t>(rank)]; }

  void begin() {
    alive_.assign(static_cast<std::size_t>(size_), true);
    for (mailbox& b : boxes_) b.full.clear();
    waiting_ = 0;
    failed_rank_ = -1;
  }

  template <class F>
  void node(rank_t rank, F& f);

  void stop(rank_t rank) {
    const std::lock_guard lock(mutex_);
    alive_[static_cast<std::size_t>(rank)] = false;
    open_barrier_if_full();
    wake_all();
  }
  void fail(rank_t rank) {
    const std::lock_guard lock(mutex_);
    if (failed_rank_ < 0) {
      failed_rank_ = rank;
      failure_ = std::current_exception();
    }
    alive_[static_cast<std::size_t>(rank)] = false;
    wake_all();
  }
  void wake_all() {
    for (rank_t r = 0; r < size_; ++r) arrival(r).notify_all();
  }
  void check_failure() const {
    if (failed_rank_ >= 0)
      throw error("rank " + std::to_string(failed_rank_) + " has failed and this run ends; see its own message");
  }
  void open_barrier_if_full() {
    if (waiting_ == 0 || waiting_ < std::count(alive_.begin(), alive_.end(), true)) return;
    waiting_ = 0;
    ++generation_;
    wake_all();
  }

  std::shared_ptr<thread_pool> pool_;
  int size_;
  std::mutex mutex_;
  std::vector<mailbox> boxes_;
  std::unique_ptr<std::condition_variable[]> arrived_;
  std::vector<bool> alive_;
  std::vector<traffic> traffic_;
  std::ptrdiff_t waiting_{0};
  std::uint64_t generation_{0};
  rank_t failed_rank_{-1};
  std::exception_ptr failure_;
};

/// One rank's end; see concepts/communicator.hpp for what its functions promise.
class in_process_world::communicator {
 public:
  communicator(in_process_world& world, rank_t rank, compute_permit& permit) : world_(&world), rank_(rank), permit_(&permit) {}

  [[nodiscard]] rank_t rank() const noexcept { return rank_; }
  [[nodiscard]] rank_t size() const noexcept { return world_->size_; }
  [[nodiscard]] const traffic& statistics() const { return mine(); }
  [[nodiscard]] bool alive(rank_t peer) {
    const std::lock_guard lock(world_->mutex_);
    return world_->alive_[static_cast<std::size_t>(peer)];
  }

  void send(message kind, std::span<const float> data, rank_t to) {
    std::vector<float> buffer;
    {
      const std::lock_guard lock(world_->mutex_);
      world_->check_failure();
      auto& spare = world_->box(rank_, to).empty;
      if (!spare.empty()) {
        buffer = std::move(spare.back());
        spare.pop_back();
      }
    }
    buffer.assign(data.begin(), data.end());
    count(mine().sent, kind, data.size());
    const std::lock_guard lock(world_->mutex_);
    if (!world_->alive_[static_cast<std::size_t>(to)]) return;
    world_->box(rank_, to).full.push_back({kind, std::move(buffer)});
    world_->arrival(to).notify_all();
  }

  [[nodiscard]] bool receive(message kind, std::span<float> out, rank_t from) {
    std::unique_lock lock(world_->mutex_);
    auto& box = world_->box(from, rank_);
    wait(lock, [&] { return !box.full.empty() || !world_->alive_[static_cast<std::size_t>(from)]; });
    if (box.full.empty()) return false;
    parcel next = std::move(box.full.front());
    box.full.pop_front();
    lock.unlock();
    if (next.kind != kind || next.data.size() != out.size())
      throw error("rank " + std::to_string(rank_) + " expected a " + std::string(message_name(kind)) + " message of " +
                  std::to_string(out.size()) + " numbers from rank " + std::to_string(from) + " and received a " +
                  std::string(message_name(next.kind)) + " message of " + std::to_string(next.data.size()) +
                  "; make both ranks run the same strategy with the same settings");
    std::ranges::copy(next.data, out.begin());
    count(mine().received, kind, out.size());
    lock.lock();
    box.empty.push_back(std::move(next.data));
    return true;
  }

  [[nodiscard]] bool exchange(message kind, std::span<const float> out, rank_t to, std::span<float> in, rank_t from) {
    send(kind, out, to);
    return receive(kind, in, from);
  }

  void barrier() {
    std::unique_lock lock(world_->mutex_);
    const std::uint64_t generation = world_->generation_;
    ++world_->waiting_;
    world_->open_barrier_if_full();
    wait(lock, [&] { return world_->generation_ != generation; });
  }

  void leave() noexcept { world_->stop(rank_); }

  void broadcast(message kind, std::span<float> values, rank_t root) {
    if (rank_ == root) {
      for (rank_t r = 0; r < size(); ++r)
        if (r != root) send(kind, values, r);
    } else if (!receive(kind, values, root)) {
      throw error("rank " + std::to_string(root) + " stopped before its broadcast; choose another root");
    }
  }

  void reduce_sum(message kind, std::span<float> values, rank_t root) {
    if (rank_ != root) return send(kind, values, root);
    std::vector<float> sum, other(values.size());
    for (rank_t r = 0; r < size(); ++r) {
      if (r == root)
        std::ranges::copy(values, other.begin());
      else if (!receive(kind, other, r))
        continue;
      if (sum.empty())
        sum = other;
      else
        std::ranges::transform(sum, other, sum.begin(), std::plus<>{});
    }
    std::ranges::copy(sum, values.begin());
  }

  void all_reduce_sum(message kind, std::span<float> values) {
    rank_t root = 0;
    while (!alive(root)) ++root;
    reduce_sum(kind, values, root);
    broadcast(kind, values, root);
  }

  void gather(message kind, std::span<const float> in, std::span<float> out, rank_t root) {
    if (rank_ != root) return send(kind, in, root);
    for (rank_t r = 0; r < size(); ++r) {
      const auto part = out.subspan(static_cast<std::size_t>(r) * in.size(), in.size());
      if (r == root)
        std::ranges::copy(in, part.begin());
      else
        (void)receive(kind, part, r);
    }
  }

 private:
  using counters = std::array<traffic::counter, message_names.size()>;

  [[nodiscard]] traffic& mine() const { return world_->traffic_[static_cast<std::size_t>(rank_)]; }
  static void count(counters& counts, message kind, std::size_t numbers) {
    auto& c = counts[static_cast<std::size_t>(kind)];
    ++c.messages;
    c.bytes += numbers * sizeof(float);
  }

  /// Waits without a permit; ends with an error if the world has failed.
  template <class Ready>
  void wait(std::unique_lock<std::mutex>& lock, Ready ready) {
    world_->check_failure();
    if (ready()) return;
    lock.unlock();
    permit_->release();
    lock.lock();
    world_->arrival(rank_).wait(lock, [&] { return ready() || world_->failed_rank_ >= 0; });
    lock.unlock();
    permit_->acquire();
    lock.lock();
    if (!ready()) world_->check_failure();
  }

  in_process_world* world_;
  rank_t rank_;
  compute_permit* permit_;
};

template <class F>
void in_process_world::node(rank_t rank, F& f) {
  compute_permit permit(*pool_);
  communicator comm(*this, rank, permit);
  try {
    f(comm);
    stop(rank);
  } catch (...) {
    fail(rank);
  }
}

/// `size` ranks on `threads` cores (0: all of them).
inline in_process_world in_process(int size, int threads = 0) { return {size, std::make_shared<thread_pool>(threads)}; }

}  // namespace gantry::comm
