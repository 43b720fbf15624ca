// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// gantry-bench scaling: throughput over the number of workers, measured on the cores at hand and
// computed for networks and numbers of workers that are not.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

struct scaling_settings {
  std::string transport{"threads"};  ///< of the measured runs
  std::string model{"mlp28"};
  std::vector<std::string> strategies{"md_gan", "federated_average"};
  int batch{64};                          ///< of a worker; of all workers in strong scaling
  std::vector<int> measured{1, 2, 4, 8};  ///< workers, in threads or in processes
  std::vector<int> modelled{1, 4, 16, 64, 256, 1024, 4096};
  int rounds{20};                 ///< of a measured run; the first is not timed
  double gflops{0};               ///< of every modelled node; 0: as one worker alone was measured
  double memory_gb_per_s{0};      ///< of its memory; 0: as one thread copies here
  std::filesystem::path links{};  ///< lines of `gantry-bench comm`: one more network
  int threads{0};
  std::filesystem::path out{"docs/results/scaling"};
};

/// Networks whose runs can be scaled: those of gantry-train.
std::vector<std::string> scaling_models();

/// Prints a JSON line for each run and writes MODEL.md, MODEL.svg and MODEL-strong.svg into `out`,
/// over another transport than threads MODEL-TRANSPORT.md and so on. Every process of a job calls
/// it and rank 0 prints and writes. A modelled round is
///
///   server work / rate + worker work / rate + 3 bytes up / memory
///     + (bytes down + bytes up) / bandwidth + 4 latencies
///
/// with the work and the bytes that the strategy plans for that many workers: the server's own
/// link carries all messages one after the other, what comes up is added to a sum in its memory
/// (read, read, written), workers compute at the same time.
/// @throws gantry::usage_error, and gantry::error if the bytes that a measured run sends are not
/// the planned ones
void run_scaling(const scaling_settings& settings, const std::string& machine);
