// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Five processes that run the same tests in the same order.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "gantry/comm/tcp.hpp"

namespace test {

inline constexpr gantry::rank_t processes = 5;
/// Of this process; set by main.
inline gantry::rank_t rank = 0;
inline std::filesystem::path meeting_folder;
inline std::uint16_t master_port = 0;

/// The first processes; run() does nothing in the others.
class tcp_world {
 public:
  using communicator_type = gantry::comm::tcp_communicator;

  explicit tcp_world(int size, gantry::comm::patience health = {})
      : size_(size), pool_(std::make_shared<gantry::thread_pool>(1)) {
    static int made = 0;
    gantry::comm::meeting_place place{
        .folder = meeting_folder / std::to_string(made++), .own_host = "127.0.0.1", .within = 60};
    if (rank < size)
      inner_.emplace(gantry::comm::launch{rank, size, rank, "test"}, place, pool_,
                     std::move(health));
  }
  [[nodiscard]] gantry::rank_t size() const noexcept { return size_; }
  [[nodiscard]] const std::shared_ptr<gantry::thread_pool>& pool() const noexcept { return pool_; }
  template <class F>
  void run(F&& f) {
    if (inner_) inner_->run(std::forward<F>(f));
  }

 private:
  gantry::rank_t size_;
  std::shared_ptr<gantry::thread_pool> pool_;
  std::optional<gantry::comm::tcp_world> inner_;
};

}  // namespace test
