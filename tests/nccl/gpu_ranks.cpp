// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The transport over the real NCCL: three processes on one device, each of which says that it is on
// a machine of its own, beside TCP. Contract, bits and a killed rank; times say nothing here, for
// the processes take turns on the device. Exit code 77 where there is none.
#define DOCTEST_CONFIG_IMPLEMENT
#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/comm/nccl.hpp"
#include "gantry/comm/tcp.hpp"

#include "distributed/conformance.hpp"

using namespace gantry;
using conformance::same_bits;
using conformance::values_type;

namespace {

constexpr rank_t processes = 3;
rank_t own_rank = 0;
std::filesystem::path folder;

using inner_world = comm::nccl_world<comm::tcp_world>;

/// The first processes; run() does nothing in the others.
class world_on_one_device {
 public:
  explicit world_on_one_device(int size, comm::patience health = {}) : size_(size) {
    static int made = 0;
    const comm::meeting_place place{
        .folder = folder / std::to_string(made++), .own_host = "127.0.0.1", .within = 60};
    if (own_rank < size)
      inner_.emplace(comm::tcp_world({own_rank, size, own_rank, "test"}, place,
                                     std::make_shared<thread_pool>(1), health),
                     comm::nccl_options{.least_values = 1, .start_within = 60}, health);
  }
  [[nodiscard]] rank_t size() const noexcept { return size_; }
  template <class F>
  void run(F&& f) {
    if (inner_) inner_->run(std::forward<F>(f));
  }

 private:
  rank_t size_;
  std::optional<inner_world> inner_;
};

const auto make = [](int size) { return world_on_one_device(size); };

bool has_device() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess && count > 0;
}

/// Each process is alone on its machine, as NCCL sees it, and speaks over the loopback device.
void tell_nccl(rank_t rank) {
  const std::string host = "gantry" + std::to_string(rank);
  ::setenv("NCCL_HOSTID", host.c_str(), 1);
  for (const auto& [name, value] : std::array<std::pair<const char*, const char*>, 14>{{
           {"NCCL_NET", "Socket"},
           {"NCCL_SOCKET_IFNAME", "lo"},
           {"NCCL_IB_DISABLE", "1"},
           {"NCCL_P2P_DISABLE", "1"},
           {"NCCL_SHM_DISABLE", "1"},
           {"NCCL_NVLS_ENABLE", "0"},
           {"NCCL_MNNVL_ENABLE", "0"},
           {"NCCL_CUMEM_ENABLE", "0"},
           {"NCCL_RAS_ENABLE", "0"},
           {"NCCL_MAX_CTAS", "2"},
           {"NCCL_ALGO", "Ring"},
           {"NCCL_PROTO", "Simple"},
           {"NCCL_DEBUG", "WARN"},
           {"NCCL_MULTI_RANK_GPU_ENABLE", "1"},  // not read before 2.30
       }})
    ::setenv(name, value, 0);
}

}  // namespace

TEST_CASE("nccl on one device: messages keep their order") {
  conformance::messages_keep_their_order(make);
}
TEST_CASE("nccl on one device: lost peers") { conformance::lost_peers(make); }
TEST_CASE("nccl on one device: counters are exact") { conformance::counters_are_exact(make); }

TEST_CASE("nccl on one device: sums have the bits of a serial loop") {
  auto world = make(processes);
  world.run([](auto& comm) {
    constexpr std::size_t n = 200'000;
    values_type values = conformance::values_of(comm.rank(), n);
    comm.all_reduce_sum(message::model, values);
    CHECK(same_bits(values, conformance::serial_sum({0, 1, 2}, n)));
  });
}

TEST_CASE("nccl on one device: long messages cross in both directions") {
  auto world = make(processes);
  world.run([](auto& comm) {
    const auto next = static_cast<rank_t>((comm.rank() + 1) % comm.size());
    const auto before = static_cast<rank_t>((comm.rank() + comm.size() - 1) % comm.size());
    for (int round = 0; round < 3; ++round) {
      const values_type mine = conformance::values_of(comm.rank(), 3'000'000);
      values_type in(mine.size());
      CHECK(comm.exchange(message::discriminator, mine, next, in, before));
      CHECK(same_bits(in, conformance::values_of(before, in.size())));
    }
  });
}

/// The last one: a process ends in it.
TEST_CASE("nccl on one device: the others go on without a rank that is killed") {
  std::vector<rank_t> lost;
  world_on_one_device world(processes, {.then = comm::when_late::drop,
                                        .warn = [](const std::string&) {},
                                        .on_lost = [&](rank_t r) { lost.push_back(r); }});
  world.run([](auto& comm) {
    values_type values(100'000, 1.0f);
    comm.all_reduce_sum(message::model, values);
    comm.barrier();
    if (comm.rank() == 2) ::raise(SIGKILL);
    const auto other = static_cast<rank_t>(1 - comm.rank());
    const bool came = comm.receive(message::model, values, 2);
    CHECK_FALSE(came);
    CHECK(comm.exchange(message::model, values, other, values, other));
  });
  if (own_rank == 0) CHECK(lost == std::vector<rank_t>{2});
}

int main(int argc, char** argv) {
  folder = std::filesystem::temp_directory_path() / ("gantry_nccl_" + std::to_string(::getpid()));
  std::vector<pid_t> others;
  for (rank_t r = 1; r < processes && own_rank == 0; ++r) {
    const pid_t child = ::fork();  // before anything asks for the device
    if (child == 0)
      own_rank = r;
    else
      others.push_back(child);
  }
  ::alarm(150);  // nobody waits for a hang
  tell_nccl(own_rank);
  if (!has_device()) {
    if (own_rank != 0) return 0;
    for (const pid_t child : others) ::waitpid(child, nullptr, 0);
    std::puts("gpu_ranks: a device with its driver was expected, found none");
    return 77;
  }
  doctest::Context context(argc, argv);
  int code = context.run();
  if (own_rank != 0) return code;
  for (std::size_t i = 0; i < others.size(); ++i) {
    int status = 0;
    ::waitpid(others[i], &status, 0);
    const bool was_killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    if (i + 2 == processes ? !was_killed : status != 0) code = 1;
  }
  std::filesystem::remove_all(folder);
  return code;
}
