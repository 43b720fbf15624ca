// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "gantry/comm/launcher.hpp"
#include "gantry/comm/mpi.hpp"
#include "gantry/comm/mpi_device.hpp"

#include "cuda_machine.hpp"
#include "transport.hpp"
#include "transport_mpi.hpp"

namespace {

using namespace gantry;

class mpi_transport final : public transport {
 public:
  explicit mpi_transport(const std::string& launch) {
    comm::require_agreement(launched(launch), {mpi_.rank(), mpi_.size(), 0, "MPI"});
  }
  [[nodiscard]] bool leads() const override { return mpi_.rank() == 0; }
  comm::any_world world(const program_options& o) override {
    if (mpi_.size() != ranks_of(o))
      throw usage_error("expected " + std::to_string(ranks_of(o)) +
                        " processes, one for the server and one for each of --workers, found " +
                        std::to_string(mpi_.size()) + "; start mpirun with -n " +
                        std::to_string(ranks_of(o)));
    return make_world(o.threads, patience_of(o.health), room_for(o));
  }
  comm::any_world world_of(int, int wanted) override {
    return make_world(wanted, comm::patience{});
  }
  int nodes_here(const program_options&) const override { return mpi_.local_size(); }
  std::optional<int> local_rank() const override { return mpi_.local_rank(); }
  void in_turns(const std::function<void()>& work) override {
    const int place = mpi_.local_rank();
    const int own = leads() ? 0 : place == 0 ? 1 : 2;
    for (int turn = 0; turn < 3; ++turn) {
      if (turn == own) work();
      if (turn < 2) mpi_.barrier();
    }
  }
  std::string facts() const override { return facts_; }
  void end_all(int code) override { comm::mpi_environment::abort(code); }

 private:
  /// Memory of this process's device, if MPI is to be handed pointers to it.
  std::shared_ptr<device_room> room_for(const program_options& o) {
    if (o.device != "cuda") return nullptr;
    using enum comm::mpi_device_wish;
    const auto wish = o.device_messages == "auto"       ? automatic
                      : o.device_messages == "pointers" ? pointers
                                                        : staged;
    const comm::mpi_device_choice choice = comm::choose_mpi_device_path(wish);
    facts_ = std::string("messages between devices: MPI is handed ") +
             (choice.by_pointer ? "pointers to their memory, " : "copies in the host's memory, ") +
             choice.reason;
    return choice.by_pointer ? make_device_room(mpi_.local_rank()) : nullptr;
  }
  comm::any_world make_world(int wanted, comm::patience health,
                             std::shared_ptr<device_room> room = {}) {
    // The processes of a machine share its cores.
    const int cores = thread_pool(0).threads();
    const int threads = wanted > 0 ? wanted : std::max(1, cores / mpi_.local_size());
    // Workers wait while the server draws and scores; who waits for a worker is the server.
    if (!leads()) health.warn_after = std::max(300.0, 2 * health.act_after);
    return comm::mpi_world(mpi_, 0, std::make_shared<thread_pool>(threads), std::move(health),
                           std::move(room));
  }

  comm::mpi_environment mpi_;
  std::string facts_;
};

}  // namespace

const bool has_mpi = true;

std::unique_ptr<transport> make_mpi_transport(const std::string& launch) {
  return std::make_unique<mpi_transport>(launch);
}
