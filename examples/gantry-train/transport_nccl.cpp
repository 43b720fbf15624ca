// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "gantry/base/error.hpp"
#include "gantry/comm/launcher.hpp"
#include "gantry/comm/nccl.hpp"

#include "cuda_machine.hpp"
#include "transport.hpp"
#include "transport_mpi.hpp"
#include "transport_nccl.hpp"

namespace {

using namespace gantry;

/// NCCL takes one rank per device of a machine, unless ranks claim to be on different machines, as
/// tests on one GPU make them do.
int device_of(int local_rank, int local_ranks) {
  const int devices = find_cuda_machine().devices;
  if (devices == 0)
    throw usage_error(
        "--transport nccl was expected on machines with a GPU and its driver and came to one "
        "without; use --transport mpi");
  if (local_ranks > devices && std::getenv("NCCL_HOSTID") == nullptr)
    throw usage_error(
        "--transport nccl was expected with a device for each rank of a machine and "
        "came with " +
        std::to_string(local_ranks) + " ranks for " + std::to_string(devices) +
        "; start fewer ranks on this machine or use --transport mpi");
  return local_rank % devices;
}

class nccl_transport final : public transport {
 public:
  explicit nccl_transport(std::unique_ptr<transport> beside) : beside_(std::move(beside)) {}

  [[nodiscard]] bool leads() const override { return beside_->leads(); }
  comm::any_world world(const program_options& o) override {
    if (o.device != "cuda")
      throw usage_error("--transport nccl was expected with --device cuda and came with " +
                        o.device + "; use --transport mpi or threads");
    program_options beside = o;
    beside.device_messages = "staged";  // what lies on a device goes by NCCL
    return with_nccl(beside_->world(beside), patience_of(o.health), beside_->nodes_here(o));
  }
  comm::any_world world_of(int nodes, int threads) override {
    comm::any_world inner = beside_->world_of(nodes, threads);
    const int here = beside_->local_rank() ? 1 : inner.size();
    return with_nccl(std::move(inner), {}, here);
  }
  int nodes_here(const program_options& o) const override { return beside_->nodes_here(o); }
  std::optional<int> local_rank() const override { return beside_->local_rank(); }
  void in_turns(const std::function<void()>& work) override { beside_->in_turns(work); }
  void end_all(int code) override { beside_->end_all(code); }

 private:
  comm::any_world with_nccl(comm::any_world inner, comm::patience health, int local_ranks) {
    const std::optional<int> own = beside_->local_rank();
    static_cast<void>(device_of(own.value_or(0), local_ranks));  // refused before anybody joins
    return comm::nccl_world(
        std::move(inner),
        {.device_of = [own, local_ranks](
                          rank_t rank) { return device_of(own.value_or(rank), local_ranks); }},
        std::move(health));
  }

  std::unique_ptr<transport> beside_;
};

}  // namespace

std::unique_ptr<transport> make_nccl_transport(const std::string& launch) {
  const comm::launch place = launched(launch);
  if (place.size == 1) return std::make_unique<nccl_transport>(make_transport("threads"));
  // Of what torchrun starts, MPI knows nothing.
  const bool meets_alone = !has_mpi || place.source == "torchrun" ||
                           comm::process_environment("GANTRY_RENDEZVOUS").has_value();
  return std::make_unique<nccl_transport>(make_transport(meets_alone ? "tcp" : "mpi", launch));
}
