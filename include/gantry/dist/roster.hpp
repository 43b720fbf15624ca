// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// What a server that averages networks knows about its workers.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/concepts/strategy.hpp"
#include "gantry/dist/worker_report.hpp"

namespace gantry::inline v0::dist {

/// Who still takes part, and how many samples each worker n = 1, 2, ... has.
class roster {
 public:
  /// `strategy` is named in errors.
  roster(std::string_view strategy, int workers)
      : strategy_(strategy),
        live_(static_cast<std::size_t>(workers), true),
        sizes_(static_cast<std::size_t>(workers)) {}

  /// Learns the sizes of all shards; those of workers that had stopped before a resume too.
  template <Communicator C>
  void begin(C& comm) {
    for (int n = 1; n <= workers(); ++n) {
      std::array<float, 1> size{};
      if (receive(comm, message::control, size, n)) sizes_[index(n)] = static_cast<double>(size[0]);
    }
  }
  /// The worker's side of it.
  template <Communicator C, BatchSource Source>
  static void introduce(C& comm, const Source& source) {
    comm.send(message::control, std::array{static_cast<float>(source.size())}, 0);
  }

  /// Receives from worker n, or notes that it has stopped.
  template <Communicator C>
  bool receive(C& comm, message kind, std::span<float> out, int n) {
    const bool arrived = comm.receive(kind, out, n);
    if (!arrived) set_lost(n);
    return arrived;
  }

  [[nodiscard]] int workers() const { return static_cast<int>(live_.size()); }
  [[nodiscard]] bool is_live(int n) const { return live_[index(n)]; }
  void set_lost(int n) { live_[index(n)] = false; }
  [[nodiscard]] double size(int n) const { return sizes_[index(n)]; }

  /// @throws workers_lost if no worker is left
  [[nodiscard]] std::vector<int> live() const {
    std::vector<int> all;
    for (int n = 1; n <= workers(); ++n)
      if (is_live(n)) all.push_back(n);
    if (all.empty()) throw_lost();
    return all;
  }
  [[noreturn]] void throw_lost() const {
    throw workers_lost(std::string(strategy_) +
                       ": expected at least one worker and found that all have stopped; start "
                       "anew with workers that stay");
  }

 private:
  static std::size_t index(int n) { return static_cast<std::size_t>(n - 1); }

  std::string_view strategy_;
  std::vector<bool> live_;
  std::vector<double> sizes_;
};

/// Worker to server, behind its networks.
struct work_report {
  static constexpr std::size_t size = 3 + observed_size;
  double discriminator_loss{}, generator_loss{};  ///< of the last local step
  int updates{};
  phase_times times{};
  learning_signals signals{};

  [[nodiscard]] std::array<float, size> pack() const {
    std::array<float, size> m{static_cast<float>(discriminator_loss),
                              static_cast<float>(generator_loss), static_cast<float>(updates)};
    pack_observed(times, signals, std::span(m).last<observed_size>());
    return m;
  }
  static work_report unpack(const std::array<float, size>& m) {
    work_report r{
        static_cast<double>(m[0]), static_cast<double>(m[1]), static_cast<int>(m[2]), {}, {}};
    unpack_observed(std::span(m).last<observed_size>(), r.times, r.signals);
    return r;
  }
};

/// Adds up what workers report.
inline void add_report(round_report& all, const work_report& one, int batch) {
  ++all.workers;
  all.images += std::int64_t{batch} * one.updates;
  all.discriminator_loss += one.discriminator_loss;
  all.generator_loss += one.generator_loss;
  all.worker += one.times;
  all.signals += one.signals;
}
/// Turns the sums into means.
inline void finish_report(round_report& all) {
  if (all.workers == 0) return;
  all.discriminator_loss /= all.workers;
  all.generator_loss /= all.workers;
  for (double& s : all.worker.seconds) s /= all.workers;
  all.signals /= all.workers;
}

}  // namespace gantry::dist
