// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "gantry/comm/launcher.hpp"
#include "gantry/comm/rendezvous.hpp"
#include "gantry/comm/tcp.hpp"

#include "transport.hpp"
#include "transport_tcp.hpp"

namespace {

using namespace gantry;

class tcp_transport final : public transport {
 public:
  explicit tcp_transport(const std::string& launch)
      : launched_(launched(launch)),
        lines_(std::make_shared<comm::tcp_lines>(launched_, comm::find_meeting_place())) {
    find_neighbours();
  }
  [[nodiscard]] bool leads() const override { return launched_.rank == 0; }
  comm::any_world world(const program_options& o) override {
    if (launched_.size != ranks_of(o))
      throw usage_error("expected " + std::to_string(ranks_of(o)) +
                        " processes, one for the server and one for each of --workers, found " +
                        std::to_string(launched_.size) + " (" + launched_.source +
                        "); start so many");
    return make_world(o.threads, patience_of(o.health));
  }
  comm::any_world world_of(int, int wanted) override { return make_world(wanted, {}); }
  int nodes_here(const program_options&) const override { return local_size_; }
  std::optional<int> local_rank() const override { return local_rank_; }
  void in_turns(const std::function<void()>& work) override {
    const int own = leads() ? 0 : local_rank_ == 0 ? 1 : 2;
    for (int turn = 0; turn < 3; ++turn) {
      if (turn == own) work();
      if (turn < 2) comm::tcp_world(lines_, one_core(), {}).run([](auto& c) { c.barrier(); });
    }
  }
  /// The others find that this one has gone.
  void end_all(int code) override {
    std::fflush(nullptr);
    std::_Exit(code);
  }

 private:
  static std::shared_ptr<thread_pool> one_core() { return std::make_shared<thread_pool>(1); }

  /// Ranks of one machine have its name in common.
  void find_neighbours() {
    constexpr std::size_t longest = 64;
    const std::string host = comm::find_meeting_place().own_host;
    std::vector<float> own(longest);
    std::copy_n(host.begin(), std::min(host.size(), longest), own.begin());
    comm::tcp_world(lines_, one_core(), {}).run([&](auto& c) {
      std::vector<float> all(longest * static_cast<std::size_t>(c.size()));
      c.gather(message::control, own, all, 0);
      static_cast<void>(c.broadcast(message::control, all, 0));
      for (rank_t r = 0; r < c.size(); ++r) {
        const auto other = std::span(all).subspan(longest * static_cast<std::size_t>(r), longest);
        const bool is_here = std::ranges::equal(own, other);
        local_size_ += is_here;
        local_rank_ += is_here && r < c.rank();
      }
    });
  }
  comm::any_world make_world(int wanted, comm::patience health) {
    // The processes of a machine share its cores.
    const int cores = thread_pool(0).threads();
    const int threads = wanted > 0 ? wanted : std::max(1, cores / local_size_);
    return comm::tcp_world(lines_, std::make_shared<thread_pool>(threads), std::move(health));
  }

  comm::launch launched_;
  std::shared_ptr<comm::tcp_lines> lines_;
  int local_size_{0}, local_rank_{0};
};

}  // namespace

std::unique_ptr<transport> make_tcp_transport(const std::string& launch) {
  return std::make_unique<tcp_transport>(launch);
}
