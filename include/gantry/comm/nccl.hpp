// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The transport over NCCL: values go from device to device, beside another transport that says
// what they are.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/base/thread_pool.hpp"
#include "gantry/comm/health.hpp"
#include "gantry/comm/nccl_communicator.hpp"
#include "gantry/comm/nccl_lane.hpp"
#include "gantry/comm/nccl_library.hpp"
#include "gantry/concepts/communicator.hpp"

namespace gantry::inline v0::comm {

/// The ranks of another world, whose messages of many values go by NCCL: each rank has a device of
/// its own. The other world tells NCCL how its ranks find each other.
template <World Inner>
class nccl_world {
 public:
  using communicator_type = nccl_communicator<typename Inner::communicator_type>;

  explicit nccl_world(Inner inner, nccl_options options = {}, patience health = {})
      : inner_(std::move(inner)), options_(std::move(options)), patience_(std::move(health)) {}

  [[nodiscard]] rank_t size() const noexcept { return inner_.size(); }
  [[nodiscard]] const std::shared_ptr<thread_pool>& pool() const noexcept { return inner_.pool(); }

  /// As the other world's. What was sent and never received is given up when all ranks have ended.
  /// @throws what f threw here, or rank_failed with what another rank said, error if NCCL cannot
  /// join the ranks
  template <class F>
  void run(F&& f) {
    std::mutex mutex;
    std::vector<std::unique_ptr<nccl_lane>> lanes;  // outlive the ranks: they end together
    inner_.run([&](auto& control) {
      std::unique_ptr<nccl_lane> made = join(control);
      nccl_lane& lane = *made;
      {
        const std::lock_guard lock(mutex);
        lanes.push_back(std::move(made));
      }
      control.barrier();
      lane.wait_until_joined();
      control.barrier();
      lane.wait_until_connected();
      communicator_type comm(control, lane, *inner_.pool(), patience_);
      f(comm);
    });
  }

 private:
  /// Each rank makes the names of the groups in which it sends, the first one that of all.
  template <class Control>
  std::unique_ptr<nccl_lane> join(Control& control) {
    const rank_t rank = control.rank(), size = control.size();
    const auto n = static_cast<std::size_t>(size);
    std::vector<nccl_id> ids(n * n + 1);
    const auto require = [](bool is_there) {
      if (!is_there)
        throw error(
            "expected all ranks to join NCCL's groups, found one that has ended before; look at "
            "what it printed");
    };
    for (rank_t peer = 0; peer < size; ++peer) {
      if (peer == rank) continue;
      nccl_id& id = ids[static_cast<std::size_t>(rank) * n + static_cast<std::size_t>(peer)];
      id = nccl_id::make();
      control.send(message::control, id.bytes, peer);
    }
    for (rank_t peer = 0; peer < size; ++peer) {
      if (peer == rank) continue;
      nccl_id& id = ids[static_cast<std::size_t>(peer) * n + static_cast<std::size_t>(rank)];
      require(control.receive(message::control, id.bytes, peer));
    }
    if (rank == 0 && size > 1) ids.back() = nccl_id::make();
    require(control.broadcast(message::control, ids.back().bytes, 0));
    return std::make_unique<nccl_lane>(rank, size, options_, ids);
  }

  Inner inner_;
  nccl_options options_;
  patience patience_;
};

}  // namespace gantry::comm
