// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <utility>

#include "gantry/comm/in_process.hpp"

#include "transport.hpp"
#include "transport_mpi.hpp"

namespace {

class threads final : public transport {
 public:
  gantry::comm::any_world world(const program_options& o) override {
    auto health = patience_of(o.health);
    // A round over threads may be long; who wants to hear of it says so.
    if (!o.health.is_given) health.warn_after = 0;
    return gantry::comm::in_process_world(
        ranks_of(o), std::make_shared<gantry::thread_pool>(o.threads), std::move(health));
  }
  gantry::comm::any_world world_of(int nodes, int cores) override {
    return gantry::comm::in_process(nodes, cores);
  }
};

}  // namespace

int ranks_of(const program_options& o) {
  return o.strategy.has_server() ? o.strategy.workers + 1 : 1;
}

std::vector<std::string> transport::names() {
  return has_mpi ? std::vector<std::string>{"threads", "mpi"} : std::vector<std::string>{"threads"};
}

std::unique_ptr<transport> make_transport(const std::string& name) {
  if (name == "mpi") return make_mpi_transport();
  return std::make_unique<threads>();
}
