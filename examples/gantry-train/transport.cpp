// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <mutex>
#include <utility>

#include "gantry/base/thread_pool.hpp"
#include "gantry/comm/in_process.hpp"

#include "transport.hpp"
#include "transport_mpi.hpp"
#include "transport_nccl.hpp"
#include "transport_tcp.hpp"

namespace {

class threads final : public transport {
 public:
  /// All worlds of a process, those of several tasks, share its cores.
  gantry::comm::any_world world(const program_options& o) override {
    auto health = patience_of(o.health);
    // A round over threads may be long; who wants to hear of it says so.
    if (!o.health.is_given) health.warn_after = 0;
    const std::lock_guard lock(mutex_);
    if (!pool_) pool_ = std::make_shared<gantry::thread_pool>(o.threads);
    return gantry::comm::in_process_world(ranks_of(o), pool_, std::move(health));
  }
  gantry::comm::any_world world_of(int nodes, int cores) override {
    return gantry::comm::in_process(nodes, cores);
  }
  void in_turns(const std::function<void()>& work) override {
    const std::lock_guard lock(mutex_);
    work();
  }

 private:
  std::mutex mutex_;
  std::shared_ptr<gantry::thread_pool> pool_;
};

}  // namespace

int ranks_of(const program_options& o) {
  return o.strategy.has_server() ? o.strategy.workers + 1 : 1;
}

std::vector<std::string> transport::names() {
  std::vector<std::string> all{"threads", "tcp"};
  if (has_mpi) all.emplace_back("mpi");
  return all;
}

gantry::comm::launch launched(const std::string& flag) {
  std::optional<gantry::comm::launch> given;
  if (!flag.empty()) given = gantry::comm::parse_launch(flag, "--launch");
  return gantry::comm::discover_launch(gantry::comm::process_environment, given);
}

std::unique_ptr<transport> make_transport(const std::string& name, const std::string& launch) {
  if (name == "mpi") return make_mpi_transport(launch);
  if (name == "tcp") return make_tcp_transport(launch);
  if (name == "nccl") return make_nccl_transport(launch);
  return std::make_unique<threads>();
}
