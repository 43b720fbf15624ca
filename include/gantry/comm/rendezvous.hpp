// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// How the processes of a job find each other without MPI: at an address that all know, where rank 0
// listens, or in a folder that all share.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/comm/health.hpp"
#include "gantry/comm/launcher.hpp"
#include "gantry/comm/tcp_socket.hpp"
#include "gantry/concepts/communicator.hpp"

namespace gantry::inline v0::comm {

/// Where ranks meet. Either `folder`, or `master`, rank 0's address.
struct meeting_place {
  tcp_address master{};
  std::filesystem::path folder{};
  std::string own_host{};  ///< by which others reach this machine; only with a folder
  double within{120};      ///< seconds until all must have come
};

/// GANTRY_RENDEZVOUS, a folder, or MASTER_ADDR and MASTER_PORT. Where torchrun's agent listens at
/// MASTER_PORT itself, rank 0 takes the next port. GANTRY_HOST is this machine's name for others.
/// @throws usage_error if neither is set
inline meeting_place find_meeting_place(const environment& env = process_environment) {
  meeting_place place;
  if (const auto host = env("GANTRY_HOST")) {
    place.own_host = *host;
  } else {
    std::array<char, 256> name{};
    static_cast<void>(::gethostname(name.data(), name.size() - 1));
    place.own_host = name.data();
  }
  if (const auto folder = env("GANTRY_RENDEZVOUS")) {
    place.folder = *folder;
    return place;
  }
  const auto host = env("MASTER_ADDR");
  const auto port = detail::number_of(env, "MASTER_PORT");
  if (!host || !port || *port < 1 || *port > 65534)
    throw usage_error(
        "the variables MASTER_ADDR and MASTER_PORT, or GANTRY_RENDEZVOUS with a shared folder, "
        "were "
        "expected to say where the ranks meet, found none; set them, or start with torchrun");
  const bool is_taken = env("TORCHELASTIC_USE_AGENT_STORE").value_or("") == "True";
  place.master = {*host, static_cast<std::uint16_t>(*port + (is_taken ? 1 : 0))};
  return place;
}

namespace detail {

/// What a process says first to another one.
struct greeting {
  static constexpr std::uint64_t word = 0x31706374'79726e67;  // "gnrytcp1"
  std::uint64_t magic{word};
  std::int32_t rank{}, size{};
  std::uint32_t port{}, unused{};
};

/// A line to each other rank.
class meeting {
 public:
  meeting(const launch& self, const meeting_place& place)
      : self_(self),
        place_(place),
        until_(seconds_now() + place.within),
        lines_(static_cast<std::size_t>(self.size)) {}

  std::vector<tcp_socket> hold() {
    if (self_.size == 1) return std::move(lines_);
    std::vector<tcp_address> where(lines_.size());
    const bool at_master = place_.folder.empty();
    const tcp_listener own(at_master && self_.rank == 0 ? place_.master.port : 0);
    if (at_master && self_.rank == 0)
      call_roll(own, where);
    else if (at_master)
      answer_roll(own, where);
    else
      sign_in(own);
    // Each connects to those before it, and waits for those behind it.
    for (rank_t r = at_master ? 1 : 0; r < self_.rank; ++r) reach(r, where);
    while (!missing().empty() && !(at_master && self_.rank == 0)) admit(own, nullptr);
    return std::move(lines_);
  }

 private:
  tcp_socket& line(rank_t r) { return lines_[static_cast<std::size_t>(r)]; }
  [[nodiscard]] std::string missing() const {
    std::string all;
    for (rank_t r = 0; r < self_.size; ++r)
      if (r != self_.rank && !lines_[static_cast<std::size_t>(r)])
        all += (all.empty() ? "" : ", ") + std::to_string(r);
    return all;
  }
  [[noreturn]] void give_up(const std::string& at) const {
    throw error("rank " + std::to_string(self_.rank) + " expected all of " +
                std::to_string(self_.size) + " ranks " + at + " within " +
                std::to_string(static_cast<int>(place_.within)) + " s, found no rank " + missing() +
                "; look at these ranks, and whether their machines reach each other");
  }
  [[nodiscard]] greeting own_greeting(std::uint16_t port) const {
    greeting g;
    g.rank = self_.rank;
    g.size = self_.size;
    g.port = port;
    return g;
  }

  /// Takes one more line. Strangers are sent away. @throws error after the time, or for a rank that
  /// comes twice or counts otherwise
  void admit(const tcp_listener& own, std::vector<tcp_address>* where) {
    auto came = own.accept(until_ - seconds_now());
    if (seconds_now() > until_) give_up("at port " + std::to_string(own.port()));
    greeting g;
    if (!came || !came->first.readable_within(2) || !came->first.read(&g, sizeof g) ||
        g.magic != greeting::word)
      return;
    if (g.size != self_.size || g.rank < 0 || g.rank >= g.size || g.rank == self_.rank ||
        line(g.rank))
      throw error("rank " + std::to_string(self_.rank) + " expected one each of " +
                  std::to_string(self_.size) + " ranks, found rank " + std::to_string(g.rank) +
                  " of " + std::to_string(g.size) + " once more or of another job; start the job " +
                  "anew, with a port or folder of its own");
    if (where)
      (*where)[static_cast<std::size_t>(g.rank)] = {came->second,
                                                    static_cast<std::uint16_t>(g.port)};
    line(g.rank) = std::move(came->first);
  }

  /// Rank 0 tells all where each one listens.
  void call_roll(const tcp_listener& own, std::vector<tcp_address>& where) {
    while (!missing().empty()) admit(own, &where);
    for (rank_t r = 1; r < self_.size; ++r)
      for (const tcp_address& a : where) {
        std::array<char, 64> entry{};
        std::strncpy(entry.data(), a.host.c_str(), entry.size() - 1);
        if (!line(r).write(entry.data(), entry.size()) || !line(r).write(&a.port, sizeof a.port))
          throw error("rank 0 expected rank " + std::to_string(r) +
                      " to stay, found that it has gone; look at what it printed");
      }
  }
  void answer_roll(const tcp_listener& own, std::vector<tcp_address>& where) {
    line(0) = connect_until(place_.master, until_);
    const greeting g = own_greeting(own.port());
    if (!line(0) || !line(0).write(&g, sizeof g)) give_up("at " + place_.master.text());
    for (tcp_address& a : where) {
      std::array<char, 64> entry{};
      if (!line(0).readable_within(until_ - seconds_now()) ||
          !line(0).read(entry.data(), entry.size()) || !line(0).read(&a.port, sizeof a.port))
        throw error("rank " + std::to_string(self_.rank) + " expected rank 0 at " +
                    place_.master.text() + " to name all ranks within " +
                    std::to_string(static_cast<int>(place_.within)) +
                    " s, found no such list; look at what rank 0 printed");
      entry.back() = '\0';
      a.host = entry.data();
    }
  }

  [[nodiscard]] std::filesystem::path entry_of(rank_t r) const {
    return place_.folder / ("rank_" + std::to_string(r) + "_of_" + std::to_string(self_.size));
  }
  /// Leaves this rank's address in the folder, whole from the start.
  void sign_in(const tcp_listener& own) const {
    std::error_code ignored;
    std::filesystem::create_directories(place_.folder, ignored);
    const std::filesystem::path name = entry_of(self_.rank);
    std::filesystem::path draft = name;
    draft += ".draft";
    std::ofstream file(draft);
    file << place_.own_host << ' ' << own.port() << '\n';
    file.close();
    std::filesystem::rename(draft, name, ignored);
    if (!file || ignored)
      throw data_error("expected to write " + name.string() +
                       ", where the ranks meet, and could not; set GANTRY_RENDEZVOUS to a folder "
                       "that all machines share and may write to");
  }
  /// What an earlier job has left there answers nobody, and is read again.
  void reach(rank_t r, const std::vector<tcp_address>& where) {
    const greeting g = own_greeting(0);
    while (!line(r)) {
      tcp_address to = where[static_cast<std::size_t>(r)];
      if (!place_.folder.empty()) {
        std::ifstream file(entry_of(r));
        file >> to.host >> to.port;
      }
      if (to.port != 0) line(r) = try_connect(to);
      if (line(r) && line(r).write(&g, sizeof g)) return;
      line(r) = tcp_socket();
      if (seconds_now() > until_)
        give_up(place_.folder.empty() ? "at " + to.text() : "in " + place_.folder.string());
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }

  launch self_;
  meeting_place place_;
  double until_;
  std::vector<tcp_socket> lines_;  // by rank
};

}  // namespace detail

/// A line to each other rank, by rank. All ranks of the job call it.
/// @throws error that names the ranks that have not come in time
inline std::vector<tcp_socket> meet(const launch& self, const meeting_place& place) {
  return detail::meeting(self, place).hold();
}

}  // namespace gantry::comm
