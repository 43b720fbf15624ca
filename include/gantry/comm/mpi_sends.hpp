// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Messages that a rank has handed over to MPI and that are still on their way.
#pragma once

#include <climits>
#include <cstddef>
#include <iterator>
#include <list>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <mpi.h>

#include "gantry/base/error.hpp"
#include "gantry/comm/mpi_environment.hpp"
#include "gantry/comm/mpi_pulse.hpp"
#include "gantry/concepts/communicator.hpp"
#include "gantry/concepts/device_room.hpp"

namespace gantry::inline v0::comm {

/// Copies what is sent, on the host or on the device, and takes its buffers back when MPI has done
/// with them.
class mpi_sends {
 public:
  /// Without a room nothing is sent from a device.
  mpi_sends(mpi_pulse* pulse, std::shared_ptr<device_room> room)
      : pulse_(pulse), room_(std::move(room)) {}
  mpi_sends(const mpi_sends&) = delete;
  mpi_sends& operator=(const mpi_sends&) = delete;

  /// What is still under way is left to MPI: it may read those buffers until the job ends.
  ~mpi_sends() { abandon(pending_); }

  [[nodiscard]] bool empty() const { return pending_.empty(); }

  void post(int tag, std::span<const float> data, rank_t to, MPI_Comm where) {
    pending& p = take_spare(spare_);
    p.values.assign(data.begin(), data.end());
    begin(p, p.values, tag, to, where);
  }
  /// `parts` of the device's memory are one message, and MPI is given a pointer to their copy.
  void post(int tag, device_parts parts, std::size_t count, rank_t to, MPI_Comm where) {
    pending& p = take_spare(spare_on_device_);
    if (!p.is_on_device) p.block = device_block(room_);
    p.is_on_device = true;
    const std::span<float> copy = p.block.reserve(count);
    float* at = copy.data();
    for (const std::span<float>& part : parts) {
      room_->copy(part, at);
      at += part.size();
    }
    begin(p, copy, tag, to, where);
  }

  /// Takes back the buffers of sends that are done; gives MPI the chance to go on with the others.
  void reclaim() {
    const std::lock_guard calls(mpi_calls());
    for (auto p = pending_.begin(); p != pending_.end();) {
      int is_done = 0;
      check_mpi(MPI_Test(&p->request, &is_done, MPI_STATUS_IGNORE), "MPI_Test");
      const auto next = std::next(p);
      auto& spare = p->is_on_device ? spare_on_device_ : spare_;
      if (is_done) spare.splice(spare.end(), pending_, p);
      p = next;
    }
    if (pulse_ != nullptr) pulse_->keep_moving(!pending_.empty());
  }

  /// Leaves what is on its way to that rank to MPI.
  void give_up(rank_t to) {
    std::list<pending> given_up;
    for (auto p = pending_.begin(); p != pending_.end();) {
      const auto next = std::next(p);
      if (p->to == to) given_up.splice(given_up.end(), pending_, p);
      p = next;
    }
    abandon(given_up);
  }

 private:
  struct pending {
    std::vector<float> values;
    device_block block;
    bool is_on_device{false};
    MPI_Request request{MPI_REQUEST_NULL};
    rank_t to{};
  };

  /// The first of them; it leaves its list when its send is under way.
  pending& take_spare(std::list<pending>& spare) {
    reclaim();
    if (spare.empty()) spare.emplace_back();
    return spare.front();
  }
  void begin(pending& p, std::span<const float> data, int tag, rank_t to, MPI_Comm where) {
    if (data.size() > INT_MAX)
      throw error("expected a message of at most 2147483647 values, found " +
                  std::to_string(data.size()) + "; send it in parts");
    p.to = to;
    int is_done = 0;
    {
      const std::lock_guard calls(mpi_calls());
      check_mpi(MPI_Isend(data.data(), static_cast<int>(data.size()), MPI_FLOAT, to, tag, where,
                          &p.request),
                "MPI_Isend");
      check_mpi(MPI_Test(&p.request, &is_done, MPI_STATUS_IGNORE), "MPI_Test");
    }
    if (is_done != 0) return;
    auto& spare = p.is_on_device ? spare_on_device_ : spare_;
    pending_.splice(pending_.end(), spare, spare.begin());
    if (pulse_ != nullptr) pulse_->keep_moving(true);
  }
  static void abandon(std::list<pending>& sends) {
    if (!sends.empty()) static_cast<void>(new std::list<pending>(std::move(sends)));
    sends.clear();
  }

  mpi_pulse* pulse_;
  std::shared_ptr<device_room> room_;
  std::list<pending> pending_, spare_, spare_on_device_;
};

}  // namespace gantry::comm
